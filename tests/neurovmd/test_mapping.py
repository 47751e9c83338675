# SPDX-License-Identifier: Apache-2.0
"""From messages to codes: topics, elements, whole tensors, and what is refused."""

from array import array
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tflite_writer import ModelWriter

import neurovm
from neurovmd.mapping import Inputs
from neurovmd.refusal import MappingError, RefusedError
from neurovmd.result import finder
from neurovmd.routes import MAX_ROUTE_BYTES, MAX_ROUTES
from neurovmd.schema import Form, Vm
from neurovmd.shared import DropReason

NAMES = {"prefix": "neurovm", "node": "box", "vm": "x"}


def inputs(bundle: Path, **source: object) -> Inputs:
    vm = msgspec.convert({"model": "x.nvm", "inputs": [source]}, Vm)
    return Inputs(vm, NAMES, neurovm.load(bundle))


def test_one_element_by_name_and_by_number(bundles: dict[str, Path]) -> None:
    names = [f"s{number}" for number in range(64)]
    for where, elements in (("s7", names), ("7", None)):
        bound = inputs(
            bundles["digits_mlp"], topic="a/{stream}/{element}", to={"elements": elements}
        )
        update = bound.read(f"a/p1/{where}", b'{"value": 0.25}')
        info = neurovm.load(bundles["digits_mlp"]).inputs[0]
        code = np.clip(np.rint(0.25 / info.scale) + info.zero_point, -128, 127).astype(np.int8)
        assert (update.stream, update.indices, update.codes) == (
            "p1",
            array("I", [7]),
            code.tobytes(),
        )


@pytest.mark.parametrize("name", ["digits_mlp", "digits_resnet", "digits_dscnn"])
def test_real_values_become_the_codes_of_the_source_model(
    bundles: dict[str, Path], name: str
) -> None:
    model = neurovm.load(bundles[name])
    info = model.inputs[0]
    values = np.linspace(-0.5, 20.0, info.size).astype(np.float32)
    bound = inputs(bundles[name], topic="a", payload={"format": "raw"})
    codes = np.frombuffer(bound.read("a", values.tobytes()).codes, np.int8)
    exact = values.astype(np.float64) / info.scale
    nearest = np.clip(np.rint(exact) + info.zero_point, -128, 127)
    # Where the exact quotient lies next to a half the two roundings may differ by their float type.
    clear = np.abs(np.abs(exact - np.floor(exact)) - 0.5) > 1e-3
    assert np.array_equal(codes[clear], nearest[clear])
    assert np.array_equal(codes, np.frombuffer(bound.read("a", values.tobytes()).codes, np.int8))


@pytest.mark.parametrize(("name", "dtype"), [("digits_mlp", "int8"), ("digits_resnet", "uint8")])
def test_codes_pass_as_the_model_has_them(bundles: dict[str, Path], name: str, dtype: str) -> None:
    model = neurovm.load(bundles[name])
    raw = np.arange(model.inputs[0].size).astype(np.dtype(dtype))
    bound = inputs(bundles[name], topic="a", payload={"format": "raw", "dtype": dtype})
    assert bound.read("a", raw.tobytes()).codes == bytes(model.to_codes(raw))


def test_lists_objects_and_a_field(bundles: dict[str, Path]) -> None:
    names = [f"s{number}" for number in range(64)]
    bound = inputs(
        bundles["digits_mlp"],
        topic="a/{_}/{stream}",
        payload={"format": "json", "field": "v"},
        to={"elements": names},
    )
    whole = bound.read("a/x/p", msgspec.json.encode({"v": [0.5] * 64}))
    assert (whole.indices, len(whole.codes)) == (array("I", range(64)), 64)
    some = bound.read("a/x/p", b'{"v": {"s9": 0.5, "other": "text", "s2": true}}')
    assert some.indices == array("I", [9, 2])
    assert some.codes[:1] == whole.codes[9:10]


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (None, b'{"value": 1}', DropReason.TOPIC),
        ("b/p/1", b'{"value": 1}', DropReason.TOPIC),
        ("a/p/64", b'{"value": 1}', DropReason.TOPIC),
        ("a/p/-1", b'{"value": 1}', DropReason.TOPIC),
        ("a/p/²", b'{"value": 1}', DropReason.TOPIC),
        ("a//1", b'{"value": 1}', DropReason.TOPIC),
        (f"a/{'p' * 300}/1", b'{"value": 1}', DropReason.TOPIC),
        ("a/p/1", b"{", DropReason.PAYLOAD),
        ("a/p/1", b'{"value": "1"}', DropReason.VALUE),
        ("a/p/1", b'{"value": null}', DropReason.VALUE),
        ("a/p/1", b'{"value": [1]}', DropReason.VALUE),
        ("a/p/1", b'{"value": 1e999}', DropReason.PAYLOAD),
        ("a/p/1", b'{"value": ' + b"9" * 400 + b"}", DropReason.VALUE),
    ],
)
def test_what_sets_nothing_is_refused_with_its_reason(
    bundles: dict[str, Path], topic: str | None, payload: bytes, reason: DropReason
) -> None:
    bound = inputs(bundles["digits_mlp"], topic="a/{stream}/{element}")
    with pytest.raises(RefusedError) as caught:
        bound.read(topic, payload)
    assert caught.value.reason == reason


def test_a_wrong_length_is_refused(bundles: dict[str, Path]) -> None:
    bound = inputs(bundles["digits_mlp"], topic="a", payload={"format": "raw"})
    with pytest.raises(RefusedError, match="found 2 values; accepted: 64"):
        bound.read("a", bytes(8))
    nan = np.full(64, np.nan, np.float32).tobytes()
    with pytest.raises(RefusedError, match="not a finite number"):
        bound.read("a", nan)


def test_one_message_may_set_several_inputs(bundles: dict[str, Path]) -> None:
    source = {"topic": "a/{stream}", "to": {"elements": [f"s{n}" for n in range(64)]}}
    vm = msgspec.convert(
        {
            "model": "x.nvm",
            "inputs": [
                {**source, "payload": {"format": "json", "field": "low"}},
                {**source, "payload": {"format": "json", "field": "high"}, "qos": 0},
            ],
        },
        Vm,
    )
    bound = Inputs(vm, NAMES, neurovm.load(bundles["digits_mlp"]))
    assert bound.filters == {"a/+": 1}
    update = bound.read("a/p", b'{"low": {"s1": 0}, "high": {"s63": 1}}')
    assert update.indices == array("I", [1, 63])


class TwoTensors:
    """A model of two inputs of two elements each, as far as `Inputs` looks at it."""

    class Info:
        size, dtype, scale, zero_point, wide = 2, "float32", 0.1, 0, False

    inputs = (Info(), Info())

    def quantize(self, tensor: int, values: list[float], *, count: int) -> bytes:
        del tensor
        return bytes(int(value) for value in values[:count])


def two(first: dict[str, object], second: dict[str, object]) -> Inputs:
    """Two entries, one a tensor, with the elements a, b and c, d."""
    first = {**first, "to": {"tensor": 0, "elements": ["a", "b"]}}
    second = {**second, "to": {"tensor": 1, "elements": ["c", "d"]}}
    vm = msgspec.convert({"model": "x.nvm", "inputs": [first, second]}, Vm)
    return Inputs(vm, NAMES, TwoTensors())


def test_entries_on_one_topic_share_its_elements() -> None:
    bound = two({"topic": "p/{stream}/{element}"}, {"topic": "p/{stream}/{element}"})
    for number, name in enumerate("abcd"):
        assert bound.read(f"p/s/{name}", b'{"value": 1}').indices == array("I", [number])
    with pytest.raises(RefusedError, match="no element 'e'"):
        bound.read("p/s/e", b'{"value": 1}')


def test_an_entry_whose_field_is_absent_takes_nothing() -> None:
    fields = [
        {"topic": "p/{stream}", "payload": {"format": "json", "field": name}} for name in "uw"
    ]
    bound = two(*fields)
    assert bound.read("p/s", b'{"u": [1, 2], "w": [3, 4]}').codes == bytes([1, 2, 3, 4])
    assert bound.read("p/s", b'{"u": [1, 2]}').indices == array("I", [0, 1])
    assert bound.read("p/s", b'{"w": [1, 2]}').indices == array("I", [2, 3])
    with pytest.raises(RefusedError) as caught:
        bound.read("p/s", b'{"x": [1, 2]}')
    assert caught.value.reason == DropReason.PAYLOAD


@pytest.mark.parametrize("second", ["p/{_}/x/{stream}", "p/{_}/x/{_}"])
def test_a_topic_of_two_streams_is_refused_at_the_start(second: str) -> None:
    with pytest.raises(MappingError) as caught:
        two({"topic": "p/{stream}/x/{_}"}, {"topic": second})
    assert caught.value.key == "inputs[1].topic"
    assert two({"topic": "p/{stream}/x"}, {"topic": "p/{_}/y"})


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ({"topic": "a", "to": {"tensor": 1}}, "inputs[0].to.tensor"),
        ({"topic": "a/{element}", "to": {"elements": ["x"]}}, "inputs[0].to.elements"),
        ({"topic": "a/{element}", "payload": {"format": "raw"}}, "inputs[0].topic"),
        (
            {"topic": "a", "payload": {"format": "raw", "dtype": "uint8"}},
            "inputs[0].payload.dtype",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_named(
    bundles: dict[str, Path], source: dict[str, object], key: str
) -> None:
    with pytest.raises(MappingError) as caught:
        inputs(bundles["digits_mlp"], **source)
    assert caught.value.key == key


def test_invented_topics_do_not_fill_memory(bundles: dict[str, Path]) -> None:
    bound = inputs(bundles["digits_mlp"], topic="a/{stream}/{element}")
    for number in range(MAX_ROUTES + 10):
        bound.read(f"a/{number}/1", b'{"value": 1}')
    assert len(bound._router._routes) <= MAX_ROUTES


def test_long_topics_are_not_remembered(bundles: dict[str, Path]) -> None:
    bound = inputs(bundles["digits_mlp"], topic="a/{_}/{stream}/{element}")
    for number in range(10):
        bound.read(f"a/{'x' * MAX_ROUTE_BYTES}{number}/p/1", b'{"value": 1}')
    assert not bound._router._routes


def wide_model() -> bytes:
    """Two values of int16 codes and two of int8 codes, each as it is."""
    writer = ModelWriter()
    wide = writer.tensor("w", (1, 2), dtype="int16", scale=0.001)
    narrow = writer.tensor("n", (1, 2), scale=0.1, zero_point=3)
    outs = [
        writer.tensor("yw", (1, 2), dtype="int16", scale=0.001),
        writer.tensor("yn", (1, 2), scale=0.1, zero_point=3),
    ]
    shape = writer.constant("s", np.array([1, 2], np.int32))
    for x, y in zip((wide, narrow), outs, strict=True):
        writer.operator("RESHAPE", [x, shape], [y], NewShape=[1, 2])
    return writer.model(inputs=[wide, narrow], outputs=outs)


def test_int16_inputs_take_int16_codes_and_say_them_as_results() -> None:
    model = neurovm.convert_tflite(wide_model())
    sources = [
        {"topic": "w/{stream}/{element}", "to": {"tensor": 0}},
        {"topic": "n/{stream}/{element}", "to": {"tensor": 1}},
        {"topic": "raw", "to": {"tensor": 0}, "payload": {"format": "raw", "dtype": "int16"}},
    ]
    vm = msgspec.convert({"model": "x.nvm", "inputs": sources}, Vm)
    bound = Inputs(vm, NAMES, model)
    session = model.session()
    first = bound.initial()
    session.update(*first)
    for topic, payload, codes in (
        ("w/p/0", b'{"value": 12.3456}', [12346]),
        ("w/p/1", b'{"value": -1000}', [-32768]),
        ("n/p/1", b'{"value": 1000}', [127]),
    ):
        update = bound.read(topic, payload)
        assert update.codes.tolist() == codes
        session.update(update.indices, update.codes)
    form = msgspec.convert({"values": "codes"}, Form)
    assert finder(model, form)(session.output) == {
        "values": {"yw": [12346, -32768], "yn": [3, 127]}
    }
    real = finder(model, msgspec.convert({"values": "real"}, Form))(session.output)["values"]
    assert real["yw"] == pytest.approx([12.346, -32.768])
    best = finder(model, msgspec.convert({"top_k": 1}, Form))(session.output)["top"]
    assert [(b["index"], b["code"]) for b in best] == [(0, 12346)]
    raw = bound.read("raw", np.array([-5, 32767], "<i2").tobytes())
    assert raw.codes.tolist() == [-5, 32767]
    with pytest.raises(RefusedError, match="multiple of 2"):
        bound.read("raw", b"abc")

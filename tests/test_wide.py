# SPDX-License-Identifier: Apache-2.0
"""int16 codes through the whole of the library: sessions, bundles, edges, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from case_net import Net, scale_of

import neurovm
from neurovm import _kernel, reference
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.errors import ModelError, ShapeError
from neurovm.passes import prepare


def mixed(*, both: bool = True) -> bytes:
    """int8 in, a convolution on int16 codes between two QUANTIZE, int8 and int16 out."""
    net = Net("NETWORK:mixed")
    x = net.input((1, 5, 6, 3), scale=0.05, zero_point=4)
    wide = net.output((1, 5, 6, 3), dtype="int16", scale=2e-4, zero_point=0)
    net.writer.operator("QUANTIZE", [x], [wide])
    k, scales = net.weights((4, 3, 3, 3), 0)
    bias = net.rng.integers(-100000, 100001, 4).astype(np.int64)
    b = net.writer.constant(
        "b", bias, scale=np.float32(scale_of(net, wide)) * scales, zero_point=[0] * 4
    )
    y = net.output((1, 5, 6, 4), dtype="int16", scale=8e-4, zero_point=0)
    net.writer.operator(
        "CONV_2D", [wide, k, b], [y], Padding="SAME", StrideH=1, StrideW=1, DilationHFactor=1,
        DilationWFactor=1, FusedActivationFunction="RELU",
    )  # fmt: skip
    narrow = net.output((1, 5, 6, 4), scale=0.2, zero_point=-20)
    net.writer.operator("QUANTIZE", [y], [narrow])
    return net.writer.model(inputs=[x], outputs=[narrow, y] if both else [narrow])


@pytest.mark.parametrize("profile", PROFILES)
def test_a_mixed_network_walks_as_the_oracle(profile: str, tmp_path: Path) -> None:
    graph = prepare(tflite.read(mixed(), name="mixed"))
    path = neurovm.convert_tflite(mixed(), profile=profile).save(tmp_path / "mixed.nvm")
    model = neurovm.load(path)
    assert model.manifest.format == 2
    assert [(t.wide, t.bytes) for t in model.outputs] == [(False, 120), (True, 240)]
    rng = np.random.default_rng(5)
    row = rng.integers(-128, 128, (1, 5, 6, 3)).astype(np.int8)
    sessions = {way: model.session(way=way) for way in ("auto", "events", "dense")}
    updated = model.session()
    updated.step(row.tobytes())
    for _ in range(60):
        places = rng.integers(0, row.size, rng.integers(0, 9)).astype(np.uint32)
        row.reshape(-1)[places] = rng.integers(-128, 128, places.size)
        known = reference.run(graph, PROFILES[profile], [row])
        wanted = [known[i] for i in graph.outputs]
        raw = b"".join(np.ascontiguousarray(w).tobytes() for w in wanted)
        answers = [s.step(row.tobytes()) for s in sessions.values()]
        answers.append(updated.update(places, row.reshape(-1)[places]))
        assert all(bytes(a) == raw for a in answers)
        predicted = model.predict(row)
        for found in (model.from_codes(answers[0]), predicted):
            for info, w in zip(model.outputs, wanted, strict=True):
                assert np.asarray(found[info.name]).dtype == w.dtype
                assert np.array_equal(np.asarray(found[info.name]).reshape(w.shape), w)


def whole(shape: tuple[int, ...] = (1, 6)) -> bytes:
    """A wide input to a wide output: y = relu(x)."""
    net = Net("RELU:whole")
    x = net.input(shape, dtype="int16", scale=1e-3, zero_point=0)
    y = net.like(x, shape)
    net.writer.operator("RELU", [x], [y])
    return net.writer.model(inputs=[x], outputs=[y])


def test_codes_are_int16_values_or_their_bytes() -> None:
    model = neurovm.convert_tflite(whole())
    session = model.session()
    codes = np.array([-5, 300, 32767, -32768, 0, 7], np.int16)
    wanted = [0, 300, 32767, 0, 0, 7]
    for given in (codes, memoryview(codes), codes.tobytes(), bytearray(codes.tobytes())):
        found = session.step(given)
        assert found.format == "h"
        assert found.tolist() == wanted
    assert session.output is session.update(np.array([1], np.uint32), np.array([-9], np.int16))
    assert session.output.tolist() == [0, 0, 32767, 0, 0, 7]
    session.update(np.array([1], np.uint32), np.array([9], np.int8))
    assert session.output.tolist()[1] == 9
    assert model.top_k(session.output, 2) == [(2, 32767, 32767), (1, 9, 9)]
    layer = session.layer(0)
    assert (layer.codes.format, layer.codes.tolist()[2]) == ("h", 32767)
    with pytest.raises(ShapeError, match="12 bytes"):
        session.step(codes[:3])
    with pytest.raises(ShapeError, match="format"):
        session.step(codes.astype(np.int32))


def test_a_code_that_a_narrow_input_cannot_hold_is_refused_before_any_effect() -> None:
    net = Net("NETWORK:two")
    a = net.input((1, 2), dtype="int16", scale=1e-3, zero_point=0)
    b = net.input((1, 2), scale=0.1, zero_point=0)
    ya, yb = net.like(a, (1, 2)), net.like(b, (1, 2))
    for x, y in ((a, ya), (b, yb)):
        net.writer.operator("RELU", [x], [y])
    session = neurovm.convert_tflite(net.writer.model(inputs=[a, b], outputs=[ya, yb])).session()
    assert (session.output.format, session.output.nbytes) == ("B", 6)
    places = np.array([0, 3], np.uint32)
    with pytest.raises(ShapeError, match="cannot hold"):
        session.update(places, np.array([1000, 128], np.int16))
    assert bytes(session.output) == bytes(6)
    session.update(places, np.array([1000, 127], np.int16))
    assert bytes(session.output) == np.int16(1000).tobytes() + bytes([0, 0, 0, 127])


@pytest.mark.parametrize("rounding", ["even_reciprocal", "away_divide"])
def test_reals_become_int16_codes_and_back(rounding: str) -> None:
    scale, zero = np.float32(3e-4), 0
    x = np.linspace(-12, 12, 20001).astype(np.float32)
    codes = np.empty(x.size, np.int16)
    _kernel.quantize_f32(x, float(scale), zero, rounding, codes)
    profile = PROFILES["xnnpack" if rounding == "even_reciprocal" else "tflm"]
    meaning = tflite.read(whole()).tensors[0].codes.__class__(float(scale), zero, "int16")
    assert np.array_equal(codes, profile.quantize(x, meaning))
    back = np.empty(x.size, np.float32)
    _kernel.dequantize(codes, float(scale), zero, back)
    assert np.array_equal(back, profile.dequantize(codes, meaning))


def test_the_largest_of_int16_codes_come_first_and_equal_ones_by_index() -> None:
    rng = np.random.default_rng(3)
    for n in (1, 2, 7, 300):
        codes = rng.integers(-5, 6, n).astype(np.int16) * 1000
        order = np.argsort(-codes.astype(int), kind="stable")
        for k in {0, 1, n // 2, n}:
            assert _kernel.top_k(codes, k) == order[:k].tolist()


@pytest.mark.parametrize("coding", ["unit", "rate"])
def test_binary_spikes_are_for_int8_networks(coding: str) -> None:
    with pytest.raises(ModelError, match="encoding: graded"):
        neurovm.convert_tflite(mixed(both=False), coding=coding)


def test_programs_of_int8_codes_stay_in_the_old_format() -> None:
    net = Net("RELU:narrow")
    x = net.input((1, 6))
    y = net.like(x, (1, 6))
    net.writer.operator("RELU", [x], [y])
    model = neurovm.convert_tflite(net.writer.model(inputs=[x], outputs=[y]))
    assert model.manifest.format == 1
    assert b'"codes"' not in model.manifest.encode()


def test_a_bias_at_the_end_of_int64_is_refused_with_its_size() -> None:
    net = Net("FULLY_CONNECTED:huge-bias")
    x = net.input((1, 6), dtype="int16", scale=1e-4, zero_point=0)
    k, scales = net.weights((3, 6), None)
    data = np.array([5, -(1 << 63) + 9, 7], np.int64)
    bias = net.writer.constant("b", data, scale=[float(np.float32(1e-4) * scales[0])])
    y = net.output((1, 3), dtype="int16", scale=1e-3, zero_point=0)
    net.writer.operator("FULLY_CONNECTED", [x, k, bias], [y], FusedActivationFunction="NONE")
    with pytest.raises(ModelError, match=r"sums of up to \d{19}; below 2\^47"):
        neurovm.convert_tflite(net.case(y).model)

# SPDX-License-Identifier: Apache-2.0
"""explain of what cannot be converted: every refused operator, and what would be needed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import memory_cases
import numpy as np
import pytest
from case_net import Net
from tflite_writer import ModelWriter

from neurovm.cli.exits import Exit
from neurovm.errors import UnsupportedOperatorError
from neurovm.nearest import KIND, nearest_form


def explain(run, path: Path) -> dict[int, tuple[str, str | None]]:
    """{index: (operator, what would be needed)} of a refused model."""
    ran = run("explain", path, "-o", "json")
    assert ran.code == Exit.DATA
    assert ran.err.count("\n") == 1
    assert path.name in ran.err
    operators = json.loads(ran.out)["operators"]
    assert all((o["fate"] == "refused") == (o["needed"] is not None) for o in operators)
    return {o["index"]: (o["op"], o["needed"]) for o in operators}


@pytest.fixture
def w() -> ModelWriter:
    return ModelWriter()


def test_unknown_operators_are_all_listed(run, w: ModelWriter, tmp_path: Path) -> None:
    a, b, c, d, e = (w.tensor(name, (1, 4), scale=0.1) for name in "abcde")
    w.operator("ADD", [a, a], [b])
    w.operator("CUMSUM", [b], [c])
    w.custom("Frobnicate", [c], [d])
    w.operator("WHERE", [d], [e])
    path = tmp_path / "strange.tflite"
    path.write_bytes(w.model(inputs=[a], outputs=[e]))
    found = explain(run, path)
    assert found[0] == ("ADD", None)
    for index, name in ((1, "CUMSUM"), (2, "CUSTOM Frobnicate"), (3, "WHERE")):
        assert found[index][0] == name
        assert found[index][1]
    told = run("explain", path).out
    assert [line.split()[2] for line in told.splitlines()[1:2]] == ["events"]
    assert "CUMSUM (operator 1), needed: an exact rule and an event rule" in told
    assert told.count("nearest supported: ") == 3


def test_all_refusals_stand_there_at_once_with_the_figures_of_the_rest(
    run, w: ModelWriter, tmp_path: Path
) -> None:
    """Kinds, forms and number formats: what stops the conversion is the first of them only."""
    x = w.tensor("x", (1, 4), scale=0.1)
    k = w.constant("k", np.ones((8, 4), np.int8), scale=[0.01])
    live = w.tensor("live", (2, 8), scale=0.1)
    y, s, f, g, z = (
        w.tensor("y", (1, 8), scale=0.1),
        w.tensor("s", (1, 8), scale=0.1),
        w.tensor("f", (1, 8), dtype="float32"),
        w.tensor("g", (1, 8), dtype="float32"),
        w.tensor("z", (1, 2), scale=0.1),
    )
    w.operator("FULLY_CONNECTED", [x, k, -1], [y])
    w.operator("CUMSUM", [y], [s])
    w.operator("FULLY_CONNECTED", [s, live, -1], [z])
    w.operator("DEQUANTIZE", [s], [f])
    w.operator("SOFTMAX", [f], [g], Beta=1.0)
    path = tmp_path / "all.tflite"
    path.write_bytes(w.model(inputs=[x, live], outputs=[z]))
    ran = run("explain", path, "-o", "json")
    assert ran.code == Exit.DATA
    operators = json.loads(ran.out)["operators"]
    first, kind, form, _, real = operators
    assert (first["fate"], first["synapses"], first["macs"]) == ("events", 32, 32)
    assert first["session_bytes"] == 8 + 4 * 8
    assert 0 < first["acc_bound"] < 2**31
    assert kind["nearest"] == "FULLY_CONNECTED with a triangular constant matrix of ones"
    assert "computed at run time" in form["needed"]
    assert form["nearest"] == "constants"
    assert real["nearest"].startswith("the same network quantized to int8")
    assert [op["reads"] for op in operators[:3]] == [[], [0], [1]]


def test_what_no_runtime_computes_on_codes_has_a_form_between_them(
    run, w: ModelWriter, tmp_path: Path
) -> None:
    x, y = w.tensor("x", (1, 4), scale=0.1), w.tensor("y", (1, 4), scale=0.1)
    w.operator("SIN", [x], [y])
    path = tmp_path / "sine.tflite"
    path.write_bytes(w.model(inputs=[x], outputs=[y]))
    (sine,) = json.loads(run("explain", path, "-o", "json").out)["operators"]
    assert sine["nearest"].startswith("DEQUANTIZE before it and QUANTIZE behind it")


def test_the_other_profile_is_named_where_it_takes_the_operator(
    run, w: ModelWriter, tmp_path: Path
) -> None:
    x, y, z = (w.tensor(name, (1, 4), scale=0.1) for name in "xyz")
    w.operator("EXP", [x], [y])
    w.operator("ABS", [y], [z])
    path = tmp_path / "exp.tflite"
    path.write_bytes(w.model(inputs=[x], outputs=[z]))
    assert run("explain", path).code == Exit.OK
    ran = run("explain", path, "--profile", "tflm", "-o", "json")
    refused, fine = json.loads(ran.out)["operators"]
    assert refused["nearest"] == "profile xnnpack, which takes it as it is"
    assert (fine["fate"], fine["needed"]) == ("table", None)


def test_values_between_codes_are_judged_together(run, w: ModelWriter, tmp_path: Path) -> None:
    x, z = w.tensor("x", (1, 4), scale=0.1), w.tensor("z", (1, 4), scale=0.1)
    a, b = (w.tensor(name, (1, 4), dtype="float32") for name in "ab")
    y = w.tensor("y", (1, 4), scale=0.1)
    w.operator("DEQUANTIZE", [x], [a])
    w.operator("SIN", [a], [b])
    w.operator("QUANTIZE", [b], [y])
    w.operator("CUMSUM", [y], [z])
    path = tmp_path / "island.tflite"
    path.write_bytes(w.model(inputs=[x], outputs=[z]))
    *island, last = json.loads(run("explain", path, "-o", "json").out)["operators"]
    assert [op["fate"] for op in island] == ["folded", "folded", "table"]
    assert last["fate"] == "refused"


def test_an_operator_that_remembers_is_judged_with_its_state(run, tmp_path: Path) -> None:
    """An LSTM before what is refused."""
    net = Net("explain")
    out = memory_cases.lstm(net, net.input((1, 3, 6)), (1, 3, 6), 4)
    last = net.output((1, 3, 4), scale=0.1)
    net.writer.operator("CUMSUM", [out], [last])
    path = tmp_path / "lstm.tflite"
    path.write_bytes(net.case(last).model)
    lstm, refused = json.loads(run("explain", path, "-o", "json").out)["operators"]
    assert (lstm["fate"], lstm["needed"]) == ("events", None)
    assert lstm["state_bytes"] == 4 + 2 * 4
    assert refused["fate"] == "refused"


def test_what_follows_numbers_of_a_refused_operator_is_not_judged(
    run, w: ModelWriter, tmp_path: Path
) -> None:
    x, z = w.tensor("x", (1, 4), scale=0.1), w.tensor("z", (1, 4), scale=0.1)
    a, b = (w.tensor(name, (4,), dtype="int32") for name in "ab")
    w.custom("Count", [x], [a])
    w.operator("ADD", [a, a], [b])
    w.operator("ABS", [x], [z])
    path = tmp_path / "follows.tflite"
    path.write_bytes(w.model(inputs=[x], outputs=[z, b]))
    custom, follows, known = json.loads(run("explain", path, "-o", "json").out)["operators"]
    assert (custom["fate"], follows["fate"], known["fate"]) == ("refused", None, "table")
    assert follows["note"] == "follows a refused operator"


def test_figures_of_a_network_add_up(run, bundle: Path, mlp: Path) -> None:
    told = json.loads(run("explain", bundle, "-o", "json").out)
    assert told["operators"] == json.loads(run("explain", mlp, "-o", "json").out)["operators"]
    for what in ("neurons", "synapses", "macs", "bytes"):
        assert sum(op[what] for op in told["operators"]) == told[what]
    held = told["input_bytes"] + sum(op["session_bytes"] for op in told["operators"])
    assert told["input_bytes"] == 2 * 64
    assert held < told["session_bytes"]


def test_a_refusal_carries_the_nearest_form() -> None:
    kind = UnsupportedOperatorError("m", "TOPK_V2", 3, f"{KIND} are needed for: TOPK_V2")
    assert kind.nearest == "the scores as output, which `form: {top_k: k}` ranks"
    form = UnsupportedOperatorError("m", "PAD", 3, "its pads are live (x; y); constants are needed")
    assert form.nearest == "constants"
    assert UnsupportedOperatorError("m", "PAD", 3, "this", "that").nearest == "that"
    assert "apart from it" in nearest_form("CUSTOM Mine", KIND)
    wide = UnsupportedOperatorError("m", "QUANTIZE", 3, "it makes int32 of int16; int8 is needed")
    assert wide.nearest == "QUANTIZE on int8 codes"
    either = "tensor 'y' is int32; int8 or uint8 is needed here (int8 post-training quantization)"
    assert nearest_form("PAD", either) == "PAD on int8 or uint8 codes"
    assert nearest_form("PAD", "mode 7; accepted: SAME, VALID") == "SAME, VALID"


def test_values_of_a_type_there_is_none_of_stay_outside(
    run, w: ModelWriter, tmp_path: Path
) -> None:
    """Neither a list of types nor calibration helps an operator that reads or makes them."""
    x, z = w.tensor("x", (1, 4), dtype="int32"), w.tensor("z", (1, 4), dtype="int32")
    y = w.tensor("y", (1, 4), dtype="uint32")
    w.operator("CAST", [x], [y])
    w.operator("CAST", [y], [z])
    path = tmp_path / "cast.tflite"
    path.write_bytes(w.model(inputs=[x], outputs=[z]))
    for op in json.loads(run("explain", path, "-o", "json").out)["operators"]:
        assert op["needed"].startswith("element type UINT32")
        assert op["nearest"] == nearest_form("CUSTOM Mine", "element type UINT32")
        assert "apart from it" in op["nearest"]


def test_the_picture_is_of_the_network(run, dscnn: Path, tmp_path: Path) -> None:
    target = tmp_path / "n.svg"
    assert run("explain", dscnn, "--plot", target).code == Exit.OK
    root = ET.parse(target).getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    told = json.loads(run("explain", dscnn, "-o", "json").out)
    for op in told["operators"]:
        assert f"{op['index']}  {op['op']}" in texts
        assert not op["layers"] or f"{op['neurons']:,}" in texts
    assert any("67,192 MACs dense" in str(text) for text in texts)


def test_a_picture_of_a_refused_network_with_names_of_others(
    run, w: ModelWriter, tmp_path: Path
) -> None:
    x, y = w.tensor("x", (1, 4), scale=0.1), w.tensor("y", (1, 4), scale=0.1)
    w.custom('<script x="1">&\x07$', [x], [y])
    path, target = tmp_path / "a&b<c>.tflite", tmp_path / "n.svg"
    path.write_bytes(w.model(inputs=[x], outputs=[y]))
    assert run("explain", path, "--plot", target).code == Exit.DATA
    text = target.read_text()
    ET.fromstring(text)
    assert "<script" not in text
    assert "needed: an exact rule" in text
    pytest.importorskip("matplotlib")
    assert run("explain", path, "--plot", tmp_path / "n.png").code == Exit.DATA
    assert (tmp_path / "n.png").read_bytes().startswith(b"\x89PNG")


def test_a_long_network_goes_on_in_further_columns(run, w: ModelWriter, tmp_path: Path) -> None:
    tensors = [w.tensor(f"t{i}", (1, 4), scale=0.1 + i / 100) for i in range(90)]
    for a, b in itertools.pairwise(tensors):
        w.operator("ADD", [a, tensors[0]], [b])
    path, target = tmp_path / "long.tflite", tmp_path / "long.svg"
    path.write_bytes(w.model(inputs=tensors[:1], outputs=tensors[-1:]))
    assert run("explain", path, "--plot", target).code == Exit.OK
    root = ET.parse(target).getroot()
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert 0.7 < width / height < 3
    boxes = root.iter("{http://www.w3.org/2000/svg}rect")
    assert all(
        float(box.attrib["x"]) + float(box.attrib["width"]) <= width
        and float(box.attrib["y"]) + float(box.attrib["height"]) <= height
        for box in boxes
        if "x" in box.attrib
    )


def test_where_a_picture_cannot_be_drawn(run, mlp: Path, tmp_path: Path) -> None:
    assert run("explain", mlp, "--plot", tmp_path / "n.jpg").code == Exit.USAGE
    assert run("explain", mlp, "--plot", tmp_path / "none/n.svg").code == Exit.CANNOT_CREATE


def test_a_float_model(run, w: ModelWriter, tmp_path: Path) -> None:
    x = w.tensor("x", (1, 4), dtype="float32")
    k = w.constant("k", np.ones((2, 4), np.float32))
    y = w.tensor("y", (1, 2), dtype="float32")
    z = w.tensor("z", (1, 2), dtype="float32")
    w.operator("FULLY_CONNECTED", [x, k, -1], [y])
    w.operator("SOFTMAX", [y], [z], Beta=1.0)
    path = tmp_path / "float.tflite"
    path.write_bytes(w.model(inputs=[x], outputs=[z]))
    found = explain(run, path)
    assert all("int8" in str(needed) for _, needed in found.values())


def test_an_operator_whose_form_is_refused(run, w: ModelWriter, tmp_path: Path) -> None:
    x = w.tensor("x", (1, 4), scale=0.1)
    k = w.tensor("k", (2, 4), scale=0.1)
    y = w.tensor("y", (1, 2), scale=0.1)
    w.operator("FULLY_CONNECTED", [x, k, -1], [y])
    path = tmp_path / "weights.tflite"
    path.write_bytes(w.model(inputs=[x, k], outputs=[y]))
    found = explain(run, path)
    assert "constants are needed" in str(found[0][1])


def test_damaged_files_list_nothing(run, tmp_path: Path, mlp: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(mlp.read_bytes()[:600])
    ran = run("explain", path, "-o", "json")
    assert ran.code == Exit.DATA
    assert ran.err.count("\n") == 1


def test_a_sliding_window_is_explained_layer_by_layer(run) -> None:
    path = Path(__file__).parents[1] / "fixtures" / "pump_window_dscnn.tflite"
    window = json.loads(run("explain", path, "--hop", "1", "-o", "json").out)["window"]
    assert window["refusal"] is None
    assert window["macs"] == sum(layer["macs"] for layer in window["layers"]) < window["dense_macs"]
    assert [h["hop"] for h in window["hops"]] == list(range(1, len(window["hops"]) + 1))
    told = run("explain", path, "--hop", "1").out
    assert f"window of {window['frames']} frames of {window['frame']} codes, hop 1" in told
    is_padded = window["uncut_macs"] < 0.8 * window["macs"]
    assert ("trained with causal or VALID padding" in told) == is_padded
    costs = json.loads(run("explain", path, "--rate", "50", "-o", "json").out)["window"]["hops"]
    assert costs[0]["macs_per_s"] == 50 * window["macs"]
    assert "M weights/s" in run("explain", path, "--rate", "50").out
    assert "no-overlap" in run("explain", path, "--hop", str(window["frames"])).out


def test_costs_are_those_of_this_machine(run) -> None:
    path = Path(__file__).parents[1] / "fixtures" / "digits_mlp.tflite"
    told = json.loads(run("explain", path, "-o", "json").out)
    assert "costs" not in told
    found = json.loads(run("explain", path, "--costs", "-o", "json").out)
    costs = found.pop("costs")
    assert found == told
    assert costs
    for cost in costs:
        assert cost["keep_ns"] >= cost["full_ns"] > 0
        assert cost["even"] >= 0
    shown = run("explain", path, "--costs").out
    assert all(word in shown for word in ("kept", "DENSE", "measured"))

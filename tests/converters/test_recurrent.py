# SPDX-License-Identifier: Apache-2.0
"""LSTMs and SVDFs of a .tflite: what they remember, and which forms are refused, by name."""

from __future__ import annotations

from collections.abc import Callable

import micro
import numpy as np
import pytest
from memory_cases import Net, lstm, svdf
from streams import every_tensor

import neurovm
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.passes import prepare

SHAPE = (1, 4, 6)
UNITS = 5


def network(gain: float = 1.0) -> tuple[Net, int]:
    net = Net("UNIDIRECTIONAL_SEQUENCE_LSTM:form")
    return net, lstm(net, net.input(SHAPE), SHAPE, UNITS, zero_point=7, gain=gain)


def test_hidden_codes_and_cells_are_states_of_the_operator() -> None:
    net, y = network()
    graph = tflite.read(net.case(y).model)
    (operator,) = graph.operators
    hidden, cell = graph.states
    assert (hidden.owner, cell.owner) == (operator.index, operator.index)
    assert operator.outputs == (y, hidden.next, cell.next)
    assert operator.inputs[-2:] == (hidden.read, cell.read)
    assert (hidden.initial == 7).all()
    assert hidden.initial.dtype == np.int8
    assert (cell.initial == 0).all()
    assert cell.initial.dtype == np.int16


def test_state_goes_on_from_step_to_step_and_reset_is_the_beginning() -> None:
    net, y = network()
    case = net.case(y)
    with neurovm.convert_tflite(case.model) as model:
        assert model.stateful
        assert model.manifest.state_bytes == 3 * UNITS
        session, x = model.session(), case.inputs[0][0]
        first = session.step(x).tobytes()
        second = session.step(x).tobytes()
        assert first != second
        assert np.asarray(model.predict(x[0])).tobytes() == first
        session.reset()
        assert session.step(x).tobytes() == first


def test_a_cell_at_rest_costs_nothing() -> None:
    """Equal inputs until nothing moves: from then on no weight is applied."""
    net, y = network(gain=0.4)
    case = net.case(y)
    with neurovm.convert_tflite(case.model) as model:
        session, x = model.session(), case.inputs[0][0]
        for _ in range(400):
            before = session.counters.sops
            session.step(x)
        assert session.counters.sops == before


def _place(net: Net, place: int, tensor: int) -> None:
    operator = net.writer.operators[0]
    inputs = list(operator.inputs)
    inputs[place] = tensor
    operator.inputs = tuple(inputs)


def _new(net: Net, shape: tuple[int, ...], dtype: str = "int16") -> int:
    return net.writer.constant("more", np.zeros(shape, dtype), scale=0.001)


def _first_of(net: Net, name: str) -> int:
    return next(i for i, t in enumerate(net.writer.tensors) if t.name == name)


def _float_weights(net: Net) -> None:
    weights = net.writer.tensors[_first_of(net, "w")]
    weights.dtype, weights.scale, weights.zero_point = "float32", (), ()
    weights.data = bytes(4 * UNITS * SHAPE[2])


def _live_weights(net: Net) -> None:
    net.writer.tensors[_first_of(net, "w")].data = None


def _cell_scale(net: Net, scale: float) -> None:
    net.writer.tensors[_first_of(net, "c")].scale = (scale,)


def _shared_state(net: Net) -> None:
    _place(net, 19, _first_of(net, "h"))


def _hidden_scale(net: Net) -> None:
    net.writer.tensors[_first_of(net, "hidden")].scale = (0.5,)


def _no_intermediates(net: Net) -> None:
    net.writer.operators[0].intermediates = ()


def _activation(net: Net) -> None:
    net.writer.operators[0].options["FusedActivationFunction"] = "RELU"


def _other_shape(net: Net) -> None:
    net.writer.tensors[_first_of(net, "h")].shape = (1, UNITS + 1)


REFUSED: dict[str, tuple[Callable[[Net], None], str]] = {
    "CIFG": (lambda net: [_place(net, p, -1) for p in (1, 5, 12)] and None, "CIFG"),
    "peephole": (lambda net: _place(net, 9, _new(net, (UNITS,))), "peepholes"),
    "projection": (lambda net: _place(net, 16, _new(net, (UNITS, UNITS), "int8")), "projection"),
    "layer norm": (lambda net: _place(net, 20, _new(net, (UNITS,))), "normalises its gates"),
    "no bias": (lambda net: _place(net, 13, -1), "a plain LSTM"),
    "float weights": (_float_weights, "float32"),
    "live weights": (_live_weights, "before anything produces it"),
    "cell scale": (lambda net: _cell_scale(net, 0.0003), "a power of two"),
    "cell range": (lambda net: _cell_scale(net, 2.0**-8), "from 2.-15 to 2.-9"),
    "shared state": (_shared_state, "another operator's too"),
    "hidden scale": (_hidden_scale, "2 different scales"),
    "no intermediates": (_no_intermediates, "no intermediate tensors"),
    "activation": (_activation, "TANH is needed"),
    "shape": (_other_shape, "is needed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_forms_without_an_exact_rule_are_refused_by_name(name: str) -> None:
    change, words = REFUSED[name]
    net, y = network()
    change(net)
    with pytest.raises(ModelError, match=words):
        neurovm.convert_tflite(net.case(y).model)


NARROW = [
    ((1, 6), {}),
    ((3, 6), {"rank": 2}),
    ((1, 6), {"rank": 3, "times": 2}),
    ((2, 9), {"times": 1}),
]


@pytest.mark.skipif(not micro.INSTALLED, reason=micro.MISSING)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("shape", "options"), NARROW)
def test_an_int8_state_of_svdf_as_tflm_has_it(
    shape: tuple[int, int], options: dict[str, int], seed: int
) -> None:
    """Zero points wrap the state; LiteRT writes beyond its memory, so xnnpack refuses it."""
    net = Net(f"SVDF:{shape}-{options}-{seed}")
    case = net.case(svdf(net, net.input(shape), shape, 4, narrow=True, **options))
    with pytest.raises(UnsupportedOperatorError, match="int8 state"):
        neurovm.convert_tflite(case.model)
    graph = prepare(tflite.read(case.model))
    (theirs,) = micro.run_all([micro.Job(case.model, case.inputs, 1)])
    assert not isinstance(theirs, str), theirs
    ours = every_tensor(graph, PROFILES["tflm"], case.inputs)[graph.outputs[0]]
    assert np.array_equal(ours.reshape(-1), theirs[0].reshape(-1))
    with neurovm.convert_tflite(case.model, profile="tflm") as model:
        for way in ("events", "dense", "auto"):
            session = model.session(way=way)
            for x, y in zip(case.inputs[0], ours, strict=True):
                assert session.step(np.ascontiguousarray(x)).tobytes() == y.tobytes()


def test_activations_that_litert_refuses_are_refused() -> None:
    net = Net("SVDF:activation")
    case = net.case(svdf(net, net.input((1, 6)), (1, 6), 4, activation="NONE"))
    with pytest.raises(UnsupportedOperatorError, match="activation NONE"):
        neurovm.convert_tflite(case.model)
    with neurovm.convert_tflite(case.model, profile="tflm") as model:
        assert model.stateful


SVDF_REFUSED: dict[str, tuple[Callable[[Net], None], str]] = {
    "rank": (lambda net: net.writer.operators[0].options.update(Rank=3), "rank 3"),
    "rank 0": (lambda net: net.writer.operators[0].options.update(Rank=0), "rank 0"),
    "no state": (lambda net: _place(net, 4, -1), "input, two weights, bias and state"),
    "state shape": (
        lambda net: setattr(net.writer.tensors[_first_of(net, "state")], "shape", (1, 7)),
        "its state is",
    ),
    "float state": (
        lambda net: setattr(net.writer.tensors[_first_of(net, "state")], "dtype", "float32"),
        "float32; int8 or int16 is needed",
    ),
    "state without scale": (
        lambda net: setattr(net.writer.tensors[_first_of(net, "state")], "scale", ()),
        "not quantized",
    ),
}


@pytest.mark.parametrize("name", SVDF_REFUSED)
def test_svdf_that_contradicts_itself_is_refused(name: str) -> None:
    change, words = SVDF_REFUSED[name]
    net = Net("SVDF:wrong")
    y = svdf(net, net.input((1, 6)), (1, 6), 4)
    change(net)
    with pytest.raises(ModelError, match=words):
        neurovm.convert_tflite(net.case(y).model)

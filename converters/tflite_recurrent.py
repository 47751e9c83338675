# SPDX-License-Identifier: Apache-2.0
"""TFLite's operators that keep state in variable tensors: LSTM, SVDF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import tflite

from neurovm import operators
from neurovm.converters.tflite_raw import Entry, RawOperator
from neurovm.graph import State, Tensor
from neurovm.operators import Operator, Recurrent

if TYPE_CHECKING:
    from neurovm.converters.tflite_file import TFLiteFile

_OP = tflite.BuiltinOperator

# Places of an LSTM's 24 inputs. Source: tensorflow/lite/kernels/lstm_shared.h.
_WEIGHTS, _BIASES, _STATES = range(1, 9), range(12, 16), (18, 19)
_ABSENT = {
    "it couples input and forget gate (CIFG)": (1, 5, 12),
    "it has peepholes": (9, 10, 11),
    "it has a projection": (16, 17),
    "it normalises its gates": (20, 21, 22, 23),
}
_PLAIN = "a plain LSTM, as Keras exports it, is needed"
_MOST = 24
_SVDF_INPUTS = 5
_TANH = tflite.ActivationFunctionType.TANH
_HIDDEN = 4
"""Place of the hidden value among the intermediates."""


def _lstm(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    given = (*raw.inputs, *(-1,) * (_MOST - len(raw.inputs)))
    for what, places in _ABSENT.items():
        wrong = -1 if 1 in places else None
        if any((given[i] == -1) == (wrong == -1) for i in places):
            raise raw.unsupported(f"{what}; {_PLAIN}")
    wanted = (0, *_WEIGHTS, *_BIASES, *_STATES)
    if any(given[i] == -1 for i in wanted):
        raise raw.error(f"inputs {given}; {_PLAIN}")
    options = raw.options(tflite.UnidirectionalSequenceLSTMOptions)
    if options.FusedActivationFunction() != _TANH:
        raise raw.unsupported(
            f"its activation is number {options.FusedActivationFunction()}; TANH is needed"
        )
    scale, zero_point = _hidden(raw, tensors)
    return operators.UnidirectionalSequenceLstm(
        **raw.place | {"inputs": tuple(given[i] for i in wanted)},
        time_major=bool(options.TimeMajor()),
        cell_clip=float(options.CellClip()),
        hidden_scale=scale,
        hidden_zero_point=zero_point,
    )


def _hidden(raw: RawOperator, tensors: Sequence[Tensor]) -> tuple[float, int]:
    """Scale and zero point that the file gives the hidden value; (0, 0) where it gives none."""
    found = raw.intermediates
    if len(found) <= _HIDDEN:
        raise raw.unsupported(
            "it has no intermediate tensors, as float and hybrid networks have none; "
            "int8 post-training quantization is needed"
        )
    tensor = tensors[found[_HIDDEN]]
    return (tensor.scale, tensor.zero_point) if tensor.quantization else (0.0, 0)


def _svdf(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    options = raw.options(tflite.SVDFOptions)
    if len(raw.inputs) != _SVDF_INPUTS or -1 in raw.inputs[:3] or raw.inputs[4] == -1:
        raise raw.error(f"inputs {raw.inputs[:16]}; input, two weights, bias and state are needed")
    return operators.Svdf(**raw.place, rank=int(options.Rank()), activation=raw.activation(options))


RECURRENT: dict[int, Entry] = {
    _OP.SVDF: Entry(_svdf, 1, _SVDF_INPUTS),
    _OP.UNIDIRECTIONAL_SEQUENCE_LSTM: Entry(_lstm, 1, _MOST),
}
"""One line an operator."""


def owned_states(
    file: TFLiteFile, operator: Recurrent, tensors: list[Tensor], taken: set[int]
) -> tuple[Recurrent, tuple[State, ...]]:
    """The operator with outputs for what it remembers, which become tensors, and the states.

    TFLite starts int8 variables at their zero point and all others at 0.
    """
    states, outputs = [], []
    for i in operator.inputs[-operator.memories :]:
        tensor = tensors[i]
        if i in taken or tensor.data is not None:
            raise file.error(f"state {tensor.name!r} is a constant, or another operator's too")
        taken.add(i)
        zero = tensor.zero_point if tensor.dtype == "int8" else 0
        if tensor.dtype not in ("int8", "int16"):
            raise operator.refused(
                f"its state {tensor.name!r} is {tensor.dtype}; int8 or int16 is needed "
                f"(int8 post-training quantization)"
            )
        tensors.append(replace(tensor, name=f"{tensor.name}/next", signature=None))
        tensors[i] = replace(tensor, signature=None)
        outputs.append(len(tensors) - 1)
        initial = np.full(tensor.shape, zero, tensor.dtype)
        state = State(
            name=tensor.name, read=i, next=outputs[-1], initial=initial, owner=operator.index
        )
        states.append(state)
    return replace(operator, outputs=(*operator.outputs, *outputs)), tuple(states)

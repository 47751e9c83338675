# SPDX-License-Identifier: Apache-2.0
"""Where tflite-runtime 2.14's reference kernels and TensorFlow Lite Micro answer differently.

Both come from the same formulas, so either may judge profile `tflm`, but not for these. Found by
running both: SUM reads int8 as uint8 in 2.14; the LSTM's sigmoid and tanh are computed there and
looked up in TFLM; TFLM's RELU6 ignores the output's quantization, its TANH takes 1/128 and 0 for
granted, its CAST saturates; TFLM has no uint8 network.
"""

from __future__ import annotations

from collections.abc import Sequence

from neurovm.graph import Tensor
from neurovm.operators import Operator

_ALWAYS = frozenset({"SUM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "CAST"})
_IF_REQUANTIZED = frozenset({"RELU6", "RELU_0_TO_1", "RELU_N1_TO_1"})
_TANH_SCALE = 1 / 128


def is_disputed(operator: Operator, tensors: Sequence[Tensor]) -> bool:
    """Whether the two runtimes are known to differ for this operator."""
    x, out = tensors[operator.inputs[0]], tensors[operator.outputs[0]]
    if operator.source_name in _ALWAYS or "uint8" in (x.dtype, out.dtype):
        return True
    if operator.source_name in _IF_REQUANTIZED:
        return x.quantization != out.quantization
    if operator.source_name == "TANH" and out.quantization is not None:
        return (out.scale, out.zero_point) != (_TANH_SCALE, 0)
    return False

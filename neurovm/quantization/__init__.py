# SPDX-License-Identifier: Apache-2.0
"""Float networks to int8 on representative data, and what that costs.

unpack      float16-stored and hybrid weights -> float32
ranges      the values each tensor takes on the rows, from LiteRT
scales      ranges -> scales, by the `rules` of the operators
rewrite     the network in int8, a .tflite again
report      the int8 network against the float one, layer by layer
"""

from neurovm.quantization.quantize import Quantized, inputs, is_float, quantize

__all__ = ["Quantized", "inputs", "is_float", "quantize"]

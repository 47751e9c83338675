# SPDX-License-Identifier: Apache-2.0
"""For what is refused, the nearest form that is not: what a refusal says beside what is needed.

Names are TFLite's. An operator that stands in no line here is refused for its kind without a nearer
form than leaving it outside of the network.
"""

from __future__ import annotations

import re

KIND = "an exact rule and an event rule"
"""How the need of an operator begins of whose kind none is supported."""

QUANTIZED = "the same network quantized to int8, as `neurovm convert --calibrate ROWS` makes it"
BETWEEN = "DEQUANTIZE before it and QUANTIZE behind it, which become one table together"

_BEFORE = "an input that holds the value already: what comes before the network is computed before"
_AFTER = "the network up to it: what it would read becomes an output, for the program that reads it"
_RANKED = "the scores as output, which `form: {top_k: k}` ranks"
_COMPARED = "the two values as outputs, compared by the program that reads them"
_MASKED = "MUL by a mask of zeros and ones, and ADD"
_MATRIX = "FULLY_CONNECTED with a constant matrix of zeros and ones"
_UNROLLED = "the same network exported with fixed lengths: loops unrolled, branches decided"
_ONE_HOT = "GATHER with constant indices, or a one-hot input and FULLY_CONNECTED"

_FORMS = {
    "ADD_N": "ADD, one after the other",
    "ARG_MAX": _RANKED,
    "ARG_MIN": _RANKED,
    "ATAN2": _BEFORE,
    "BIDIRECTIONAL_SEQUENCE_LSTM": "two UNIDIRECTIONAL_SEQUENCE_LSTM, one on the reversed sequence",
    "BIDIRECTIONAL_SEQUENCE_RNN": "two UNIDIRECTIONAL_SEQUENCE_RNN, one on the reversed sequence",
    "BUCKETIZE": _BEFORE,
    "CALL": _UNROLLED,
    "CEIL": _AFTER,
    "COMPLEX_ABS": _BEFORE,
    "CONV_3D": "CONV_2D with one axis among the channels",
    "CONV_3D_TRANSPOSE": "TRANSPOSE_CONV with one axis among the channels",
    "COS": _BEFORE,
    "CUMSUM": "FULLY_CONNECTED with a triangular constant matrix of ones",
    "DENSIFY": "dense constants: export without sparsity",
    "EMBEDDING_LOOKUP": _ONE_HOT,
    "EQUAL": _COMPARED,
    "FAKE_QUANT": QUANTIZED,
    "FLOOR": _AFTER,
    "FLOOR_DIV": "DIV; the program that reads the result rounds it",
    "FLOOR_MOD": _AFTER,
    "GATHER": _ONE_HOT,
    "GATHER_ND": _ONE_HOT,
    "GREATER": _COMPARED,
    "GREATER_EQUAL": _COMPARED,
    "HASHTABLE_LOOKUP": _BEFORE,
    "IF": _UNROLLED,
    "IMAG": _BEFORE,
    "LESS": _COMPARED,
    "LESS_EQUAL": _COMPARED,
    "LOCAL_RESPONSE_NORMALIZATION": "batch normalization, which exporting folds into the weights",
    "LOGICAL_AND": _COMPARED,
    "LOGICAL_NOT": _COMPARED,
    "LOGICAL_OR": _COMPARED,
    "LSH_PROJECTION": _BEFORE,
    "LSTM": "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "MATRIX_DIAG": _MATRIX,
    "MULTINOMIAL": _AFTER,
    "NON_MAX_SUPPRESSION_V4": _AFTER,
    "NON_MAX_SUPPRESSION_V5": _AFTER,
    "NOT_EQUAL": _COMPARED,
    "ONE_HOT": "an input that is one-hot already",
    "POW": "MUL of the tensor with itself, as often as the exponent says",
    "RANDOM_STANDARD_NORMAL": _BEFORE,
    "RANDOM_UNIFORM": _BEFORE,
    "REAL": _BEFORE,
    "REDUCE_ALL": _COMPARED,
    "REDUCE_ANY": _COMPARED,
    "RELU_0_TO_1": "RELU6 or RELU, or a scale at which the clamp is the range of codes",
    "RFFT2D": _BEFORE,
    "RNN": "UNIDIRECTIONAL_SEQUENCE_RNN",
    "ROUND": _AFTER,
    "SCATTER_ND": _MATRIX,
    "SEGMENT_SUM": _MATRIX,
    "SELECT": _MASKED,
    "SELECT_V2": _MASKED,
    "SIGN": _AFTER,
    "SIN": _BEFORE,
    "SKIP_GRAM": _BEFORE,
    "SPARSE_TO_DENSE": _BEFORE,
    "SQUARE": "MUL of the tensor with itself",
    "TOPK_V2": _RANKED,
    "UNIQUE": _AFTER,
    "UNSORTED_SEGMENT_SUM": _MATRIX,
    "WHERE": _MASKED,
    "WHILE": _UNROLLED,
}

_NEEDED = re.compile(r" (is|are) (needed|accepted)( here)?$")
_TYPES = re.compile(r"u?int\d+( or u?int\d+)*")
_UNREAD = "element type "
"""How the need of an operator begins that reads or makes values of a type there is none of here."""

_OUTSIDE = "the network apart from it: what it reads becomes an output, what it makes an input"
_CUSTOM = f"built-in operators in its place, or {_OUTSIDE}"


def nearest_form(operator: str, needed: str) -> str:
    """The nearest supported form of an operator that is refused because of what is `needed`.

    Where the operator as such is supported, the need itself says it: its last clause does.
    """
    if needed.startswith(_UNREAD):
        return _OUTSIDE
    if not needed.startswith(KIND):
        plain = re.sub(r" \([^()]*\)", "", needed)
        form = _NEEDED.sub("", plain.rsplit("; ", maxsplit=1)[-1]).removeprefix("accepted: ")
        return f"{operator} on {form} codes" if _TYPES.fullmatch(form) else form
    if operator.startswith("CUSTOM "):
        return _AFTER if "PostProcess" in operator else _CUSTOM
    return _FORMS.get(operator, _OUTSIDE)

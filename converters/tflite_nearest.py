# SPDX-License-Identifier: Apache-2.0
"""What to do about operators that have no rule here: the nearest form that is converted."""

from __future__ import annotations

from collections.abc import Sequence

_CUT = "cut the model before it: boxes and scores leave as outputs"
_UNROLL = "unroll the loop at export (Keras: unroll=True), or step one frame a call"
_OUTSIDE = "compute it outside, on the values that go in or come out"
_NEAREST: dict[str, str] = {
    "BIDIRECTIONAL_SEQUENCE_LSTM": "two UNIDIRECTIONAL_SEQUENCE_LSTM, the second on reversed input",
    "BIDIRECTIONAL_SEQUENCE_RNN": _UNROLL,
    "CALL": "inline the subgraph at export",
    "CONV_3D": "2-D convolutions over slices",
    "CONV_3D_TRANSPOSE": "2-D transposed convolutions over slices",
    "CUMSUM": "a FULLY_CONNECTED with a triangular matrix",
    "CUSTOM TFLite_Detection_PostProcess": _CUT,
    "EMBEDDING_LOOKUP": "look words up outside and feed their vectors",
    "HASHTABLE_LOOKUP": "look words up outside and feed their vectors",
    "IF": "a SELECT of both branches",
    "LOCAL_RESPONSE_NORMALIZATION": "batch normalization",
    "LSH_PROJECTION": _OUTSIDE,
    "NON_MAX_SUPPRESSION_V4": _CUT,
    "NON_MAX_SUPPRESSION_V5": _CUT,
    "ONE_HOT": "feed the vector itself",
    "RFFT2D": _OUTSIDE,
    "RNN": _UNROLL,
    "LSTM": _UNROLL,
    "TOPK_V2": "leave it out: results have their own top_k",
    "UNIQUE": _OUTSIDE,
    "UNIDIRECTIONAL_SEQUENCE_RNN": f"an LSTM, as no runtime has an int8 RNN; or {_UNROLL}",
    "WHERE": _OUTSIDE,
    "WHILE": _UNROLL,
}


def nearest(names: Sequence[str]) -> str:
    """What to do about these operators, in words; empty where nothing near is known."""
    known = [(name, _NEAREST[name]) for name in names if name in _NEAREST]
    return "; ".join(f"in place of {name}: {form}" for name, form in known)

# SPDX-License-Identifier: Apache-2.0
"""What passes write: Lookup, LookupPair, Decode, Encode; and ArgMax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators import ArgMax, Decode, Encode, EncodeReal, Lookup, LookupPair
from neurovm.reference.rules import Call, rule

if TYPE_CHECKING:
    from numpy.typing import NDArray


@rule(Lookup)
def look_up(call: Call[Lookup]) -> NDArray[np.generic]:
    """Each code in the table of its place."""
    tables = call.operator.tables(call.profile, call.out.codes)
    codes = call.int8(0).reshape(len(call.value(0)), -1)
    which = np.arange(codes.shape[1]) // call.operator.run % len(tables)
    return call.out_codes(tables[which, codes + 128]).reshape(-1, *call.out.shape)


@rule(LookupPair)
def look_up_pair(call: Call[LookupPair]) -> NDArray[np.generic]:
    rank = len(call.out.shape)
    a, b = (
        q.reshape(len(q), *(1,) * (rank + 1 - q.ndim), *q.shape[1:])
        for q in (call.int8(0), call.int8(1))
    )
    return call.out_codes(call.operator.table(call.profile, call.out.codes)[a + 128, b + 128])


@rule(Decode)
def decode(call: Call[Decode]) -> NDArray[np.generic]:
    values: NDArray[np.generic] = call.operator.values[call.int8(0) + 128]
    return values.reshape(-1, *call.out.shape)


@rule(Encode)
def encode(call: Call[Encode]) -> NDArray[np.generic]:
    """The lowest byte as int8."""
    return call.codes(0).astype(np.int8)


@rule(EncodeReal)
def encode_real(call: Call[EncodeReal]) -> NDArray[np.generic]:
    x = call.value(0).astype(np.float32)
    return call.out_codes(call.operator.codes(x, call.profile, call.out.codes))


@rule(ArgMax)
def arg_max(call: Call[ArgMax]) -> NDArray[np.generic]:
    """NumPy's arg-max names the first of equals, as the kernel does."""
    axis = call.operator.axis % len(call.tensor(0).shape) + 1
    q = call.int8(0)
    index: NDArray[np.generic] = q.argmin(axis) if call.operator.smallest else q.argmax(axis)
    return index - 128

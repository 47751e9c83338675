# SPDX-License-Identifier: Apache-2.0
"""What a payload decodes to, whatever its format."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Union


class PayloadError(ValueError):
    """A payload that does not hold what its configuration says."""


@dataclass(frozen=True, slots=True)
class Codes:
    """Quantised values as the source model has them, of type `dtype`: bytes, or int16."""

    data: bytes | array[int]
    dtype: str


# A real number; a list of them; reals by element name; packed float32; codes. JSON may also hold
# text or null here: whoever uses a value checks it.
Values = Union[float, list[object], dict[str, object], "array[float]", Codes]

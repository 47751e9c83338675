# SPDX-License-Identifier: Apache-2.0
"""Payload formats: one a file, each a configuration struct with `samples()`; listed here.

Of events it is `events()`.
"""

from __future__ import annotations

from neurovmd.payload.aer import Aer
from neurovmd.payload.json import Json
from neurovmd.payload.raw import Raw
from neurovmd.payload.text import Text
from neurovmd.payload.values import Codes, Image, PayloadError, Reader, Sample, Values

Payload = Json | Raw | Aer | Text
DEFAULT_FORMAT = "json"

__all__ = [
    "DEFAULT_FORMAT",
    "Aer",
    "Codes",
    "Image",
    "Json",
    "Payload",
    "PayloadError",
    "Raw",
    "Reader",
    "Sample",
    "Text",
    "Values",
]

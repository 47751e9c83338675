# SPDX-License-Identifier: Apache-2.0
"""Payload formats: one a file, each a configuration struct with `samples()`; listed here.

Of events it is `events()`.
"""

from __future__ import annotations

from neurovmd.payload.aer import Aer
from neurovmd.payload.cbor import Cbor
from neurovmd.payload.image import ImageFormat
from neurovmd.payload.json import Json
from neurovmd.payload.pcm import Pcm
from neurovmd.payload.raw import Raw
from neurovmd.payload.senml import Senml
from neurovmd.payload.sparkplug_b import SparkplugB
from neurovmd.payload.text import Text
from neurovmd.payload.values import Codes, Image, PayloadError, Reader, Sample, Values

Payload = Json | Raw | Aer | Text | Cbor | Senml | SparkplugB | ImageFormat | Pcm
DEFAULT_FORMAT = "json"

__all__ = [
    "DEFAULT_FORMAT",
    "Aer",
    "Cbor",
    "Codes",
    "Image",
    "ImageFormat",
    "Json",
    "Payload",
    "PayloadError",
    "Pcm",
    "Raw",
    "Reader",
    "Sample",
    "Senml",
    "SparkplugB",
    "Text",
    "Values",
]

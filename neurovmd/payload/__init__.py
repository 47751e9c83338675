# SPDX-License-Identifier: Apache-2.0
"""Payload formats: one a file, each a configuration struct with a `decoder()`; listed here."""

from __future__ import annotations

from neurovmd.payload.json import Json
from neurovmd.payload.raw import Raw
from neurovmd.payload.values import Codes, PayloadError, Values

Payload = Json | Raw
DEFAULT_FORMAT = "json"

__all__ = ["DEFAULT_FORMAT", "Codes", "Json", "Payload", "PayloadError", "Raw", "Values"]

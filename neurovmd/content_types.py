# SPDX-License-Identifier: Apache-2.0
"""What a message says of its own format (MQTT 5, content type) beside what the VM's file says.

The file decides how a message is read. A content type that names another of our formats contradicts
it: the message is refused, rather than read as what it is not. Types that name none of them, such
as `application/octet-stream` or `text/plain`, say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurovmd.payload import Aer, Cbor, ImageFormat, Json, Payload, Pcm, Senml, Text
from neurovmd.refusal import RefusedError
from neurovmd.shared import DropReason

_SENML_JSON = ("application/senml+json", "application/sensml+json")
_SENML_CBOR = ("application/senml+cbor", "application/sensml+cbor")
_AUDIO = ("audio/l16", "audio/pcm", "audio/wav", "audio/x-wav", "audio/vnd.wave")
_IMAGES = ("image/jpeg", "image/png")

_NAMED = frozenset((*_SENML_JSON, *_SENML_CBOR, *_AUDIO, *_IMAGES))
_JSON, _CBOR = "application/json", "application/cbor"
_FAMILIES: dict[type[Any], tuple[str, ...]] = {
    Json: (_JSON, *_SENML_JSON),
    Cbor: (_CBOR, *_SENML_CBOR),
    Senml: (_JSON, _CBOR, *_SENML_JSON, *_SENML_CBOR),
    Aer: (_JSON,),
    Text: (_JSON,),
    Pcm: _AUDIO,
    ImageFormat: _IMAGES,
}


def contradicts(content_type: str, payload: Payload) -> bool:
    """Whether a content type names another format than `payload`."""
    name = content_type.split(";", 1)[0].strip().lower()
    if name not in _NAMED:  # by its suffix (RFC 6839, RFC 8949)
        family = name.rpartition("+")[2] if "+" in name else name.rpartition("/")[2]
        if family not in ("json", "cbor"):
            return False
        name = f"application/{family}"
    return name not in _FAMILIES.get(type(payload), ())


def check(bindings: Sequence[Any], topic: str | None, content_type: str) -> None:
    """RefusedError where every entry that reads the topic is of another format."""
    if not content_type or topic is None:
        return
    levels = topic.split("/")
    formats = [each.source.payload for each in bindings if each.pattern.matches(levels)]
    if formats and all(contradicts(content_type, each) for each in formats):
        names = ", ".join(sorted({type(each).__name__.lower() for each in formats}))
        detail = f"content type {content_type!r:.80}; the entry reads {names}"
        raise RefusedError(DropReason.PAYLOAD, detail)

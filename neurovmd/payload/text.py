# SPDX-License-Identifier: Apache-2.0
"""Text payloads: a sentence as counts of hashed words, a whole tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from neurovm import words
from neurovmd.payload.json import Json
from neurovmd.payload.values import PayloadError, Reader, Sample


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="text"):
    """UTF-8 text, or with `field` the text at a path of a JSON payload.

    It becomes `features` numbers, one for each element of the tensor: how often each hashed word,
    and with `pairs` each pair of neighbours, stands in it (`neurovm.words.hashed`).
    """

    features: Annotated[int, Meta(ge=1, le=1 << 20)]
    field: str | None = None
    pairs: bool = True

    def __post_init__(self) -> None:
        if self.field is not None:
            Json(field=self.field)

    @property
    def timed(self) -> bool:
        """Never."""
        return False

    def samples(self) -> Reader:
        """A function from topic and payload to one sample; PayloadError where there is no text."""
        find = _found_at(self.field) if self.field is not None else _decoded

        def read(topic: str | None, payload: bytes) -> list[Sample]:
            del topic
            counts = words.hashed(find(payload), self.features, self.pairs)
            return [Sample(None, counts)]

        return read


def _decoded(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(f"not UTF-8: {error}") from None


def _found_at(path: str) -> Callable[[bytes], str]:
    read = Json(field=path).samples()

    def find(payload: bytes) -> str:
        found = read(None, payload)[0].values
        if not isinstance(found, str):
            raise PayloadError(f"{path}: found {found!r:.40}; accepted: text")
        return found

    return find

# SPDX-License-Identifier: Apache-2.0
"""What the entries of `inputs` hear beside the messages that are theirs.

A Sparkplug node's births, deaths and other devices say what its messages mean; they are subscribed
with them and set nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from neurovmd.payload import PayloadError
from neurovmd.payload.sparkplug_b import SparkplugB
from neurovmd.refusal import RefusedError
from neurovmd.shared import DropReason
from neurovmd.topics import TopicPattern

if TYPE_CHECKING:
    from neurovmd.sparkplug.reader import SparkplugReader


class Overheard:
    """The listeners among the bindings of a VM, each with the topics it overhears."""

    def __init__(self, bindings: Sequence[Any]) -> None:
        self.bindings = bindings
        self._listeners: list[tuple[TopicPattern, SparkplugReader, tuple[TopicPattern, ...]]] = []
        for binding in bindings:
            if isinstance(binding.source.payload, SparkplugB):
                reader, own = binding.reader, binding.pattern
                node = own.levels[:4]
                beside = tuple(
                    TopicPattern(own.filter, levels, None, None) for levels in (node, (*node, None))
                )
                self._listeners.append((own, reader, beside))

    @property
    def patterns(self) -> list[TopicPattern]:
        """The topics that are overheard."""
        return [pattern for _, _, beside in self._listeners for pattern in beside]

    def takes(self, topic: str | None, payload: bytes) -> bool:
        """Let listeners take note of a message that is not theirs; whether it is nobody's own.

        RefusedError where it is broken and nobody's own.
        """
        if not self._listeners or topic is None:
            return False
        levels = topic.split("/")
        heard, broken = False, ""
        for own, reader, beside in self._listeners:
            if own.matches(levels) or not any(pattern.matches(levels) for pattern in beside):
                continue
            heard = True
            try:
                reader.overhear(topic, payload)
            except PayloadError as error:
                broken = str(error)
        if not heard or any(binding.pattern.matches(levels) for binding in self.bindings):
            return False
        if broken:
            raise RefusedError(DropReason.PAYLOAD, broken)
        return True

    def requests(self) -> list[tuple[str, bytes]]:
        """Commands to publish, topic and payload, each once."""
        found: list[tuple[str, bytes]] = []
        for _, reader, _ in self._listeners:
            found += reader.requests
            reader.requests.clear()
        return list(dict.fromkeys(found))

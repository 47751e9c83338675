# SPDX-License-Identifier: Apache-2.0
"""The streams of one VM with a window, without threads or network."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from neurovm.model import Model
from neurovmd.binding import inputs_of, streams_of
from neurovmd.mailbox import Message, Receipt
from neurovmd.schema import Vm
from neurovmd.shared import SharedBlock
from neurovmd.stream_table import Done
from neurovmd.window.inputs import FrameInputs

NAMES = {"prefix": "neurovm", "node": "box", "vm": "pump"}
RAW = {"format": "raw", "dtype": "float32"}


class Rig:
    """The streams of one VM, without threads or network; `ns` is every clock."""

    def __init__(self, model: Model, window: dict[str, Any] | None, **settings: Any) -> None:
        source = {"topic": "a/{stream}", "payload": RAW, **settings.pop("source", {})}
        if window is not None:
            source["window"] = window
        inputs = settings.pop("inputs", [source])
        output = {"on": "always", "form": {"values": "codes"}, **settings.pop("output", {})}
        whole = {"model": "x.nvm", "inputs": inputs, "output": output, **settings}
        vm = msgspec.convert(whole, Vm)
        self.vm = vm
        self.ns = 1_760_000_000 * 10**9
        self.slot = SharedBlock(1).slot(0)
        self.model = model
        found = inputs_of(vm, NAMES, model)
        assert isinstance(found, FrameInputs)
        self.inputs = found
        clocks = dict.fromkeys(("clock_ns", "wall_ns", "work_ns"), lambda: self.ns)
        self.refused: list[str] = []
        self.streams = streams_of(
            "pump", vm, model, found, lambda stream: f"out/{stream}",
            lambda stream: f"event/{stream}", self.slot,
            refused=lambda reason, detail, _: self.refused.append(f"{reason.name}: {detail}"),
            **clocks,
        )  # fmt: skip

    def done(
        self, payload: bytes, topic: str = "a/p", receipt: Receipt | None = None
    ) -> list[Done]:
        return self.streams.answers(Message(topic, payload, receipt))

    def send(self, payload: bytes, topic: str = "a/p") -> list[dict[str, Any]]:
        return [json.loads(each.payload) for each in self.done(payload, topic) if each.payload]

    def end(self) -> list[dict[str, Any]]:
        return [json.loads(each.payload) for each in self.streams.flush() if each.payload]

# SPDX-License-Identifier: Apache-2.0
"""What the daemon says of itself on its control socket: watts, and the kernel's counters."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from examples.pump.recording import Recording, Sample

PERIOD_S = 0.5
ANSWER_S = 2.0
NOT_MEASURED: dict[str, Any] = {
    "watts": None,
    "source": "not measured yet",
    "limit_w": None,
    "duty": 1.0,
}


def ask(path: Path) -> dict[str, Any]:
    """The daemon's status; OSError or ValueError when there is none to be had."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(ANSWER_S)
        client.connect(str(path))
        client.sendall(b'{"op": "status"}\n')
        answer = b""
        while not answer.endswith(b"\n"):
            part = client.recv(65536)
            if not part:
                raise ConnectionError(f"{path}: closed without an answer")
            answer += part
    status: dict[str, Any] = json.loads(answer)["data"]
    return status


def sample(status: dict[str, Any], vm: str, t_s: float) -> Sample:
    """The part of a status that the demo shows; KeyError or TypeError where it is another's."""
    of_vm = next(found for found in status["vms"] if found["name"] == vm)
    power = status["power"] or NOT_MEASURED
    return Sample(
        t_s=t_s,
        watts=power["watts"],
        source=str(power["source"]),
        limit_w=power["limit_w"],
        duty=float(power["duty"]),
        steps=int(of_vm["counters"]["steps"]),
        spikes_in=int(of_vm["counters"]["events_in"]),
        spikes_out=int(of_vm["counters"]["events_out"]),
        dropped=sum(of_vm["dropped"].values()),
    )


class Telemetry(threading.Thread):
    """Asks twice a second and appends to `recording.samples`; a missing answer is left out."""

    def __init__(
        self, path: Path, vm: str, recording: Recording, clock: Callable[[], float]
    ) -> None:
        super().__init__(name="telemetry", daemon=True)
        self._path = path
        self._vm = vm
        self._recording = recording
        self._clock = clock
        self._ended = threading.Event()

    def run(self) -> None:
        """Ask until `stop`."""
        while True:
            self._ask()
            if self._ended.wait(PERIOD_S):
                return

    def stop(self) -> None:
        """Ask once more, then return."""
        self._ended.set()
        self.join()
        self._ask()

    def _ask(self) -> None:
        try:
            self._recording.samples.append(sample(ask(self._path), self._vm, self._clock()))
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            self._recording.unread += 1

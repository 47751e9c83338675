# SPDX-License-Identifier: Apache-2.0
"""The plant as a publisher: pumps in accelerated time, each sensor on a topic of its own."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from examples.pump.faults import CLASSES, Fault, Schedule, shuffled
from examples.pump.pump import Moment, Pump
from examples.pump.recording import Recording, Truth
from examples.pump.sensors import SENSORS, Sensor

if TYPE_CHECKING:
    from paho.mqtt.client import Client

FIRST_S = (30.0, 70.0)  # plant seconds before the first fault of the first pump
FAULT_S = (70.0, 110.0)
PAUSE_S = (45.0, 80.0)


def schedules(seed: int, pumps: int, until_s: float) -> list[Schedule]:
    """Deal faults to the pumps: each kind once before any comes again, staggered in time.

    A fault goes to the pump that has been well for longest, so that several pumps are rarely in
    the same state; all end before `until_s` (plant seconds).
    """
    generator = random.Random(f"demo-{seed}")
    free_s = [generator.uniform(*FIRST_S) * (1.0 + pump) for pump in range(pumps)]
    dealt: list[list[Fault]] = [[] for _ in range(pumps)]
    for name in shuffled(CLASSES[1:], generator):
        pump = free_s.index(min(free_s))
        length_s = generator.uniform(*FAULT_S)
        if free_s[pump] + length_s > until_s:
            break
        dealt[pump].append(Fault(name=name, start_s=free_s[pump], length_s=length_s))
        free_s[pump] += length_s + generator.uniform(*PAUSE_S)
    return [Schedule(faults=tuple(faults)) for faults in dealt]


def payload(sensor: Sensor, value: float) -> str:
    """The message of one reading: value, unit, and the fraction of the range."""
    digits = max(0, round(-math.log10(sensor.resolution)))
    return json.dumps(
        {
            "value": round(value, digits),
            "unit": sensor.unit,
            "span": round(sensor.span(value), 4),
        }
    )


class Publisher(threading.Thread):
    """Steps all pumps `speed` times faster than the wall clock and publishes what they send.

    Owns the pumps; uses `client` (connected, its loop running) and writes the truth and the
    number of published messages to `recording`. One step is one second of plant time; when the
    machine is late, the steps follow each other without a pause.
    """

    def __init__(
        self,
        client: Client,
        pumps: list[Pump],
        recording: Recording,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(name="plant", daemon=True)
        self._client = client
        self._pumps = pumps
        self._recording = recording
        self._clock = clock
        self._ended = threading.Event()

    def run(self) -> None:
        """Publish until `stop`."""
        period_s = 1.0 / self._recording.speed
        next_s = time.monotonic()
        while not self._ended.wait(max(next_s - time.monotonic(), 0.0)):
            next_s += period_s
            for index, pump in enumerate(self._pumps):
                self._send(index, pump.step())

    def stop(self) -> None:
        """Ask `run` to return, and wait until it has."""
        self._ended.set()
        self.join()

    def _send(self, index: int, moment: Moment) -> None:
        truths = self._recording.truths
        last = next((truth.label for truth in reversed(truths) if truth.pump == index), None)
        if moment.truth != last:
            truths.append(Truth(t_s=self._clock(), pump=index, label=moment.truth))
        name = self._recording.pumps[index]
        for sensor in SENSORS:
            if sensor.name in moment.sends:
                text = payload(sensor, moment.sends[sensor.name])
                self._recording.sent_s[index].append(self._clock())
                self._client.publish(f"plant/{name}/sensor/{sensor.name}", text)

# SPDX-License-Identifier: Apache-2.0
"""What goes into a VM and what comes out of it, as a JSON line a message.

    python -m neurovmd.tap < plan      until SIGTERM, SIGINT or a closed output

The plan is what the daemon answers to `{"op": "tap", "vm": …}`. A client of its own at QoS 0 that
subscribes what the VM subscribes, and the VM's results: the VM notices nothing of it. `{"kind":
"input" | "result" | "connection", "t_us": …, "topic": …}` and `payload` (JSON as it is), `text`
(other UTF-8) or `hex`; long ones are cut, with `bytes` their length.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import Any

import msgspec

from neurovmd import log, topics
from neurovmd.broker import Broker, is_readable
from neurovmd.config import Settings
from neurovmd.mqtt import Connection
from neurovmd.schema import Mqtt

EXIT_OK, EXIT_PERMISSION = 0, 77
MOST_BYTES = 4096
# So long without anything to do before the next look at the connection.
IDLE_S = 15.0


class Plan(msgspec.Struct, frozen=True):
    """What a tap has to know: the broker as the daemon knows it, and topics with `{stream}` and
    `{element}` open. No secret is in it: of a password the file alone.
    """

    node: str
    mqtt: Mqtt
    inputs: list[str]
    result: str


def plan(settings: Settings, vm: str) -> Plan:
    """How to tap one VM of a daemon; LookupError where it is not in its configuration."""
    found = next((each for each in settings.deployments if each.name == vm), None)
    if found is None:
        raise LookupError(vm)
    names = settings.names(vm)
    inputs = [topics.fill(source.topic, names) for source in found.vm.inputs]
    result = topics.fill(found.vm.output.topic, names)
    return Plan(settings.node, settings.config.mqtt, inputs, result)


class Tap:
    """Subscribes and prints; the `Events` of its connection."""

    def __init__(self, plan: Plan) -> None:
        self._inputs = [topics.parse_input(topic) for topic in plan.inputs]
        self._result = topics.fill(plan.result, {"stream": "+"})
        broker = Broker.at(plan.mqtt, plan.node, role=f"tap-{os.getpid()}", will_topic="")
        self.connection = Connection(broker, self)
        self._announced = False

    def mqtt_up(self, session_present: bool) -> None:
        del session_present
        wanted = {pattern.filter: 0 for pattern in self._inputs}
        self.connection.subscribe({**wanted, self._result: 0})
        self._announced = False

    def mqtt_down(self, reason: str) -> None:
        self._put({"kind": "connection", "state": reason})

    def mqtt_message(
        self, topic: str | None, payload: bytes, qos: int, mid: int, content_type: str = ""
    ) -> None:
        del qos, mid, content_type
        if topic is None:
            return
        levels = topic.split("/")
        is_input = any(pattern.matches(levels) for pattern in self._inputs)
        kind = "input" if is_input else "result"
        self._put({"kind": kind, "topic": topic, **shown(payload)})

    def mqtt_published(self, mid: int, refusal: str) -> None:
        """Nothing is published."""

    def run(self, told: int) -> None:
        """Until `told` becomes readable."""
        while True:
            next_at = self.connection.tick()
            poll = select.poll()
            poll.register(told, select.POLLIN)
            network = self.connection.fileno()
            if network is not None:
                writing = select.POLLOUT if self.connection.wants_write() else 0
                poll.register(network, select.POLLIN | writing)
            left_s = min(next_at - time.monotonic(), IDLE_S)
            ready = {number for number, _ in poll.poll(max(0, int(left_s * 1000) + 1))}
            if told in ready:
                return
            if network in ready:
                self.connection.readable()
            if self.connection.subscribed and not self._announced:
                self._announced = True
                self._put({"kind": "connection", "state": "connected"})
            self.connection.writable()

    def _put(self, line: dict[str, Any]) -> None:
        line["t_us"] = time.time_ns() // 1000
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()


def shown(payload: bytes) -> dict[str, Any]:
    """A payload as JSON can hold it."""
    if len(payload) > MOST_BYTES:
        return {"bytes": len(payload), "hex": payload[: MOST_BYTES // 2].hex()}
    try:
        return {"payload": msgspec.json.decode(payload)}
    except (ValueError, RecursionError):
        pass
    try:
        return {"text": payload.decode()}
    except UnicodeDecodeError:
        return {"bytes": len(payload), "hex": payload[: MOST_BYTES // 2].hex()}


def main() -> int:
    """Tap by the plan on standard input."""
    log.set_level("error")
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    for file in (plan.mqtt.password_file, plan.mqtt.ca_file):
        if file is not None and not is_readable(file):
            print(f"{file}: the tap needs it for the broker, and may not read it", file=sys.stderr)
            return EXIT_PERMISSION
    told, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        Tap(plan).run(told)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""What goes into a VM and what comes out of it, as a JSON line a message.

    python -m neurovmd.tap --config FILE VM      until SIGTERM, SIGINT or a closed output

A client of its own at QoS 0 that subscribes what the VM subscribes, and the VM's results: the VM
notices nothing of it. `{"kind": "input" | "result" | "connection", "t_us": …, "topic": …}` and
`payload` (JSON as it is), `text` (other UTF-8) or `hex`; long ones are cut, with `bytes` their
length.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from neurovm.errors import ConfigError
from neurovmd import config, log, topics
from neurovmd.broker import Broker
from neurovmd.config import Deployment, Settings
from neurovmd.mqtt import Connection

EXIT_OK, EXIT_CONFIG = 0, 78
MOST_BYTES = 4096
# So long without anything to do before the next look at the connection.
IDLE_S = 15.0


class Tap:
    """Subscribes and prints; the `Events` of its connection."""

    def __init__(self, settings: Settings, deployment: Deployment) -> None:
        names = settings.names(deployment.name)
        self._inputs = [topics.parse_input(source.topic, names) for source in deployment.vm.inputs]
        result = topics.fill(deployment.vm.output.topic, names)
        self._result = topics.fill(result, {"stream": "+"})
        broker = Broker.of(settings, role=f"tap-{os.getpid()}", will_topic="")
        self.connection = Connection(broker, self)

    def mqtt_up(self, session_present: bool) -> None:
        del session_present
        wanted = {pattern.filter: 0 for pattern in self._inputs}
        self.connection.subscribe({**wanted, self._result: 0})
        self._put({"kind": "connection", "state": "connected"})

    def mqtt_down(self, reason: str) -> None:
        self._put({"kind": "connection", "state": reason})

    def mqtt_message(self, topic: str | None, payload: bytes, qos: int, mid: int) -> None:
        del qos, mid
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


def main(arguments: list[str] | None = None) -> int:
    """Tap one VM of a configuration."""
    parser = argparse.ArgumentParser(prog="neurovmd.tap", description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, help="the daemon's configuration")
    parser.add_argument("vm", help="the VM's name")
    options = parser.parse_args(arguments)
    log.set_level("error")
    try:
        settings, _ = config.examine(options.config)
    except ConfigError as error:
        print(f"neurovmd: {error}", file=sys.stderr)
        return EXIT_CONFIG
    found = [each for each in settings.deployments if each.name == options.vm]
    if not found:
        names = ", ".join(each.name for each in settings.deployments) or "none"
        print(f"neurovmd: no VM {options.vm!r}; there are: {names}", file=sys.stderr)
        return EXIT_CONFIG
    told, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        Tap(settings, found[0]).run(told)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())

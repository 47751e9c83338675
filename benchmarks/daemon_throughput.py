# SPDX-License-Identifier: Apache-2.0
"""How many messages a second one worker takes, and how soon an answer is there.

    python benchmarks/daemon_throughput.py [--messages 20000] [--qos 1] [--limit "2 W"]

Broker (Mosquitto, no disk), publisher, subscriber and daemon share this machine's cores. The round
trip is from publishing one message to hearing its result, one at a time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.rig import ROOT, Client, Daemon, Mosquitto, running, wait_for

VM = f"""\
model: {ROOT / "examples/pump/pump.tflite"}
inputs:
  - topic: plant/{{stream}}/sensor/{{element}}
    qos: QOS
    to: {{tensor: 0}}
output: {{on: always, wait_for: any, qos: QOS}}
"""
RESULT = "neurovm/bench/pump/result/p"


def round_trips_ms(
    daemon: Daemon, publisher: Client, subscriber: Client, qos: int, count: int = 300
) -> list[float]:
    """Milliseconds from publishing a message to hearing its result, one at a time."""
    subscriber.subscribe(RESULT, qos=qos)
    wait_for(lambda: daemon.vm("pump")["connected"], "the worker connects")
    trips: list[float] = []
    for number in range(count):
        start = time.perf_counter()
        publisher.publish("plant/p/sensor/1", f'{{"value": 0.{number}}}', qos=qos)
        while len(subscriber.messages) <= number:
            time.sleep(0.00002)
        trips.append(1e3 * (time.perf_counter() - start))
    return trips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--qos", type=int, choices=(0, 1), default=1)
    parser.add_argument("--limit", help="power limit, such as '2 W'")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        broker = Mosquitto(Path(name) / "broker", autosave=False)
        power = f"power: {{limit: {options.limit}}}\n" if options.limit else ""
        server = f'node: bench\nmqtt: {{server: "mqtt://127.0.0.1:{broker.port}"}}\n{power}'
        daemon = Daemon(Path(name) / "daemon", server, pump=VM.replace("QOS", str(options.qos)))
        with running(broker, daemon):
            measure(daemon, Client(broker.port), Client(broker.port), options)


def _keeps_up(subscriber: Client, sent: int) -> bool:
    return sent - len(subscriber.messages) < 200


def measure(
    daemon: Daemon, publisher: Client, subscriber: Client, options: argparse.Namespace
) -> None:
    """Print round trips, then messages a second and their CPU time."""
    trips = round_trips_ms(daemon, publisher, subscriber, options.qos)
    steps = statistics.quantiles(trips, n=100)
    print(f"round trip, QoS {options.qos}: p50 {steps[49]:.2f} ms, p99 {steps[98]:.2f} ms")
    before = daemon.vm("pump")
    start = time.perf_counter()
    for number in range(options.messages):
        value = f'{{"value": {number % 997 / 997}}}'
        publisher.publish(f"plant/p/sensor/{number % 64}", value, qos=options.qos)
        if number % 100 == 0:  # Mosquitto drops what a client has not taken beyond 1,000
            wait_for(partial(_keeps_up, subscriber, number), "the daemon keeps up", 120.0)
    want = len(trips) + options.messages

    def finished() -> bool:
        vm = daemon.vm("pump")
        return bool(vm["messages_in"] - before["messages_in"] + len(trips) >= want) and (
            len(subscriber.messages) + sum(vm["dropped"].values()) >= want
        )

    wait_for(finished, "all results", 120.0)
    took = time.perf_counter() - start
    after = daemon.vm("pump")
    taken = after["messages_in"] - before["messages_in"]
    cpu_us = 1e6 * (after["cpu_s"] - before["cpu_s"]) / taken
    print(
        f"{taken} messages in {took:.1f} s: {taken / took:.0f} messages/s, {cpu_us:.0f} µs of CPU "
        f"each in the worker, dropped {sum(after['dropped'].values())}"
    )
    power = daemon.status()["power"]
    print(f"power: {power['watts']:.2f} W ({power['source']}), limit {power['limit_w']}")
    publisher.close()
    subscriber.close()


if __name__ == "__main__":
    main()

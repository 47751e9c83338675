# SPDX-License-Identifier: Apache-2.0
"""Every accepted message answered, every answer exact, also across a broker's sudden death.

    python benchmarks/daemon_exactness.py [--messages 10000] [--kills 1] [--seed 1] [--mqtt5]

A real Mosquitto with persistent sessions, QoS 1, `on: always`: bursts of at most 64 messages on 64
topics, the next burst when the last `seq` is in; the broker is killed with SIGKILL in the middle of
a burst and started again. Checked: `seq` has no gap, and each result's codes equal the oracle's
(LiteRT where it is installed, else the library's dense `predict`) after that prefix of inputs.

In undisturbed bursts the prefix is the order of publishing. In a disturbed burst messages may come
twice (QoS 1: at least once), so the checker follows every order that its answers leave possible.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rig import ROOT, Client, Daemon, Mosquitto, running, wait_for

MODEL = ROOT / "tests/fixtures/digits_mlp.tflite"
TOPICS = 64
BURST = 64
RESULTS = "neurovm/bench/digits/result/p1"
VM = f"""\
model: {MODEL}
inputs:
  - topic: plant/{{stream}}/sensor/{{element}}
    to: {{tensor: 0}}
output: {{on: always, wait_for: any, form: {{values: codes}}}}
"""
# How often the order of arrival may leave the order of publishing at one death of the broker: the
# broker delivers again, the publisher sends again, either has lost some.
MAX_JUMPS = 4
MAX_KNOWN = 20_000

Codes = tuple[int, ...]
Vector = tuple[float, ...]
Burst = list[tuple[int, float]]
Track = tuple[Vector, int, int]


class MismatchError(AssertionError):
    """A result that is missing, or that no prefix of the inputs explains."""


@dataclass(slots=True)
class Report:
    """What a run showed."""

    oracle: str
    seed: int
    published: int = 0
    accepted: int = 0
    results: int = 0
    repeated_results: int = 0
    kills: int = 0
    bursts: int = 0
    seconds: float = 0.0
    protocol: str = ""

    def __str__(self) -> str:
        return ", ".join(f"{name} {getattr(self, name)}" for name in self.__slots__)


def make_oracle(model: Path) -> tuple[str, Callable[[Vector], Codes]]:
    """The name of the oracle and a function from input values to output codes."""
    import numpy as np

    import neurovm

    converted = neurovm.convert_tflite(model)
    info = converted.inputs[0]

    def quantized(vector: Vector) -> Any:
        """The int8 network's own codes of real values, by NumPy."""
        codes = np.rint(np.array(vector) / info.scale) + info.zero_point
        return np.clip(codes, -128, 127).astype(np.int8)

    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        predict = converted.predict
        return "predict", lambda vector: tuple(
            int(code) for code in predict(quantized(vector).reshape(info.shape)).ravel()
        )
    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(vector: Vector) -> Codes:
        interpreter.set_tensor(source["index"], quantized(vector).reshape(source["shape"]))
        interpreter.invoke()
        return tuple(int(code) for code in interpreter.get_tensor(sink["index"]).ravel())

    return "LiteRT", run


def after(vector: Vector, topic: int, value: float) -> Vector:
    return (*vector[:topic], value, *vector[topic + 1 :])


@dataclass(slots=True)
class Checker:
    """Compares results, in order of `seq`, with the oracle."""

    oracle: Callable[[Vector], Codes]
    vector: Vector = (0.0,) * TOPICS
    seq: int = 0
    known: dict[Vector, Codes] = field(default_factory=dict)

    def codes(self, vector: Vector) -> Codes:
        if len(self.known) > MAX_KNOWN:
            self.known.clear()
        if vector not in self.known:
            self.known[vector] = self.oracle(vector)
        return self.known[vector]

    def in_order(self, burst: Burst, results: dict[int, Codes]) -> None:
        """The next `len(burst)` results answer the burst one by one."""
        for topic, value in burst:
            self.seq += 1
            self.vector = after(self.vector, topic, value)
            if results[self.seq] != self.codes(self.vector):
                raise MismatchError(f"seq {self.seq}: {results[self.seq]}")

    def disturbed(self, last: int, before: Burst, sent: Burst, results: dict[int, Codes]) -> None:
        """Results up to `last` answer messages of `sent`, in order but for a few jumps.

        A jump may also lead back to what was sent `before`. Every track that the answers leave open
        is followed, with as few jumps as explain them; one must end with the inputs published last.
        """
        wanted = [results[seq] for seq in range(self.seq + 1, last + 1)]
        final = self.vector
        for topic, value in sent:
            final = after(final, topic, value)
        fault = 0
        for jumps in range(MAX_JUMPS + 1):
            tracks = {(self.vector, len(before) - 1, jumps)}
            for number, codes in enumerate(wanted):
                tracks = {step for one in tracks for step in self.steps(one, before + sent, codes)}
                if not tracks:
                    fault = max(fault, self.seq + 1 + number)
                    break
            if any(vector == final for vector, _, _ in tracks):
                self.vector, self.seq = final, last
                return
        if tracks:
            raise MismatchError("the inputs after the burst are not what was published last")
        raise MismatchError(f"seq {fault}: nothing that was sent gives {results[fault]}")

    def steps(self, track: Track, sent: Burst, wanted: Codes) -> set[Track]:
        """Where a track can go with the next answer: on by one, or by a jump to any message."""
        vector, place, jumps = track
        found: set[Track] = set()
        for at in {place + 1, *(range(len(sent)) if jumps else ())} - {len(sent)}:
            following = after(vector, *sent[at])
            if self.codes(following) == wanted:
                found.add((following, at, jumps - (at != place + 1)))
        return found


class Run:
    """One run: a broker, a daemon, a publisher and a subscriber."""

    def __init__(self, folder: Path, report: Report, oracle: Callable[[Vector], Codes]) -> None:
        self.broker = Mosquitto(folder / "broker")
        self.daemon = Daemon(
            folder / "daemon",
            f'node: bench\nmqtt: {{server: "mqtt://127.0.0.1:{self.broker.port}"}}\n',
            digits=VM,
        )
        self.report = report
        self.random = random.Random(report.seed)
        self.checker = Checker(oracle)
        self.results: dict[int, Codes] = {}
        self.last_burst: Burst = []

    def connect(self, *, mqtt5: bool) -> None:
        port = self.broker.port
        self.subscriber = Client(port, "bench-subscriber", persistent=True, mqtt5=mqtt5)
        self.publisher = Client(port, "bench-publisher", persistent=True, mqtt5=mqtt5)
        self.subscriber.subscribe(RESULTS)
        wait_for(lambda: self.daemon.vm("digits")["connected"], "the worker connects")

    def burst(self) -> Burst:
        topics = self.random.sample(range(TOPICS), self.random.randint(1, BURST))
        return [(topic, round(self.random.random(), 4)) for topic in topics]

    def publish(self, burst: Burst) -> None:
        for topic, value in burst:
            self.publisher.publish(f"plant/p1/sensor/{topic}", f'{{"value": {value}}}')
        self.report.published += len(burst)
        self.report.bursts += 1

    def collect(self) -> None:
        """Take what the subscriber has heard; a repeated seq must say the same."""
        import json

        heard, self.subscriber.messages[:] = list(self.subscriber.messages), []
        for _, payload in heard:
            result = json.loads(payload)
            codes = tuple(result["values"])
            for seq in range(result.get("seq_first", result["seq"]), result["seq"] + 1):
                if self.results.setdefault(seq, codes) != codes:
                    raise MismatchError(f"seq {seq} was answered twice, differently")
            self.report.results += 1

    def has(self, last: int) -> bool:
        self.collect()
        return all(seq in self.results for seq in range(self.checker.seq + 1, last + 1))

    def undisturbed(self) -> None:
        burst = self.burst()
        self.publish(burst)
        last = self.checker.seq + len(burst)
        wait_for(lambda: self.has(last), f"results up to seq {last}")
        self.checker.in_order(burst, self.results)
        self.forget(burst)

    def disturbed(self) -> None:
        """Kill the broker within a burst; whatever comes through must still be explained."""
        burst = self.burst()
        want = self.checker.seq + self.random.randint(0, len(burst))
        self.publish(burst)
        wait_for(lambda: self.has(want), f"results up to seq {want}")
        self.broker.kill()
        self.report.kills += 1
        self.broker.start()
        for client in (self.publisher, self.subscriber):
            wait_for(client.paho.is_connected, "a client reconnects")
        wait_for(lambda: self.daemon.vm("digits")["connected"], "the worker reconnects", 60.0)
        # What the broker had acknowledged and then lost is published again, as a sensor would.
        self.publish(burst)
        last = wait_for(self.settled, "every accepted message is answered")
        self.checker.disturbed(last, self.last_burst, burst + burst, self.results)
        self.forget(burst)

    def settled(self) -> int:
        """The last seq when nothing is under way any more, else 0."""
        vm = self.daemon.vm("digits")
        last = int(vm["messages_in"])
        outstanding = self.publisher.outstanding
        time.sleep(0.5)
        still = int(self.daemon.vm("digits")["messages_in"]) == last
        return last if still and not outstanding and self.has(last) else 0

    def forget(self, burst: Burst) -> None:
        self.last_burst = burst
        for seq in [seq for seq in self.results if seq < self.checker.seq - 4 * BURST]:
            del self.results[seq]

    def run(self, messages: int, kills: int) -> None:
        """At least `messages` accepted, the kills spread evenly over them."""
        every = messages / (kills + 1)
        while self.checker.seq < messages:
            if self.report.kills < kills and self.checker.seq >= every * (self.report.kills + 1):
                self.disturbed()
            else:
                self.undisturbed()
        vm = self.daemon.vm("digits")
        self.report.accepted = self.checker.seq
        self.report.repeated_results = self.report.results - self.checker.seq
        self.report.protocol = self.daemon.status()["mqtt"]["protocol"]
        if any(vm["dropped"].values()):
            raise MismatchError(f"messages were dropped: {vm['dropped']}")


def run(folder: Path, messages: int, kills: int, seed: int, *, mqtt5: bool = False) -> Report:
    """One run in `folder`; MismatchError or TimeoutError where the daemon fails."""
    name, oracle = make_oracle(MODEL)
    report = Report(name, seed)
    start = time.monotonic()
    work = Run(folder, report, oracle)
    with running(work.broker, work.daemon):
        work.connect(mqtt5=mqtt5)
        try:
            work.run(messages, kills)
        finally:
            work.publisher.close()
            work.subscriber.close()
    report.seconds = round(time.monotonic() - start, 1)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mqtt5", action="store_true", help="the clients speak MQTT 5 too")
    parser.add_argument("--keep", help="leave configuration and logs in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(options.keep or name)
        print(run(folder, options.messages, options.kills, options.seed, mqtt5=options.mqtt5))


if __name__ == "__main__":
    main()

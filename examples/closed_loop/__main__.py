# SPDX-License-Identifier: Apache-2.0
"""python -m examples.closed_loop [--seconds 10]: a pole is balanced through a broker and a VM.

Starts a broker and `neurovmd` with the VM of this folder, steps the simulated plant with what the
VM tells its actuator, and says how it went and how long the way round took.
"""

from __future__ import annotations

import argparse
import json
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from examples.box import ANSWER_S, NoAnswerError, serving

from .plant import FALLEN_RAD, PERIOD_S, Moment, run

HERE = Path(__file__).parent
SENSORS, FORCE = "cart/c1/sensors", "cart/c1/force/set"
KICKS = {3.0: 0.8, 6.0: -1.0}


class Loop:
    """The plant's end of the loop: `control` publishes sensors and waits for the actuator's word.

    `took_s` are the times from one to the other.
    """

    def __init__(self, port: int) -> None:
        self.took_s: list[float] = []
        self._words: queue.Queue[tuple[float, bytes]] = queue.Queue()
        ready: queue.Queue[bool] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _c, _d, m: self._words.put(
            (time.perf_counter(), m.payload)
        )
        self._client.on_subscribe = lambda *_: ready.put(True)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(FORCE)
        self._client.loop_start()
        ready.get(timeout=ANSWER_S)

    def _hear(self, client: Client, context: Any, message: MQTTMessage) -> None:
        del client, context
        self._words.put((time.perf_counter(), message.payload))

    def control(self, sensors: list[float]) -> float:
        began = time.perf_counter()
        self._client.publish(SENSORS, json.dumps({"sensors": sensors}))
        ended, word = self.word()
        self.took_s.append(ended - began)
        return float(word)

    def word(self) -> tuple[float, bytes]:
        """When the actuator heard its next word, and that; NoAnswerError where none comes."""
        try:
            return self._words.get(timeout=ANSWER_S)
        except queue.Empty:
            raise NoAnswerError(f"no word for the actuator in {ANSWER_S:g} s") from None

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def balance(
    seconds: float, after: Callable[[Loop], None] | None = None
) -> tuple[list[Moment], list[float]]:
    """A run over MQTT: its moments, and how long each way round took (s).

    `after` is called with the loop while the VM still serves.
    """
    with serving({"pole": HERE / "vm.yaml"}, [HERE / "pole.tflite"]) as box:
        loop = Loop(box.port)
        try:
            moments = list(run(loop.control, seconds, kicks=KICKS))
            if after is not None:
                after(loop)
        finally:
            loop.close()
    return moments, loop.took_s


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of the plant's time")
    args = parser.parse_args()
    try:
        moments, took_s = balance(args.seconds)
    except (NoAnswerError, OSError) as error:
        raise SystemExit(f"closed_loop: {error}") from None
    furthest = max(abs(moment.state[2]) for moment in moments)
    kept = "stood" if furthest < FALLEN_RAD else "fell"
    print(f"the pole {kept}: {len(moments)} periods of {1000 * PERIOD_S:g} ms, two kicks, ", end="")
    print(f"at most {furthest:.2f} rad, {abs(moments[-1].state[2]):.3f} rad at the end")
    p50, p99 = (1000 * quantile(took_s, share) for share in (0.5, 0.99))
    print(f"sensor to actuator, through broker and VM: p50 {p50:.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    main()

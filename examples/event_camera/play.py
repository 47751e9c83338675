# SPDX-License-Identifier: Apache-2.0
"""python -m examples.event_camera.play FILE...: recordings as a camera would send them, over MQTT.

Each message holds the events of 10 ms (packed x,y,p,t), at QoS 1. Recordings follow one another:
each begins at the next multiple of 200 ms, by the clock in the messages, with time for the network
to forget the last one.
"""

from __future__ import annotations

import argparse
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from neurovm.events import Recording, aer, read

BLOCK_US = 10_000
PERIOD_US = 200_000
ACKNOWLEDGE_S = 10.0


def placed(recordings: list[Recording]) -> list[Recording]:
    """The recordings one after the other: each from a multiple of PERIOD_US on."""
    start_us, moved = 0, []
    for recording in recordings:
        first_us = recording.times_us[0] if len(recording) else 0
        times_us = array("q", [start_us + t - first_us for t in recording.times_us])
        moved.append(
            Recording(
                times_us, recording.x, recording.y, recording.p, recording.width, recording.height
            )
        )
        start_us += (recording.duration_us // PERIOD_US + 1) * PERIOD_US
    return moved


def blocks(recording: Recording) -> Iterator[tuple[int, bytes]]:
    """When each message is due (µs) and the message: packed events of BLOCK_US."""
    times_us = recording.times_us
    start = 0
    while start < len(times_us):
        end_us = (times_us[start] // BLOCK_US + 1) * BLOCK_US
        end = bisect_left(times_us, end_us, start)
        part = Recording(
            times_us[start:end],
            recording.x[start:end],
            recording.y[start:end],
            recording.p[start:end],
            recording.width,
            recording.height,
        )
        yield end_us, aer.pack_xypt(part)
        start = end


def play(recordings: list[Recording], *, host: str, port: int, topic: str, speed: float) -> int:
    """Publish recordings, `speed` times as fast as they were; the number of messages."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect(host, port)
    client.loop_start()
    start_s, sent = time.monotonic(), []
    try:
        for recording in placed(recordings):
            for due_us, payload in blocks(recording):
                time.sleep(max(0.0, start_s + due_us / 1e6 / speed - time.monotonic()))
                sent.append(client.publish(topic, payload, qos=1))
        for message in sent:
            message.wait_for_publish(ACKNOWLEDGE_S)
    finally:
        client.disconnect()
        client.loop_stop()
    return len(sent)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help=".bin .aedat4 .aer")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--topic", default="camera/eye/events")
    parser.add_argument("--speed", type=float, default=1.0, help="1: as it was recorded")
    args = parser.parse_args()
    recordings = [read(path) for path in args.files]
    count = play(recordings, host=args.host, port=args.port, topic=args.topic, speed=args.speed)
    print(f"{sum(map(len, recordings))} events in {count} messages")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""What front ends cost for new samples alone, beside the same rows in one call and whole windows.

    python benchmarks/frontends.py            # the table of docs/frontends.md

A packet is pushed into a running stream; `one call` computes the same new rows by themselves, from
just the samples they depend on; `window` computes the last second anew, as one without a stream has
to for every hop. CPU time, in turns; of each the least of its turns.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from neurovm.frontends import AnyFrontEnd, Front, chain
from neurovm.frontends.micro import Micro, MicroFront

RATE_HZ = 16000
PAGE = Path(__file__).resolve().parent.parent / "docs" / "frontends.md"
PACKETS_MS = (10, 20, 100, 1000)
CALLS = 32


def recipes(page: str) -> Iterator[tuple[str, list[AnyFrontEnd]]]:
    """Title and front ends of each recipe in the page: `### TITLE`, then a block of YAML."""
    import yaml

    for part in page.split("\n### ")[1:]:
        title, _, rest = part.partition("\n")
        block = rest.partition("```yaml\n")[2].partition("```")[0]
        if block:
            listed = yaml.safe_load(block)["front_end"]
            yield title, msgspec.convert(listed, list[AnyFrontEnd])


def streams() -> Iterator[tuple[str, Callable[[], Front]]]:
    """The recipes for sound that can be pushed, and the integer one in NumPy."""
    for title, front_ends in recipes(PAGE.read_text("utf-8")):
        try:
            front = chain(front_ends, rate_hz=RATE_HZ)
        except ValueError:
            continue
        if not front.needs_whole:
            yield title, lambda listed=front_ends: chain(listed, rate_hz=RATE_HZ)
    yield "micro, in NumPy", lambda: MicroFront(Micro(), (), RATE_HZ)


def alone(front: Front, rows: int, sound: Any) -> Any:
    """The samples that `rows` new rows depend on, as far as frames go."""
    return sound[: front.first + (rows - 1) * front.step]


def measure(make: Callable[[], Front], packet: int, turns: int) -> tuple[float, float, float]:
    """Microseconds of a new row in a stream; ratio to one call, and to the last second anew."""
    sound = np.random.default_rng(0).integers(-20000, 20000, 4 * RATE_HZ).astype(np.int16)
    stream, other = make(), make()
    pieces = [sound[at : at + packet] for at in range(0, len(sound) - packet, packet)]
    made = sum(len(stream.push(piece)) for piece in pieces)
    rows = max(1, round(made / len(pieces)))
    new, window = alone(other, rows, sound), sound[:RATE_HZ]
    taken: list[tuple[float, float, float]] = []
    gc.disable()
    for turn in range(turns):
        start = time.thread_time()
        count = sum(
            len(stream.push(pieces[(turn * CALLS + k) % len(pieces)])) for k in range(CALLS)
        )
        middle = time.thread_time()
        for _ in range(CALLS):
            other.whole(new)
        end = time.thread_time()
        for _ in range(CALLS):
            other.whole(window)
        last = time.thread_time()
        taken.append(((middle - start) / count, (end - middle) / CALLS, (last - end) / CALLS))
    gc.enable()
    row, one, anew = (min(column) for column in zip(*taken, strict=True))
    return row * 1e6, row * rows / one, row * rows / anew


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    print("| front ends | packet | µs a row | of one call | of the last second anew | bytes |")
    print("| --- | --- | --- | --- | --- | --- |")
    for title, make in streams():
        kept = make().state_bytes
        for packet_ms in PACKETS_MS:
            row_us, one, whole = measure(make, packet_ms * RATE_HZ // 1000, options.turns)
            print(
                f"| {title} | {packet_ms} ms | {row_us:.1f} | {one:.2f} | {whole:.3f} | {kept:,} |"
            )


if __name__ == "__main__":
    main()

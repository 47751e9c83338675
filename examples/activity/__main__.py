# SPDX-License-Identifier: Apache-2.0
"""python -m examples.activity: from an accelerometer's rows to what its wearer does.

Makes the float network int8 (`neurovm.convert_tflite(calibrate=…)`, which needs LiteRT), starts a
broker and `neurovmd` with the VM of this folder, and sends the rows of a simulated wearer who
rests, walks, runs and climbs: 31 rows a second, some out of order, though the network wants 26.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import neurovm
from examples.box import NoAnswerError, Result, serving

from .motion import RATE_HZ, Wearer, windows

HERE = Path(__file__).parent
SENSOR_HZ = 31
DAY = (("resting", 6), ("walking", 8), ("running", 6), ("stairs", 8), ("walking", 5))
"""What the wearer does, and for how many seconds."""


class Row(NamedTuple):
    """One row of the sensor: its time (s), g on three axes."""

    t_s: float
    g: tuple[float, float, float]


def day(seed: int, plan: Sequence[tuple[str, float]] = DAY) -> list[Row]:
    """The sensor's rows, at its own rate, a few of them swapped on their way."""
    wearer = Wearer(seed)
    motion = np.concatenate([wearer.rows(name, round(s * RATE_HZ)) for name, s in plan])
    times = np.arange(0, (len(motion) - 1) / RATE_HZ, 1 / SENSOR_HZ)
    at = [np.interp(times * RATE_HZ, np.arange(len(motion)), axis) for axis in motion.T]
    rows = [Row(float(t), (x, y, z)) for t, x, y, z in zip(times, *at, strict=True)]
    rng = np.random.default_rng(seed)
    for first in rng.choice(len(rows) - 3, len(rows) // 10, replace=False):
        rows[first], rows[first + 2] = rows[first + 2], rows[first]
    return rows


def convert(folder: Path) -> Path:
    """The network in int8, calibrated with wearers of its own."""
    rows, _ = windows(5, range(500, 520))
    with neurovm.convert_tflite(HERE / "activity.tflite", calibrate=rows.astype("f4")) as model:
        return model.save(folder / "activity.nvm")


def answers(rows: Sequence[Row]) -> list[Result]:
    """All results of one wearer."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = convert(Path(folder))
        with serving({"activity": HERE / "vm.yaml"}, [bundle]) as box:
            messages = [json.dumps({"t": row.t_s, "g": row.g}).encode() for row in rows]
            box.send("wearer/ada/acceleration", messages)
            return box.all_results()


def truth(at_s: float, plan: Sequence[tuple[str, float]] = DAY) -> str:
    """What the wearer did at that time."""
    for name, seconds in plan:
        if at_s < seconds:
            return name
        at_s -= seconds
    return plan[-1][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=100_001, help="which wearer")
    args = parser.parse_args()
    try:
        results = answers(day(args.seed))
    except (NoAnswerError, neurovm.NeurovmError, OSError) as error:
        raise SystemExit(f"activity: {error}") from None
    for result in results:
        at_s = result["window"]["t1_us"] / 1e6
        top = result["top"][0]
        print(f"{at_s:6.2f} s  {top['label']:8} {top['value']:.2f}   ({truth(at_s - 1)})")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""python -m examples.vibration: hear a machine go wrong that nobody has described.

Starts a broker and `neurovmd` with the VM of this folder and sends what accelerometers on three
simulated machines feel. Each is healthy at first, which the VM learns; then something grows in two
of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from examples.box import NoAnswerError, serving

from .machine import RATE_HZ, Fault, Machine, as_counts

HERE = Path(__file__).parent
HEALTHY_S, GROWS_S = 30, 20
PACKET_S = 0.25
MACHINES: dict[str, Fault] = {"fan": "none", "pump": "bearing", "mill": "tooth"}


class Alarm(NamedTuple):
    """`new` or `end` of an alarm, when (s), and the score of that moment, in deviations."""

    turn: str
    at_s: float
    score: float


def life(fault: Fault, seed: int) -> np.ndarray:
    """int16: healthy for HEALTHY_S, then a fault that grows from nothing to whole in GROWS_S."""
    machine = Machine(seed)
    parts = [machine.samples(HEALTHY_S * RATE_HZ)]
    steps = int(GROWS_S / PACKET_S)
    parts += [
        machine.samples(int(PACKET_S * RATE_HZ), fault, (at + 1) / steps) for at in range(steps)
    ]
    return as_counts(np.concatenate(parts))


def packets(signal: np.ndarray) -> list[bytes]:
    """Messages of PACKET_S."""
    size = int(PACKET_S * RATE_HZ)
    return [signal[at : at + size].astype("<i2").tobytes() for at in range(0, len(signal), size)]


def watch(machines: dict[str, Fault], seed: int) -> dict[str, list[Alarm]]:
    """The alarms of each machine, all heard at the same time."""
    found: dict[str, list[Alarm]] = {name: [] for name in machines}
    signals = [packets(life(fault, seed + at)) for at, fault in enumerate(machines.values())]
    with serving({"vibration": HERE / "vm.yaml"}, [HERE / "vibration.tflite"]) as box:
        for moment in zip(*signals, strict=True):
            for name, packet in zip(machines, moment, strict=True):
                box.send(f"plant/{name}/vibration", [packet])
        for each in box.all_results():
            found[each["stream"]] += [
                Alarm(event["type"], each["seq"] * PACKET_S, event["after"]["value"])
                for event in each["events"]
            ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=20_000, help="which machines")
    args = parser.parse_args()
    try:
        found = watch(MACHINES, args.seed)
    except (NoAnswerError, OSError) as error:
        raise SystemExit(f"vibration: {error}") from None
    for name, fault in MACHINES.items():
        print(f"{name}: healthy for {HEALTHY_S} s, then {fault} for {GROWS_S} s")
        for turn, at_s, score in found[name]:
            print(f"{at_s:8.2f} s  {'alarm' if turn == 'new' else turn} ({score:.1f})")


if __name__ == "__main__":
    main()

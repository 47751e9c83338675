# SPDX-License-Identifier: Apache-2.0
"""Damaged manifests and configurations: each must give one located error or a valid result.

    PYTHONPATH=.:tests python benchmarks/manifest_mutations.py [COUNT] [SEED]

COUNT (10,000) of each: neurovm.yaml, a VM file, one with every output step, and neurovmd.yaml;
those of the daemon start from the shipped samples. Exit code 1 where an error was not located or
one took a second.
"""

from __future__ import annotations

import collections
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from manifest.conftest import EVERY_KEY
from manifest.mutations import judge, located, mutated

from neurovm.errors import ConfigError
from neurovmd import config

TOP = Path(__file__).resolve().parents[1]
VM_FILE = (TOP / "systemd" / "vm.yaml.sample").read_text()
STEPS = """\
model: pump.tflite
inputs: [{topic: "plant/{stream}/x"}]
output:
  steps:
    - {kind: select, tensor: y, elements: [a, 2]}
    - {kind: labels, labels: [a, b]}
    - {kind: softmax, temperature: 2.0}
    - {kind: sigmoid}
    - {kind: mean, n: 5, least: 2}
    - {kind: ema, time_constant_s: 0.5}
    - {kind: regression, scale: 2, offset: 1, low: 0, high: 9, unit: mm}
    - {kind: anomaly, learn: 9, baseline: quantile, quantile: 0.9, floor: 0.1}
    - {kind: keyword, threshold: 0.6, average_s: 0.5, suppress_s: 1, release: 0.3, ignore: [a, 1]}
    - {kind: threshold, above: 0.8, release: 0.6, count: 2, for_s: 0.3, release_count: 3}
    - {kind: event, least_s: 1, cool_down_s: 2, update_by: 0.1}
    - {kind: reconstruction, output: 0, input: x, measure: mae}
    - kind: ssd
      anchors: [{rows: 2, columns: 3, sizes: [[0.1, 0.2], [0.3, 0.4]]}]
      order: xywh
      background: null
    - {kind: yolo, heads: [{tensor: 0, sizes: [[0.1, 0.2]]}], form: square, classes: softmax}
    - {kind: box_rows, scores: 1, order: yxyx, size: [320, 240], labels: [cat, dog]}
    - {kind: nms, iou: 0.5, most: 9, across: true}
  alerts:
    - {name: hot, when: {label: a, above: 80, release: 75, for_s: 5}, cool_down_s: 60, update_by: 1}
    - {name: low, when: {below: 1, count: 3, release_for_s: 2}}
"""
STEPS_FILE = yaml.safe_dump(yaml.safe_load(STEPS), sort_keys=False)  # a key a line
DAEMON_FILE = (TOP / "systemd" / "neurovmd.yaml").read_text()

Judge = Callable[[bytes], ConfigError | None]


@contextmanager
def judges() -> Iterator[dict[str, tuple[str, Judge]]]:
    """What is damaged, and who judges it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "vm.d").mkdir()
        good = folder / "good.yaml"
        good.write_text("vm_dir: vm.d\n")

        def vm(data: bytes) -> ConfigError | None:
            (folder / "vm.d" / "pump.yaml").write_bytes(data)
            _, errors = config.examine(good, environ={})
            return errors[0] if errors else None

        def daemon(data: bytes) -> ConfigError | None:
            file = folder / "neurovmd.yaml"
            file.write_bytes(data)
            try:
                config.examine(file, environ={})
            except ConfigError as error:
                return error
            return None

        yield {
            "neurovm.yaml": (EVERY_KEY, judge),
            "pump.yaml": (VM_FILE, vm),
            "steps in pump.yaml": (STEPS_FILE, vm),
            "neurovmd.yaml": (DAEMON_FILE.replace("/etc/neurovmd", place), daemon),
        }


def run(name: str, text: str, verdict: Judge, count: int, seed: int) -> bool:
    """Judge `count` damaged forms of `text`; whether all was well."""
    rng = random.Random(seed)
    tally: collections.Counter[str] = collections.Counter()
    slowest_s = 0.0
    start_s = time.perf_counter()
    for _ in range(count):
        data = mutated(rng, text)
        before_s = time.perf_counter()
        error = verdict(data)
        slowest_s = max(slowest_s, time.perf_counter() - before_s)
        well = error is None or located(error, name.rsplit(maxsplit=1)[-1])
        kind = "valid" if error is None else "located error" if well else "UNLOCATED"
        tally[kind] += 1
        if not well:
            print(data, error)
    total_s = time.perf_counter() - start_s
    print(f"{name}: {count} damaged forms, seed {seed}: {dict(tally)}; {total_s:.1f} s, ", end="")
    print(f"slowest {1e3 * slowest_s:.1f} ms")
    return not tally["UNLOCATED"] and slowest_s < 1


def main(count: int = 10_000, seed: int = 1) -> int:
    """All kinds of files."""
    with judges() as each:
        well = [run(name, text, who, count, seed) for name, (text, who) in each.items()]
    return int(not all(well))


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))

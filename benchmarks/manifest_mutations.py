# SPDX-License-Identifier: Apache-2.0
"""Damaged manifests and configurations: each must give one located error or a valid result.

    PYTHONPATH=.:tests python benchmarks/manifest_mutations.py [COUNT] [SEED]

COUNT (10,000) of each: neurovm.yaml, a VM file and neurovmd.yaml, the latter two starting from the
shipped samples. Exit code 1 where an error was not located or one took a second.
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

from manifest.conftest import EVERY_KEY
from manifest.mutations import judge, located, mutated

from neurovm.errors import ConfigError
from neurovmd import config

TOP = Path(__file__).resolve().parents[1]
VM_FILE = (TOP / "systemd" / "vm.yaml.sample").read_text()
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
        well = error is None or located(error, name)
        kind = "valid" if error is None else "located error" if well else "UNLOCATED"
        tally[kind] += 1
        if not well:
            print(data, error)
    total_s = time.perf_counter() - start_s
    print(f"{name}: {count} damaged forms, seed {seed}: {dict(tally)}; {total_s:.1f} s, ", end="")
    print(f"slowest {1e3 * slowest_s:.1f} ms")
    return not tally["UNLOCATED"] and slowest_s < 1


def main(count: int = 10_000, seed: int = 1) -> int:
    """All three kinds of files."""
    with judges() as each:
        well = [run(name, text, who, count, seed) for name, (text, who) in each.items()]
    return int(not all(well))


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))

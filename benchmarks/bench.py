# SPDX-License-Identifier: Apache-2.0
"""bench.py: a step of neurovm beside LiteRT and others, one thread, one core, as ratios.

    PYTHONPATH=. python benchmarks/bench.py                   # this checkout's own networks
    PYTHONPATH=. python benchmarks/bench.py --models MODELS --data DATA --plot out.png
    PYTHONPATH=. python benchmarks/bench.py --models MODELS --only ad01_int8 --quick
    PYTHONPATH=. python benchmarks/bench.py --peer tflite-runtime=PYTHON --peer tvm=PYTHON

(`make bench MODELS=… DATA=… PEERS="…" BENCH_ARGS="…"` is the same.)

What is measured. A network is given rows that differ by so much from one to the next: all, 50, 25,
10, 5, 1, 0.1 % of the input elements at random places or in one block, one element by 16 of its 256
steps, nothing; and, with --data, what it meets in the real world. Times are of a call in Python on
both sides, from input codes to output codes: `Session.step` here, set_tensor, invoke and get_tensor
there. Each side is a process of its own, all on one core, and they take turns in every round; a
ratio is formed within a round. A turn in which something else had the core is taken again. Figures
are medians of the rounds, with their middle half.

How it is judged. Beside each ratio stand the stream's exact MACs, as a part of a dense run's: of
weights that meet a changed code, and counted in groups of 4 channels of a pixel. A step may take
1.5 times that part of LiteRT's time and 0.03 more (random changes: by groups, and never more than
1.05; real streams never more than LiteRT). MISSED says where it takes longer.

Peers run in a Python that has them: --peer NAME=PYTHON. LiteRT is expected in this Python. What is
not named, or cannot take a network, is a line that says so. Exit code 2 for wrong arguments, 1
where an answer differs from LiteRT's, else 0, whatever was missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bench_extra
import bench_models
import bench_report
import bench_sides
import numpy as np
from bench_models import Network
from bench_report import Row, Spread
from bench_sides import Side, SideError

from neurovm import _kernel
from neurovm.cli import show
from neurovm.cli.info import cpu_name

ROUND_S = 0.002
"""A side's turn in a round lasts about so long, and a whole round of its stream at least."""
MOST_RUNS = 20_000
MORE = {"one": ("update", "run_updates"), "all": ("run", "predict", "events")}
"""Ways of ours beside `Session.step`, by kind of stream."""


@dataclasses.dataclass
class Turn:
    """One side on one stream in one mode: its rounds, in seconds a run."""

    side: Side
    stream: bench_models.Stream
    mode: str
    count: int = 1
    seconds: list[float] = dataclasses.field(default_factory=list)

    def calibrate(self) -> None:
        # Whole rounds of real streams; parts of drawn ones will do, all of whose steps are alike.
        together = self.stream.kind == "real" or self.mode in ("run", "run_updates")
        whole = len(self.stream.rows) if together else 1
        first = self.side.time_s(self.stream.name, self.mode, whole)
        once = self.side.time_s(self.stream.name, self.mode, whole, whole if first < 0.1 else 0)
        if once * len(self.stream.rows) < ROUND_S and self.mode != "batch":
            whole = len(self.stream.rows)
        times = max(1, round(ROUND_S / max(once * whole, 1e-9)))
        self.count = whole * min(times, MOST_RUNS)

    def take(self) -> None:
        warm = 0 if self.mode == "batch" else max(1, self.count // 8)
        self.seconds.append(self.side.time_s(self.stream.name, self.mode, self.count, warm))


def measured(network: Network, sides: list[Side], rounds: int, advance: Any) -> list[Row]:
    """All rows of a network; a side that cannot take it is one row that says why."""
    rows, ready = [], []
    for side in sides:
        try:
            side.open(network.path)
            for stream in wanted(network, side):
                side.give(stream.name, network.values(stream))
            ready.append(side)
        except SideError as error:
            rows.append(Row(network.name, "all", "none", side.name, "", note=f"not run: {error}"))
    same = {side.name: compared(network, side, ready) for side in ready if side.name != "litert"}
    turns = [Turn(side, stream, mode) for side in ready for stream, mode in plan(network, side)]
    by_case: dict[str, list[Turn]] = {}
    for turn in turns:
        by_case.setdefault(turn.stream.name, []).append(turn)
    failed: dict[int, str] = {}
    for turn in turns:
        try_turn(turn, turn.calibrate, failed)
    for number in range(rounds):
        for case in by_case.values():
            for turn in case if number % 2 else reversed(case):
                if id(turn) not in failed:
                    try_turn(turn, turn.take, failed)
        advance()
    for case in by_case.values():
        rows += [row_of(network, turn, case, failed, same) for turn in case]
    return rows


def try_turn(turn: Turn, what: Any, failed: dict[int, str]) -> None:
    try:
        what()
    except SideError as error:
        failed[id(turn)] = f"not run: {error}"


def wanted(network: Network, side: Side) -> list[bench_models.Stream]:
    return list({stream.name: stream for stream, _ in plan(network, side)}.values())


def plan(network: Network, side: Side) -> Iterator[tuple[bench_models.Stream, str]]:
    """What a side runs: LiteRT all streams; ours too, in more ways; others the changed ones."""
    for stream in network.streams:
        if stream.kind == "batch":
            if side.name in ("neurovm", "litert"):
                yield stream, "batch"
                if side.name == "litert":
                    yield stream, "step"
        elif side.name in ("neurovm", "litert"):
            yield stream, "step"
            if side.name == "neurovm":
                yield from ((stream, mode) for mode in MORE.get(stream.kind, ()))
        elif stream.kind == "all" or (side.module == "own" and stream.name == "1 % block"):
            yield stream, "step"


def compared(network: Network, side: Side, ready: list[Side]) -> str:
    """A word on the side's first answers beside LiteRT's."""
    judge = next((each for each in ready if each.name == "litert"), None)
    stream = next(each for each in network.streams if each.kind == "all")
    if judge is None:
        return ""
    try:
        found, right = side.answers(stream.name), judge.answers(stream.name)
    except SideError as error:
        return f"answers not compared: {error}"
    differing = int((found.astype(np.float64) != right.astype(np.float64)).sum())
    return "" if not differing else f"{differing / found.size:.0%} of outputs differ"


def row_of(
    network: Network, turn: Turn, case: list[Turn], failed: dict[int, str], same: dict[str, str]
) -> Row:
    stream = turn.stream
    row = Row(network.name, stream.name, stream.kind, turn.side.name, turn.mode,
              stateful=network.model.stateful)  # fmt: skip
    if id(turn) in failed:
        row.note = failed[id(turn)]
        return row
    rows = len(stream.rows) if turn.mode == "batch" else 1
    row.us = Spread.of([1e6 * each / rows for each in turn.seconds])
    row.note = same.get(turn.side.name, "") if stream.kind == "all" else ""
    others = best_of(case, failed)
    if others and turn.side.name != "litert":
        row.ratio = Spread.of(
            [own / rows / other for own, other in zip(turn.seconds, others, strict=True)]
        )
    if stream.kind != "batch":
        done = network.work(stream)
        row.elements, row.groups = done.elements, done.groups
    if turn.side.name == "neurovm":
        row.judge()
    return row


def best_of(case: list[Turn], failed: dict[int, str]) -> list[float]:
    """LiteRT's seconds a row by round; of a batch the quicker of its two ways."""
    found = [
        [each / (len(turn.stream.rows) if turn.mode == "batch" else 1) for each in turn.seconds]
        for turn in case if turn.side.name == "litert" and id(turn) not in failed
    ]  # fmt: skip
    return min(found, key=lambda each: float(np.median(each)), default=[])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    # fmt: off
    add("--models", type=Path, metavar="FOLDER", help="a folder with .tflite files anywhere below: "
        "those of one 8-bit or float32 input that convert are measured [default: this checkout's]")
    add("--data", type=Path, metavar="FOLDER",
        help="what real streams are made of (benchmarks/bench_real.py says what)")
    add("--only", action="append", metavar="NAME", help="a network, by file name; may be repeated "
        "[default: the well-known ones of MODELS, or all where there are none]")
    add("--peer", action="append", default=[], metavar="NAME=PYTHON",
        help=f"{', '.join(bench_sides.MODULES)}: run it in this Python")
    add("--isa", action="append", metavar="SET", help="also ours with this instruction set forced "
        "[default: avx2, where there is a better one]")
    add("--rounds", type=int, help="turns of every side [default: 21]")
    add("--quick", action="store_true", help="5 rounds, no batches, memory, or rates from C")
    add("--core", type=int, help="the core to stay on [default: the last one]")
    add("--seed", type=int, default=0, help="of drawn streams [default: 0]")
    add("--json", type=Path, metavar="FILE", help="write everything there")
    add("--plot", type=Path, metavar="FILE", help="draw it, .png or .svg")
    # fmt: on
    options = parser.parse_args()
    for name, folder in (("--models", options.models), ("--data", options.data)):
        if folder is not None and not folder.is_dir():
            parser.error(f"{name} {folder}: there is no such folder")
    options.peers = {}
    for peer in options.peer:
        name, equals, python = peer.partition("=")
        if name not in bench_sides.MODULES or not equals:
            parser.error(f"--peer {peer}: NAME=PYTHON is wanted, NAME one of "
                         f"{', '.join(bench_sides.MODULES)}")  # fmt: skip
        options.peers[name] = python
    if options.isa is None:
        options.isa = ["avx2"] if "avx2" in _kernel.isas() and _kernel.isa() != "avx2" else []
    for isa in options.isa:
        if isa not in _kernel.isas():
            parser.error(f"--isa {isa}: this machine has {', '.join(_kernel.isas())}")
    if options.rounds is None:
        options.rounds = 5 if options.quick else 21
    if options.core is None:
        options.core = max(os.sched_getaffinity(0))
    return options


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        networks, left_out = bench_models.find(options, Path(folder))
        if not networks:
            print("no network to measure:", *left_out, sep="\n  ", file=sys.stderr)
            return 2
        sides = [bench_sides.ours(options.core), *bench_sides.peers(options.peers, options.core)]
        sides += [bench_sides.ours(options.core, isa) for isa in options.isa]
        rows = []
        try:
            for network in networks:
                with show.progress(network.name, quiet=False) as advance:
                    done = iter(range(1, 1 << 30))
                    found = measured(network, sides, options.rounds,
                                     lambda done=done, advance=advance: advance(
                                         next(done), options.rounds))  # fmt: skip
                rows += found
                print(f"\n{bench_report.table(found)}", flush=True)
            versions = {side.name: side.version for side in sides if side.version}
        finally:
            for side in sides:
                side.close()
        extra: dict[str, Any] = {}
        if not options.quick:
            extra = bench_extra.measure(networks, options.core, Path(folder))
            rows += extra.pop("rows")
    return report(rows, left_out, versions, options, extra)


def report(
    rows: list[Row], left_out: list[str], versions: dict[str, str], options: Any, extra: Any
) -> int:
    """The whole once more, and what of it was wanted."""
    aims = bench_report.aims(rows, bench_models.JUDGED, extra)
    machine = cpu_name(Path("/proc/cpuinfo")) or "unknown processor"
    title = f"{machine}, {_kernel.isa()}, core {options.core}, {options.rounds} rounds"
    missing = [name for name in bench_sides.MODULES if name not in versions]
    print("\n" + bench_report.markdown(("aim", "wanted", "found", ""), [a.line() for a in aims]))
    print(f"\n{title}; {'; '.join(versions.values())}")
    for name in missing:
        named = name in options.peers or name == "litert"
        print(f"{name}: {'took no network' if named else f'not installed (--peer {name}=PYTHON)'}")
    for line in left_out:
        print(f"left out: {line}")
    if options.json is not None:
        everything = {
            "machine": machine, "isa": _kernel.isa(), "rounds": options.rounds,
            "versions": versions, "left_out": left_out, **extra,
            "rows": [dataclasses.asdict(row) for row in rows],
            "aims": [dataclasses.asdict(aim) for aim in aims],
        }  # fmt: skip
        options.json.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")
    if options.plot is not None:
        bench_report.plot(rows, title, options.plot)
    differing = [row for row in rows if row.who.startswith("neurovm") and "differ" in row.note]
    for row in differing:
        print(f"WRONG: {row.network}, {row.who}: {row.note}", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

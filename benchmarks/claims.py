# SPDX-License-Identifier: Apache-2.0
"""claims.py BENCH.json: what is promised of such networks, beside what was measured here.

    make claims MODELS=… DATA=…       # make bench, then this: docs/claims.md and the README's table
    PYTHONPATH=. python benchmarks/claims.py build/bench.json --models MODELS

Times of steps, rates and memory are taken from what `bench.py` wrote. Sizes, int8 beside float32
and round trips over MQTT are measured here: the first two on pairs of models in MODELS (PAIRS),
the last on the demo's model, with Mosquitto. What cannot be measured is a line that says so.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bench_sides
import numpy as np
from bench_models import FAST, ROOT
from bench_report import Spread
from claims_page import Bench, Claim, page, readme_block, with_block

import neurovm

PAIRS = {"ad01_fp32": "ad01_int8", "pretrainedResnet": "pretrainedResnet_quant"}
"""Names of float models → the same networks in int8."""
ROUNDS = 15
FIRST = """
import neurovm, sys
session = neurovm.load(sys.argv[1]).session()
session.step(bytes(int(sys.argv[2])))
"""


def faster(bench: Bench) -> list[Claim]:
    """100 to 1,000 times faster, by what changes."""
    cases = {
        "nothing changed": {"kind": "none"},
        "one input changed by 16 of its 256 steps": {"kind": "one"},
        "1 % of the inputs changed, in one block": {"stream": "1 % block"},
        "real streams": {"kind": "real"},
        "everything changed": {"kind": "all"},
    }
    claims = []
    beside = "LiteRT with XNNPACK, a Python call on both sides"
    for what, wanted in cases.items():
        rows = [
            row for row in bench.ours(**wanted) if not (row["stateful"] and row["kind"] == "none")
        ]
        times = [1 / row["ratio"]["median"] for row in rows]
        if not times:
            claims.append(_not_measured(f"100 to 1,000 × faster: {what}", "make bench"))
            continue
        mean = statistics.geometric_mean(times)
        text = (
            f"{mean:.3g} × (geometric mean of {len(times)}; {min(times):.3g} to {max(times):.3g})"
        )
        word = "yes" if min(times) >= 100 else "no" if max(times) < 100 else "in part"
        claims.append(Claim(f"100 to 1,000 × faster: {what}", text, beside, word, "make bench"))
    return claims


def microseconds(bench: Bench) -> list[Claim]:
    rows = bench.ours(kind="all")
    if not rows:
        return [_not_measured("answers in microseconds", "make bench")]
    times = {row["network"]: row["us"]["median"] for row in rows}
    least, most = min(times, key=times.__getitem__), max(times, key=times.__getitem__)
    text = f"{times[least]:.2g} µs ({least}) to {times[most]:.3g} µs ({most}), everything changed"
    return [Claim("answers in microseconds", text, "none: time of `Session.step`",
                  "yes" if times[most] < 1000 else "in part", "make bench")]  # fmt: skip


WAYS = {
    "step": "`Session.step`, a row a call",
    "run": "`Session.run`, 32 rows a call",
    "batch": "`Model.predict`, 1,000 rows a call",
    "from C": "`nvm_session_step`, from C",
}


def million(bench: Bench) -> list[Claim]:
    promise, command = "a million inferences a second", "make bench"
    claims = []
    for row in bench.rows:
        own = row["network"] == FAST and row["who"] == "neurovm" and row["us"] is not None
        if own and row["kind"] in ("all", "batch") and row["mode"] in WAYS:
            rate = 1 / row["us"]["median"]
            beside = f"none: 50,480 MACs, everything changed: {WAYS[row['mode']]}"
            word = "yes" if rate >= 1 else "no"
            claims.append(Claim(promise, f"{rate:.2f} million", beside, word, command))
    return claims or [_not_measured(promise, command)]


def smaller(models: dict[str, Path]) -> list[Claim]:
    claims = []
    for real, coded in _pairs(models):
        with tempfile.TemporaryDirectory() as folder:
            bundle = neurovm.convert_tflite(coded).save(Path(folder) / "model.nvm")
            sizes = [path.stat().st_size for path in (real, coded, bundle)]
        parts = [1 - size / sizes[0] for size in sizes[1:]]
        text = f"−{parts[0]:.0%} as .tflite, −{parts[1]:.0%} as .nvm"
        beside = f"{real.stem}: {sizes[0]:,} bytes in float32, {sizes[1]:,}, {sizes[2]:,}"
        word = "yes" if min(parts) >= 0.75 else "in part" if max(parts) >= 0.75 else "no"
        claims.append(Claim("75 % smaller", text, beside, word, "make claims"))
    return claims or [_not_measured("75 % smaller", "make claims MODELS=…")]


def by_int8(models: dict[str, Path], core: int) -> list[Claim]:
    claims = []
    for real, coded in _pairs(models):
        times = _in_turns(real, coded, core)
        float_s, int8_s, own_s = (np.array(each) for each in times)
        theirs, ours = Spread.of(list(float_s / int8_s)), Spread.of(list(float_s / own_s))
        text = f"LiteRT {theirs.text()[0]} ×, neurovm {ours.text()[0]} × ({ours.text()[1]})"
        word = "yes" if theirs.median >= 2 and ours.median >= 2 else "no"
        if "no" in word and max(theirs.median, ours.median) >= 2:
            word = "in part"
        beside = f"LiteRT on {real.stem} in float32, everything changed"
        claims.append(Claim("2 to 4 × faster by int8", text, beside, word, "make claims"))
    return claims or [_not_measured("2 to 4 × faster by int8", "make claims MODELS=…")]


def _in_turns(real: Path, coded: Path, core: int) -> list[list[float]]:
    """Seconds a run: LiteRT in float, LiteRT in int8, ours; round by round."""
    rng = np.random.default_rng(0)
    model = neurovm.convert_tflite(coded)
    codes = rng.integers(-128, 128, (16, *model.inputs[0].shape[1:])).astype(np.int8)
    values = ((codes - model.inputs[0].zero_point) * model.inputs[0].scale).astype(np.float32)
    litert = bench_sides.peers({}, core)[0]
    other = bench_sides.peers({}, core)[0]
    sides = [(litert, real, values), (other, coded, codes), (bench_sides.ours(core), coded, codes)]
    try:
        for side, path, rows in sides:
            side.open(path)
            side.give("all", rows)
        counts = [max(16, int(0.003 / side.time_s("all", "step", 64))) for side, _, _ in sides]
        found: list[list[float]] = [[], [], []]
        for _ in range(ROUNDS):
            for times, (side, _, _), count in zip(found, sides, counts, strict=True):
                times.append(side.time_s("all", "step", count, count // 8))
    finally:
        for side, _, _ in sides:
            side.close()
    return found


def _pairs(models: dict[str, Path]) -> list[tuple[Path, Path]]:
    return [(models[a], models[b]) for a, b in PAIRS.items() if a in models and b in models]


def soon() -> list[Claim]:
    """An answer within 22 ms, from a message, and from nothing running."""
    promise = "an answer within 22 ms"
    try:
        trips = _round_trips_ms()
    except (OSError, RuntimeError, TimeoutError, ImportError) as error:
        claims = [_not_measured(f"{promise}: message to result ({error})", "make claims")]
    else:
        p50, p99 = (statistics.quantiles(trips, n=100)[i] for i in (49, 98))
        text = f"{p50:.2f} ms (99th of 100: {p99:.2f} ms)"
        beside = "none: MQTT, QoS 1, Mosquitto and neurovmd on this machine, the demo's model"
        word = "yes" if p99 <= 22 else "in part" if p50 <= 22 else "no"
        command = "python benchmarks/daemon_throughput.py"
        claims = [Claim(f"{promise}: from a message to its result", text, beside, word, command)]
    first = _first_answer_ms()
    text = f"{first.median:.0f} ms ({first.text()[1]})"
    beside = "none: a Python that starts, loads a .nvm and steps once"
    word = "yes" if first.median <= 22 else "no"
    return [*claims, Claim(f"{promise}: from nothing running", text, beside, word, "make claims")]


def _round_trips_ms() -> list[float]:
    from benchmarks.daemon_throughput import VM, round_trips_ms
    from benchmarks.rig import Client, Daemon, Mosquitto, running

    with tempfile.TemporaryDirectory() as name:
        broker = Mosquitto(Path(name) / "broker", autosave=False)
        server = f'node: bench\nmqtt: {{server: "mqtt://127.0.0.1:{broker.port}"}}\n'
        daemon = Daemon(Path(name) / "daemon", server, pump=VM.replace("QOS", "1"))
        with running(broker, daemon):
            publisher, subscriber = Client(broker.port), Client(broker.port)
            try:
                return round_trips_ms(daemon, publisher, subscriber, 1)
            finally:
                publisher.close()
                subscriber.close()


def _first_answer_ms() -> Spread:
    with tempfile.TemporaryDirectory() as folder:
        model = neurovm.convert_tflite(ROOT / "tests/fixtures/digits_mlp.tflite")
        bundle = model.save(Path(folder) / "model.nvm")
        command = [sys.executable, "-c", FIRST, str(bundle), str(model.inputs[0].bytes)]
        times = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            subprocess.run(command, cwd=ROOT, check=True)
            times.append(1e3 * (time.perf_counter() - begun))
    return Spread.of(times)


def _not_measured(promise: str, command: str) -> Claim:
    return Claim(promise, "–", "–", "not measured", command)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bench", type=Path, help="what `bench.py --json` wrote")
    parser.add_argument("--models", type=Path, metavar="FOLDER")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs/claims.md")
    parser.add_argument("--readme", action="store_true", help="write README.md's table, too")
    options = parser.parse_args()
    try:
        bench = Bench(options.bench)
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{options.bench}: {error}; run bench.py --json first")
    models = {} if options.models is None else {p.stem: p for p in options.models.rglob("*.tflite")}
    parts: list[Callable[[], list[Claim]]] = [
        lambda: faster(bench), lambda: microseconds(bench), lambda: million(bench),
        lambda: smaller(models), lambda: by_int8(models, options.core), soon,
    ]  # fmt: skip
    claims = [claim for part in parts for claim in part()]
    text = page(claims, bench)
    options.output.write_text(text)
    if options.readme:
        readme = ROOT / "README.md"
        readme.write_text(with_block(readme.read_text(), readme_block(bench)))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

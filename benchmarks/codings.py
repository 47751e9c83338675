# SPDX-License-Identifier: Apache-2.0
"""One table of the codings: accuracy, agreement with the source, spikes, SOPs and time.

    PYTHONPATH=. python benchmarks/codings.py [MODEL ...] [-o codings.json] [--plot codings.svg]
    PYTHONPATH=. python benchmarks/codings.py --keywords ../shared --rows 60

MODEL: networks of tests/fixtures for the digits of tests/fixtures (default: digits_mlp and
digits_dscnn), judged on every other of the 128 test images; rates are balanced on the rest.
--keywords FOLDER: the DS-CNN of MLPerf Tiny, FOLDER/models/mlperf_tiny/kws_ref_model.tflite, on
clips of FOLDER/data/speech_commands_test.

Each answer is a step of one session with a new input, so what a coding saves on inputs that hardly
change does not show here. Spikes and SOPs are those of runs forced to go by events; µs is the CPU
time of one thread where each layer takes the cheaper way. `certified` is the share of answers whose
class is proven before the last plane, "+ µs" what a proof takes beside. --plot needs the extra
[plot].
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import neurovm

TOP = Path(__file__).resolve().parents[1]
FIXTURES = TOP / "tests" / "fixtures"
STEPS = (4, 8, 16, 32, 64, 128, 256)
PLANES = range(1, 9)
COLUMNS = (
    "| coding | accuracy | agreement | certified | spikes / neuron | SOPs | × dense | µs | + µs |"
)


@dataclass(frozen=True, slots=True)
class Task:
    """A network, codes of its input to judge it by (n, inputs) with their classes, and rows as its
    `predict` takes them to balance rates on.
    """

    name: str
    model: Path
    codes: np.ndarray
    classes: np.ndarray
    balance: np.ndarray


@dataclass(frozen=True, slots=True)
class Line:
    """Means of one answer; `spikes` a neuron, inputs among them."""

    coding: str
    parameter: int | None
    accuracy: float
    agreement: float
    certified: float | None
    spikes: float
    sops: float
    us: float
    proof_us: float | None


def digits(path: Path) -> Task:
    pixels = np.load(FIXTURES / "digits_x.npy")
    codes = (np.rint(pixels / 16 * 255) - 128).astype(np.int8)
    classes = np.load(FIXTURES / "digits_y.npy").astype(np.int64)
    flat = codes.reshape(len(codes), -1)
    return Task(path.stem, path, flat[1::2], classes[1::2], codes[::2].reshape(-1, 8, 8, 1))


def keywords(folder: Path, rows: int) -> Task:
    """As many clips to judge by as to balance on, spread over all words."""
    from accuracy import WORDS, clips
    from verify_models import clip, mfcc, quantized

    path = folder / "models" / "mlperf_tiny" / "kws_ref_model.tflite"
    found = clips(folder / "data")
    found = found[:: max(1, len(found) // (2 * rows))]
    real = np.stack([mfcc(clip(each)) for each in found])[..., None]
    with neurovm.convert_tflite(path) as model:
        values = quantized(real, model.inputs[0])
        codes = np.stack([np.frombuffer(model.to_codes(row), np.int8) for row in values])
    classes = np.array([WORDS.index(each.parent.name) for each in found])
    return Task(path.stem, path, codes[1::2], classes[1::2], values[::2])


def run(
    model: neurovm.Model, codes: np.ndarray, planes: int, way: str
) -> tuple[np.ndarray, neurovm.Counters, float]:
    """Best outputs (n), what was counted, and CPU seconds."""
    state = model.session(way=way)
    if planes != 8:
        state.planes = planes
    rows = [row.tobytes() for row in codes]
    before = time.thread_time()
    found = [state.step(row).tobytes() for row in rows]
    spent = time.thread_time() - before
    outputs = np.stack([np.frombuffer(each, np.int8) for each in found])
    return outputs.argmax(axis=1), state.counters, spent


def proofs(model: neurovm.Model, codes: np.ndarray, planes: int) -> tuple[float, float]:
    """The share of certified answers, and CPU seconds of a proof."""
    state = model.session()
    state.planes = planes
    certified, spent = 0, 0.0
    for row in codes:
        state.step(row.tobytes())
        before = time.thread_time()
        certified += state.answer().certified
        spent += time.thread_time() - before
    return certified / len(codes), spent / len(codes)


def measure(
    task: Task,
    model: neurovm.Model,
    truth: np.ndarray,
    parameter: int | None,
    coding: str | None = None,
) -> Line:
    planes = parameter if parameter is not None and model.coding == "bitplane" else 8
    best, counters, _ = run(model, task.codes, planes, "events")
    spent = min(run(model, task.codes, planes, "auto")[2] for _ in range(2))
    share, proof = (None, None) if planes == 8 else proofs(model, task.codes, planes)
    neurons = model.manifest.neurons + sum(info.size for info in model.inputs)
    n = len(task.codes)
    return Line(
        coding=coding or model.coding,
        parameter=parameter,
        accuracy=float((best == task.classes).mean()),
        agreement=float((best == truth).mean()),
        certified=share,
        spikes=(counters.events_in + counters.events_out) / n / neurons,
        sops=counters.sops / n,
        us=spent / n * 1e6,
        proof_us=None if proof is None else proof * 1e6,
    )


def table(task: Task, most: int) -> Iterator[Line]:
    """A line each: graded, unit, bitplane by planes, ttfs, rate by steps."""
    with neurovm.convert_tflite(task.model) as model:
        truth = run(model, task.codes, 8, "auto")[0]
        yield measure(task, model, truth, None)
    for coding in ("unit", "ttfs"):
        with neurovm.convert_tflite(task.model, coding=coding) as model:
            yield measure(task, model, truth, None)
    with neurovm.convert_tflite(task.model, coding="bitplane") as model:
        for planes in PLANES:
            yield measure(task, model, truth, planes)
    for steps in (each for each in STEPS if each <= most):
        with neurovm.convert_tflite(
            task.model, coding="rate", steps=steps, calibrate=task.balance
        ) as model:
            with model.with_steps(steps) as whole:
                yield measure(task, whole, truth, steps)
            yield measure(task, model, truth, steps, "rate, early exit")


def show(line: Line, dense_macs: int) -> str:
    name = {"bitplane": "k", "rate": "T", "rate, early exit": "T"}.get(line.coding, "")
    said = line.coding if line.parameter is None else f"{line.coding} {name} = {line.parameter}"
    certified = "" if line.certified is None else f"{line.certified:.0%}"
    proof = "" if line.proof_us is None else f"{line.proof_us:,.0f}"
    return (
        f"| {said} | {line.accuracy:.1%} | {line.agreement:.1%} | {certified} | {line.spikes:.2f} "
        f"| {line.sops:,.0f} | {line.sops / dense_macs:.2f} | {line.us:,.0f} | {proof} |"
    )


def plot(found: dict[str, tuple[list[Line], int]], target: Path) -> None:
    """Agreement, and certified share, over the SOPs an answer takes; a panel a network."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, len(found), figsize=(5.2 * len(found), 4), constrained_layout=True, squeeze=False
    )
    for axis, (name, (lines, macs)) in zip(axes[0], found.items(), strict=True):
        for coding, style in (("rate", "o-"), ("rate, early exit", "s--"), ("bitplane", "D-")):
            some = [line for line in lines if line.coding == coding]
            axis.plot(
                [line.sops for line in some],
                [100 * line.agreement for line in some],
                style,
                markersize=4,
                label=f"{coding}, {'k = 1 … 8' if coding == 'bitplane' else 'by T'}",
            )
        planes = [line for line in lines if line.certified is not None]
        axis.plot(
            [line.sops for line in planes],
            [100 * (line.certified or 0) for line in planes],
            "k:",
            label="bitplane: class certified",
        )
        for coding, marker in (("graded", "r*"), ("unit", "mP")):  # ttfs takes what graded does
            (line,) = (line for line in lines if line.coding == coding)
            label = "graded, ttfs" if coding == "graded" else coding
            axis.plot(line.sops, 100, marker, markersize=10, label=label, zorder=3)
        axis.axvline(macs, color="0.6", linewidth=1)
        axis.annotate("dense", (macs, 2), color="0.4", rotation=90, ha="right", fontsize=8)
        axis.set(xscale="log", xlabel="SOPs an answer", ylabel="same class as the source, %")
        axis.set(title=name, ylim=(-3, 104))
        axis.grid(alpha=0.3)
    axes[0][-1].legend(loc="lower right", fontsize=8)
    figure.savefig(target, dpi=120)


def main() -> None:
    """Print a table a network; write JSON and the plot where they are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["digits_mlp", "digits_dscnn"])
    parser.add_argument("--keywords", type=Path, help="the folder with models/ and data/")
    parser.add_argument("--rows", type=int, default=60, help="clips to judge by")
    parser.add_argument("--most", type=int, default=STEPS[-1], help="most steps of rates")
    parser.add_argument("-o", "--output", type=Path, help="write the lines as JSON")
    parser.add_argument("--plot", type=Path, help="write the plot into this file (.png, .svg)")
    options = parser.parse_args()
    tasks = [digits(FIXTURES / f"{name}.tflite") for name in options.models]
    if options.keywords is not None:
        tasks = [*tasks, keywords(options.keywords, options.rows)]
    found: dict[str, tuple[list[Line], int]] = {}
    for task in tasks:
        with neurovm.convert_tflite(task.model) as model:
            macs, neurons = model.manifest.macs, model.manifest.neurons
        print(f"\n{task.name}: {len(task.codes)} rows, {neurons:,} neurons, {macs:,} weights\n")
        print(COLUMNS, "| --- " * 9 + "|", sep="\n")
        lines = []
        for line in table(task, options.most):
            lines.append(line)
            print(show(line, macs), flush=True)
        found[task.name] = (lines, macs)
    if options.output is not None:
        said = {
            name: {"dense_macs": macs, "lines": [asdict(line) for line in lines]}
            for name, (lines, macs) in found.items()
        }
        options.output.write_text(json.dumps(said, indent=1) + "\n")
    if options.plot is not None:
        plot(found, options.plot)


if __name__ == "__main__":
    main()

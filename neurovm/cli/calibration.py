# SPDX-License-Identifier: Apache-2.0
"""What `build` measures on the calibration samples: answers, agreement, weights, spikes, time."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from neurovm.cli import show
from neurovm.cli.representative import Representative, answers_of, read_rows
from neurovm.cli.typed_rows import quantize
from neurovm.packing import unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.manifest import Calibration, Manifest
    from neurovm.model import Model
    from neurovm.quantization import Quantized

    Codes = NDArray[np.int8]

STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LONGER = 4
"""The table ends with this many times the steps of the manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Means over all rows. `agreement` is the share of rows with the exact network's largest
    element, `accuracy` that of right answers, `gap` the mean difference from the exact codes, `us`
    the CPU time.
    """

    steps: int | None
    agreement: float
    gap: float
    accuracy: float | None
    spikes: float
    sops: float
    us: float


@dataclass(slots=True)
class Calibrated:
    """One line a number of steps; a graded network has a single one."""

    samples: str
    rows: int
    chosen: int | None
    dense_macs: int
    lines: list[Measured] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def show(self) -> None:
        """The table that people read."""
        columns = ["steps", "agreement", "code gap", "accuracy", "spikes", "SOPs", "µs"]
        rows = [
            [
                "exact"
                if m.steps is None
                else f"{'→ ' if m.steps == self.chosen else ''}{m.steps}",
                f"{m.agreement:.1%}",
                round(m.gap, 2),
                "-" if m.accuracy is None else f"{m.accuracy:.1%}",
                round(m.spikes),
                round(m.sops),
                round(m.us),
            ]
            for m in self.lines
        ]
        what = f"{self.samples}: {self.rows} rows, means of one answer"
        click.echo(f"{what}; a dense run applies {self.dense_macs:,} weights")
        show.table(columns, rows)


def run(found: Manifest, model: Model, made: Quantized | None, *, quiet: bool) -> Calibrated:
    """Run the samples of the manifest, on the model and (rate) on its exact form.

    made: the int8 network that was made of a float model.
    """
    wanted = found.vm.calibration
    if wanted is None:
        raise ValueError("the manifest names no calibration")
    samples = read_rows(samples_of(found, wanted), model.inputs, wanted.rows)
    codes = codes_of(samples, model)
    answers = None
    if wanted.answers is not None:
        answers = answers_of(found.file("calibration.answers", wanted.answers), samples)
    chosen = found.vm.steps if model.approximate else None
    result = Calibrated(wanted.samples, len(codes), chosen, model.manifest.macs)
    with show.progress("running the samples", quiet=quiet) as advance:
        for line in sweep(model, _exact(found, model, made), codes, answers, chosen, advance):
            result.lines.append(line)
    return result


def rows_of(found: Manifest, model: Model) -> dict[str, NDArray[Any]] | None:
    """The samples of the manifest as `Model.predict` takes them, by input; None: it names none."""
    wanted = found.vm.calibration
    if wanted is None:
        return None
    return typed(samples_of(found, wanted), model, wanted.rows)


def typed(samples: Path, model: Model, rows: int) -> dict[str, NDArray[Any]]:
    """So many rows of a file or folder as `Model.predict` takes them, by input."""
    found = read_rows(samples, model.inputs, rows)
    return {t.name: quantize(found.rows[t.name], t, model.profile) for t in model.inputs}


def samples_of(found: Manifest, wanted: Calibration) -> Path:
    """The file of the samples, or the folder that holds them."""
    path = found.path(wanted.samples)
    return path if path.is_dir() else found.file("calibration.samples", wanted.samples)


def _exact(found: Manifest, model: Model, made: Quantized | None) -> Model:
    return exact_of(found, made, name=model.name) if model.approximate else model


def exact_of(found: Manifest, made: Quantized | None, *, name: str | None) -> Model:
    """The graded form of the model that the manifest names, or that was quantised of it."""
    import neurovm

    if made is not None:
        from neurovm.convert import convert_quantized

        return convert_quantized(made, profile=found.vm.profile, name=name)
    return neurovm.convert_tflite(found.source(), profile=found.vm.profile, name=name)


def sweep(
    model: Model,
    exact: Model,
    codes: Codes,
    answers: NDArray[np.int64] | None,
    chosen: int | None,
    advance: show.Advance,
) -> list[Measured]:
    """The exact network, then (rate) the model by steps: those of `STEPS` up to 4 × `chosen`."""
    truth, first = measure(exact, codes, None, None, answers)
    lines = [first]
    if chosen is not None:
        limit = max(LONGER * chosen, STEPS[4])
        counts = sorted({n for n in (*STEPS, chosen) if n <= limit})
        for done, steps in enumerate(counts):
            with model.with_steps(steps) as stepped:
                lines.append(measure(stepped, codes, steps, truth, answers)[1])
            advance(done + 1, len(counts))
    return lines


def measure(
    model: Model,
    codes: Codes,
    steps: int | None,
    truth: Codes | None,
    answers: NDArray[np.int64] | None,
) -> tuple[Codes, Measured]:
    """Run all rows through one session; the output codes (n, outputs) and what they took."""
    session = model.session()
    rows = [row.tobytes() for row in codes]
    before = session.counters
    start_ns = time.thread_time_ns()  # what others do on this machine is no part of it
    found = [session.step(row).tobytes() for row in rows]
    spent_ns = time.thread_time_ns() - start_ns
    after = session.counters
    table = np.frombuffer(b"".join(found), np.int8).reshape(len(rows), -1)
    output = np.concatenate(
        [part.astype(np.int16) for part in unpack(model.outputs, table)], axis=1
    )
    truth = output if truth is None else truth
    first = output[:, : model.outputs[0].size]
    best, wanted = first.argmax(axis=1), truth[:, : model.outputs[0].size].argmax(axis=1)
    events = after.events_in + after.events_out - before.events_in - before.events_out
    n = len(rows)
    return output, Measured(
        steps=steps,
        agreement=float((best == wanted).mean()),
        gap=float(np.abs(output.astype(int) - truth.astype(int)).mean()),
        accuracy=None if answers is None else float((best == answers).mean()),
        spikes=events / n,
        sops=(after.sops - before.sops) / n,
        us=spent_ns / 1000 / n,
    )


def codes_of(found: Representative, model: Model) -> Codes:
    """The rows as codes of all inputs, (n, bytes)."""
    parts = [
        quantize(found.rows[info.name], info, model.profile).reshape(-1, info.size)
        for info in model.inputs
    ]
    return _int8(parts, model)


def _int8(parts: list[NDArray[Any]], model: Model) -> Codes:
    """Values of each input's own dtype as codes, side by side."""
    rows = []
    for i in range(len(parts[0])):
        row = b"".join(
            model.quantize(port, np.ascontiguousarray(part[i]).data)
            for port, part in enumerate(parts)
        )
        rows.append(np.frombuffer(row, np.int8))
    return np.stack(rows)

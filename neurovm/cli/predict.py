# SPDX-License-Identifier: Apache-2.0
"""`neurovm predict`: a file of samples in, one answer a row out."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import UNSET

from neurovm.cli import models, options, show
from neurovm.errors import BackendError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from neurovm.cli.samples import Samples
    from neurovm.description import TensorInfo
    from neurovm.model import Model

MANY = 8
"""Tables show the best few of outputs with more elements than this."""
FEW = 3


@click.command()
@click.argument("model", type=options.FILE)
@click.argument("samples", type=options.FILE)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["npy", "npz", "csv", "jsonl", "bin"]),
    help="What SAMPLES holds. [default: by its ending, - by its first bytes]",
)
@click.option(
    "--real",
    is_flag=True,
    help="SAMPLES are real values for a model with integer inputs: quantise them with its scale. "
    "csv and npy output are real values too.",
)
@click.option(
    "--top", type=click.IntRange(min=1), metavar="K", help="Only the K largest elements of a row."
)
@options.output("jsonl", "csv", "npy")
@options.quiet
def predict(
    model: Path,
    samples: Path,
    kind: str | None,
    real: bool,
    top: int | None,
    form: str,
    quiet: bool,
) -> None:
    """Answer every row of SAMPLES (a file, or - for standard input) with MODEL (.nvm or .tflite).

    Rows are independent of each other: a network that keeps state starts each from its initial
    values. A .csv has one sample a line with all its elements in C
    order, a .jsonl one list (or one object of lists by input name) a line, a .npy the shape
    (n, ...), a .bin little-endian rows of the model's own type. A spiking network takes trains: a
    .npy of counts, a .csv of t_us,address, or a recording of events.

    \b
    Examples:
      neurovm predict pump.nvm readings.csv
      neurovm predict kws.nvm mfcc.npy --top 3 -o json
      neurovm predict pump.nvm readings.csv --real -o csv > answers.csv
      tail -n 100 log.jsonl | neurovm predict pump.nvm - -o jsonl
    """
    from neurovm.cli.samples import open_samples

    if form == "npy" and (top is not None or sys.stdout.isatty()):
        raise click.UsageError("-o npy writes whole arrays into a file or pipe, without --top")
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(models.open_model(model, quiet=quiet))
        if opened.timed:
            _trains(opened, samples, kind=kind, real=real, form=form, top=top)
            return
        rows = stack.enter_context(open_samples(samples, opened.inputs, form=kind, real=real))
        answers = _answers(opened, rows, real=real, quiet=quiet)
        if form == "csv":
            _csv(opened, answers, top=top, real=real)
        elif form == "npy":
            _npy(opened, answers, real=real)
        elif form == "jsonl":
            for result in _results(opened, answers, top):
                click.echo(json.dumps(result, ensure_ascii=False))
        else:
            _document(opened, answers, form, top)


def _trains(
    model: Model, path: Path, *, kind: str | None, real: bool, form: str, top: int | None
) -> None:
    """A spiking network takes trains instead of samples."""
    from neurovm.cli import spiking_predict
    from neurovm.spiking_model import SpikingModel

    if not isinstance(model, SpikingModel):
        raise BackendError(f"{model.name} runs in time, but is no spiking network")
    if kind is not None or real or str(path) == "-":
        raise click.UsageError(
            "a spiking network takes trains of spikes from a file: --format, --real and - are for "
            "values"
        )
    spiking_predict.predict(model, path, form=form, top=top)


Answers = Iterator[list["NDArray[np.signedinteger]"]]
"""Batch by batch, the codes (n, size) of every output."""


def _answers(model: Model, rows: Samples, *, real: bool, quiet: bool) -> Answers:
    done = 0
    with show.progress("predicting", quiet=quiet) as advance:
        for batch in rows:
            yield _codes(model, batch, real=real)
            done += len(batch[0])
            advance(done, 0)


def _codes(
    model: Model, batch: list[NDArray[np.generic]], *, real: bool
) -> list[NDArray[np.signedinteger]]:
    from neurovm.cli.typed_rows import quantize

    if real:
        pairs = zip(batch, model.inputs, strict=True)
        batch = [quantize(x, info, model.profile) for x, info in pairs]
    single = len(model.inputs) == 1
    given = {info.name: x for info, x in zip(model.inputs, batch, strict=True)}
    answer = model.predict(batch[0] if single else given)
    found = {model.outputs[0].name: answer} if len(model.outputs) == 1 else answer
    return [_to_codes(found[info.name], info) for info in model.outputs]


def _to_codes(values: NDArray[Any], info: TensorInfo) -> NDArray[np.signedinteger]:
    """Values of an output in its own dtype -> codes (n, size)."""
    import numpy as np

    flat = values.reshape(len(values), info.size)
    if info.values is not UNSET:
        known, first = np.unique(np.array(info.values, values.dtype), return_index=True)
        flat = first[np.searchsorted(known, flat)] - 128
    elif info.dtype == "float32":
        # Exact: the values are (code − zero point) · scale, rounded once.
        flat = np.rint(flat / np.float64(info.scale)) + info.zero_point
    elif info.dtype == "uint8":
        flat = flat.astype(np.int16) - 128
    return np.asarray(flat).astype(np.int16 if info.wide else np.int8)


def _real(codes: NDArray[np.signedinteger], info: TensorInfo) -> NDArray[np.float32]:
    import numpy as np

    if info.values is not UNSET:
        return np.array(info.values, np.float32)[codes.astype(np.int16) + 128]
    shifted = codes.astype(np.float32) - np.float32(info.zero_point)
    return np.asarray(shifted * np.float32(info.scale), np.float32)


def _own(codes: NDArray[np.signedinteger], info: TensorInfo, *, real: bool) -> NDArray[np.generic]:
    """What csv and npy write: the source's own dtype, or real values."""
    import numpy as np

    if real or info.dtype == "float32":
        return _real(codes, info)
    if info.values is not UNSET:
        return np.array(info.values, info.dtype)[codes.astype(np.int16) + 128]
    return (
        codes
        if info.dtype in ("int8", "int16")
        else (codes.astype(np.int16) + 128).astype(np.uint8)
    )


def _results(model: Model, answers: Answers, top: int | None) -> Iterator[dict[str, Any]]:
    """One dict a row, as JSON prints it."""
    row = 0
    for batch in answers:
        reals = [_real(c, info) for c, info in zip(batch, model.outputs, strict=True)]
        for i in range(len(batch[0])):
            result: dict[str, Any] = {"row": row}
            if top is not None:
                result["top"] = _best(batch[0][i], reals[0][i], model.outputs[0], top)
            else:
                result["outputs"] = {
                    info.name: {"values": _plain(real[i]), "codes": codes[i].tolist()}
                    for info, codes, real in zip(model.outputs, batch, reals, strict=True)
                }
            yield result
            row += 1


def _best(
    codes: NDArray[np.signedinteger], real: NDArray[np.float32], info: TensorInfo, top: int
) -> list[dict[str, Any]]:
    """The largest codes first; equal ones in the order of their indices."""
    import numpy as np

    order = np.argsort(-codes.astype(np.int32), kind="stable")[:top]
    values = _plain(real[order])
    return [
        {
            "index": int(i),
            "label": info.labels[i] if info.labels else None,
            "value": value,
            "code": int(codes[i]),
        }
        for i, value in zip(order, values, strict=True)
    ]


def _plain(values: NDArray[np.float32]) -> list[float]:
    """float32 as the shortest decimals that mean the same float32."""
    return [float(str(v)) for v in values]


def _document(model: Model, answers: Answers, form: str, top: int | None) -> None:
    if form == "table" and top is None and model.outputs[0].size > MANY:
        top = FEW
    results = list(_results(model, answers, top))
    head = {"model": model.name, "sha256": model.sha256, "profile": model.profile}
    if show.data(form, {**head, "rows": results}):
        return
    if top is None:
        _table_of_values(model, results)
    else:
        _table_of_best(results)


def _table_of_best(results: list[dict[str, Any]]) -> None:
    rows = [
        [r["row"] if place == 0 else "", b["label"] or f"#{b['index']}", b["value"], b["code"]]
        for r in results
        for place, b in enumerate(r["top"])
    ]
    show.table(["row", "class", "value", "code"], rows, left=["class"])


def _table_of_values(model: Model, results: list[dict[str, Any]]) -> None:
    names = [name for info in model.outputs for name in _columns(info)]
    rows = [[r["row"], *(v for o in r["outputs"].values() for v in o["values"])] for r in results]
    show.table(["row", *names], rows)


def _columns(info: TensorInfo) -> list[str]:
    if info.labels:
        return list(info.labels)
    return [info.name] if info.size == 1 else [f"{info.name}[{i}]" for i in range(info.size)]


def _csv(model: Model, answers: Answers, *, top: int | None, real: bool) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")

    def put(cells: list[object]) -> None:
        writer.writerow(cells)
        click.echo(text.getvalue(), nl=False)
        text.seek(0)
        text.truncate()

    if top is not None:
        put(["row", "rank", "index", "label", "value", "code"])
        for result in _results(model, answers, top):
            for rank, best in enumerate(result["top"], 1):
                put([result["row"], rank, *best.values()])
        return
    put([name for info in model.outputs for name in _columns(info)])
    for batch in answers:
        own = [_own(c, i, real=real) for c, i in zip(batch, model.outputs, strict=True)]
        for i in range(len(batch[0])):
            put([cell for values in own for cell in _cells(values[i])])


def _cells(values: NDArray[Any]) -> list[object]:
    return list(_plain(values)) if values.dtype.kind == "f" else values.tolist()


def _npy(model: Model, answers: Answers, *, real: bool) -> None:
    import numpy as np

    if len(model.outputs) != 1:
        raise click.UsageError(f"{model.name} has {len(model.outputs)} outputs; -o json holds them")
    info = model.outputs[0]
    inner = info.shape[1:] if info.shape[:1] == (1,) else info.shape
    blocks = [_own(batch[0], info, real=real).reshape(-1, *inner) for batch in answers]
    dtype = "float32" if real else info.dtype
    whole = np.concatenate(blocks) if blocks else np.empty((0, *inner), dtype)
    # By way of memory: numpy asks a file for its position, which a pipe does not have.
    held = io.BytesIO()
    np.save(held, whole, allow_pickle=False)
    sys.stdout.buffer.write(held.getbuffer())

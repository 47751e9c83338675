# SPDX-License-Identifier: Apache-2.0
"""`neurovm predict` of a spiking network: trains in, what every output sent or came to out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from neurovm.cli import show, trains

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking_model import SpikingModel


def predict(model: SpikingModel, path: Path, *, form: str, top: int | None) -> None:
    """Print the answer to every train of a file."""
    if form == "csv":
        raise click.UsageError("-o csv is for values; a spiking network has -o npy, json and jsonl")
    rows = trains.read(path, model)
    if form == "npy":
        np.save(sys.stdout.buffer, np.stack([_run(model, row)[0] for row in rows]))
        return
    results = [result(model, row, top) for row in rows]
    if form == "jsonl":
        for one in results:
            click.echo(json.dumps(one, ensure_ascii=False))
    elif not show.data(form, {"model": model.name, "rows": results}):
        _print(results)


def _run(model: SpikingModel, row: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    spikes, potentials = model.session().run(row.data, potentials=True, ticks=len(row))
    shape = (len(row), model.n_out)
    return (
        np.frombuffer(spikes, np.int8).reshape(shape),
        np.frombuffer(potentials, np.int32).reshape(shape),
    )


def result(model: SpikingModel, row: NDArray[np.int8], top: int | None) -> dict[str, Any]:
    """Of one train: the spikes of each neuron, of a readout its potentials after the last tick."""
    spikes, potentials = _run(model, row)
    outputs = []
    for info, readout, (scale, offset), sent, v in zip(
        model.outputs,
        model.readouts,
        model.potential_scales,
        trains.by_output(model, spikes),
        trains.by_output(model, potentials),
        strict=True,
    ):
        values: list[float] = sent.astype(np.int64).sum(axis=0).tolist()
        if readout:
            values = (v[-1] * scale + offset).tolist() if len(v) else [offset] * info.size
        order = sorted(range(info.size), key=lambda i, values=values: -values[i])  # type: ignore[misc] # the list of this output
        labels = info.labels
        outputs.append(
            {
                "name": info.name,
                "answer": "potentials" if readout else "spikes",
                "values": values if top is None else None,
                "top": [
                    {"index": i, "label": labels[i] if labels else None, "value": values[i]}
                    for i in order[: top or 1]
                ],
            }
        )
    return {"ticks": len(row), "spikes_in": int(row.astype(np.int64).sum()), "outputs": outputs}


def _print(results: list[dict[str, Any]]) -> None:
    table = []
    for number, one in enumerate(results):
        for output in one["outputs"]:
            best = ", ".join(f"{t['label'] or t['index']}: {t['value']:.6g}" for t in output["top"])
            table.append(
                [number, one["ticks"], one["spikes_in"], output["name"], output["answer"], best]
            )
    columns = ["row", "ticks", "spikes in", "output", "answer", "most"]
    show.table(columns, table, left=["output", "answer", "most"])

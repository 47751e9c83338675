# SPDX-License-Identifier: Apache-2.0
"""`neurovm explain`: what became of every operator of a model, or what hinders its conversion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurovm.cli import models, options, show
from neurovm.errors import ModelError, UnsupportedOperatorError

if TYPE_CHECKING:
    from neurovm.description import LayerInfo, OperatorInfo
    from neurovm.model import Model

FATES = {
    "events": "changes are propagated one by one",
    "table": "a table look-up where the input changed",
    "dense": "the row again when any code of it changed",
    "folded": "computed at conversion, or only another shape",
    "refused": "no exact rule: the model cannot be converted",
}


@click.command()
@click.argument("model", type=options.FILE)
@options.profile
@options.output()
@options.quiet
def explain(model: Path, profile: str, form: str, quiet: bool) -> None:
    """Show what becomes of every operator of MODEL (.tflite or .nvm).

    events: changes are propagated one by one. table: a look-up where the input changed. dense: the
    row again when any code of it changed. folded: gone at conversion. refused: no exact rule; all
    of these are listed with what would be needed, and the exit code is 65.

    \b
    Examples:
      neurovm explain model.tflite
      neurovm explain model.nvm -o json | jq '.operators[] | {index, op, fate}'
    """
    try:
        with models.open_model(model, quiet=quiet, profile=profile) as opened:
            result = facts(opened)
    except ModelError as error:
        if models.is_tflite(model):
            _refused(model, error, form)
        raise
    if not show.data(form, result):
        _print(result)


def facts(model: Model) -> dict[str, Any]:
    """Every operator with its layers, and the sums."""
    manifest = model.manifest
    layers = model.explain()
    return {
        "name": model.name,
        "profile": model.profile,
        "coding": model.coding,
        "operators": [operator(op, layers) for op in manifest.operators],
        "neurons": manifest.neurons,
        "synapses": manifest.synapses,
        "macs": manifest.macs,
        "bytes": sum(layer.bytes for layer in layers),
        "state_bytes": manifest.state_bytes,
        "states": [
            {"layer": layer.index, "name": layer.name, "bytes": layer.state_bytes}
            for layer in layers
            if layer.state_bytes
        ],
        "notes": list(manifest.notes),
    }


def operator(info: OperatorInfo, layers: tuple[LayerInfo, ...]) -> dict[str, Any]:
    """One source operator and the layers it became."""
    own = [layers[i] for i in info.layers]
    last = own[-1] if own else None
    return {
        "index": info.index,
        "op": info.source_op,
        "fate": info.fate,
        "layers": [{"index": x.index, "kind": x.kind, "name": x.name} for x in own],
        "shape": None if last is None else list(last.shape),
        "neurons": sum(x.neurons for x in own if x.kind != "CONST"),
        "synapses": sum(x.synapses for x in own),
        "macs": sum(x.macs for x in own),
        "bytes": sum(x.bytes for x in own),
        "acc_bound": max((x.acc_bound for x in own), default=0),
        "note": info.note,
    }


def _print(result: dict[str, Any]) -> None:
    columns = ["#", "operator", "fate", "layers", "shape", "neurons", "synapses", "MACs", "bytes"]
    rows = [
        [
            op["index"],
            op["op"],
            op["fate"],
            ", ".join(x["kind"] for x in op["layers"] if x["kind"] != "CONST"),
            "" if op["shape"] is None else _without_batch(op["shape"]),
            *(op[key] for key in ("neurons", "synapses", "macs", "bytes")),
        ]
        for op in result["operators"]
    ]
    totals = [result[key] for key in ("neurons", "synapses", "macs", "bytes")]
    rows.append(["", "together", "", "", "", *totals])
    words = ["operator", "fate", "layers", "shape"]
    show.table(columns, rows, left=words, whole=words)
    found = {op["fate"] for op in result["operators"]}
    show.facts([(fate, text) for fate, text in FATES.items() if fate in found])
    for state in result["states"]:
        click.echo(f"state: {state['name']}, {state['bytes']:,} bytes from step to step")
    for note in result["notes"]:
        click.echo(f"note: {note}")


def _without_batch(shape: list[int]) -> tuple[int, ...]:
    return tuple(shape[1:] if shape[:1] == [1] and len(shape) > 1 else shape)


def _refused(path: Path, error: ModelError, form: str) -> None:
    """List every operator with what hinders it; the caller raises the error itself."""
    from neurovm.converters.tflite_survey import survey

    try:
        found = survey(path)
    except ModelError:
        return  # the file is damaged: the error says all there is
    culprit = error.index if isinstance(error, UnsupportedOperatorError) else None
    rows = []
    for op in found:
        needed = op.needed
        if needed is None and op.index == culprit and isinstance(error, UnsupportedOperatorError):
            needed = error.needed
        fate = "refused" if needed else None
        rows.append({"index": op.index, "op": op.name, "fate": fate, "needed": needed})
    result = {"name": path.stem, "error": str(error), "operators": rows}
    if not show.data(form, result):
        shown = [[r["index"], r["op"], r["fate"] or "known", r["needed"] or ""] for r in rows]
        columns = ["#", "operator", "fate", "needed"]
        show.table(columns, shown, left=columns[1:], whole=["operator", "fate"])

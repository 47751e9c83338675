# SPDX-License-Identifier: Apache-2.0
"""`neurovm explain`: what became of every operator of a model, or what hinders its conversion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from neurovm.cli import (
    approx,
    drawing,
    explanation,
    models,
    options,
    show,
    sliding,
    spiking_facts,
)
from neurovm.errors import BackendError, ModelError

FATES = {
    "events": "changes are propagated one by one",
    "table": "a table look-up where the input changed",
    "dense": "the row again when any code of it changed",
    "folded": "computed at conversion, a part of another layer, or only another shape",
    "refused": "no exact rule: the model cannot be converted",
}
FIGURES = {
    "constants": "bytes in the bundle, shared by all sessions",
    "session": "bytes of a session: codes and accumulators; together with events and the like",
    "sums": "what no accumulator can reach in magnitude; up to 2^31 they are int32, above int64",
}


@click.command()
@click.argument("model", type=options.FILE)
@click.option(
    "--plot",
    type=options.FILE,
    metavar="FILE",
    help="Draw the network with these figures: .svg, or .png (pip install neurovm[plot]).",
)
@click.option(
    "--hop",
    type=click.IntRange(1),
    metavar="FRAMES",
    help="Also how a window that moves by so many frames slides over the network.",
)
@click.option(
    "--frames",
    type=click.IntRange(2),
    metavar="N",
    help="Frames of that window, where the model does not say.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 1e9, min_open=True),
    metavar="HZ",
    help="Frames in a second: what each hop costs in one.",
)
@click.option(
    "--costs",
    "with_costs",
    is_flag=True,
    help="Also measure, on this machine, what the ways of every layer take.",
)
@options.profile
@options.output()
@options.quiet
def explain(
    model: Path,
    plot: Path | None,
    hop: int | None,
    frames: int | None,
    rate: float | None,
    with_costs: bool,
    profile: str,
    form: str,
    quiet: bool,
) -> None:
    """Show what becomes of every operator of MODEL (.tflite or .nvm).

    events: changes are propagated one by one. table: a look-up where the input changed. dense: the
    row again when any code of it changed. folded: gone at conversion, or a part of another layer.
    refused: no exact rule; all of these are listed with what would be needed and the nearest
    supported form, and the exit code is 65. The others of such a model are converted one by one, so
    their figures stand there too; "?" follows a refused one, and nothing can be said of it.

    \b
    Examples:
      neurovm explain model.tflite
      neurovm explain model.tflite --plot model.svg
      neurovm explain keywords.tflite --hop 2 --rate 50
      neurovm explain model.nvm --costs
      neurovm explain model.nvm -o json | jq '.operators[] | {index, op, fate}'
    """
    if plot is not None:
        drawing.check(plot)
    try:
        with models.open_model(model, quiet=quiet, profile=profile) as opened:
            spiking = spiking_facts.explanation(opened)
            if spiking is not None:
                _tell_spiking(spiking, form, plot)
                return
            result = explanation.facts(opened)
            if any(given is not None for given in (hop, frames, rate)):
                result["window"] = sliding.facts(opened, hop or 1, frames, rate)
            if with_costs:
                result["costs"] = explanation.costs(opened)
    except ModelError as error:
        if models.is_tflite(model) and (judged := explanation.refused(model, error, profile)):
            _tell(judged, form, plot)
        raise
    _tell(result, form, plot)


_WINDOW = "DENSE, CONV and DWCONV take spikes one by one, other layers the codes after the window"
CODINGS = {
    "unit": "a change is sent as spikes of +1 and -1, a sweep each, until the network rests",
    "bitplane": f"a change is sent as the bits that differ, 8 phases a layer; {_WINDOW}",
    "ttfs": f"a change is sent as one spike, 256 ticks a layer; {_WINDOW}",
    "rate": "layers before the head send spikes of +1 and -1 in time steps; approximate",
}
"""What is said of codings other than graded."""


def _tell(result: dict[str, Any], form: str, plot: Path | None) -> None:
    if plot is not None:
        from neurovm.cli import network_picture

        network_picture.write(result, plot)
    if not show.data(form, result):
        _print(result)


def _tell_spiking(result: dict[str, Any], form: str, plot: Path | None) -> None:
    if plot is not None:
        raise BackendError(
            f"{result['name']} is a network of spiking neurons: explain draws operators; "
            f"`neurovm plot` draws a run of it"
        )
    if not show.data(form, result):
        spiking_facts.print_tables(result)
        for note in result["notes"]:
            click.echo(f"note: {note}")


def _print(result: dict[str, Any]) -> None:
    operators = result["operators"]
    rows = [_row(op) for op in operators]
    rows.append(["", "together", "", "", "", *(result[key] for key in explanation.SUMS), ""])
    figures = ["neurons", "synapses", "MACs", "constants", "session", "sums"]
    words = ["operator", "fate", "layers", "shape"]
    show.table(["#", *words, *figures], rows, left=words, whole=words)
    found = {op["fate"] for op in operators}
    show.facts([(fate, text) for fate, text in FATES.items() if fate in found])
    show.facts([(what, text) for what, text in FIGURES.items() if what in figures])
    for (name, needed, nearest), at in _grouped(operators, "needed").items():
        click.echo(f"{name} ({_numbered(at)}), needed: {needed}")
        click.echo(f"    nearest supported: {nearest}")
    for (name, note, _), at in _grouped(operators, "note").items():
        click.echo(f"{name} ({_numbered(at)}): {note}")
    if result.get("here"):
        click.echo(HERE.format(**result["here"], constants=result["bytes"]))
    for state in result["states"]:
        click.echo(f"state: {state['name']}, {state['bytes']:,} bytes from step to step")
    if result["coding"] in CODINGS:
        click.echo(f"coding {result['coding']}: {CODINGS[result['coding']]}")
    for note in result["notes"]:
        click.echo(f"note: {note}")
    _print_costs(result.get("costs", ()))
    approx.print_table(result["quantized_from"])
    if "window" in result:
        sliding.print_tables(result["window"])


HERE = (
    "memory here: a program {constants:,} bytes of constants and {packed:,} of packed weights, "
    "once for all sessions and processes; a session {session:,}, of way dense "
    "{dense_session:,}; predict {predict:,}"
)


COSTS = {
    "full": "ns of a full run of the layer; kept: of one after which events can follow",
    "one": "ns of one changed input code, by events",
    "from": "changed input codes, anywhere, from which on a full run is the cheaper; -: never",
}


def _print_costs(costs: Sequence[Mapping[str, Any]]) -> None:
    if not costs:
        return
    rows = [
        [
            cost["layer"],
            cost["kind"],
            *(f"{cost[key]:.0f}" for key in ("full_ns", "keep_ns", "one_ns")),
            f"{cost['even']:.0f}" if cost["even"] else "-",
            "measured" if cost["measured"] else "estimated",
        ]
        for cost in costs
    ]
    columns = ["layer", "kind", "full", "kept", "one", "from", ""]
    show.table(columns, rows, left=["kind", ""], whole=["kind", ""])
    show.facts(list(COSTS.items()))


def _grouped(operators: list[dict[str, Any]], what: str) -> dict[tuple[str, str, str], list[int]]:
    """The numbers of the operators of which the same is to be said."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for op in operators:
        if op[what]:
            groups.setdefault((op["op"], op[what], op["nearest"]), []).append(op["index"])
    return groups


def _numbered(at: list[int]) -> str:
    listed = ", ".join(map(str, at[:12]))
    return f"operator{'s' if len(at) > 1 else ''} {listed}{', …' if len(at) > 12 else ''}"


def _row(op: dict[str, Any]) -> list[object]:
    kinds = ", ".join(x["kind"] for x in op["layers"] if x["kind"] != "CONST")
    shape = "" if op["shape"] is None else _without_batch(op["shape"])
    bound = op["acc_bound"] or None
    sums = "" if bound is None else f"2^{bound.bit_length()}"
    return [
        op["index"],
        op["op"],
        op["fate"] or "?",
        kinds,
        shape,
        *(op[key] for key in explanation.SUMS),
        sums,
    ]


def _without_batch(shape: list[int]) -> tuple[int, ...]:
    return tuple(shape[1:] if shape[:1] == [1] and len(shape) > 1 else shape)

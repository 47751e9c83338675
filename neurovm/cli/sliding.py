# SPDX-License-Identifier: Apache-2.0
"""What `neurovm explain --hop` shows: how a window slides over a network, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from neurovm.cli import show
from neurovm.windows import Window

if TYPE_CHECKING:
    from neurovm.model import Model

MOST_HOPS = 16
"""Rows of the table of hops."""
WHY = {
    "const": "never changes",
    "after": "after time has ended",
    "spanned": "spans all of time: run densely",
    "flattened": "each row has weights of its own: run densely",
    "attention": "every row reads all rows: run densely",
    "strides": "its inputs have other strides: run densely",
    "rational": "a row stands for a part of a frame: run densely",
    "inner": "time is not its outermost axis: run densely",
    "place": "its constants differ from row to row: run densely",
    "gathered": "moves codes in another way in each row: run densely",
    "cones": "every row sees the padding: run densely",
}
FIGURES = {
    "step": "frames from one row to the next",
    "clean": "rows that see no padding: they only move on as the window does",
    "dirty": "rows computed in each hop",
    "copies": "windows kept side by side, where the hop is no multiple of the step",
    "bytes": "codes held in a stream",
}


def facts(model: Model, hop: int, size: int | None, rate_hz: float | None = None) -> dict[str, Any]:
    """The plan of one window, and the cost of other hops, with the rate of frames also in a second;
    errors as for `Model.plan`.
    """
    plan = model.plan(Window(hop=hop, size=size))
    hops = [
        model.plan(Window(hop=h, size=plan.size))
        for h in range(1, min(2 * plan.step, MOST_HOPS, plan.size - 1) + 1)
    ]
    layers = zip(model.explain(), plan.flows, strict=True)
    return {
        "frames": plan.size,
        "frame": plan.frame,
        "hop": plan.hop,
        "refusal": plan.refusal,
        "macs": plan.macs,
        "dense_macs": plan.dense_macs,
        "uncut_macs": plan.uncut_macs,
        "state_bytes": plan.state_bytes,
        "session_bytes": plan.session_bytes,
        "layers": [
            {"index": layer.index, "op": layer.op, "source_op": layer.source_op, **flow._asdict()}
            for layer, flow in layers
        ],
        "hops": [
            {"hop": p.hop, "share": p.share, "per_frame": p.share / p.hop,
             "macs_per_s": None if rate_hz is None else p.macs * rate_hz / p.hop,
             "session_bytes": p.session_bytes, "refusal": p.refusal}
            for p in hops
        ],
        "rate_hz": rate_hz,
    }  # fmt: skip


def print_tables(result: dict[str, Any]) -> None:
    """The window below the table of operators."""
    share = result["macs"] / max(result["dense_macs"], 1)
    click.echo(
        f"\nwindow of {result['frames']} frames of {result['frame']} codes, hop {result['hop']}: "
        f"{share:.3f} of the weights of a full run"
    )
    if result["refusal"]:
        click.echo(f"sliding gains nothing here: {result['refusal']}")
    words = ["operator", "clean"]
    show.table(
        ["#", "operator", "step", "clean", "dirty", "rows", "copies", "MACs", "bytes"],
        [_row(layer) for layer in result["layers"] if layer["why"] != "const"],
        left=words,
        whole=words,
    )
    show.facts(list(FIGURES.items()))
    if len(result["hops"]) > 1:
        _print_hops(result)
    kept, whole = result["state_bytes"], result["session_bytes"]
    click.echo(f"a stream keeps {kept:,} bytes of codes and takes {whole:,} in all")
    uncut = result["uncut_macs"] / max(result["dense_macs"], 1)
    if uncut < 0.8 * share:
        click.echo(
            f"padding along time is recomputed in every hop: trained with causal or VALID padding "
            f"along time this network would take {uncut:.3f} of a full run instead of {share:.3f}"
        )


def _print_hops(result: dict[str, Any]) -> None:
    """What other hops cost, a frame and a second."""
    heads = ["hop", "full runs a hop", "full runs a frame", "session bytes"]
    rows: list[list[object]] = [
        [h["hop"], f"{h['share']:.3f}", f"{h['per_frame']:.3f}", h["session_bytes"]]
        for h in result["hops"]
    ]
    if result["rate_hz"] is not None:
        heads += ["hops/s", "M weights/s"]
        for row, h in zip(rows, result["hops"], strict=True):
            row += [f"{result['rate_hz'] / h['hop']:.4g}", f"{h['macs_per_s'] / 1e6:.3g}"]
    show.table(heads, rows)


def _row(layer: dict[str, Any]) -> list[object]:
    name = f"{layer['op']}"
    if layer["why"] != "runs":
        return [layer["index"], name, "", WHY[layer["why"]], "", "", "", layer["macs"],
                layer["bytes"]]  # fmt: skip
    clean = f"{layer['first']} to {layer['end']}" + ("" if layer["is_kept"] else ", not kept")
    return [
        layer["index"], name, layer["step"], clean, layer["dirty"], layer["rows"],
        layer["copies"], layer["macs"], layer["bytes"],
    ]  # fmt: skip

# SPDX-License-Identifier: Apache-2.0
"""What `inspect` and `explain` show of a network of spiking neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from msgspec import UNSET, to_builtins

from neurovm.cli import show

if TYPE_CHECKING:
    from neurovm.model import Model

WORDS = ["population", "neuron", "kernel", "shape", "role"]
FIGURES = {
    "unit": "real value of one step of v",
    "threshold": "the least v that fires, in steps",
    "headroom": "bits from threshold and one tick's full drive up to where v saturates; "
    "* where it cannot, however the sources fire",
    "SNR": "10 log10 of the weights' power and that of their rounding",
}


def facts(model: Model) -> dict[str, Any] | None:
    """The spiking part of the manifest as plain data; None for other models."""
    spiking = model.manifest.spiking
    if spiking is UNSET:
        return None
    found: dict[str, Any] = to_builtins(spiking)
    return {"name": model.name, **found}


def explanation(model: Model) -> dict[str, Any] | None:
    """What `explain` prints of it; None for other models."""
    found = facts(model)
    if found is None:
        return None
    manifest = model.manifest
    return {
        **found,
        "neurons": manifest.neurons,
        "synapses": manifest.synapses,
        "session_bytes": manifest.limits.session_bytes,
        "notes": list(manifest.notes),
    }


def print_tables(found: dict[str, Any] | None) -> None:
    """Populations, then projections; nothing for None."""
    if found is None:
        return
    populations = found["populations"]
    figures = ["neurons", "unit", "threshold", "headroom"]
    show.table([*WORDS, *figures], [_population(p) for p in populations], left=WORDS, whole=WORDS)
    names = [p["name"] for p in populations]
    words = ["from", "to", "stored"]
    show.table(
        [*words, "weights", "delay, ticks", "bits", "unit", "largest error", "SNR"],
        [_projection(e, names) for e in found["projections"]],
        left=words,
        whole=words,
    )
    show.facts(list(FIGURES.items()))
    click.echo(f"a tick: {found['dt_us']:g} µs; numerics: {found['numerics']}")


def _population(p: dict[str, Any]) -> list[object]:
    size = 1
    for extent in p["shape"]:
        size *= extent
    headroom = p["headroom_bits"]
    role = "input" if p["kind"] == "input" else "output" if p["output"] else ""
    return [
        p["name"],
        p["neuron"],
        p["kind"],
        tuple(p["shape"]),
        role if p["fires"] or role == "input" else f"{role} readout".strip(),
        size,
        "" if p["kind"] == "input" else f"{p['scale']:.3g}",
        "" if p["threshold"] is None else p["threshold"],
        "" if headroom is None else f"{headroom}{'*' if p['bounded'] else ''}",
    ]


def _projection(e: dict[str, Any], names: list[str]) -> list[object]:
    exact = e["snr_db"] is None
    return [
        names[e["source"]],
        names[e["target"]],
        e["stored"],
        e["weights"],
        e["delay"],
        e["bits"],
        f"{e['unit']:.3g}",
        "exact" if exact else f"{e['max_error']:.2g}",
        "" if exact else f"{e['snr_db']:.1f} dB",
    ]

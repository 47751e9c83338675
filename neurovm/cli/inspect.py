# SPDX-License-Identifier: Apache-2.0
"""`neurovm inspect`: what a model takes, gives and is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurovm import certificate
from neurovm.cli import approx, models, options, show, spiking_facts

if TYPE_CHECKING:
    from neurovm.description import TensorInfo
    from neurovm.model import Model


@click.command()
@click.argument("model", type=options.FILE)
@options.output()
@options.quiet
def inspect(model: Path, form: str, quiet: bool) -> None:
    """Show what a .nvm bundle (or a .tflite) takes and gives, its sizes and its proofs.

    A bundle is checked as it is when it is deployed: every byte against its sha256, and the golden
    vectors replayed. A .tflite is converted in memory; nothing is written.

    \b
    Examples:
      neurovm inspect model.nvm
      neurovm inspect model.tflite -o json
      neurovm inspect model.nvm -o json | jq .inputs[0].scale
    """
    with models.open_model(model, quiet=quiet) as opened:
        result = facts(opened, model)
    if not show.data(form, result):
        _print(result)


def facts(model: Model, path: Path) -> dict[str, Any]:
    """Everything `inspect` shows, as plain data."""
    manifest = model.manifest
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "converted": not models.is_tflite(path),
        "name": manifest.name,
        "sha256": model.sha256,
        "format": manifest.format,
        "generator": manifest.generator,
        "profile": manifest.profile,
        "coding": manifest.coding,
        "neuron": manifest.neuron,
        "source": {
            "format": manifest.source.format,
            "name": manifest.source.name,
            "bytes": manifest.source.bytes,
            "sha256": manifest.source.sha256,
        },
        "inputs": [tensor(info) for info in manifest.inputs],
        "outputs": [tensor(info) for info in manifest.outputs],
        "layers": len(manifest.layers),
        "neurons": manifest.neurons,
        "synapses": manifest.synapses,
        "macs": manifest.macs,
        "constant_bytes": len(model.content.arena)
        if model.timed
        else sum(layer.bytes for layer in manifest.layers),
        "session_bytes": manifest.limits.session_bytes,
        "scratch_bytes": manifest.limits.scratch_bytes,
        "state_bytes": manifest.state_bytes,
        "golden": len(manifest.golden),
        "approx": model.approximate,
        "certificate": manifest.certificate,
        "verdict": certificate.told(manifest),
        "quantized_from": approx.as_dict(manifest.approx),
        "spiking": spiking_facts.facts(model),
        "notes": list(manifest.notes),
    }


def tensor(info: TensorInfo) -> dict[str, Any]:
    """One input or output as plain data, with the real values its codes reach."""
    return {
        "name": info.name,
        "shape": list(info.shape),
        "dtype": info.dtype,
        "scale": info.scale,
        "zero_point": info.zero_point,
        "lowest": (-128 - info.zero_point) * info.scale,
        "highest": (127 - info.zero_point) * info.scale,
        "labels": None if info.labels is None else list(info.labels),
    }


def _print(result: dict[str, Any]) -> None:
    source = result["source"]
    show.facts(
        [
            ("name", result["name"]),
            ("file", f"{result['file']} ({result['bytes']:,} bytes)"),
            ("sha256", result["sha256"]),
            ("source", f"{source['name']} ({source['bytes']:,} bytes, {source['format']})"),
            ("source sha256", source["sha256"]),
            ("made by", result["generator"] if result["converted"] else "not converted yet"),
            ("profile", result["profile"]),
            ("neurons", f"{result['neurons']:,} ({result['neuron']}, {_sent(result)})"),
            ("synapses", result["synapses"]),
            ("MACs, dense", result["macs"]),
            ("constants", f"{result['constant_bytes']:,} bytes, shared by all sessions"),
            ("a session", f"{result['session_bytes']:,} bytes{_state(result['state_bytes'])}"),
            ("golden vectors", f"{result['golden']}, replayed: equal"),
            ("certificate", _certificate(result)),
            *(("note", note) for note in result["notes"]),
        ]
    )
    show.table(
        ["", "tensor", "shape", "type", "scale", "zero point", "from", "to", "labels"],
        [_row("in", t) for t in result["inputs"]] + [_row("out", t) for t in result["outputs"]],
        left=["", "tensor", "shape", "type", "labels"],
    )
    approx.print_table(result["quantized_from"])
    spiking_facts.print_tables(result["spiking"])


def _sent(result: dict[str, Any]) -> str:
    return "spikes in time" if result["spiking"] else f"{result['coding']} spikes"


def _certificate(result: dict[str, Any]) -> str:
    if result["spiking"]:
        return "none: its golden trains are those of the integer model it is"
    return "none, as it approximates" if result["approx"] else _verdict(result["verdict"])


def _state(state_bytes: int) -> str:
    return f", {state_bytes:,} of them carried from step to step" if state_bytes else ""


def _verdict(verdict: str) -> str:
    return f"none ({certificate.NEEDED})" if verdict == "none" else verdict


def _row(way: str, info: dict[str, Any]) -> list[object]:
    labels = info["labels"]
    return [
        way,
        info["name"],
        tuple(info["shape"]),
        info["dtype"],
        info["scale"],
        info["zero_point"],
        info["lowest"],
        info["highest"],
        ", ".join(labels) if labels else "",
    ]

# SPDX-License-Identifier: Apache-2.0
"""What became of every operator of a model, as plain data: for tables, JSON and pictures.

A model that is refused has the same form: its operators are judged one by one, so that all
refusals stand there at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovm.cli import approx
from neurovm.errors import ModelError, UnsupportedOperatorError

if TYPE_CHECKING:
    from neurovm.description import LayerInfo, OperatorInfo
    from neurovm.model import Model
    from neurovm.survey import Surveyed

SUMS = ("neurons", "synapses", "macs", "bytes", "session_bytes")


def facts(model: Model) -> dict[str, Any]:
    """Every operator with its layers, and the sums.

    `reads` of an operator are those whose layers feed it, by place in the list, −1 − k for the
    network's input k. `session_bytes` are codes and accumulators of a session; the rest of what
    one takes (events, book-keeping) is shared by its layers; `here` is what this machine's
    instruction set takes in all. `state_bytes` are carried from one
    step to the next beside the inputs.
    """
    manifest, layers = model.manifest, model.explain()
    held = _session_bytes(model)
    operators = [operator(info, layers, held) for info in manifest.operators]
    feeds, outputs = _reads(model)
    for made, reads in zip(operators, feeds, strict=True):
        made["reads"] = reads
    inputs = [layer for layer in layers if layer.kind == "INPUT"]
    return {
        "name": model.name,
        "profile": model.profile,
        "coding": model.coding,
        "inputs": [port(info) for info in model.inputs],
        "operators": operators,
        "outputs": [
            {**port(info), "reads": reads}
            for info, reads in zip(model.outputs, outputs, strict=True)
        ],
        "neurons": manifest.neurons,
        "synapses": manifest.synapses,
        "macs": manifest.macs,
        "bytes": sum(layer.bytes for layer in layers),
        "session_bytes": manifest.limits.session_bytes,
        "here": _here(model),
        "input_bytes": sum(held[layer.index] for layer in inputs),
        "state_bytes": manifest.state_bytes,
        "states": [
            {"layer": layer.index, "name": layer.name, "bytes": layer.state_bytes}
            for layer in layers
            if layer.state_bytes
        ],
        "quantized_from": approx.as_dict(manifest.approx),
        "notes": list(manifest.notes),
    }


def _here(model: Model) -> dict[str, int]:
    """Bytes with this machine's instruction set: of the packed weights, a session, `predict`."""
    memory = model.memory()
    return {} if memory is None else memory._asdict()


CALIBRATION_S = 0.2
"""How long `costs` measures at most, about."""


def costs(model: Model) -> list[dict[str, Any]]:
    """What the choice of every layer that has one goes by on this machine, measured now."""
    model.calibrate(CALIBRATION_S)
    return [
        {"layer": layer.index, "kind": layer.kind, **cost._asdict()}
        for layer, cost in zip(model.explain(), model.costs(), strict=False)
        if cost.full_ns > 0
    ]


def port(info: Any) -> dict[str, Any]:
    """One input or output, for pictures."""
    return {"name": info.name, "shape": list(info.shape), "dtype": info.dtype}


def operator(
    info: OperatorInfo, layers: Sequence[LayerInfo], held: Sequence[int]
) -> dict[str, Any]:
    """One source operator and the layers it became; `held`: bytes of a session by layer."""
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
        "session_bytes": sum(held[x.index] for x in own),
        "state_bytes": sum(x.state_bytes or 0 for x in own),
        "acc_bound": max((x.acc_bound for x in own), default=0),
        "note": info.note,
        "needed": None,
        "nearest": None,
        "reads": [],
    }


def refused(path: Path, error: ModelError, profile: str) -> dict[str, Any] | None:
    """The same for a model that is refused; None where the file itself is damaged.

    Figures are those of the operators that are not refused, each converted by itself.
    """
    from neurovm.survey import survey

    try:
        found = survey(path.name, path.read_bytes(), profile)
    except ModelError:
        return None
    last = {id(one.model): one.index for one in found}
    makers = {tensor: place for place, one in enumerate(found) for tensor in one.makes}
    operators = [_judged(one, makers, figures=last[id(one.model)] == one.index) for one in found]
    _name_culprit(operators, error)
    return {
        "name": path.stem,
        "profile": profile,
        "coding": "graded",
        "error": str(error),
        "inputs": [],
        "operators": operators,
        "outputs": [],
        **{what: sum(op[what] for op in operators) for what in SUMS},
        "input_bytes": 0,
        "state_bytes": sum(op["state_bytes"] for op in operators),
        "states": [],
        "quantized_from": None,
        "notes": [],
    }


def _name_culprit(operators: list[dict[str, Any]], error: ModelError) -> None:
    """What is refused in the whole only stands at the operator that the error names."""
    if not isinstance(error, UnsupportedOperatorError):
        return
    for op in operators:
        if op["index"] == error.index and op["needed"] is None:
            op.update(fate="refused", needed=error.needed, nearest=error.nearest)


def _judged(one: Surveyed, makers: Mapping[int, int], *, figures: bool) -> dict[str, Any]:
    """One operator; of those that are one network together the last has the `figures`.

    makers: the place in the list of what makes each tensor.
    """
    made = {
        "index": one.index,
        "op": one.name,
        "fate": "refused" if one.needed else None if one.follows else "folded",
        "layers": [],
        "shape": None if one.shape is None else list(one.shape),
        **dict.fromkeys(SUMS, 0),
        "state_bytes": 0,
        "acc_bound": 0,
        "note": "follows a refused operator" if one.follows else "",
    }
    if one.model is not None and not figures:
        made["note"] = "one table with the operators it passes values on to"
    if one.model is not None and figures:
        whole = facts(one.model)
        if whole["operators"]:
            made = {**whole["operators"][-1], "index": one.index}
            made |= {what: sum(op[what] for op in whole["operators"]) for what in SUMS}
        made["shape"] = None if one.shape is None else list(one.shape)
    reads = sorted({makers[i] for i in one.reads if i in makers})
    return {**made, "needed": one.needed, "nearest": one.nearest, "reads": reads}


def _session_bytes(model: Model) -> list[int]:
    """Bytes that each layer keeps in a session: its codes, its accumulators, wanted inputs."""
    session = model.session()
    held = []
    for layer in model.explain():
        state = session.layer(layer.index)
        codes, sums = state.codes.nbytes, state.accumulators
        twice = 2 if layer.kind == "INPUT" else 1
        held.append(twice * codes + (0 if sums is None else sums.nbytes))
    return held


def _reads(model: Model) -> tuple[list[list[int]], list[list[int]]]:
    """For each operator, and for each output, the operators whose layers feed it."""
    from neurovm.excerpt import ports, reads

    manifest = model.manifest
    inputs = [layer.index for layer in manifest.layers if layer.kind == "INPUT"]
    owner = {layer: -1 - k for k, layer in enumerate(inputs)}
    for place, info in enumerate(manifest.operators):
        owner.update(dict.fromkeys(info.layers, place))
    sources = reads(model.content)
    feeds = []
    for place, info in enumerate(manifest.operators):
        read = {owner[i] for layer in info.layers for i in sources[layer] if i in owner}
        feeds.append(sorted(read - {place}))
    return feeds, [[owner[i]] if i in owner else [] for i in ports(model.content)]

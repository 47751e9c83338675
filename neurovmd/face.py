# SPDX-License-Identifier: Apache-2.0
"""What the results of a VM show: told by its worker, which has the model, to the supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from neurovmd.outlets import Entity
from neurovmd.schema import Vm

if TYPE_CHECKING:
    from neurovm import Model

# So many numbers of a result are shown by themselves; of more none.
MOST_NUMBERS = 8
# Of a pipe's PIPE_BUF (4096 bytes), in which a line is written whole or not at all.
MOST_LABEL_BYTES = 3000


class Face(Struct, frozen=True):
    """A result says the best of several outputs (`best`), all values (`values`), or what nothing is
    known to show of; `size` outputs, with `labels` where the model has them and they are not long.
    `model`: the beginning of its sha256, as results name it.
    """

    kind: Literal["best", "spikes", "values", "other"] = "other"
    size: int = 0
    labels: tuple[str, ...] = ()
    model: str = ""


def of(vm: Vm, model: Model) -> Face:
    """The face of a VM on its model."""
    if vm.output.steps:
        return Face()  # its file says what to show
    form, first = vm.output.form, model.outputs[0]
    labels = tuple(label.strip() for label in first.labels or ())
    name = model.sha256[:12]
    if sum(len(label.encode()) + 16 for label in labels) > MOST_LABEL_BYTES:
        labels = ()
    if form.top_k is not None:
        return Face("spikes" if model.timed else "best", first.size, labels, name)
    if form.values in ("real", "codes") and len(model.outputs) == 1:
        return Face("values", first.size, labels, name)
    return Face(model=name)


def entities(face: Face) -> list[Entity]:
    """What to show of such results where the VM's file does not say."""
    if face.kind in ("best", "spikes") and face.size > 1:
        labels = list(dict.fromkeys(label[:64] for label in face.labels if label))
        named = len(labels) == len(face.labels) > 0
        best = Entity(
            name="class",
            value="top[0].label" if named else "top[0].index",
            device_class="enum" if named else None,
            options=labels if named else None,
        )
        return [best, _number("score", "top[0].value")]
    if face.kind == "best":
        return [_number("value", "top[0].value")]
    if face.kind == "values" and face.size == 1:
        return [_number("value", "values[0]")]
    if face.kind == "values" and face.size <= MOST_NUMBERS:
        names = _names(face)
        return [_number(name, f"values[{at}]") for at, name in enumerate(names)]
    return []


def _names(face: Face) -> list[str]:
    labels = [label[:64] for label in face.labels]
    distinct = len(set(labels)) == len(labels) == face.size and all(labels)
    return labels if distinct else [f"value {at}" for at in range(face.size)]


def _number(name: str, path: str) -> Entity:
    return Entity(name=name, value=path, state_class="measurement")

# SPDX-License-Identifier: Apache-2.0
"""What the results of a VM show: told by its worker, which has the model, to the supervisor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from neurovm.steps import TensorsForm
from neurovm.steps.anomaly import Anomaly
from neurovm.steps.chain import Plan
from neurovm.steps.forms import (
    ClassForm,
    FlagsForm,
    KeywordForm,
    RankingForm,
    ValueForm,
    VectorForm,
)
from neurovmd.outlets import Entity
from neurovmd.schema import Form, Vm

if TYPE_CHECKING:
    from neurovm import Model
    from neurovm.description import TensorInfo

# So many numbers or flags of a result are shown by themselves; of more none.
MOST_SHOWN = 8
# Of a pipe's PIPE_BUF (4096 bytes), in which a line is written whole or not at all.
MOST_BYTES = 3800
MOST_NAME = 64
MOST_OPTIONS = 256
Labels = Sequence[str] | None


class Face(Struct, frozen=True):
    """`model`: the beginning of its sha256, as results name it. `entities`: what results show, as
    far as that is known and not too long to tell.
    """

    model: str = ""
    entities: list[Entity] = []


def of(vm: Vm, model: Model) -> Face:
    """The face of a VM on its model."""
    found = _of_steps(vm, model) if vm.output.steps else _of_form(vm.output.form, model)
    plain = [msgspec.structs.replace(each, options=None, device_class=None) for each in found]
    for entities in (found, plain if any(each.options for each in found) else [], []):
        face = Face(model.sha256[:12], entities)
        if len(msgspec.json.encode(face)) <= MOST_BYTES:
            break
    return face


def _of_form(form: Form, model: Model) -> list[Entity]:
    first = model.outputs[0]
    if form.top_k is not None:
        best = first.size > 1 or model.timed
        return _best(_labels(first)) if best else [_number("value", "top[0].value")]
    if form.values in ("real", "codes") and len(model.outputs) == 1 and not model.timed:
        return _values(first.size, _labels(first))
    return []


def _labels(info: TensorInfo) -> Labels:
    return None if info.labels is None else [label.strip() for label in info.labels]


def _of_steps(vm: Vm, model: Model) -> list[Entity]:
    """By the form of what the last step gives."""
    steps = vm.output.steps
    form = Plan(steps, TensorsForm(outputs=model.outputs, inputs=model.inputs)).form
    odd = any(isinstance(step, Anomaly) for step in steps)
    if isinstance(form, FlagsForm):
        return _flags(form, "problem" if odd else None)
    if isinstance(form, VectorForm):
        return _vector(form, vm.output.form)
    return _class(form)


def _vector(form: VectorForm, wanted: Form) -> list[Entity]:
    if form.size == 1:
        return [_number("value", "value", form.unit)]
    if wanted.top_k is not None:
        return _best(form.labels, form.unit)
    return _values(form.size, form.labels, form.unit)


def _class(form: ValueForm) -> list[Entity]:
    if isinstance(form, RankingForm):
        return _best(form.labels)
    if isinstance(form, KeywordForm):
        return [_choice("keyword", "keyword", form.labels), _number("score", "score")]
    if isinstance(form, ClassForm):
        score = [_number("score", "score")] if form.shows_score else []
        return [_choice("class", "class", form.labels), *score]
    return []


def _flags(form: FlagsForm, device_class: str | None) -> list[Entity]:
    """One that is on or off, or which of several are."""
    if form.size == 1:
        return [
            Entity(name="active", value="active", kind="binary_sensor", device_class=device_class)
        ]
    if form.size > MOST_SHOWN:
        return []
    names = _names(form.size, form.labels)
    return [
        Entity(
            name=name,
            value="active",
            kind="binary_sensor",
            device_class=device_class,
            holds=form.called(at),
        )
        for at, name in enumerate(names)
    ]


def _best(labels: Labels, unit: str | None = None) -> list[Entity]:
    """The best of several, and its score."""
    return [_choice("class", "top[0]", labels), _number("score", "top[0].value", unit)]


def _choice(name: str, path: str, labels: Labels) -> Entity:
    """One of several: its label where every one has its own, else its number."""
    options = [label[:MOST_NAME] for label in labels or ()]
    if not options or not all(options) or len(options) > MOST_OPTIONS:
        key = "label" if options and all(options) else "index"
        return Entity(name=name, value=f"{path}.{key}")
    return Entity(
        name=name,
        value=f"{path}.label",
        device_class="enum",
        options=list(dict.fromkeys(options)),
    )


def _values(size: int, labels: Labels, unit: str | None = None) -> list[Entity]:
    if size > MOST_SHOWN:
        return []
    names = ["value"] if size == 1 else _names(size, labels)
    return [_number(name, f"values[{at}]", unit) for at, name in enumerate(names)]


def _names(size: int, labels: Labels) -> list[str]:
    names = [label[:MOST_NAME] for label in labels or ()]
    distinct = len(set(names)) == len(names) == size and all(names)
    return names if distinct else [f"value {at}" for at in range(size)]


def _number(name: str, path: str, unit: str | None = None) -> Entity:
    return Entity(name=name, value=path, unit=unit, state_class="measurement")

# SPDX-License-Identifier: Apache-2.0
"""Every operator of a model that is refused, each judged by itself: all refusals at once.

Reading stops at the first refusal. Here each operator becomes a network of its own, between inputs
of its shapes, and is converted: it is refused with what is needed and the nearest supported form,
or its layers are known, as they would be in the whole. Operators between which there are values
that are no codes (DEQUANTIZE → … → QUANTIZE) are tried together first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite_survey
from neurovm.converters.tflite_parts import Part, Parts, parts
from neurovm.errors import ModelError, NeurovmError, UnsupportedOperatorError
from neurovm.graph import Graph, Source, Tensor
from neurovm.model import Model
from neurovm.nearest import QUANTIZED, nearest_form
from neurovm.passes import fix_batch, prepare, resolve
from neurovm.program import compile_graph

MOST_CONVERTED = 1000
"""Operators that are converted by themselves: so the time of an answer stays bounded."""

_CODES = frozenset({"int8", "uint8", "int16"})
_FROM_DATA = frozenset({"int8", "uint8", "int16", "float32"})
"""Element types of values; the others are shapes, indices and masks."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surveyed:
    """One operator: what is `needed` and the `nearest` form, or the `model` it is by itself.

    Operators that pass on values which are no codes share the model that they are together.
    Neither: it only handles shapes or state, or `follows` a refused one on numbers that are no
    codes, so that nothing can be said of it. `reads` and `makes` are tensors.
    """

    index: int
    name: str
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    shape: tuple[int, ...] | None = None
    needed: str | None = None
    nearest: str | None = None
    model: Model | None = None
    follows: bool = False


def survey(name: str, data: bytes, profile: str) -> tuple[Surveyed, ...]:
    """All operators of the main subgraph; ModelError where the file itself is damaged.

    Those beyond the first `MOST_CONVERTED` are judged by their kind and form alone.
    """
    whole = parts(name, data)
    kinds = {found.index: found.needed for found in tflite_survey.survey(name, data)}
    walk = _Walk(name, whole.tensors, whole.inputs)
    models: dict[int, Model] = {}
    for island in _islands(whole):
        model = walk.island(island, profile)
        if model is not None:
            models |= {part.index: model for part in island}
    found = []
    for part in whole.operators:
        if part.index in models:
            found.append(walk.told(part, model=models.pop(part.index)))
        elif part.index >= MOST_CONVERTED:
            found.append(walk.judge(replace(part, operator=None), kinds.get(part.index), profile))
        else:
            found.append(walk.judge(part, kinds.get(part.index), profile))
    return tuple(found)


def _islands(whole: Parts) -> list[list[Part]]:
    """Operators that pass values on to each other which are no codes, in the order they run."""
    makers = {
        i: number
        for number, part in enumerate(whole.operators)
        for i in part.outputs
        if i != -1 and whole.tensors[i].dtype not in _CODES and whole.tensors[i].data is None
    }
    root = list(range(len(whole.operators)))

    def find(number: int) -> int:
        while root[number] != number:
            root[number] = root[root[number]]
            number = root[number]
        return number

    for number, part in enumerate(whole.operators):
        for maker in {makers[i] for i in part.inputs if i in makers}:
            root[find(maker)] = find(number)
    groups: dict[int, list[Part]] = {}
    for number, part in enumerate(whole.operators):
        groups.setdefault(find(number), []).append(part)
    return [group for group in groups.values() if len(group) > 1]


class _Walk:
    """Goes through the operators in order; shapes and constants that follow are carried along."""

    def __init__(self, name: str, tensors: Sequence[Tensor], inputs: tuple[int, ...]) -> None:
        self.source = Source(format="tflite", sha256="", bytes=0, name=name)
        whole = Graph(
            name=name, source=self.source, tensors=tuple(tensors), operators=(), inputs=inputs,
            outputs=(),
        )  # fmt: skip
        try:
            self.tensors = fix_batch(whole).tensors
        except ModelError:  # an open axis: those that read it say so
            self.tensors = whole.tensors
        self.unknown: set[int] = set()
        """Tensors that a refused operator makes, or one that follows it."""

    def judge(self, part: Part, kind: str | None, profile: str) -> Surveyed:
        needed, nearest = kind, None
        model: Model | None = None
        if kind is not None:
            nearest = QUANTIZED if kind.startswith("int8 ") else nearest_form(part.name, kind)
        elif part.operator is not None:
            try:
                model = self._alone([part], profile)
            except NeurovmError as error:
                needed = _needed(error)
                nearest = self._nearest(part, profile, error)
        elif part.error is not None:
            needed, nearest = _needed(part.error), _nearest_of(part.error, part.name)
        return self.told(part, needed=needed, nearest=nearest, model=model)

    def told(
        self,
        part: Part,
        *,
        needed: str | None = None,
        nearest: str | None = None,
        model: Model | None = None,
    ) -> Surveyed:
        """The judgement; what a refused operator makes is unknown from here on."""
        made = [self.tensors[i] for i in part.outputs if i >= 0]
        follows = needed is None and model is None and not self.unknown.isdisjoint(part.inputs)
        if needed is not None or follows:
            self.unknown.update(part.outputs)
        return Surveyed(
            index=part.index,
            name=part.name,
            reads=tuple(i for i in part.inputs if i >= 0),
            makes=part.outputs,
            shape=made[0].shape if made else None,
            needed=needed,
            nearest=nearest,
            model=model,
            follows=follows,
        )

    def _alone(self, parts: Sequence[Part], profile: str) -> Model | None:
        """Operators converted by themselves; None where nothing of them is left but constants."""
        graph = self._graph(parts)
        followed = resolve(graph)
        self.tensors = followed.tensors
        shaped = all(self.tensors[i].dtype not in _FROM_DATA for i in graph.outputs)
        if not followed.operators or (shaped and not self.unknown.isdisjoint(graph.inputs)):
            return None
        return Model(compile_graph(prepare(graph), PROFILES[profile]))

    def _graph(self, parts: Sequence[Part]) -> Graph:
        """Inputs are what they read of others, outputs what they do not read themselves."""
        tensors = self.tensors
        operators = tuple(part.operator for part in parts if part.operator is not None)
        states = tuple(state for part in parts for state in part.states)
        own = {state.read for state in states} | {state.next for state in states}
        read = [i for op in operators for i in op.inputs if i != -1 and tensors[i].data is None]
        made = [i for op in operators for i in op.outputs if i != -1]
        return Graph(
            name=operators[-1].source_name,
            source=self.source,
            tensors=tensors,
            operators=operators,
            inputs=tuple(dict.fromkeys(i for i in read if i not in made and i not in own)),
            outputs=tuple(i for i in made if i not in read and i not in own),
            states=states,
        )

    def island(self, island: Sequence[Part], profile: str) -> Model | None:
        """The operators between codes as one network, if they can be converted so."""
        if any(part.operator is None for part in island):
            return None
        try:
            return self._alone(island, profile)
        except NeurovmError:
            return None

    def _nearest(self, part: Part, profile: str, error: NeurovmError) -> str:
        """The other profile, where that takes the operator as it is."""
        for other in PROFILES:
            if other == profile:
                continue
            try:
                if self._alone([part], other) is not None:
                    return f"profile {other}, which takes it as it is"
            except NeurovmError:
                continue
        return _nearest_of(error, part.name)


def _needed(error: NeurovmError) -> str:
    if isinstance(error, UnsupportedOperatorError):
        return error.needed
    # What it is about stands in the line already: file, operator, number.
    return str(error).split("): ", maxsplit=1)[-1]


def _nearest_of(error: NeurovmError, name: str) -> str:
    if isinstance(error, UnsupportedOperatorError):
        return error.nearest
    return nearest_form(name, _needed(error))

# SPDX-License-Identifier: Apache-2.0
"""Draft: the layers of a program while fusions change them, under their first indices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neurovm.operators.builder import Layer, Value


@dataclass(slots=True)
class Draft:
    """Layers in topological order, None where one is gone; `ports` are outputs of the network.

    A layer that is gone stands in `same` with the layer that has its very codes, or in `merged`
    with the one that computes what it did on the way, or in neither: nothing read it.
    """

    layers: list[Layer | None]
    ports: frozenset[Value]
    same: dict[Value, Value] = field(default_factory=dict)
    merged: dict[Value, Value] = field(default_factory=dict)
    thinned: set[Value] = field(default_factory=set)
    """Layers left without the channels that never change."""

    def present(self) -> Iterator[tuple[Value, Layer]]:
        """The layers that are left, in order; ones that go on the way are passed over."""
        for index in range(len(self.layers)):
            layer = self.layers[index]
            if layer is not None:
                yield index, layer

    def layer(self, index: Value) -> Layer:
        """A layer that is left; KeyError for one that is gone."""
        layer = self.layers[index]
        if layer is None:
            raise KeyError(index)
        return layer

    def readers(self, index: Value) -> list[Value]:
        """The layers that read this one, in this step or in the next, in order."""
        return [i for i, layer in self.present() if index in (*layer.inputs, layer.carries)]

    def private_to(self, index: Value, reader: Value) -> bool:
        """Whether nobody but `reader`, not even the network's user, sees these codes."""
        return index not in self.ports and self.readers(index) == [reader]

    def merge(self, index: Value, reader: Value, layer: Layer) -> None:
        """`layer` takes `reader`'s place and does what `index` did; that one goes."""
        self.layers[reader] = layer
        self.layers[index] = None
        self.merged[index] = reader

    def substitute(self, index: Value, other: Value) -> None:
        """The layer goes; its readers read `other`, which has the same codes."""
        self.layers[index] = None
        self.same[index] = other
        for i, layer in self.present():
            if index in layer.inputs:
                inputs = tuple(other if j == index else j for j in layer.inputs)
                self.layers[i] = replace(layer, inputs=inputs)
            elif index == layer.carries:
                self.layers[i] = replace(layer, carries=other)

    def drop_unread(self) -> bool:
        """Drop what nobody reads, now or in a later step; inputs stay, the user writes to them."""
        open_ends = [i for i, layer in self.present() if i in self.ports or layer.kind == "INPUT"]
        read = set(open_ends)
        while open_ends:
            layer = self.layer(open_ends.pop())
            found = {*layer.inputs, *(() if layer.carries is None else (layer.carries,))} - read
            read |= found
            open_ends += found
        unread = [i for i, _ in self.present() if i not in read]
        for index in unread:
            self.layers[index] = None
        return bool(unread)

    def holder(self, index: Value) -> Value | None:
        """The layer left that has the codes of this one; None where no single one has."""
        while index in self.same:
            index = self.same[index]
        gone = self.layers[index] is None or index in self.thinned
        return None if gone else index

    def place(self, index: Value) -> Value | None:
        """The layer left that has, or computes on the way, the codes of this one; None: nobody."""
        passed: set[Value] = set()
        while self.layers[index] is None:
            passed.add(index)
            found = self.same.get(index, self.merged.get(index))
            if found is None or found in passed:  # read once, and by nobody in the end
                return None
            index = found
        return index

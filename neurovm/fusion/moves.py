# SPDX-License-Identifier: Apache-2.0
"""Movement after movement: one index map from where the codes come from in the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators.builder import Layer, constant_layer, gather

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.fusion.draft import Draft
    from neurovm.operators.builder import Value

MOST_SOURCES = 2
"""Layers that one MAP can read."""
GROWTH = 4
"""A map may list so many times the codes that it and its source listed before: a few codes taken
out of a shared intermediate do not make a list of everything behind it."""


def fuse_moves(draft: Draft) -> bool:
    """A MAP reads through the MAPs and constants it reads; one that moves nothing, or the same as
    another, goes.
    """
    changed = False
    seen: dict[tuple[object, ...], Value] = {}
    for index, layer in draft.present():
        if layer.kind == "MAP":
            changed |= _fuse(draft, index, layer, seen)
    return changed


def _fuse(draft: Draft, index: Value, layer: Layer, seen: dict[tuple[object, ...], Value]) -> bool:
    fused = _through(draft, layer)
    if fused is not None:
        for source in set(layer.inputs) - set(fused.inputs):
            draft.merged[source] = index
        draft.layers[index] = layer = fused
    if index in draft.ports or layer.kind != "MAP":
        return fused is not None
    flat = _index(layer)
    if len(layer.inputs) == 1:
        (source,) = layer.inputs
        same_size = draft.layer(source).n == layer.n
        if same_size and np.array_equal(flat, np.arange(layer.n)):
            draft.substitute(index, source)
            return True
    other = seen.setdefault((layer.inputs, layer.zero_out, flat.tobytes()), index)
    if other != index:
        draft.substitute(index, other)
        return True
    return fused is not None


def _through(draft: Draft, layer: Layer) -> Layer | None:
    """The MAP that reads what `layer`'s sources read; None where that is no MAP or no gain."""
    flat = _index(layer)
    fills = {layer.zero_out} if (flat < 0).any() else set()
    bases: dict[Value, int] = {}
    parts, total = [], 0
    first = 0
    for source in layer.inputs:
        before = draft.layer(source)
        used = flat[(flat >= first) & (flat < first + before.n)] - first
        where, codes = _origins(draft, source, before, used)
        fills |= codes
        for origin, _ in where:
            if origin not in bases:
                bases[origin] = total
                total += draft.layer(origin).n
        parts.append(_joined(where, bases, before.n))
        first += before.n
    if (
        tuple(bases) == layer.inputs
        or len(bases) > MOST_SOURCES
        or len(fills) > 1
        or total > GROWTH * (first + layer.n)
    ):
        return None
    fill = fills.pop() if fills else 0
    if not bases:
        return constant_layer(np.full(layer.n, fill, np.int16 if layer.wide else np.int8))
    moved = np.concatenate(parts)
    found = gather(tuple(bases), np.where(flat < 0, -1, moved[flat]), total, fill)
    return replace(found, wide=layer.wide)


_Origin = tuple["Value", "NDArray[np.int64]"]
"""A layer, and for each code of its reader's source the place there, or −1."""


def _origins(
    draft: Draft, source: Value, before: Layer, used: NDArray[np.integer]
) -> tuple[list[_Origin], set[int]]:
    """Where the codes of `source` come from, and the codes that fill where it is nowhere.

    `used`: the places of `source` that are read at all.
    """
    if not used.size:
        return [], set()
    if before.kind == "CONST":
        codes = set(np.asarray(before.table0).reshape(-1)[used].tolist())
        if len(codes) == 1:
            return [], codes
    if before.kind != "MAP":
        return [(source, np.arange(before.n))], set()
    flat = _index(before).astype(np.int64)
    found: list[_Origin] = []
    first = 0
    for origin in before.inputs:
        n = draft.layer(origin).n
        here = (flat >= first) & (flat < first + n)
        if here[used].any():
            found.append((origin, np.where(here, flat - first, -1)))
        first += n
    return found, {before.zero_out} if (flat[used] < 0).any() else set()


def _joined(where: list[_Origin], bases: dict[Value, int], n: int) -> NDArray[np.int64]:
    """For each of n codes its place among all sources laid end to end, or −1."""
    places = np.full(n, -1)
    for origin, at in where:
        places = np.where(at >= 0, at + bases[origin], places)
    return places


def _index(layer: Layer) -> NDArray[np.integer]:
    flat: NDArray[np.integer] = np.asarray(layer.table0).reshape(-1)
    return flat

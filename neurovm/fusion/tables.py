# SPDX-License-Identifier: Apache-2.0
"""Table after table: one table of the composed function."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators.builder import Layer, constant_layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.fusion.draft import Draft
    from neurovm.operators.builder import Value


def fuse_tables(draft: Draft) -> bool:
    """TABLE(TABLE(x)) and TABLE(TABLE2(x, y)) become one look-up, a TABLE of constants constants,
    and a TABLE that changes nothing goes.
    """
    return sum(_fuse(draft, index, layer) for index, layer in draft.present()) > 0


def _fuse(draft: Draft, index: Value, layer: Layer) -> bool:
    if layer.kind != "TABLE":
        return False
    (source,) = layer.inputs
    before = draft.layer(source)
    tables = _array(layer)
    if index not in draft.ports and layer.wide == before.wide and _changes_nothing(tables):
        draft.substitute(index, source)
        return True
    if before.kind == "CONST":
        draft.layers[index] = constant_layer(tables[_which(layer), _places(before, tables)])
        return True
    if not draft.private_to(source, index):
        return False
    fused = _composed(before, layer)
    if fused is None:
        return False
    draft.merge(source, index, fused)
    return True


def _composed(first: Layer, then: Layer) -> Layer | None:
    """`then` of `first` as one layer; None where that needs a table of another layout."""
    if first.kind not in ("TABLE", "TABLE2"):
        return None
    tables = _array(then)
    inner = _places(first, tables)
    if first.kind == "TABLE2":
        found = replace(first, table0=tables[0][inner])
        return found if len(tables) == 1 and not then.wide else None
    layouts = {layer.aux for layer in (first, then) if layer.aux[0] != 1}
    if len(layouts) > 1:
        return None
    aux = layouts.pop() if layouts else then.aux
    inner = np.broadcast_to(inner, (aux[0], inner.shape[1]))
    outer = np.broadcast_to(tables, (aux[0], tables.shape[1]))
    table = np.take_along_axis(outer, inner, axis=1)
    return replace(first, table0=table, aux=aux, wide=then.wide)


def _places(codes: Layer, tables: NDArray[np.generic]) -> NDArray[np.int64]:
    """Where the codes that a layer's table or constant holds stand in the tables of the next."""
    places: NDArray[np.int64] = _array(codes).astype(np.int64) + tables.shape[1] // 2
    return places


def _changes_nothing(tables: NDArray[np.generic]) -> bool:
    """Whether every table gives each code itself."""
    half = tables.shape[1] // 2
    return bool((tables == np.arange(-half, half)).all())


def _which(layer: Layer) -> NDArray[np.int64]:
    """The table of each code."""
    return np.arange(layer.n) // layer.aux[1] % layer.aux[0]


def _array(layer: Layer) -> NDArray[np.generic]:
    return np.asarray(layer.table0)

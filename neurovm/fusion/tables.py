# SPDX-License-Identifier: Apache-2.0
"""Table after table: one table of the composed function."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators.builder import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.fusion.draft import Draft
    from neurovm.operators.builder import Value

IDENTITY = np.arange(-128, 128)


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
    if index not in draft.ports and (tables == IDENTITY).all():
        draft.substitute(index, source)
        return True
    if before.kind == "CONST":
        codes = tables[_which(layer), _array(before).astype(np.int64) + 128]
        draft.layers[index] = Layer(kind="CONST", inputs=(), n=layer.n, table0=codes)
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
    tables, inner = _array(then), _array(first).astype(np.int64) + 128
    if first.kind == "TABLE2":
        return replace(first, table0=tables[0][inner]) if len(tables) == 1 else None
    layouts = {layer.aux for layer in (first, then) if layer.aux[0] != 1}
    if len(layouts) > 1:
        return None
    aux = layouts.pop() if layouts else then.aux
    inner = np.broadcast_to(inner, (aux[0], 256))
    outer = np.broadcast_to(tables, (aux[0], 256))
    return replace(first, table0=np.take_along_axis(outer, inner, axis=1), aux=aux)


def _which(layer: Layer) -> NDArray[np.int64]:
    """The table of each code."""
    return np.arange(layer.n) // layer.aux[1] % layer.aux[0]


def _array(layer: Layer) -> NDArray[np.generic]:
    return np.asarray(layer.table0)

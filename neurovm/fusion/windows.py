# SPDX-License-Identifier: Apache-2.0
"""Movements around a sliding window that its geometry can express: padding before, crops after."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators.window import taps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.fusion.draft import Draft
    from neurovm.operators.builder import Layer, Window

LOWEST_PAD, HIGHEST_PAD = -(1 << 15), (1 << 15) - 1
MOST_STRIDE = (1 << 16) - 1
"""What the kernel's layer record holds."""


def fuse_padding(draft: Draft) -> bool:
    """A convolution over codes of 0.0 around an image skips those taps instead.

    A tap adds w · (q − z), which is nothing where the padding's code is z.
    """
    changed = False
    for index, layer in draft.present():
        if layer.kind not in ("CONV", "DWCONV") or layer.window is None:
            continue
        (source,) = layer.inputs
        pad = draft.layer(source)
        if pad.kind != "MAP" or len(pad.inputs) != 1 or pad.zero_out != layer.zero_in:
            continue
        found = _inner(pad, layer.window)
        if found is None or found[1] != draft.layer(pad.inputs[0]).n:
            continue
        window = found[0]
        draft.merged[source] = index
        draft.layers[index] = replace(_scaled(layer, window), inputs=pad.inputs)
        changed = True
    return changed


def _inner(pad: Layer, window: Window) -> tuple[Window, int] | None:
    """The window over the image inside the padding, and that image's codes; None: no padding."""
    index = np.asarray(pad.table0).reshape(window.in_shape)
    inside = index >= 0
    rows, columns = np.flatnonzero(inside.any((1, 2))), np.flatnonzero(inside.any((0, 2)))
    if not rows.size:
        return None
    (top, bottom), (left, right) = ((i[0], i[-1] + 1) for i in (rows, columns))
    image = index[top:bottom, left:right]
    if image.size == index.size or not np.array_equal(image.ravel(), np.arange(image.size)):
        return None
    before = (window.before[0] + int(top), window.before[1] + int(left))
    if max(before) > HIGHEST_PAD:
        return None
    shape = (image.shape[0], image.shape[1], image.shape[2])
    return replace(window, in_shape=shape, before=before), image.size


def fuse_crops(draft: Draft) -> bool:
    """Of a windowed layer only the rows and columns that are read get computed."""
    changed = False
    for index, layer in draft.present():
        if layer.kind != "MAP" or len(layer.inputs) != 1:
            continue
        (source,) = layer.inputs
        conv = draft.layer(source)
        if conv.window is None or not draft.private_to(source, index):
            continue
        window = _cropped(np.asarray(layer.table0).reshape(-1), conv.window)
        if window is not None:
            draft.merge(source, index, replace(_scaled(conv, window), n=layer.n))
            changed = True
    return changed


def _cropped(index: NDArray[np.generic], window: Window) -> Window | None:
    """The window that computes just these outputs; None where they are no regular grid."""
    _, width, channels = window.out_shape
    pixels = index.astype(np.int64)
    if not index.size or index.size % channels or pixels.min() < 0:
        return None
    pixels = pixels.reshape(-1, channels)
    ys, xs = (
        np.unique(pixels[:, 0] // (width * channels)),
        np.unique(pixels[:, 0] // channels % width),
    )
    grid = (ys[:, None, None] * width + xs[None, :, None]) * channels + np.arange(channels)
    steps = [_step(ys), _step(xs)]
    if grid.size != index.size or not np.array_equal(grid.ravel(), index) or 0 in steps:
        return None
    stride = [s * k for s, k in zip(window.stride, steps, strict=True)]
    before = [
        b - int(i[0]) * s for b, i, s in zip(window.before, (ys, xs), window.stride, strict=True)
    ]
    if max(stride) > MOST_STRIDE or min(before) < LOWEST_PAD:
        return None
    return replace(
        window,
        out_shape=(len(ys), len(xs), channels),
        stride=(stride[0], stride[1]),
        before=(before[0], before[1]),
    )


def _step(places: NDArray[np.int64]) -> int:
    """The distance of equidistant places; 0 where they are not, 1 for a single one."""
    steps = np.unique(np.diff(places))
    return 1 if not steps.size else int(steps[0]) if steps.size == 1 else 0


def _scaled(layer: Layer, window: Window) -> Layer:
    """The layer with another window, and the multiplications of a dense run that this leaves."""
    before = taps(layer.window) if layer.window is not None else 0
    macs = layer.macs * taps(window) // before if before else layer.macs
    return replace(layer, window=window, macs=macs)

# SPDX-License-Identifier: Apache-2.0
"""The exact work of a stream: weights that meet a changed code, as a part of all weights.

Counted twice from the codes of every layer before and after a step: element by element (what a
session by events applies), and in groups of 4 channels of a pixel, all of whose weights count
where one of the 4 has changed (what a dot product of four bytes applies). An answer that holds the
bits of a full run cannot come from less of the first, unless changes cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import neurovm
from neurovm import _kernel
from neurovm.records import _RECORD

GROUP = 4
SETTLED = 100
"""Steps after which what a network remembers of its start counts no more."""
KINDS = {number: name for name, number in _kernel.KINDS.items()}
# fmt: off
FIELDS = (
    "kind", "neuron", "requant", "flags", "n_in", "in0", "in1", "n",
    "in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "k_w",
    "stride_h", "stride_w", "dil_h", "dil_w", "pad_t", "pad_l", "groups",
)
# fmt: on
"""The first of a record."""

Weights = Callable[[np.ndarray], int]
"""How many weights meet the changed elements of a mask."""


@dataclass(frozen=True)
class Work:
    """Parts of a dense run, means over a stream's round."""

    elements: float
    groups: float


def work(model: neurovm.Model, rows: list[bytes]) -> Work:
    """Of a round of these rows of codes, once networks that remember have settled into it."""
    session = model.session(way="events")
    layers = list(enumerate(records(model)))
    weighted = {i: each for i, each in layers if each["kind"] in ("DENSE", "CONV", "DWCONV")}
    others = [i for i, each in layers if each["kind"] in ("MATMUL", "LSTM", "SVDF")]
    sources = {each["in0"] for each in weighted.values()}
    rounds = -(-SETTLED // len(rows)) if model.stateful else 0
    for row in [*rows * rounds, rows[-1]]:
        session.step(row)
    before = {i: _codes(session, i) for i in sources}
    applied = sum(session.layer(i).sops for i in others)
    elements = groups = 0
    for row in rows:
        session.step(row)
        now = {i: _codes(session, i) for i in sources}
        changed = {i: now[i] != before[i] for i in sources}
        for layer in weighted.values():
            mask = changed[layer["in0"]]
            elements += met(layer, mask)
            groups += met(layer, spread(layer, mask))
        before = now
    applied = sum(session.layer(i).sops for i in others) - applied
    dense = max(1, model.manifest.macs * len(rows))
    return Work((elements + applied) / dense, (groups + applied) / dense)


def records(model: neurovm.Model) -> list[dict[str, int | str]]:
    """The layer records of a program by the names of their fields (nvm_layer)."""
    found = []
    for values in _RECORD.iter_unpack(bytes(model.content.tensors["layers"])):
        record = dict(zip(FIELDS, values, strict=False))
        record["kind"] = KINDS[record["kind"]]
        found.append(record)
    return found


def _codes(session: neurovm.Session, layer: int) -> np.ndarray:
    return np.array(session.layer(layer).codes)


def spread(layer: dict, mask: np.ndarray) -> np.ndarray:
    """The mask with every group of 4 channels set of which one is."""
    channels = layer["in_c"]
    pixels = mask.reshape(-1, channels)
    padded = np.pad(pixels, ((0, 0), (0, -channels % GROUP)))
    whole = padded.reshape(len(pixels), -1, GROUP).any(axis=2)
    return np.repeat(whole, GROUP, axis=1)[:, :channels].reshape(-1)


def met(layer: dict, mask: np.ndarray) -> int:
    """Weights that meet the set elements of the input."""
    if layer["kind"] == "DENSE":
        return int(mask.sum()) * layer["out_c"]
    counts = mask.reshape(layer["in_h"], layer["in_w"], -1).sum(axis=2)
    groups = max(1, layer["groups"])
    outputs = layer["groups"] if layer["kind"] == "DWCONV" else layer["out_c"] // groups
    return int(_reads(layer, "h") @ counts @ _reads(layer, "w")) * outputs


def _reads(layer: dict, axis: str) -> np.ndarray:
    """How many taps of all output rows (or columns) read each input row (column)."""
    size, outputs = layer[f"in_{axis}"], layer[f"out_{axis}"]
    kernel, stride, dilation = (layer[f"{name}_{axis}"] for name in ("k", "stride", "dil"))
    pad = layer["pad_t" if axis == "h" else "pad_l"]
    places = np.arange(outputs)[:, None] * stride - pad + np.arange(kernel) * dilation
    inside = places[(places >= 0) & (places < size)]
    return np.bincount(inside, minlength=size)

# SPDX-License-Identifier: Apache-2.0
"""NIR in float64, node by node: what the reader of .nir files is judged by.

Written from NIR's equations and from what each framework was seen to compute; it knows nothing of
`neurovm.converters`. A graph is {"nodes": {name: (type, {field: array})}, "edges": [(a, b)]},
flat. Every node has one output a tick; what leads into a node is added up. Where a cycle closes
(`back`: edges), what was sent in the tick before is heard.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

MOST_SPIKES = 127
"""Of one neuron in one tick: where this package stops counting, and no framework does."""

Array = np.ndarray[Any, Any]


@dataclass
class Rules:
    """What a file leaves open."""

    dt: float
    fires_at: str = ">"
    reset: str = "file"
    many: bool = False
    reset_delay: bool = False
    exponential: bool = False
    tau_in_ticks: bool = False
    hears_r: bool = True
    whole_input: bool = False
    integrator_per_tick: bool = False
    floor: bool = False


@dataclass
class State:
    v: Array | None = None
    i: Array | None = None
    spiked: Array | None = None
    line: list[Array] = field(default_factory=list)


def run(graph: dict[str, Any], x: dict[str, Array], rules: Rules, back: set = frozenset()) -> dict:
    """x: (T, *shape) by input; (T, *shape) by output."""
    nodes, edges = graph["nodes"], graph["edges"]
    order = _order(nodes, [e for e in edges if e not in back])
    states = {name: State() for name in nodes}
    before: dict[str, Array] = {}
    found: dict[str, list[Array]] = {n: [] for n, (kind, _) in nodes.items() if kind == "Output"}
    for t in range(len(next(iter(x.values())))):
        sent: dict[str, Array] = {}
        for name in order:
            kind, fields = nodes[name]
            if kind == "Input":
                sent[name] = np.asarray(x[name][t], dtype=np.float64)
                continue
            heard = [sent[a] for a, b in edges if b == name and (a, b) not in back]
            heard += [before[a] for a, b in edges if b == name and (a, b) in back and a in before]
            sent[name] = step(kind, fields, sum(heard), states[name], rules)
            if kind == "Output":
                found[name].append(sent[name])
        before = sent
    return {name: np.array(values) for name, values in found.items()}


def _order(nodes: dict, edges: list) -> list[str]:
    left, order = dict.fromkeys(nodes), []
    while left:
        ready = [n for n in left if not any(b == n and a in left for a, b in edges)]
        assert ready, "a cycle"
        order += ready
        for n in ready:
            del left[n]
    return order


def step(kind: str, f: dict, x: Array, s: State, rules: Rules) -> Array:
    if kind == "Output":
        return x
    if kind == "Scale":
        return x * f["scale"]
    if kind == "Linear":
        return (f["weight"] @ x[..., None])[..., 0]
    if kind == "Affine":
        return (f["weight"] @ x[..., None])[..., 0] + f["bias"]
    if kind == "Flatten":
        start, end = (d % x.ndim for d in (int(f["start_dim"]), int(f["end_dim"])))
        return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])
    if kind == "Conv1d":
        lifted = {k: f[k] for k in ("groups", "bias")}
        lifted |= {k: (one, int(f[k])) for k, one in (("stride", 1), ("dilation", 1))}
        padding = f["padding"]
        lifted["padding"] = padding if isinstance(padding, str) else (0, int(padding))
        lifted["weight"] = f["weight"][:, :, None]
        return convolved(x[:, None], lifted)[:, 0]
    if kind == "Conv2d":
        return convolved(x, f)
    if kind in ("SumPool2d", "AvgPool2d"):
        return pooled(x, f, kind == "AvgPool2d")
    if kind == "Delay":
        return delayed(x, f, s, rules)
    return neuron(kind, f, x, s, rules)


def _two(value: Any) -> tuple[int, int]:
    a = np.broadcast_to(np.asarray(value).reshape(-1), 2)
    return int(a[0]), int(a[1])


def convolved(x: Array, f: dict) -> Array:
    w = f["weight"].astype(np.float64)
    stride, dilation, groups = _two(f["stride"]), _two(f["dilation"]), int(f["groups"])
    out_c, in_g, kh, kw = w.shape
    span = (dilation[0] * (kh - 1), dilation[1] * (kw - 1))
    if isinstance(f["padding"], str):
        total = span if f["padding"] == "same" else (0, 0)
        pad = [(t // 2, t - t // 2) for t in total]
    else:
        pad = [(p, p) for p in _two(f["padding"])]
    x = np.pad(x, [(0, 0), *pad])
    h, wid = ((x.shape[1 + a] - span[a] - 1) // stride[a] + 1 for a in (0, 1))
    y = np.zeros((out_c, h, wid))
    for o, r, c in product(range(out_c), range(h), range(wid)):
        g = o // (out_c // groups)
        top, left = r * stride[0], c * stride[1]
        rows = slice(top, top + span[0] + 1, dilation[0])
        columns = slice(left, left + span[1] + 1, dilation[1])
        y[o, r, c] = (x[g * in_g : (g + 1) * in_g, rows, columns] * w[o]).sum()
        if f.get("bias") is not None:
            y[o, r, c] += f["bias"][o]
    return y


def pooled(x: Array, f: dict, average: bool) -> Array:
    (kh, kw), stride, pad = _two(f["kernel_size"]), _two(f["stride"]), _two(f["padding"])
    x = np.pad(x, [(0, 0), (pad[0],) * 2, (pad[1],) * 2])
    h, w = (x.shape[1] - kh) // stride[0] + 1, (x.shape[2] - kw) // stride[1] + 1
    y = np.zeros((len(x), h, w))
    for r, c in product(range(h), range(w)):
        window = x[:, r * stride[0] : r * stride[0] + kh, c * stride[1] : c * stride[1] + kw]
        y[:, r, c] = window.sum(axis=(1, 2)) / (kh * kw if average else 1)
    return y


def delayed(x: Array, f: dict, s: State, rules: Rules) -> Array:
    ticks = np.broadcast_to(np.rint(np.asarray(f["delay"]) / rules.dt).astype(int), x.shape)
    s.line.append(x)
    y = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        if ticks[at] < len(s.line):
            y[at] = s.line[len(s.line) - 1 - ticks[at]][at]
    return y


def _factors(tau: Array, rules: Rules) -> tuple[Array, Array]:
    """(what is left after a tick, what of the input is added)"""
    ratio = 1 / tau if rules.tau_in_ticks else rules.dt / tau
    left = np.exp(-ratio) if rules.exponential else 1 - ratio
    return left, 1 - left if rules.exponential else ratio


def neuron(kind: str, f: dict, x: Array, s: State, rules: Rules) -> Array:
    f = {k: np.asarray(v, dtype=np.float64) for k, v in f.items()}
    if kind == "Threshold":
        return fired(x, f["threshold"], rules).astype(np.float64)
    leak = f.get("v_leak", np.zeros(()))
    if s.v is None:
        hard = kind == "IF" and rules.reset == "file"
        s.v = np.broadcast_to(f["v_reset"] if hard else leak, x.shape).copy()
        s.i = np.zeros(x.shape)
        s.spiked = np.zeros(x.shape)
    r = f["r"] if rules.hears_r or kind.startswith("Cuba") else 1.0
    kept = s.v
    if rules.reset_delay and rules.reset in ("zero", "file") and kind != "CubaLIF":
        kept = np.where(s.spiked > 0, 0.0, kept)
    if kind in ("I", "IF"):
        v = kept + r * x * (1.0 if rules.integrator_per_tick else rules.dt)
    elif kind in ("LI", "LIF"):
        left, added = _factors(f["tau"], rules)
        v = left * kept + (r * x if rules.whole_input else added * (leak + r * x))
    else:
        left, added = _factors(f["tau_syn"], rules)
        s.i = left * s.i + added * f["w_in"] * x
        left, added = _factors(f["tau_mem"], rules)
        v = left * kept + added * (leak + r * s.i)
    if "v_threshold" not in f:
        s.v = v
        return v
    threshold = f["v_threshold"]
    if rules.reset_delay:
        if rules.reset == "subtract":
            v = v - s.spiked * threshold
        elif kind == "CubaLIF":
            v = np.where(s.spiked > 0, 0.0, v)
        s.spiked = fired(v, threshold, rules).astype(np.float64)
        s.v = v
        return s.spiked
    if rules.many:
        z = np.where(v > 0, np.floor(v / threshold), 0).clip(max=MOST_SPIKES)
    else:
        z = fired(v, threshold, rules).astype(np.float64)
    if rules.reset == "subtract":
        v = v - z * threshold
    elif rules.reset != "none":
        v = np.where(z > 0, f["v_reset"] if rules.reset == "file" else 0.0, v)
    if rules.floor and kind == "IF":
        v = np.maximum(v, -threshold)
    s.v = v
    return z


def fired(v: Array, threshold: Array, rules: Rules) -> Array:
    return v > threshold if rules.fires_at == ">" else v >= threshold

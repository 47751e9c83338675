# SPDX-License-Identifier: Apache-2.0
"""NIR files against NIR's equations in float64, node by node: every primitive, every dialect."""

from __future__ import annotations

from typing import Any

import nir_files
import nir_reference
import numpy as np
import pytest

from neurovm.errors import ModelError
from neurovm.reference.spiking import Oracle
from neurovm.spiking.quantize import quantized

T = 40
CASES = nir_files.cases()
RULES: dict[str, dict[str, Any]] = {
    "nir": {},
    "snntorch": {"reset": "zero"},
    "norse": {"reset": "zero", "hears_r": False, "integrator_per_tick": True},
    "sinabs": {
        "fires_at": ">=",
        "reset": "subtract",
        "many": True,
        "exponential": True,
        "tau_in_ticks": True,
        "hears_r": False,
        "whole_input": True,
        "integrator_per_tick": True,
        "floor": True,
    },
    "spikingjelly": {"fires_at": ">="},
}


def spikes(graph: nir_files.Graph, seed: int = 7, rate: float = 0.4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: (rng.random((T, *fields["shape"])) < rate).astype(np.int8)
        for name, (kind, fields) in graph["nodes"].items()
        if kind == "Input"
    }


def answers(
    graph: nir_files.Graph, x: dict[str, np.ndarray], **options: Any
) -> dict[str, np.ndarray]:
    """(T, n) in the file's order by Output: spikes, or real potentials of readouts."""
    read = nir_files.imported(graph, **options)
    made = quantized(read.network)
    rows = np.concatenate([x[name].reshape(T, -1) for name in sorted(x)], axis=1)
    run = Oracle(made.plan).run(rows)
    found, at = {}, 0
    for node, population in zip(made.nodes, made.plan.populations, strict=True):
        if not population.is_output:
            continue
        part = slice(at, at + population.n)
        at += population.n
        if population.neurons.fire == "none":
            values = run.potentials[:, part] * population.scale + population.offset
        else:
            values = run.spikes[:, part].astype(np.float64)
        if node.hwc:
            c, h, w = node.shape
            values = values.reshape(T, h, w, c).transpose(0, 3, 1, 2).reshape(T, -1)
        found[node.name] = values
    return {output: found[population] for output, population in read.outputs.items()}


def agree(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    """Spikes equal; potentials to seven digits of the largest."""
    assert len(found) == len(wanted)
    for (name, got), (_, want) in zip(sorted(found.items()), sorted(wanted.items()), strict=True):
        want = want.reshape(T, -1)  # noqa: PLW2901 - in C order
        if (want == np.rint(want)).all():
            assert (got != want).sum() == 0, name
        else:
            np.testing.assert_allclose(got, want, atol=1e-6 * np.abs(want).max(), rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_runs_as_its_equations_say(name: str) -> None:
    graph, plain, back = CASES[name]
    x = spikes(graph)
    wanted = nir_reference.run(plain, x, nir_reference.Rules(nir_files.DT), back)
    assert any(values.any() for values in wanted.values()), "a case that shows nothing"
    agree(answers(graph, x), wanted)


# Dialects

DIALECT_CASES = ("IF", "LIF", "CubaLIF", "pools into Conv2d", "images to vectors", "recurrence")
OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"fires_at": ">="}, {"fires_at": ">="}),
    ({"reset": "zero"}, {"reset": "zero"}),
    ({"reset": "none"}, {"reset": "none"}),
    ({"reset": "subtract"}, {"reset": "subtract"}),
    ({"reset": "subtract", "spikes": "many"}, {"reset": "subtract", "many": True}),
    ({"reset": "subtract", "reset_delay": True}, {"reset": "subtract", "reset_delay": True}),
    ({"reset": "zero", "reset_delay": True}, {"reset": "zero", "reset_delay": True}),
    ({"decay": "exponential"}, {"exponential": True}),
    ({"integrator": "tick"}, {"integrator_per_tick": True}),
]


def suited(graph: nir_files.Graph, dialect: str) -> nir_files.Graph:
    """The graph with what a dialect cannot say left out: leaks of 0, τ in ticks, one threshold."""
    nodes = {}
    for name, (kind, fields) in graph["nodes"].items():
        changed = dict(fields)
        if dialect in ("norse", "sinabs") and "v_leak" in fields:
            changed["v_leak"] = 0 * fields["v_leak"]
        if dialect == "sinabs":
            if "tau" in fields:
                changed["tau"] = fields["tau"] / nir_files.DT
            if "v_threshold" in fields:
                changed["v_threshold"] = 0 * fields["v_threshold"] + 1 + 1 / 4099
        nodes[name] = (kind, changed)
    return {**graph, "nodes": nodes}


@pytest.mark.parametrize("name", DIALECT_CASES)
@pytest.mark.parametrize("dialect", RULES)
def test_dialects_run_as_their_frameworks_do(dialect: str, name: str) -> None:
    if dialect == "sinabs" and any("Cuba" in kind for kind, _ in CASES[name][0]["nodes"].values()):
        with pytest.raises(ModelError, match="sinabs reads no such neuron"):
            nir_files.imported(CASES[name][0], dialect=dialect)
        return
    graph = suited(CASES[name][0], dialect)
    x = spikes(graph)
    rules = nir_reference.Rules(nir_files.DT, **RULES[dialect])
    wanted = nir_reference.run(graph, x, rules, CASES[name][2])
    found = answers(graph, x, dialect=dialect)
    agree(found, wanted)


# Where 127 spikes a tick can come from each source, v has few bits left below the threshold.
COARSE = ("many", "images to vectors")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        pytest.param(options, name, id=f"{options[0]} {name}")
        for options in OPTIONS
        for name in DIALECT_CASES
        if (options[0].get("spikes"), name) != COARSE
    ],
)
def test_single_options(options: tuple[dict[str, Any], dict[str, Any]], name: str) -> None:
    given, rules = options
    graph, _, back = CASES[name]
    graph = without_reset_value(graph) if given.get("reset_delay") else graph
    x = spikes(graph)
    wanted = nir_reference.run(graph, x, nir_reference.Rules(nir_files.DT, **rules), back)
    agree(answers(graph, x, **given), wanted)


def without_reset_value(graph: nir_files.Graph) -> nir_files.Graph:
    nodes = {
        name: (kind, {k: 0 * v if k in ("v_reset", "v_leak") else v for k, v in fields.items()})
        for name, (kind, fields) in graph["nodes"].items()
    }
    return {**graph, "nodes": nodes}

# SPDX-License-Identifier: Apache-2.0
"""Codings `bitplane` and `ttfs`: the graded network's codes to the bit, and what is sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from operator_cases import CASES
from random_graphs import graphs

import neurovm
from neurovm import bundle
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.errors import BundleError, UnsupportedOperatorError
from neurovm.golden import oracle_codes
from neurovm.graph import Graph
from neurovm.model import Model
from neurovm.operators.builder import Layer
from neurovm.passes import prepare
from neurovm.ports import open_inputs, open_outputs
from neurovm.program import ProgramBuilder, compile_graph
from neurovm.reference import codings as oracle

TOP = Path(__file__).resolve().parents[2]
FIXTURES = TOP / "tests" / "fixtures"
NETWORKS = [
    *sorted(FIXTURES.glob("*.tflite")),
    TOP / "examples" / "pump" / "pump.tflite",
    *sorted((TOP / "examples").glob("keywords/*.tflite")),
]
CODINGS = ("bitplane", "ttfs")
WAYS = ("auto", "events", "dense")
PROFILE = PROFILES["xnnpack"]
slow = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def compiled(graph: Graph, coding: str) -> Model:
    try:
        return Model(compile_graph(graph, PROFILE, coding))
    except UnsupportedOperatorError as error:
        if "scale" not in str(error):
            raise
        reject()


def walk(n: int, steps: int, seed: int) -> np.ndarray:
    """(steps, n) codes, of which some change from row to row, in the end all."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(-128, 128, n)]
    while len(rows) < steps:
        touched = rng.random(n) < rng.choice([0.0, 0.05, 0.3, 1.0])
        rows.append(np.where(touched, rng.integers(-128, 128, n), rows[-1]))
    return np.stack(rows).astype(np.int8)


def sent(state: neurovm.Session, layers: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Codes of every layer, and how many spikes each has sent."""
    found = [state.layer(i) for i in range(layers)]
    return [np.array(layer.codes) for layer in found], np.array([x.events for x in found])


# What receivers make of spikes, in NumPy


@pytest.mark.parametrize("coding", CODINGS)
def test_the_worth_of_a_window_is_the_change_of_every_pair_of_codes(coding: str) -> None:
    every = np.arange(-128, 128).astype(np.int8)
    before, after = (x.reshape(-1) for x in np.meshgrid(every, every))
    worth = sum(oracle.WINDOWS[coding](before, after))
    assert (worth == after.astype(int) - before).all()


def test_a_plane_is_sent_once_for_every_bit_that_differs_and_a_time_once() -> None:
    every = np.arange(-128, 128).astype(np.int8)
    before, after = (x.reshape(-1) for x in np.meshgrid(every, every))
    bits = np.unpackbits((before ^ after).view(np.uint8)).sum()
    assert oracle.spikes("bitplane", before, after) == bits
    assert oracle.spikes("ttfs", before, after) == 256 * 255
    first = next(i for i, phase in enumerate(oracle.ttfs(every[:1], every[-1:])) if phase.any())
    assert first == 0  # the highest code spikes first


@pytest.mark.parametrize("path", NETWORKS, ids=lambda p: p.stem)
@pytest.mark.parametrize("coding", CODINGS)
def test_received_spikes_make_the_sums_of_the_graded_network(path: Path, coding: str) -> None:
    layers = layers_of(path)
    rng = np.random.default_rng(5)
    met = 0
    for layer in layers:
        if layer.kind not in ("DENSE", "CONV", "DWCONV"):
            continue
        n = layers[layer.inputs[0]].n
        before, after = rng.integers(-128, 128, (2, 1, n)).astype(np.int8)
        acc = oracle.rest(layer, before)
        found = oracle.received(layer, coding, acc, before, after)
        assert (found == oracle.rest(layer, after)).all()
        met += 1
    assert met > 0


def layers_of(path: Path) -> list[Layer]:
    builder = ProgramBuilder(prepare(tflite.read(path, name=path.stem)), PROFILE)
    open_inputs(builder)
    for operator in builder.graph.operators:
        builder.lower(operator)
    builder.fuse(open_outputs(builder, None)[0])
    return builder.layers


# The kernel


@pytest.mark.parametrize("path", NETWORKS, ids=lambda p: p.stem)
@pytest.mark.parametrize("profile", PROFILES)
def test_real_networks_answer_as_the_oracle(path: Path, profile: str) -> None:
    graph = prepare(tflite.read(path, name=path.stem))
    for coding in CODINGS:
        with neurovm.convert_tflite(path, coding=coding, profile=profile) as model:
            rows = walk(sum(t.size for t in model.inputs), 5, seed=3)
            wanted = oracle_codes(graph, PROFILES[profile], model.inputs, rows)
            for way in WAYS:
                state = model.session(way=way)
                for row, answer in zip(rows, wanted, strict=True):
                    assert state.step(row).tobytes() == answer.tobytes()


@pytest.mark.parametrize("path", NETWORKS, ids=lambda p: p.stem)
@pytest.mark.parametrize("coding", CODINGS)
def test_spikes_and_weights_are_counted_as_the_numpy_model_sends_them(
    path: Path, coding: str
) -> None:
    with neurovm.convert_tflite(path, coding=coding) as model:
        state = model.session(way="events")
        count = len(model.explain())
        before, _ = sent(state, count)
        for row in walk(sum(t.size for t in model.inputs), 3, seed=4):
            _, total = sent(state, count)
            sops = [state.layer(i).sops for i in range(count)]
            state.step(row)
            after, now = sent(state, count)
            wanted = [oracle.spikes(coding, a, b) for a, b in zip(before, after, strict=True)]
            assert (now - total).tolist() == wanted
            for i, layer in enumerate(model.explain()):
                if layer.kind == "DENSE":
                    source = int(np.frombuffer(record(model, i)[8:12], np.uint32)[0])
                    assert state.layer(i).sops - sops[i] == wanted[source] * layer.neurons
            before = after


def record(model: Model, layer: int) -> bytes:
    return bytes(model.content.layers[128 * layer : 128 * layer + 128])


@slow
@given(
    graph=graphs(),
    seed=st.integers(0, 1 << 30),
    coding=st.sampled_from(CODINGS),
    way=st.sampled_from(WAYS),
)
def test_random_networks_answer_as_the_oracle(
    graph: Graph, seed: int, coding: str, way: str
) -> None:
    model = compiled(graph, coding)
    rows = walk(sum(t.size for t in model.inputs), 6, seed)
    state = model.session(way=way)
    held = None
    for row, answer in zip(rows, oracle_codes(graph, PROFILE, model.inputs, rows), strict=True):
        if held is None:
            found = state.step(row)
        else:
            changed = np.flatnonzero(row != held).astype(np.uint32)
            found = state.update(changed, row[changed])
        assert found.tobytes() == answer.tobytes()
        held = row


@pytest.mark.parametrize("coding", CODINGS)
def test_every_operator_in_every_form_answers_as_graded_or_is_refused_by_name(coding: str) -> None:
    """All kinds of layers, memory among them: consecutive rows are steps of one stream."""
    met = refused = 0
    for case in CASES[:: 3 if coding == "ttfs" else 2]:
        try:
            graded = neurovm.convert_tflite(case.model, name=case.name)
        except neurovm.ModelError:
            continue  # so it is for every coding
        try:
            coded = neurovm.convert_tflite(case.model, name=case.name, coding=coding)
        except neurovm.ModelError as error:
            assert "is int16" in str(error)
            assert f"encoding: {coding} takes int8 networks" in str(error)
            refused += 1
            continue
        rows = walk(sum(t.size for t in coded.inputs), 3, seed=met)
        a, b = graded.session(), coded.session(way="events")
        for row in rows:
            assert a.step(row).tobytes() == b.step(row).tobytes(), case.name
        met += 1
    assert met > 100
    assert refused > 0


# Bundles


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bundle_says_how_it_sends_and_is_loaded_again(coding: str, tmp_path: Path) -> None:
    with neurovm.convert_tflite(FIXTURES / "digits_cnn.tflite", coding=coding) as model:
        assert (model.coding, model.neuron, model.approximate) == (coding, "sd", False)
        assert model.manifest.format == 3
        path = model.save(tmp_path / "c.nvm")
    with neurovm.load(path) as again:
        assert again.coding == coding


@pytest.mark.parametrize("made", ["graded", "unit", *CODINGS])
@pytest.mark.parametrize("named", ["graded", "unit", *CODINGS, "rate"])
def test_a_bundle_whose_program_sends_otherwise_is_refused(
    made: str, named: str, tmp_path: Path
) -> None:
    content = compile_graph(
        prepare(tflite.read(FIXTURES / "digits_mlp.tflite", name="d")), PROFILE, made
    )
    manifest = msgspec.structs.replace(content.manifest, coding=named)
    path = bundle.write(tmp_path / "c.nvm", bundle.serialize(manifest, content.tensors))
    if made == named:
        neurovm.load(path).close()
        return
    with pytest.raises(BundleError, match=f"names coding {named}, the program sends {made}"):
        neurovm.load(path)


def test_figures_of_rates_in_another_coding_are_refused(tmp_path: Path) -> None:
    """And a manifest that names rates without any."""
    with neurovm.convert_tflite(FIXTURES / "digits_mlp.tflite", coding="rate") as model:
        rated = model.content
    with neurovm.convert_tflite(FIXTURES / "digits_mlp.tflite", coding="bitplane") as model:
        planes = model.content
    for content, fields in (
        (planes, {"rate": rated.manifest.rate}),
        (rated, {"coding": "bitplane"}),
        (rated, {"coding": "graded"}),
        (rated, {"rate": msgspec.UNSET}),
    ):
        manifest = msgspec.structs.replace(content.manifest, **fields)
        path = bundle.write(tmp_path / "c.nvm", bundle.serialize(manifest, content.tensors))
        with pytest.raises(BundleError, match="names"):
            neurovm.load(path)


@pytest.mark.parametrize("coding", CODINGS)
def test_damaged_layers_are_refused_or_run(coding: str) -> None:
    """Whatever a byte of a record becomes: one clear error, or a session that steps and stops."""
    content = compile_graph(
        prepare(tflite.read(FIXTURES / "digits_mlp.tflite", name="d")), PROFILE, coding
    )
    rng = np.random.default_rng(8)
    row = rng.integers(-128, 128, 64).astype(np.int8)
    refused = 0
    for _ in range(400):
        layers = bytearray(content.layers)
        layers[int(rng.integers(len(layers)))] = int(rng.integers(256))
        changed = replace(content, tensors={**content.tensors, "layers": memoryview(layers)})
        try:
            state = Model(changed).session(way="events")
        except (BundleError, MemoryError):
            refused += 1
            continue
        state.step(row)
        if coding == "bitplane":
            state.planes = 3
            state.step(row)
            answer = state.answer()
            assert all(a <= b for a, b in zip(answer.low, answer.high, strict=True))
    assert 100 < refused < 400


@pytest.mark.parametrize(
    "flags", [{0: 32}, {1: 32}, {-1: 64}, dict.fromkeys(range(9), 96), dict.fromkeys(range(9), 36)]
)
def test_layers_that_disagree_on_how_they_send_are_refused(flags: dict[int, int]) -> None:
    content = compile_graph(prepare(tflite.read(FIXTURES / "digits_cnn.tflite", name="d")), PROFILE)
    layers = bytearray(content.layers)
    count = len(layers) // 128
    for place, more in flags.items():
        if place < count:
            layers[128 * (place % count) + 3] |= more
    changed = replace(content, tensors={**content.tensors, "layers": memoryview(layers)})
    with pytest.raises(BundleError, match="layer"):
        Model(changed)

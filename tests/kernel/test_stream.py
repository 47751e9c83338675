# SPDX-License-Identifier: Apache-2.0
"""Windows that slide: after every hop each layer holds what a dense run of the window gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import shared_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_streams import streams
from test_session_properties import PROFILE, compiled, oracle

from neurovm import _kernel, convert_tflite
from neurovm.errors import BackendError, ShapeError
from neurovm.graph import Graph
from neurovm.model import Model
from neurovm.reference.streaming import Stamper, dirty_rows

slow = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
STREAMING = ("kws_ref_model", "str_ww_ref_model", "micro_speech_quantized")


def program_of(model: Model) -> _kernel.Program:
    return _kernel.Program(model.content.layers, model.content.arena)


def differing(stream: _kernel.Stream, dense: _kernel.Session, layers: int) -> list[int]:
    """The layers whose codes are not those of the dense run."""
    same = bytes(stream.output) == bytes(dense.output)
    found = [i for i in range(layers) if stream.layer(i)[0] != dense.layer(i)[0]]
    return found if same or found else [layers]


def hops(frames: int, hop: int, count: int, rng: np.random.Generator) -> Iterator[int]:
    """Steady ones, irregular ones, and gaps of a window and more."""
    for i in range(count):
        if i == count // 2:
            yield frames + int(rng.integers(0, 3))
        else:
            yield int(rng.integers(1, frames + 1)) if i % 7 == 3 else hop


def slid(program: _kernel.Program, frames: int, hop: int, count: int, seed: int) -> np.ndarray:
    """Streams random frames and compares every layer in every window; the last window."""
    rng = np.random.default_rng(seed)
    width = program.codes_in // frames
    stream = _kernel.Stream(program, frames, hop)
    dense = _kernel.Session(program)
    dense.force("dense")
    window = np.frombuffer(stream.layer(0)[0], np.int8).reshape(frames, width)
    assert differing(stream, dense, program.n_layers) == []
    for i, moved in enumerate(hops(frames, hop, count, rng)):
        new = rng.integers(-128, 128, (moved, width)).astype(np.int8)
        window = np.concatenate([window, new])[-frames:]
        if i % 3 == 2:
            assert stream.step(window) == (moved if moved < frames else -1)
        else:
            stream.push(new)
        dense.step(window)
        assert differing(stream, dense, program.n_layers) == [], (hop, i, moved)
    return window


@slow
@given(drawn=streams(), hop=st.integers(1, 9), seed=st.integers(0, 1 << 30))
def test_every_layer_of_every_window_is_that_of_a_dense_run(
    drawn: tuple[Graph, int], hop: int, seed: int
) -> None:
    graph, frames = drawn
    model = compiled(graph)
    program = program_of(model)
    window = slid(program, frames, hop, 20, seed)
    stream = _kernel.Stream(program, frames, hop)
    stream.push(window)
    wanted = oracle(graph, model, window.reshape(1, -1))
    assert np.array_equal(np.frombuffer(stream.output, np.int8), wanted[0])


@slow
@given(drawn=streams(), hop=st.integers(1, 9))
def test_no_fewer_rows_are_computed_than_are_new_by_their_stamps(
    drawn: tuple[Graph, int], hop: int
) -> None:
    graph, frames = drawn
    model = compiled(graph)
    _, flows = _kernel.stream_plan(program_of(model), frames, hop)
    stamper = Stamper(graph, PROFILE, frames)
    longest = max(flow.copies for flow in flows)
    windows = [stamper.run(hop * k) for k in range(min(longest, 12) + 1)]
    for info in model.manifest.operators:
        for tensor, layer in zip(graph.operators[info.index].outputs, info.holders, strict=True):
            if layer is None or not flows[layer].rows or flows[layer].copies > 12:
                continue
            flow = flows[layer]
            stamps = [window[tensor] for window in windows]
            if stamps[0].size % flow.rows == 0:
                least = dirty_rows(stamps[-1], stamps[-1 - flow.copies : -1], flow.rows)
                assert flow.dirty >= least, (info.source_op, flow, least)


@slow
@given(drawn=streams(), hop=st.integers(1, 9))
def test_the_weights_of_a_steady_hop_are_those_of_the_plan(
    drawn: tuple[Graph, int], hop: int
) -> None:
    graph, frames = drawn
    program = program_of(compiled(graph))
    _, flows = _kernel.stream_plan(program, frames, hop)
    if hop >= frames:
        return
    stream = _kernel.Stream(program, frames, hop)
    new = np.random.default_rng(0).integers(-128, 128, hop * program.codes_in // frames)
    for _ in range(max(flow.copies for flow in flows)):
        stream.push(new.astype(np.int8))
    before = stream.counters
    stream.push(new.astype(np.int8))
    after = stream.counters
    assert after[3] - before[3] == sum(flow.macs for flow in flows)
    assert after[4] - before[4] == program.macs
    assert after[0] - before[0] == 1


@shared_files.needed
@pytest.mark.parametrize("name", STREAMING)
def test_real_models_stream_exactly(name: str) -> None:
    program = program_of(convert_tflite(shared_files.model(name)))
    frames = _kernel.stream_frames(program)
    for hop in (1, 2, 3, 5, 16):
        slid(program, frames, hop, 16, seed=hop)


@shared_files.needed
@pytest.mark.parametrize(
    ("name", "hop", "share"),
    [("kws_ref_model", 1, 0.413), ("kws_ref_model", 5, 0.573), ("str_ww_ref_model", 1, 0.056),
     ("str_ww_ref_model", 10, 0.491), ("micro_speech_quantized", 2, 0.235)],
)  # fmt: skip
def test_the_share_of_the_work_of_real_models(name: str, hop: int, share: float) -> None:
    program = program_of(convert_tflite(shared_files.model(name)))
    _, flows = _kernel.stream_plan(program, _kernel.stream_frames(program), hop)
    assert sum(flow.macs for flow in flows) / program.macs == pytest.approx(share, abs=0.001)


@shared_files.needed
@pytest.mark.parametrize(
    ("name", "hop", "least"),
    [("kws_ref_model", 2, 40_490), ("kws_ref_model", 1, 80_490), ("str_ww_ref_model", 1, 9_776)],
)
def test_real_models_hold_what_is_read_in_later_hops_and_an_eighth(
    name: str, hop: int, least: int
) -> None:
    """`least`: the codes of all tensors that are not only read row by row, nor all new."""
    program = program_of(convert_tflite(shared_files.model(name)))
    _, flows = _kernel.stream_plan(program, _kernel.stream_frames(program), hop)
    held = sum(flow.bytes for flow in flows if flow.is_kept)
    assert least <= held <= 1.125 * least


@pytest.fixture
def small() -> _kernel.Program:
    return program_of(convert_tflite("tests/fixtures/pump_window_dscnn.tflite"))


def test_what_does_not_fit_changes_nothing(small: _kernel.Program) -> None:
    frames = _kernel.stream_frames(small)
    stream = _kernel.Stream(small, frames, 1)
    width = small.codes_in // frames
    stream.push(bytes(range(width)))
    before = bytes(stream.layer(0)[0]), stream.counters
    for wrong in (b"", bytes(width + 1), bytes(width - 1)):
        with pytest.raises(ShapeError, match="frames: found"):
            stream.push(wrong)
    with pytest.raises(ShapeError, match="codes: found"):
        stream.step(bytes(small.codes_in - 1))
    with pytest.raises(IndexError, match="layer: found"):
        stream.layer(small.n_layers)
    assert (bytes(stream.layer(0)[0]), stream.counters) == before


@pytest.mark.parametrize(("frames", "hop"), [(0, 1), (1, 1), (7, 1), (2**32, 1), (-1, 1)])
def test_frames_must_divide_the_window(small: _kernel.Program, frames: int, hop: int) -> None:
    if frames == 7:
        frames = small.codes_in - 1
    with pytest.raises(ShapeError, match="frames: found"):
        _kernel.Stream(small, frames, hop)


@pytest.mark.parametrize("hop", [0, -1, 2**32])
def test_a_hop_is_a_number_of_frames(small: _kernel.Program, hop: int) -> None:
    with pytest.raises(ShapeError, match="hop: found"):
        _kernel.Stream(small, _kernel.stream_frames(small), hop)


def test_a_hop_beyond_the_window_runs_densely(small: _kernel.Program) -> None:
    frames = _kernel.stream_frames(small)
    slid(small, frames, 2**32 - 1, 1, seed=0)
    slid(small, frames, frames, 6, seed=0)


def test_a_window_that_did_not_move_costs_nothing(small: _kernel.Program) -> None:
    stream = _kernel.Stream(small, _kernel.stream_frames(small), 1)
    window = np.random.default_rng(0).integers(-128, 128, small.codes_in).astype(np.int8)
    assert stream.step(window) == -1
    before = stream.counters
    assert stream.step(window) == 0
    assert stream.counters[3] == before[3]
    assert not stream.changed


@shared_files.needed
def test_a_network_with_a_state_of_its_own_has_no_windows() -> None:
    path = shared_files.ROOT / "models" / shared_files.STATEFUL[1]
    with pytest.raises(BackendError, match="state"):
        _kernel.stream_plan(program_of(convert_tflite(path)), 2, 1)


def test_reset_is_a_window_at_rest(small: _kernel.Program) -> None:
    frames = _kernel.stream_frames(small)
    stream = _kernel.Stream(small, frames, 2)
    fresh = [bytes(stream.layer(i)[0]) for i in range(small.n_layers)]
    stream.push(np.random.default_rng(0).integers(-128, 128, small.codes_in).astype(np.int8))
    stream.reset()
    assert [bytes(stream.layer(i)[0]) for i in range(small.n_layers)] == fresh

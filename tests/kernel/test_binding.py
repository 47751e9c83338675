# SPDX-License-Identifier: Apache-2.0
"""The binding: what it accepts, refuses, keeps alive, and never computes."""

from __future__ import annotations

import array
import ast
import gc
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from kernel.programs import Programming, identity

from neurovm import _kernel
from neurovm.errors import BackendError, BundleError, ShapeError


@pytest.fixture
def session() -> _kernel.Session:
    return _kernel.Session(identity(6).program())


def test_program_describes_itself() -> None:
    program = identity(6).program()
    assert (program.n_layers, program.n_inputs, program.n_outputs) == (2, 1, 1)
    assert (program.codes_in, program.codes_out, program.macs, program.unit) == (6, 6, 0, False)
    assert program.session_bytes > 0
    assert program.scratch_bytes > 0
    assert _kernel.version() == (0, 1, 0)
    assert _kernel.isa() in _kernel.isas()


def test_buffers_live_as_long_as_the_program() -> None:
    layers, arena = (np.frombuffer(b, np.uint8).copy() for b in identity(64).buffers())
    before = sys.getrefcount(arena)
    session = _kernel.Session(_kernel.Program(layers, arena))
    del layers
    gc.collect()
    assert bytes(session.step(bytes(range(64)))) == bytes(range(64))
    del session
    gc.collect()
    assert sys.getrefcount(arena) == before


def test_an_aligned_arena_is_used_in_place_and_another_is_copied() -> None:
    layers, arena = identity(64).buffers()
    room = np.zeros(len(arena) + 128, np.uint8)
    start = -room.ctypes.data % 64
    for shift, copied in ((0, False), (1, True)):
        held = room[start + shift : start + shift + len(arena)]
        held[:] = np.frombuffer(arena, np.uint8)
        references = sys.getrefcount(held)
        program = _kernel.Program(layers, held)
        assert (sys.getrefcount(held) == references) == copied
        codes = bytes(range(64))
        assert bytes(_kernel.Session(program).step(codes)) == codes


@pytest.mark.parametrize("size", [0, 127, 129, 128 * 4097])
def test_layers_of_a_wrong_length_are_refused(size: int) -> None:
    with pytest.raises(BundleError, match=rf"layers: found {size} bytes; accepted: 1 to 4096"):
        _kernel.Program(bytes(size), bytes(64))


def test_a_bad_layer_is_named() -> None:
    made = identity(6)
    made.records[1] = made.records[1][:16] + bytes(4) + made.records[1][20:]  # n = 0
    with pytest.raises(BundleError, match=r"layer 1 \(MAP\): an index or a value is outside"):
        made.program()
    made.records[1] = b"\xc8" + made.records[1][1:]
    with pytest.raises(BundleError, match=r"layer 1 \(kind 200\)"):
        made.program()
    with pytest.raises(BundleError, match="program: "):
        identity(6, flags=()).program()  # no output
    with pytest.raises(TypeError, match="arena: found int"):
        _kernel.Program(bytes(128), 5)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, "array", np.int8, np.uint8])
def test_codes_come_in_any_buffer_of_bytes(session: _kernel.Session, kind: object) -> None:
    codes = bytes([1, 2, 250, 4, 5, 6])
    if kind == "array":
        given: object = array.array("b", [1, 2, -6, 4, 5, 6])
    elif kind in (np.int8, np.uint8):
        given = np.frombuffer(codes, kind)
    else:
        given = kind(codes)
    assert bytes(session.step(given)) == codes


def test_other_codes_are_refused(session: _kernel.Session) -> None:
    with pytest.raises(TypeError, match=r"codes: found list; accepted: .*format b or B or c"):
        session.step([1, 2, 3, 4, 5, 6])
    with pytest.raises(ShapeError, match=r"codes: found format 'f', 4 bytes an item; accepted"):
        session.step(np.zeros(6, np.float32))
    with pytest.raises(ShapeError, match=r"codes: found 5 codes; accepted: 6"):
        session.step(bytes(5))
    with pytest.raises(ShapeError, match="not C-contiguous"):
        session.step(np.zeros(12, np.int8)[::2])
    with pytest.raises(ShapeError, match="indices: found format"):
        session.update(np.zeros(1, np.int64), bytes(1))
    with pytest.raises(ShapeError, match=r"codes \(one an index\): found 2 codes; accepted: 1"):
        session.update(np.zeros(1, np.uint32), bytes(2))
    assert session.counters[0] == 0


def test_update_sets_elements_and_the_later_wins(session: _kernel.Session) -> None:
    out = session.update(array.array("I", [4, 0, 4]), bytes([1, 2, 3]))
    assert list(out) == [2, 7, 7, 7, 3, 7]
    assert session.changed
    with pytest.raises(ShapeError, match="accepted: 0 to 5"):
        session.update(array.array("I", [0, 6]), bytes([9, 9]))
    assert list(session.output) == [2, 7, 7, 7, 3, 7]
    session.update(array.array("I"), b"")
    assert not session.changed
    session.reset()
    assert list(session.output) == [7] * 6
    assert session.counters[:3] == (2, 2, 2)


def test_output_is_one_read_only_view(session: _kernel.Session) -> None:
    out = session.step(bytes(6))
    assert out is session.output
    assert session.update(array.array("I", [0]), b"\x05") is out
    assert (out.format, out.readonly, out.shape) == ("b", True, (6,))
    with pytest.raises(TypeError):
        out[0] = 1
    codes, acc, events, sops, way = session.layer(1)
    assert (codes.readonly, acc, events, sops, way) == (True, None, 7, 0, "dense")
    del session
    gc.collect()
    assert list(out) == list(codes) == [5, 0, 0, 0, 0, 0]


def test_counters_are_counted_straight_into_a_buffer() -> None:
    program = identity(6).program()
    block = memoryview(bytearray(64)).cast("Q")
    session = _kernel.Session(program, block[2:])
    session.step(bytes(6))
    assert list(block) == [0, 0, 1, 6, 6, 0, 0, 0]
    assert session.counters == (1, 6, 6, 0, 0)
    with pytest.raises(ShapeError, match="counters: found 32 bytes; accepted: 40"):
        _kernel.Session(program, block[:4])
    with pytest.raises(ShapeError, match="8-byte aligned"):
        _kernel.Session(program, memoryview(bytearray(65))[1:])
    with pytest.raises(BufferError):
        _kernel.Session(program, bytes(40))


def test_ways(session: _kernel.Session) -> None:
    session.force("dense", 1)
    session.step(bytes(6))
    assert session.layer(1)[4] == "dense"
    session.force("auto")
    with pytest.raises(ValueError, match="way: found 'fast'; accepted: auto, events"):
        session.force("fast")
    with pytest.raises(BackendError, match="not supported"):
        session.force("zeroskip")
    for index in (-1, 2):
        with pytest.raises(IndexError, match="accepted: 0 to 1"):
            session.force("events", index)
        with pytest.raises(IndexError, match="accepted: 0 to 1"):
            session.layer(index)
    assert list(session.step(bytes(6))) == [0] * 6  # an error leaves the session usable


def test_predict_checks_its_buffers() -> None:
    program = identity(4).program()
    out = bytearray(12)
    program.predict(bytes(range(12)), out, 3)
    assert out == bytes(range(12))
    program.predict(b"", bytearray(), 0)
    with pytest.raises(ShapeError, match="codes_in: found 12 codes; accepted: 8"):
        program.predict(bytes(12), out, 2)
    with pytest.raises(ShapeError, match="codes_out: found 12 codes; accepted: 8"):
        program.predict(bytes(8), out, 2)
    with pytest.raises(ShapeError, match=r"codes_out: found a buffer that is .*not writable"):
        program.predict(bytes(12), bytes(12), 3)
    with pytest.raises(ShapeError, match="rows: found -1"):
        program.predict(b"", bytearray(), -1)


def test_predict_refuses_spiking_programs() -> None:
    made = Programming()
    made.add("INPUT", 3, flags=("SPIKES", "OUTPUT"))
    with pytest.raises(BackendError, match="predict"):
        made.program().predict(bytes(3), bytearray(3), 1)


def test_a_session_for_dense_runs_alone_is_smaller_and_takes_no_other_way() -> None:
    made = Programming()
    made.add("INPUT", 6)
    offsets = {
        "weights": made.put(np.arange(30, dtype=np.int8)),
        "bias": made.put(np.zeros(5, np.int32)),
        "scale": made.put(np.full(5, 1e-2, np.float32)),
    }
    made.add(
        "DENSE", 5, requant="FP32", flags=("OUTPUT",), inputs=(0,), offsets=offsets,
        shape_in=(0, 0, 6), shape_out=(0, 0, 5),
    )  # fmt: skip
    program = made.program()
    small, other = _kernel.Session(program, way="dense"), _kernel.Session(program, way="events")
    assert 0 < program.dense_session_bytes < program.session_bytes
    for step in range(4):
        codes = bytes((17 * step + i) & 0xFF for i in range(6))
        assert bytes(small.step(codes)) == bytes(other.step(codes))
        assert bytes(small.update(step, 3)) == bytes(other.update(step, 3))
    assert small.counters[:3] == other.counters[:3]
    assert small.layer(1)[1] is None
    assert other.layer(1)[1] is not None
    for way in ("events", "auto", "tiles"):
        with pytest.raises(BackendError, match="made for way 'dense' alone"):
            small.force(way)
    small.force("dense")
    assert small.layer(1)[4] == "dense"
    with pytest.raises(ValueError, match="accepted: auto"):
        _kernel.Session(program, way="fast")
    with pytest.raises(BackendError, match="zeroskip"):
        _kernel.Session(program, way="zeroskip")


def test_a_session_in_use_refuses_a_second_thread() -> None:
    n = 2048
    made = Programming()
    made.add("INPUT", n)
    rng = np.random.default_rng(0)
    offsets = {
        "weights": made.put(rng.integers(-128, 128, (n, n), np.int8)),
        "bias": made.put(np.zeros(n, np.int32)),
        "scale": made.put(np.full(n, 1e-4, np.float32)),
    }
    made.add(
        "DENSE", n, requant="FP32", flags=("OUTPUT",), inputs=(0,), offsets=offsets,
        shape_in=(0, 0, n), shape_out=(0, 0, n),
    )  # fmt: skip
    session = _kernel.Session(made.program())
    session.force("dense")
    codes = bytes(n)
    stop = threading.Event()
    refusals: list[RuntimeError] = []

    def steps() -> None:
        while not stop.is_set():
            try:
                session.step(codes)
            except RuntimeError as error:
                refusals.append(error)

    thread = threading.Thread(target=steps)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not refusals and time.monotonic() < deadline:
            try:
                session.step(codes)
            except RuntimeError as error:
                refusals.append(error)
    finally:
        stop.set()
        thread.join()
    assert "in use by another thread" in str(refusals[0])
    session.step(codes)


@pytest.mark.parametrize("rounding", ["even_reciprocal", "away_divide"])
def test_quantize_and_dequantize(rounding: str) -> None:
    scale, zero = np.float32(0.037), -13
    x = np.linspace(-9, 9, 4001, dtype=np.float32)
    if rounding == "even_reciprocal":
        expected = np.rint(x * (np.float32(1) / scale)) + zero
    else:
        v = x / scale
        expected = np.trunc(v) + (np.abs(v - np.trunc(v)) >= 0.5) * np.sign(v) + zero
    out = np.empty(x.size, np.int8)
    _kernel.quantize_f32(x, float(scale), zero, rounding, out)
    np.testing.assert_array_equal(out, np.clip(expected, -128, 127).astype(np.int8))
    real = array.array("f", bytes(4 * x.size))
    _kernel.dequantize(out, float(scale), zero, real)
    back = (out.astype(np.int32) - zero).astype(np.float32) * scale
    np.testing.assert_array_equal(np.asarray(real), back)


def test_quantize_refuses_what_has_no_code() -> None:
    out = bytearray(2)
    one = array.array("f", [1.0, float("nan")])
    with pytest.raises(ValueError, match="NaN"):
        _kernel.quantize_f32(one, 1.0, 0, "away_divide", out)
    with pytest.raises(ValueError, match="rounding: found 'up'; accepted: even_reciprocal"):
        _kernel.quantize_f32(one, 1.0, 0, "up", out)
    with pytest.raises(ValueError, match="scale"):
        _kernel.quantize_f32(one[:1], -1.0, 0, "away_divide", out[:1])
    with pytest.raises(ValueError, match="scale"):
        _kernel.dequantize(b"a", 0.0, 0, one[:1])
    with pytest.raises(ShapeError, match=r"out \(one a value\): found 2 codes; accepted: 1"):
        _kernel.quantize_f32(one[:1], 1.0, 0, "away_divide", out)


def test_top_k() -> None:
    codes = np.random.default_rng(3).integers(-5, 5, 300).astype(np.int8)
    order = np.argsort(-codes.astype(int), kind="stable")
    for k in (0, 1, 7, 300):
        assert _kernel.top_k(codes, k) == order[:k].tolist()
    with pytest.raises(ShapeError, match="k: found 301; accepted: 0 to 300"):
        _kernel.top_k(codes, 301)


def test_the_kernel_needs_no_numpy() -> None:
    top = Path(_kernel.__file__).parents[1]
    code = "import sys, neurovm._kernel; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=top).returncode == 0


def test_the_stub_names_what_the_module_has() -> None:
    stub = ast.parse((Path(_kernel.__file__).parent / "_kernel.pyi").read_text("utf-8"))
    typed = {}
    for node in stub.body:
        if isinstance(node, ast.ClassDef):
            typed[node.name] = {f.name for f in node.body if isinstance(f, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            typed[node.name] = set()
        elif isinstance(node, ast.AnnAssign):
            assert isinstance(node.target, ast.Name)
            typed[node.target.id] = set()
    imported = {"BackendError", "BundleError", "ShapeError", "namedtuple"}
    assert {name for name in dir(_kernel) if name[0] != "_"} - imported == set(typed)
    for name, members in typed.items():
        if members:
            public = {member for member in vars(getattr(_kernel, name)) if member[0] != "_"}
            assert public == members - {"__init__"}

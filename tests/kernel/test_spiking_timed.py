# SPDX-License-Identifier: Apache-2.0
"""The kernel's spiking networks by time stamps: against the oracle, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from random_plans import leak_powers, random_plan

from neurovm import _kernel
from neurovm.errors import ShapeError
from neurovm.reference.spiking import Oracle
from neurovm.spiking.plan import Dense, Neurons, Plan, Population, Projection
from neurovm.spiking.records import pack

if TYPE_CHECKING:
    from numpy.typing import NDArray


def advanced(
    session: _kernel.SpikingSession,
    events: list[tuple[int, int]],
    until: int,
    room: int,
) -> list[tuple[int, int]]:
    """All ticks before `until`, with buffers of `room` spikes, as often as it takes."""
    ticks = np.array([t for t, _ in events], np.int64)
    addresses = np.array([a for _, a in events], np.uint32)
    out_ticks, out_addresses = np.zeros(room, np.int64), np.zeros(room, np.uint32)
    found: list[tuple[int, int]] = []
    at = 0
    while session.tick < until:
        done, spikes, tick = session.advance(
            ticks[at:], addresses[at:], until, out_ticks, out_addresses
        )
        assert tick == session.tick
        at += done
        found += zip(out_ticks[:spikes].tolist(), out_addresses[:spikes].tolist(), strict=True)
    assert at == len(events)
    return found


def train(rng: np.random.Generator, n_in: int, start: int, until: int) -> list[tuple[int, int]]:
    """Bursts and silences; some addresses twice in a tick."""
    count = int(rng.integers(0, 60))
    ticks = start + np.cumsum(rng.choice([0, 0, 0, 1, 2, 30], count))
    addresses = rng.integers(0, n_in, count)
    pairs = zip(ticks.tolist(), addresses.tolist(), strict=True)
    return [(t, a) for t, a in pairs if t < until]


@pytest.mark.parametrize("seed", range(20))
def test_time_stamps_equal_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = random_plan(seed + 1000)
    oracle = Oracle(plan)
    program = _kernel.SpikingProgram(*pack(plan))
    session = program.session()
    for _ in range(4):
        start = oracle.tick
        until = start + int(rng.integers(0, 150))
        events = train(rng, oracle.n_in, start, until)
        room = program.most_out + int(rng.integers(0, 20))
        assert advanced(session, events, until, room) == oracle.advance(events, until)
        assert np.array_equal(np.asarray(session.potentials), oracle.potentials())
        counts = (rng.random(oracle.n_in) < 0.3).astype(np.uint8)  # steps in between
        assert np.array_equal(np.asarray(session.step(counts)), oracle.step(counts))
    for index, state in enumerate(oracle.states):
        if state is not None:
            _, v, _ = session.population(index)
            assert np.array_equal(np.asarray(v), state.potentials(oracle.tick - 1))


def test_steps_and_time_stamps_hold_the_same_bits() -> None:
    for seed in range(2000, 2012):
        plan = random_plan(seed)
        program = _kernel.SpikingProgram(*pack(plan))
        rng = np.random.default_rng(seed)
        stepped, timed = program.session(), program.session()
        counts = (rng.random((200, program.n_in)) < 0.01).astype(np.uint8)
        events = [(int(t), int(a)) for t, a in np.argwhere(counts)]
        out = np.zeros((200, program.n_out), np.int8)
        stepped.run(counts, out)
        wanted = [(int(t), int(a)) for t, a in np.argwhere(out) for _ in range(out[t, a])]
        assert advanced(timed, events, 200, program.most_out + 3) == wanted
        assert bytes(stepped.potentials) == bytes(timed.potentials)
        assert stepped.counters[1:4] == timed.counters[1:4]


def leaky(n_in: int = 3) -> _kernel.SpikingProgram:
    """n_in inputs to two neurons that leak."""

    def one(value: int) -> NDArray[np.int32]:
        return np.array([value], np.int32)

    neurons = Neurons(one(1000), one(0), leak_powers(np.array([1 << 30])), one(1), one(0), one(0))
    plan = Plan(
        (Population("x", n_in, "input"), Population("y", 2, "lif", neurons, is_output=True)),
        (Projection(0, 1, Dense(np.full((n_in, 2), 100, np.int8))),),
        dt_us=1.0,
    )
    return _kernel.SpikingProgram(*pack(plan))


def test_silence_costs_nothing() -> None:
    session = leaky().session()
    assert advanced(session, [(10, 0), (1 << 40, 1)], 1 << 41, 2) == []
    assert session.counters[0] == 2  # ticks that were run
    assert session.tick == 1 << 41
    assert list(session.potentials) == [0, 0]
    assert list(session.output) == [0, 0]


def test_addresses_that_come_twice_add_up() -> None:
    session, other = leaky().session(), leaky().session()
    session.step_events(np.array([2, 0, 2], np.uint32))
    other.step(bytes([1, 0, 2]))
    assert list(session.potentials) == list(other.potentials) == [300, 300]
    session.event(1)
    other.step(bytes([0, 1, 0]))
    assert list(session.potentials) == list(other.potentials) == [250, 250]
    session.step_events(np.zeros(500, np.uint32))
    other.step(bytes([127, 0, 0]))
    assert session.tick == other.tick == 3
    assert list(session.potentials) == list(other.potentials)


@pytest.mark.parametrize(
    ("events", "until", "message"),
    [
        ([(5, 0), (4, 0)], 9, r"ticks\[1\]: found 4; accepted: 5 to 8"),
        ([(1, 0)], 9, r"ticks\[0\]: found 1; accepted: 2 to 8"),
        ([(9, 0)], 9, r"ticks\[0\]: found 9"),
        ([(3, 3)], 9, r"addresses\[0\]: found 3; accepted: 0 to 2"),
        ([(-1, 0)], 9, r"ticks\[0\]: found -1"),
        ([], 1, r"until: found 1; accepted: 2"),
    ],
)
def test_refused_before_any_effect(events: list[tuple[int, int]], until: int, message: str) -> None:
    session = leaky().session()
    session.step(bytes([1, 1, 0]))
    session.step(bytes([1, 0, 0]))
    before = list(session.potentials), session.tick, session.counters
    ticks = np.array([t for t, _ in events], np.int64)
    addresses = np.array([a for _, a in events], np.uint32)
    out = np.zeros(4, np.int64), np.zeros(4, np.uint32)
    with pytest.raises(ShapeError, match=message):
        session.advance(ticks, addresses, until, *out)
    with pytest.raises(ShapeError, match="out_ticks: found room for 1"):
        session.advance(ticks[:0], addresses[:0], 9, out[0][:1], out[1][:1])
    with pytest.raises(ShapeError, match=r"addresses\[2\]: found 7"):
        session.step_events(np.array([0, 1, 7], np.uint32))
    for address in (3, -1, 1 << 80):
        with pytest.raises(ShapeError, match=f"address: found {address}"):
            session.event(address)
    with pytest.raises(ShapeError, match="found a count above 127"):
        session.step(bytes([1, 128, 0]))
    with pytest.raises(ShapeError, match="spikes: found 2 counts; accepted: 3"):
        session.step(bytes(2))
    with pytest.raises(ShapeError, match="found a count above 127"):
        session.run(bytes([0] * 5 + [255]), bytearray(4))
    assert (list(session.potentials), session.tick, session.counters) == before

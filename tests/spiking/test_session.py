# SPDX-License-Identifier: Apache-2.0
"""Sessions of spiking networks: ticks and time stamps are one, mistakes change nothing."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from random_plans import random_plan
from spiking_networks import NETWORKS

import neurovm
from neurovm import _kernel
from neurovm.errors import BackendError, ShapeError
from neurovm.reference.spiking import Oracle
from neurovm.spiking.network import Network
from neurovm.spiking.neurons import LIF
from neurovm.spiking.records import pack
from neurovm.spiking.synapses import Dense

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking_model import SpikingModel


@pytest.fixture(scope="module", params=list(NETWORKS))
def model(request: pytest.FixtureRequest) -> SpikingModel:
    return neurovm.convert_network(NETWORKS[request.param]())


def trains(model: SpikingModel, ticks: int, seed: int = 0) -> NDArray[np.int8]:
    return (np.random.default_rng(seed).random((ticks, model.n_in)) < 0.1).astype(np.int8)


def events(x: NDArray[np.int8]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    ticks, addresses = np.nonzero(x)
    return ticks.astype(np.int64), addresses.astype(np.uint32)


def test_run_step_events_and_time_stamps_agree(model: SpikingModel) -> None:
    x = trains(model, 60)
    by_run, by_step, by_events, by_time = (model.session() for _ in range(4))
    spikes, potentials = (np.asarray(a) for a in by_run.run(x, potentials=True))
    ticks, addresses = events(x)
    for t, row in enumerate(x):
        assert (np.asarray(by_step.step(row)) == spikes[t]).all()
        assert (np.asarray(by_step.potentials) == potentials[t]).all()
        assert (np.asarray(by_events.step_events(addresses[ticks == t])) == spikes[t]).all()
    found = by_time.advance((ticks * model.dt_us).astype(np.int64), addresses, 60 * model.dt_us)
    wanted = [(t, a) for t, a in np.argwhere(spikes) for _ in range(spikes[t, a])]
    times = [int(t * model.dt_us) for t, _ in wanted]
    assert list(found.times_us) == times
    assert list(found.addresses) == [a for _, a in wanted]
    assert (np.asarray(by_time.potentials) == potentials[-1]).all()
    assert by_time.tick == by_run.tick == 60
    assert spikes.any()
    by_run.reset()
    assert by_run.tick == 0
    assert (np.asarray(by_run.run(x)) == spikes).all()


def test_predict_runs_rows_from_the_start(model: SpikingModel) -> None:
    x = np.stack([trains(model, 20, seed) for seed in range(3)])
    parts = np.split(x, np.cumsum([t.size for t in model.inputs])[:-1], axis=2)
    given: Any = {
        t.name: p.reshape(3, 20, *t.shape) for t, p in zip(model.inputs, parts, strict=True)
    }
    if len(given) == 1:
        given = parts[0]
    answer = model.predict(given)
    answers = answer if isinstance(answer, dict) else {model.outputs[0].name: answer}
    for row in range(3):
        spikes, v = (np.asarray(a) for a in model.session().run(x[row], potentials=True))
        at = 0
        for info, readout, (scale, offset) in zip(
            model.outputs, model.readouts, model.potential_scales, strict=True
        ):
            part = slice(at, at + info.size)
            at += info.size
            wanted = (
                (v[:, part] * scale + offset).astype(np.float32) if readout else spikes[:, part]
            )
            assert (answers[info.name][row].reshape(20, -1) == wanted).all()
    single = {k: v[0] for k, v in given.items()} if isinstance(given, dict) else given[0]
    alone = model.predict(single)
    alone = alone if isinstance(alone, dict) else {model.outputs[0].name: alone}
    assert all((alone[name] == answers[name][0]).all() for name in answers)


@pytest.fixture(scope="module")
def small() -> SpikingModel:
    net = Network(dt_us=1000.0, name="small")
    x, a = net.input(4, "x"), net.population(3, LIF(tau_us=10e3, r=8.0), "a")
    net.project(x, a, Dense(np.full((3, 4), 0.5)))
    net.output(a)
    return neurovm.convert_network(net)


def q(*values: int) -> array[int]:
    return array("q", values)


def i(*values: int) -> array[int]:
    return array("I", values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda s: s.advance(q(11000, 10500, 9000), i(0, 1, 2)),
            r"times\[1\].*10500 µs after 11000",
        ),
        (lambda s: s.advance(q(7000, 7900, 7800), i(0, 1, 2)), r"\[2\].*7800 µs after 79"),
        (lambda s: s.advance(q(11000), i(4)), "4"),
        (lambda s: s.advance(q(4999), i(0)), "tick"),
        (lambda s: s.advance(q(12000), i(0), until_us=11000), "tick|until"),
        (lambda s: s.advance(q(), i(), until_us=4000), "until tick 4"),
        (lambda s: s.advance(q(7000, 8000), i(0)), "addresses|length|events"),
        (lambda s: s.advance(q(), i(), until_us=1 << 80), "63 bits"),
        (lambda s: s.advance(q(), i(), until_us=1e300), "63 bits"),
        (lambda s: s.run(bytes(5)), "a multiple of 4"),
        (lambda s: s.run(np.zeros((4, 5), np.int8)), r"\(4, 5\); \(ticks, 4\) is needed"),
        (lambda s: s.run(np.zeros((2, 3, 2, 4, 2), np.int8)), "is needed"),
        (lambda s: s.step(bytes(3)), "4"),
        (lambda s: s.step(bytes([0, 0, 0, 128])), "127|count"),
        (lambda s: s.step_events(i(9)), "9|address"),
        (lambda s: s.run(np.zeros((2, 4), np.int64)), "counts"),
        (lambda s: s.run(np.zeros((4, 4), np.int8)[:, ::2]), "counts"),
        (lambda s: s.advance(np.array([7, 7], np.int32), i(0)), "times"),
        (lambda s: s.advance(np.array([7e3]), i(0)), "times"),
        (lambda s: s.advance(q(7000), np.array([0])), "addresses"),
        (lambda s: s.advance(q(), i(), until_us=float("nan")), "until nan"),
        (lambda s: s.advance_ticks(q(5, 6, 5), i(0, 0, 0), 9), "2|tick"),
    ],
)
def test_mistakes_change_nothing(small: SpikingModel, call: Any, message: str) -> None:
    session, other = small.session(), small.session()
    for s in (session, other):
        s.run(bytes([1, 0, 1, 1] * 5))
    before = (session.tick, session.potentials.tobytes(), session.counters)
    with pytest.raises(ShapeError, match=message):
        call(session)
    assert (session.tick, session.potentials.tobytes(), session.counters) == before
    row = bytes([1, 1, 1, 0])
    assert bytes(session.step(row)) == bytes(other.step(row))


def test_time_is_counted_in_ticks_that_need_not_be_whole_microseconds() -> None:
    net = Network(dt_us=0.4)
    x, a = net.input(1, "x"), net.population(1, LIF(tau_us=10.0, r=100.0), "a")
    net.project(x, a, Dense(np.ones((1, 1))))
    net.output(a)
    session = neurovm.convert_network(net).session()
    found = session.advance(q(0, 1, 2, 3), i(0, 0, 0, 0))
    # Ticks 0, 2, 5 and 7 begin at 0, 0.8, 2.0 and 2.8 µs.
    assert list(found.times_us) == [0, 1, 2, 3]
    assert session.tick == 8
    assert session.time_us == pytest.approx(3.2)


@pytest.mark.parametrize("until", [5.5, float("nan"), "6", None])
def test_a_part_of_a_tick_is_no_end(small: SpikingModel, until: Any) -> None:
    session = small.session()
    with pytest.raises(TypeError):
        session.advance_ticks(q(), i(), until)
    assert session.tick == 0


def test_no_ticks_have_no_answer(small: SpikingModel) -> None:
    assert small.predict(np.zeros((0, 4), np.int8)).shape == (0, 3)
    assert small.predict(np.zeros((2, 0, 4), np.int8)).shape == (2, 0, 3)
    assert small.predict(np.zeros((0, 5, 4), np.int8)).shape == (0, 5, 3)


def test_axes_of_counts(small: SpikingModel) -> None:
    counts = (np.random.default_rng(3).random((5, 4)) < 0.5).astype(np.int8)
    wanted = bytes(small.session().run(counts))
    for shape in ((20,), (5, 2, 2), (5, 1, 4), (1, 5, 4)):
        assert bytes(small.session().run(counts.reshape(shape))) == wanted


def test_codes_of_values_are_refused(small: SpikingModel) -> None:
    for call in (small.to_codes, small.from_codes):
        with pytest.raises(BackendError, match="takes and gives spikes"):
            call(b"")
    with pytest.raises(ShapeError, match=r"\(rows, ticks"):
        small.predict(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="0 to 127"):
        small.predict(np.full((1, 2, 4), 0.5))
    with pytest.raises(ShapeError, match="0 to 127"):
        small.predict(np.full((1, 2, 4), -1))
    small_closed = neurovm.convert_network(NETWORKS["drawn"]())
    small_closed.close()
    with pytest.raises(ValueError, match="closed"):
        small_closed.session()


def kernel_events(
    session: _kernel.SpikingSession, part: list[tuple[int, int]], until: int, most: int
) -> list[tuple[int, int]]:
    """advance() with the least buffers that are allowed."""
    ticks, addresses = (
        memoryview(array(f, v))
        for f, v in (("q", [t for t, _ in part]), ("I", [a for _, a in part]))
    )
    room = max(most, 1)
    out_ticks, out_addresses = array("q", bytes(8 * room)), array("I", bytes(4 * room))
    found = []
    while True:
        done, count, tick = session.advance(ticks, addresses, until, out_ticks, out_addresses)
        found += list(zip(out_ticks[:count], out_addresses[:count], strict=True))
        ticks, addresses = ticks[done:], addresses[done:]
        if tick >= until:
            return found


@pytest.mark.parametrize("block", range(6))
def test_the_kernel_is_the_oracle_however_it_is_called(block: int) -> None:
    """Random plans: ticks, lists of addresses and time stamps by turns, and again after a reset;
    several sessions of one program at once.
    """
    for seed in range(block * 25, block * 25 + 25):
        plan = random_plan(seed)
        program = _kernel.SpikingProgram(*pack(plan))
        sessions = [program.session() for _ in range(3)]
        oracle = Oracle(plan)
        rng = np.random.default_rng(seed)
        rate = float(rng.choice([0.01, 0.1, 0.4]))
        for _ in range(2):
            oracle.reset()
            for session in sessions:
                session.reset()
            for _ in range(4):
                span = int(rng.integers(1, 12))
                x = (rng.random((span, oracle.n_in)) < rate).astype(np.int8)
                x *= rng.choice([1, 1, 3], x.shape).astype(np.int8)
                start = oracle.tick
                wanted, v = oracle.run(x)
                listed = [
                    (start + int(t), int(a)) for t, a in np.argwhere(x) for _ in range(x[t, a])
                ]
                out = np.zeros((span, oracle.n_out), np.int8)
                shown = np.zeros((span, oracle.n_out), np.int32)
                order = rng.permutation(3)
                sessions[order[0]].run(x.tobytes(), out.reshape(-1), shown.reshape(-1))
                assert (out == wanted).all(), seed
                assert (shown == v).all(), seed
                for t in range(span):
                    to = array("I", [a for tick, a in listed if tick == start + t])
                    found = sessions[order[1]].step_events(to)
                    assert (np.asarray(found) == wanted[t]).all(), seed
                timed = kernel_events(sessions[order[2]], listed, start + span, program.most_out)
                assert timed == [
                    (start + int(t), int(a))
                    for t, a in np.argwhere(wanted)
                    for _ in range(wanted[t, a])
                ], seed
                for session in sessions:
                    assert (np.asarray(session.potentials) == v[-1]).all(), seed
                    assert session.tick == oracle.tick

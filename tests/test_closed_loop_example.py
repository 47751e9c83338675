# SPDX-License-Identifier: Apache-2.0
"""The closed loop example: a pole that a network balances through broker, VM and actuator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.closed_loop.__main__ import KICKS, Loop, balance
from examples.closed_loop.picture import network
from examples.closed_loop.plant import FALLEN_RAD, RANGES, advance, run, sensed

SECONDS = 4.0


def test_the_loop_over_mqtt_is_the_loop_beside_the_network() -> None:
    """The same moments, bit for bit; afterwards, without sensors, the motor is let go."""
    words = []

    def let_go(loop: Loop) -> None:
        words.append(float(loop.word()[1]))

    moments, took_s = balance(SECONDS, after=let_go)
    assert len(took_s) == len(moments) == SECONDS / 0.02
    assert words == [0.0]
    with network() as control:
        assert list(run(control, SECONDS, kicks=KICKS)) == moments
    assert max(abs(moment.state[2]) for moment in moments) < FALLEN_RAD


def test_from_many_states_and_through_many_kicks_it_stands() -> None:
    draw = np.random.default_rng(7)
    with network() as control:
        for _ in range(20):
            x, v, angle, spin = draw.uniform(-0.3, 0.3, 4) * np.array(RANGES)
            kicks = {float(t): float(draw.uniform(-0.8, 0.8)) for t in (4, 7)}
            moments = list(run(control, 10.0, start=(x, v, angle, spin), kicks=kicks))
            assert max(abs(moment.state[2]) for moment in moments) < FALLEN_RAD
            x, _, angle, _ = moments[-1].state
            assert abs(angle) < 0.05
            assert abs(x) < 0.5


def test_without_a_controller_it_falls() -> None:
    moments = list(run(lambda _: 0.0, 2.0))
    assert max(abs(moment.state[2]) for moment in moments) > FALLEN_RAD


def test_the_plant_keeps_its_energy_and_sensors_their_range() -> None:
    """Without a force the speed of the whole does not change, and a hanging pole swings on."""
    state = (0.0, 0.0, 3.0, 0.0)
    angles = []
    for _ in range(3000):
        state = advance(state, 0.0, 0.005)
        angles.append(abs(abs(state[2]) - np.pi))
    assert max(angles[:600]) == pytest.approx(max(angles[-600:]), rel=0.05)
    assert sensed((9.0, -9.0, 0.25, 0.0)) == [1.0, -1.0, 0.5, 0.0]


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from examples.closed_loop.picture import draw

    draw(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

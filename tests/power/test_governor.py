# SPDX-License-Identifier: Apache-2.0
"""The governor on a fake tree and the real shared block: figures, source, duty."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovmd.power import Governor, PowerState, Roots
from neurovmd.power.actuators import set_duty
from neurovmd.power.governor import LEAST_INTERVAL_S, MISSES_BEFORE_GIVING_UP
from neurovmd.shared import DUTY_ONE, SharedBlock

RANGE_UJ = 262_143_328_850


class MeteredBox:
    """One package counter, two workers, and a clock that a test turns."""

    def __init__(self, folder: Path) -> None:
        self.roots = Roots(sys=folder / "sys", proc=folder / "proc")
        zone = self.roots.sys / "class" / "powercap" / "intel-rapl:0"
        zone.mkdir(parents=True)
        (zone / "name").write_text("package-0\n")
        (zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        self.counter = zone / "energy_uj"
        self.counter.write_text("0\n")
        self.energy_uj = 0
        self.now_s = 100.0
        self.roots.proc.mkdir()
        (self.roots.proc / "stat").write_text("cpu  0 0 0 0 0 0 0 0 0 0\n")
        self.block = SharedBlock(2)
        for index, slot in enumerate(self.block.slots):
            slot.pid = 1000 + index

    def governor(
        self, limit_w: float | None, *, vm_limits_w: Sequence[float | None] = ()
    ) -> Governor:
        return Governor(
            limit_w,
            10.0,
            self.block,
            lambda: self.now_s,
            self.roots,
            cpus=4,
            vm_limits_w=vm_limits_w,
        )

    def pass_time(self, seconds: float, watts: float, busy_s: float = 0.0) -> float:
        self.now_s += seconds
        self.energy_uj += int(watts * seconds * 1e6)
        self.counter.write_text(f"{self.energy_uj}\n")
        for slot in self.block.slots:
            slot.cpu_ns += int(busy_s / 2 * 1e9)
        return self.now_s


@pytest.fixture
def box(tmp_path: Path) -> MeteredBox:
    return MeteredBox(tmp_path)


def test_without_a_limit_it_measures_and_holds_nobody_back(box: MeteredBox) -> None:
    governor = box.governor(None)
    state = governor.tick(box.pass_time(1.0, watts=30.0))
    assert state == PowerState(
        watts=pytest.approx(30.0),
        source="powercap:package-0",
        limit_w=None,
        duty=1.0,
        infeasible=False,
        vms_w=(0.0, 0.0),
        core_w=state.core_w,
    )
    assert [slot.duty_q16 for slot in box.block.slots] == [DUTY_ONE, DUTY_ONE]
    assert str(state) == "30.0 W (powercap:package-0)"


def test_full_demand_settles_below_the_limit(box: MeteredBox) -> None:
    """Two workers that always want a core each, 3 W a core, on a box of 4 W under 8 W."""
    governor = box.governor(8.0)
    state = governor.tick(box.pass_time(1.0, watts=4.0))
    for _ in range(60):
        duty = box.block.slot(0).duty_q16 / DUTY_ONE
        busy_s = 2 * duty
        state = governor.tick(box.pass_time(1.0, watts=4.0 + 3.0 * busy_s, busy_s=busy_s))
        assert state.watts is not None
        assert state.watts <= 8.0
    assert state.watts >= 7.0
    assert box.block.slot(1).duty_q16 == int(state.duty * DUTY_ONE)
    assert not box.block.slot(1).paused
    assert str(state).startswith("7.")
    assert "/8 W (powercap:package-0), duty " in str(state)


def test_a_box_at_its_limit_pauses_the_workers_and_says_so(
    box: MeteredBox, capfd: pytest.CaptureFixture[str]
) -> None:
    governor = box.governor(3.0)
    state = governor.tick(box.pass_time(1.0, watts=4.0))
    assert state.infeasible
    assert state.duty == 0
    assert [(slot.duty_q16, slot.paused) for slot in box.block.slots] == [(0, 1), (0, 1)]
    assert "paused" in str(state)
    for _ in range(30):
        state = governor.tick(box.pass_time(1.0, watts=1.0))
    assert not state.infeasible
    assert [slot.paused for slot in box.block.slots] == [0, 0]
    said = capfd.readouterr().err.splitlines()
    events = ["power.source", "power.infeasible", "power.feasible"]
    assert [line.split()[0] for line in said] == events


def test_ticks_in_quick_succession_repeat_the_decision(box: MeteredBox) -> None:
    governor = box.governor(8.0)
    first = governor.tick(box.pass_time(1.0, watts=4.0))
    box.block.slot(0).duty_q16 = 7  # as a slot that was taken anew
    again = governor.tick(box.pass_time(LEAST_INTERVAL_S / 2, watts=100.0))
    assert again == first
    assert box.block.slot(0).duty_q16 == int(first.duty * DUTY_ONE)


def test_before_the_first_reading_there_is_no_figure(box: MeteredBox) -> None:
    governor = box.governor(8.0)
    assert 0 < box.block.slot(0).duty_q16 < DUTY_ONE / 10
    state = governor.tick(box.now_s)
    assert state.watts is None
    assert 0 < state.duty < 0.1
    assert str(state).startswith("?/8 W (powercap:package-0)")


def test_a_meter_that_dies_gives_way_to_the_estimate(
    box: MeteredBox, capfd: pytest.CaptureFixture[str]
) -> None:
    governor = box.governor(50.0)
    governor.tick(box.pass_time(1.0, watts=4.0))
    box.counter.unlink()
    for _ in range(MISSES_BEFORE_GIVING_UP):
        box.now_s += 1.0
        state = governor.tick(box.now_s)
    assert state.source == "estimate:cpu-time"
    assert state.watts is None
    said = capfd.readouterr().err.splitlines()
    assert said[0] == "power.source source=powercap:package-0 passed_by=none"
    assert said[1].startswith("power.source source=estimate:cpu-time passed_by=")
    assert "energy_uj" in said[1]
    assert len(said) == 2
    box.now_s += 1.0
    state = governor.tick(box.now_s)
    assert state.watts is not None
    assert "estimate:cpu-time" in str(state)


def test_long_sleeps_do_not_wear_a_meter_out(box: MeteredBox) -> None:
    governor = box.governor(50.0)
    for _ in range(2 * MISSES_BEFORE_GIVING_UP):
        state = governor.tick(box.pass_time(3600.0, watts=1.0))
        assert state.source == "powercap:package-0"
    assert governor.tick(box.pass_time(1.0, watts=5.0)).watts == pytest.approx(5.0)


def test_a_restarted_worker_counts_from_zero(box: MeteredBox) -> None:
    governor = box.governor(8.0)
    governor.tick(box.pass_time(1.0, watts=4.0, busy_s=1.0))
    box.block.slot(0).cpu_ns = 250_000_000
    box.block.slot(1).cpu_ns += 250_000_000
    assert governor._busy_ns(box.block.slots) == [250_000_000, 250_000_000]


def test_a_worker_is_attributed_its_cpu_time(box: MeteredBox) -> None:
    governor = box.governor(None)
    now_s = box.pass_time(1.0, watts=5.0, busy_s=1.0)
    box.block.slot(1).cpu_ns += 250_000_000
    state = governor.tick(now_s)
    assert state.core_w > 0
    assert state.vms_w == pytest.approx((0.5 * state.core_w, 0.75 * state.core_w))


def test_a_limit_of_its_own_holds_one_worker_back_and_no_other(box: MeteredBox) -> None:
    governor = box.governor(None, vm_limits_w=[0.5, None])
    state = governor.tick(box.pass_time(1.0, watts=5.0))
    first, second = (slot.duty_q16 / DUTY_ONE for slot in box.block.slots)
    assert second == 1.0
    assert 0.9 * 0.5 < first * state.core_w < 0.5
    assert not box.block.slot(0).paused


def test_the_smaller_of_both_limits_holds(box: MeteredBox) -> None:
    governor = box.governor(6.0, vm_limits_w=[0.01, 100.0])
    for _ in range(60):
        state = governor.tick(box.pass_time(1.0, watts=4.0))
    first, second = (slot.duty_q16 / DUTY_ONE for slot in box.block.slots)
    assert first * state.core_w < 0.01
    assert second == pytest.approx(state.duty, abs=1e-4)


@given(st.floats(0, 1))
def test_the_duty_is_never_rounded_up(duty: float) -> None:
    block = SharedBlock(1)
    set_duty(block.slots, duty)
    assert 0 <= block.slot(0).duty_q16 / DUTY_ONE <= duty
    assert block.slot(0).paused == (block.slot(0).duty_q16 == 0)


@pytest.mark.parametrize("duty", [-0.1, 1.1, float("nan")])
def test_a_duty_out_of_range_is_refused(duty: float) -> None:
    with pytest.raises(ValueError, match="duty"):
        set_duty((), duty)

# SPDX-License-Identifier: Apache-2.0
"""The simulated plant: its physics, its sensors, its schedule."""

import math

import pytest

from examples.pump import dataset
from examples.pump.faults import CLASSES, NORMAL, Fault, Schedule, random_schedule
from examples.pump.plant import GRAVITY_WATER, NOMINAL_RPM, Plant, toward
from examples.pump.publisher import payload, schedules
from examples.pump.pump import STUCK_SENSOR, Moment, Pump
from examples.pump.sensors import GROUPS, NAMES, SENSORS, Station, group_of

SETTLED_S = 60


def moments(seed: int, *faults: Fault, steps: int = SETTLED_S) -> list[Moment]:
    pump = Pump(seed, Schedule(faults=faults))
    return [pump.step() for _ in range(steps)]


def after(seed: int, fault: str | None) -> dict[str, float]:
    """True values `SETTLED_S` after the start of a fault (None: of no fault), same seed."""
    faults = () if fault is None else (Fault(name=fault, start_s=0.0, length_s=1e6),)
    return moments(seed, *faults)[-1].values


def test_equal_seeds_give_equal_pumps_and_other_seeds_others():
    schedule = random_schedule(5, until_s=300.0)
    first, second, other = (Pump(seed, schedule) for seed in (5, 5, 6))
    for _ in range(300):
        moment = first.step()
        assert moment == second.step()
        assert moment != other.step()


@pytest.mark.parametrize("seed", range(5))
def test_operating_point_lies_on_the_pump_curve(seed):
    for moment in moments(seed):
        values = moment.values
        ratio = values["speed"] / NOMINAL_RPM
        flow = values["flow_pump"] / 3600.0
        head = (values["discharge_pressure"] - values["suction_pressure"]) * 1000.0 / GRAVITY_WATER
        assert head == pytest.approx(44.0 * ratio**2 - 5400.0 * flow**2, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", CLASSES[1:])
def test_water_is_neither_made_nor_lost_except_by_a_leak(seed, fault):
    for moment in moments(seed, Fault(name=fault, start_s=0.0, length_s=1e6)):
        lost = moment.values["flow_pump"] - moment.values["flow_out"]
        assert lost >= 0.0
        assert (lost > 0.0) == (fault == "leak" and moment.severity > 0.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("fault", "sensor", "factor"),
    [
        ("cavitation", "noise_ultrasonic", 1.1),
        ("cavitation", "suction_pressure", 1.5),  # negative: further below the atmosphere
        ("bearing_wear", "bearing_temp_de", 1.3),
        ("bearing_wear", "vib_pump_de_hf", 4.0),
        ("blocked_filter", "filter_dp", 2.5),
        ("leak", "floor_moisture", 2.0),
        ("dry_running", "seal_temp", 1.5),
        ("phase_imbalance", "current_l2", 1.2),
        ("phase_imbalance", "vib_motor_line", 3.0),
    ],
)
def test_a_fault_raises_its_tell_tale(seed, fault, sensor, factor):
    healthy, faulty = after(seed, None)[sensor], after(seed, fault)[sensor]
    assert abs(faulty) > factor * abs(healthy)


@pytest.mark.parametrize("seed", range(3))
def test_air_in_the_suction_line_takes_flow_and_power(seed):
    healthy, dry = after(seed, None), after(seed, "dry_running")
    assert dry["flow_pump"] < 0.5 * healthy["flow_pump"]
    assert dry["power"] < 0.7 * healthy["power"]


@pytest.mark.parametrize("fault", [None, *CLASSES[1:]])
def test_true_values_stay_within_the_ranges_of_the_sensors(fault):
    faults = () if fault is None else (Fault(name=fault, start_s=20.0, length_s=100.0),)
    for moment in moments(11, *faults, steps=180):
        for sensor in SENSORS:
            value = moment.values[sensor.name]
            assert math.isfinite(value)
            assert sensor.low <= value <= sensor.high, sensor.name


def test_lag_does_not_depend_on_the_step():
    one = toward(3.0, 10.0, 1.0, 7.0)
    half = toward(toward(3.0, 10.0, 0.5, 7.0), 10.0, 0.5, 7.0)
    assert one == pytest.approx(half, rel=1e-12)


@pytest.mark.parametrize("step_s", [0.0, -1.0, 11.0, math.nan])
def test_a_step_out_of_range_is_refused(step_s):
    with pytest.raises(ValueError, match=r"accepted 0\.1 to 10"):
        Plant(1, step_s)


def test_there_are_64_sensors_and_each_has_a_group():
    assert len(SENSORS) == len(set(NAMES)) == 64
    assert {group_of(name) for name in NAMES} == {group for group, _ in GROUPS}
    for sensor in SENSORS:
        assert sensor.low < sensor.high
        assert 0.0 < sensor.resolution <= sensor.dead_span * (sensor.high - sensor.low) * 2.0


def test_a_sensor_is_silent_until_its_dead_band_is_left():
    pump = Pump(3, Schedule(faults=()))
    last: dict[str, float] = {}
    sends = 0
    for step in range(400):
        moment = pump.step()
        for sensor in SENSORS:
            if sensor.name in moment.sends:
                value = moment.sends[sensor.name]
                if sensor.name in last:
                    band = sensor.dead_span * (sensor.high - sensor.low)
                    assert abs(value - last[sensor.name]) >= band
                last[sensor.name] = value
        sends += len(moment.sends) if step else 0
        assert pump.station.spans() == [s.span(last[s.name]) for s in SENSORS]
    assert 0.01 < sends / (399 * 64) < 0.12  # most sensors are silent most of the time


def test_every_sensor_speaks_once_at_the_start():
    assert set(moments(1, steps=1)[0].sends) == set(NAMES)


def test_a_stuck_sensor_repeats_and_comes_back():
    fault = Fault(name="sensor_stuck", start_s=10.0, length_s=80.0)
    seen = moments(4, fault, steps=140)
    during = [m for m in seen if m.truth == "sensor_stuck"]
    assert [m.time_s for m in during] == [float(t) for t in range(10, 90)]
    assert not any(STUCK_SENSOR in m.sends for m in during[1:])
    assert any(STUCK_SENSOR in m.sends for m in seen[90:])
    assert after(4, "sensor_stuck") == after(4, None)  # the plant itself is well


def test_readings_are_rounded_and_clipped():
    station = Station(1)
    values = {sensor.name: sensor.high * 10.0 + 1e6 for sensor in SENSORS}
    assert station.sample(values, frozenset()) == {s.name: s.high for s in SENSORS}
    assert station.spans() == [1.0] * 64


def test_a_fault_holds_in_a_half_open_interval_and_grows_along_its_ramp():
    fault = Fault(name="leak", start_s=10.0, length_s=40.0, ramp_s=20.0, peak=0.8)
    schedule = Schedule(faults=(fault,))
    assert [schedule.truth(t) for t in (9.99, 10.0, 49.99, 50.0)] == [
        NORMAL,
        "leak",
        "leak",
        NORMAL,
    ]
    assert [fault.severity(t) for t in (9.0, 10.0, 20.0, 30.0, 49.0, 50.0)] == pytest.approx(
        [0.0, 0.0, 0.4, 0.8, 0.8, 0.0]
    )
    assert schedule.severity(20.0) == {"leak": pytest.approx(0.4)}
    assert schedule.severity(60.0) == {}


def test_a_schedule_refuses_overlap_and_unknown_names():
    leak = Fault(name="leak", start_s=0.0, length_s=10.0)
    with pytest.raises(ValueError, match="within another"):
        Schedule(faults=(leak, Fault(name="cavitation", start_s=9.0, length_s=5.0)))
    with pytest.raises(ValueError, match="found 'rust'"):
        Schedule(faults=(Fault(name="rust", start_s=0.0, length_s=5.0),))


@pytest.mark.parametrize("pumps", [1, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_the_demo_deals_each_fault_once_before_any_again(seed, pumps):
    plans = schedules(seed, pumps, 3000.0)
    dealt = sorted((f.start_s, f.name) for plan in plans for f in plan.faults)
    names = [name for _, name in dealt]
    assert len(plans) == pumps
    assert len(names) >= 7
    assert sorted(names[:7]) == sorted(CLASSES[1:])
    assert all(f.start_s + f.length_s <= 3000.0 for plan in plans for f in plan.faults)


def test_a_message_holds_value_unit_and_fraction_of_the_range():
    sensor = SENSORS[NAMES.index("suction_pressure")]
    assert payload(sensor, -30.0000000001) == '{"value": -30.0, "unit": "kPa", "span": 0.5}'


def test_an_episode_is_64_fractions_a_second_and_shows_every_fault():
    rows = [row for seed in range(2) for row in dataset.episode(seed)]
    assert {label for _, label, _ in rows} == set(range(len(CLASSES)))
    assert all(len(spans) == 64 and 0.0 <= min(spans) <= max(spans) <= 1.0 for spans, _, _ in rows)
    assert any(not visible for _, _, visible in rows)


def test_a_window_ends_with_the_snapshot_of_its_moment():
    x, y = dataset.windows([3])
    snapshots, labels = dataset.snapshots([3], every=12)
    assert len(x[0]) == dataset.WINDOW * 64
    assert [row[-64:] for row in x] == snapshots[-len(x) :]
    assert y == labels[-len(y) :]

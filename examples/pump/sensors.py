# SPDX-License-Identifier: Apache-2.0
"""The pump's 64 sensors: range, resolution, noise, dead band, and send-on-change.

A sensor reads the true value, adds noise, rounds to its resolution and clips to its range. Like
most field transmitters it then stays silent until the reading has left a dead band around the
value it sent last; the message carries the value in its unit and as `span`, the fraction of the
range (what a 4–20 mA loop carries), which is what the network was trained on.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """One instrument. All figures are in `unit` except `noise_span` and `dead_span`.

    `noise_span` (standard deviation) and `dead_span` are fractions of the range high − low.
    """

    name: str
    unit: str
    low: float
    high: float
    resolution: float
    noise_span: float = 0.0012
    dead_span: float = 0.006

    def span(self, value: float) -> float:
        """The fraction of the range, 0..1."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def read(self, true_value: float, generator: random.Random) -> float:
        """A noisy reading, rounded to the resolution and clipped to the range."""
        noisy = true_value + generator.gauss(0.0, self.noise_span * (self.high - self.low))
        return min(max(round(noisy / self.resolution) * self.resolution, self.low), self.high)


def _sensors(unit: str, resolution: float, *ranges: tuple[str, float, float]) -> list[Sensor]:
    return [
        Sensor(name=name, unit=unit, low=low, high=high, resolution=resolution)
        for name, low, high in ranges
    ]


SENSORS: tuple[Sensor, ...] = (
    *_sensors("m", 0.01, ("source_level", 0, 6), ("dest_level", 0, 8), ("sump_level", 0, 1.2)),
    *_sensors(
        "kPa",
        0.1,
        ("filter_in_pressure", -20, 60),
        ("filter_dp", 0, 60),
        ("suction_pressure", -100, 40),
        ("discharge_pressure", 100, 350),
        ("header_pressure", 100, 300),
        ("end_pressure", 100, 280),
        ("seal_flush_pressure", 100, 300),
    ),
    *_sensors(
        "m3/h",
        0.01,
        ("flow_pump", 0, 180),
        ("flow_out", 0, 180),
        ("flow_recirculation", 0, 5),
        ("seal_flush_flow", 0, 3),
    ),
    *_sensors(
        "%",
        0.1,
        ("valve_suction", 0, 100),
        ("valve_discharge", 0, 100),
        ("valve_discharge_command", 0, 100),
        ("valve_recirculation", 0, 100),
        ("humidity", 0, 100),
        ("floor_moisture", 0, 100),
        ("oil_level", 0, 100),
    ),
    *_sensors(
        "V", 0.1, ("voltage_l1", 360, 420), ("voltage_l2", 360, 420), ("voltage_l3", 360, 420)
    ),
    *_sensors("A", 0.1, ("current_l1", 0, 50), ("current_l2", 0, 50), ("current_l3", 0, 50)),
    *_sensors("kW", 0.01, ("power", 0, 30)),
    *_sensors("1", 0.001, ("power_factor", 0.5, 1.0)),
    *_sensors("rpm", 1, ("speed", 1000, 1600)),
    *_sensors("Hz", 0.01, ("drive_frequency", 30, 55)),
    *_sensors("Nm", 0.1, ("torque", 0, 160)),
    *_sensors(
        "degC",
        0.1,
        ("winding_temp_u", 20, 110),
        ("winding_temp_v", 20, 110),
        ("winding_temp_w", 20, 110),
        ("bearing_temp_de", 10, 90),
        ("bearing_temp_nde", 10, 90),
        ("bearing_temp_thrust", 10, 90),
        ("motor_bearing_temp_de", 10, 90),
        ("motor_bearing_temp_nde", 10, 90),
        ("oil_temp", 10, 80),
        ("seal_temp", 5, 90),
        ("casing_temp", 5, 60),
        ("discharge_temp", 5, 45),
        ("drive_temp", 10, 80),
        ("ambient_temp", 0, 50),
        ("water_temp", 0, 40),
    ),
    *_sensors(
        "mm/s",
        0.01,
        ("vib_pump_de_1x", 0, 4),
        ("vib_pump_de_2x", 0, 3),
        ("vib_pump_de_blade", 0, 4),
        ("vib_pump_de_hf", 0, 5),
        ("vib_pump_nde_1x", 0, 4),
        ("vib_pump_nde_2x", 0, 3),
        ("vib_pump_nde_blade", 0, 4),
        ("vib_pump_nde_hf", 0, 5),
        ("vib_motor_1x", 0, 3),
        ("vib_motor_2x", 0, 3),
        ("vib_motor_line", 0, 3),
        ("vib_motor_hf", 0, 3),
        ("vib_axial", 0, 4),
    ),
    *_sensors("dB", 0.1, ("noise", 60, 100), ("noise_ultrasonic", 30, 90)),
    *_sensors("NTU", 0.01, ("turbidity", 0, 10)),
    *_sensors("ppm", 0.1, ("oil_particles", 0, 100)),
)

NAMES: tuple[str, ...] = tuple(sensor.name for sensor in SENSORS)

GROUPS: tuple[tuple[str, str], ...] = (
    ("water", "level pressure dp flow turbidity"),
    ("valves", "valve"),
    ("electric", "voltage current power speed drive_frequency torque"),
    ("heat", "temp"),
    ("vibration", "vib noise"),
    ("site", "humidity moisture oil"),
)


def group_of(name: str) -> str:
    """The group a sensor belongs to: the first whose key word its name holds, from the end."""
    if name.startswith("valve"):
        return "valves"
    if name.startswith("oil") or name in {"humidity", "floor_moisture"}:
        return "site"
    return next(group for group, words in GROUPS if any(word in name for word in words.split()))


class Station:
    """The 64 sensors of one pump with what each sent last.

    Args:
        seed: start of the sensors' noise.
        dead_band: scale of every sensor's dead band; 0 sends every changed reading.
    """

    def __init__(self, seed: int, *, dead_band: float = 1.0) -> None:
        self._random = random.Random(f"sensors-{seed}")
        self._dead_band = dead_band
        self._sent: dict[str, float] = {}
        self._stuck: dict[str, float] = {}

    def spans(self) -> list[float]:
        """The last sent values as fractions of their ranges, in the order of `SENSORS`."""
        return [sensor.span(self._sent[sensor.name]) for sensor in SENSORS]

    def sample(self, values: Mapping[str, float], stuck: frozenset[str]) -> dict[str, float]:
        """Read all sensors; return those that send now, by name, in their units.

        `stuck` names sensors that repeat their last reading for as long as they are named.
        """
        sends: dict[str, float] = {}
        for sensor in SENSORS:
            reading = sensor.read(values[sensor.name], self._random)
            if sensor.name in stuck:
                reading = self._stuck.setdefault(sensor.name, reading)
            else:
                self._stuck.pop(sensor.name, None)
            band = self._dead_band * sensor.dead_span * (sensor.high - sensor.low)
            last = self._sent.get(sensor.name)
            if last is None or (reading != last and abs(reading - last) >= band):
                self._sent[sensor.name] = sends[sensor.name] = reading
        return sends

# SPDX-License-Identifier: Apache-2.0
"""The simulated plant: one electric pump that lifts water through a filter into a high tank.

Everything is lumped, quasi-steady hydraulics with first-order thermal and mechanical lags.
Time advances in explicit steps of `step_s` (default 1 s); all randomness comes from one seed.
SI units inside, except where a name says otherwise (kPa, m3h, rpm, mm/s).

Hydraulics (Q in m³/s, heads in m of water, r = speed / 1480 rpm)
    pump head         H_p = φ·(44·r² − 5400·Q²) − 2·c        φ liquid fraction, c cavitation 0..1
    system            H_s = 22 + (z_dest − z_source) + (k_f + k_s + k_v)·Q²
    operating point   Q = φ·√((44·φ·r² − 2·c − 22 − Δz) / (5400·φ + k_f + k_s + k_v)), never below 0
    filter, suction   k_f = 700·(1 + 4·blocked),  k_s = 500·(1 + 15·throttled) [m/(m³/s)²]
    discharge valve   k_v = 3000 / opening²
    NPSH available    (p_atm − p_vapour)/(ρg) + 1.5 + Δz_source − (k_f + k_s)·Q²   (flooded suction)
    NPSH required     4.0 + 2200·Q²;    c = clip((NPSHr + 0.4 − NPSHa) / 2, 0, 1)
    leak behind pump  Q_leak = 0.16·leak·Q·√(p_header / 250 kPa); outflow = Q − Q_leak
    tanks             dz/dt = ±Q / 60 m², returned by a slow make-up flow (z towards its rest)

Drive               shaft power P = ρ·g·Q·H_p / η + 1500·r³ W, η = 0.78·(1 − ((Q/r − 0.05)/0.07)²)
                    motor input  P_e = P / 0.93 + 400 W;  I = P_e / (√3·U·cos φ)
                    a phase whose voltage sags by x draws (1 + 5·x) times the current
Heat                dT/dt = (T_rest − T)/τ, T_rest = T_ambient + loss/conductance; τ = 40 … 240 s.
                    Real machines take ten times as long: the plant is compressed for teaching.
Vibration           velocity in mm/s in bands: 1× (unbalance, ∝ r²), 2× (alignment, supply),
                    blade pass (Q off the best point, cavitation), high frequency (bearing, bubble).

Faults have a severity 0..1 that grows along a ramp (`faults.Fault`); several may not overlap.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

GRAVITY_WATER = 9.80665 * 998.0  # Pa per metre of water
NOMINAL_RPM = 1480.0
TANK_AREA_M2 = 60.0
SOURCE_REST_M = 3.0
DEST_REST_M = 4.0


def toward(value: float, rest: float, step_s: float, tau_s: float) -> float:
    """One exact step of dv/dt = (rest − v)/tau."""
    return rest + (value - rest) * math.exp(-step_s / tau_s)


class Plant:
    """State of one pump; `step` advances it and returns the true value of every quantity.

    Args:
        seed: start of the random demand and weather; equal seeds give equal plants.
        step_s: length of one step in seconds of plant time, 0.1 to 10.
    """

    def __init__(self, seed: int, step_s: float = 1.0) -> None:
        if not 0.1 <= step_s <= 10.0:
            raise ValueError(f"step_s: found {step_s}, accepted 0.1 to 10")
        self._random = random.Random(f"plant-{seed}")
        self.step_s = step_s
        self.time_s = 0.0
        self._ambient_c = self._random.uniform(12.0, 28.0)
        self._water_c = self._random.uniform(9.0, 16.0)
        self._humidity = self._random.uniform(40.0, 65.0)
        self._demand = self._random.uniform(0.45, 0.9)
        self._demand_target = self._demand
        self._demand_until_s = 0.0
        self._speed_rpm = 1300.0
        self._opening = 0.7
        self._source_m = SOURCE_REST_M + self._random.uniform(-0.2, 0.2)
        self._dest_m = DEST_REST_M + self._random.uniform(-0.2, 0.2)
        self._liquid = 1.0
        self._sump_m = 0.15
        self._moisture = 8.0
        self._particles = self._random.uniform(8.0, 14.0)
        self._unbalance = self._random.uniform(0.8, 1.2)
        self._alignment = self._random.uniform(0.8, 1.2)
        self._supply_v = 400.0
        self._turbidity = self._random.uniform(1.5, 3.0)
        self._temperature: dict[str, float] = {}
        no_faults: dict[str, float] = {}
        for _ in range(900):  # let temperatures and levels settle before time 0
            self.step(no_faults)
        self.time_s = 0.0
        self._demand_until_s = 0.0

    def step(self, severity: Mapping[str, float]) -> dict[str, float]:
        """Advance by `step_s`; `severity` maps fault names to 0..1 (missing means 0)."""
        self.time_s += self.step_s
        self._follow_demand()
        values = self._hydraulics(severity)
        self._electrics(values, severity)
        self._heat(values, severity)
        self._vibration(values, severity)
        self._surroundings(values, severity)
        return values

    def _follow_demand(self) -> None:
        if self.time_s >= self._demand_until_s:
            self._demand_target = self._random.uniform(0.35, 1.0)
            self._demand_until_s = self.time_s + self._random.uniform(25.0, 70.0)
            self._supply_v = 400.0 + self._random.uniform(-4.0, 4.0)
        self._demand = toward(self._demand, self._demand_target, self.step_s, 8.0)
        self._speed_rpm = toward(self._speed_rpm, 1230.0 + 260.0 * self._demand, self.step_s, 5.0)
        self._opening = toward(self._opening, 0.45 + 0.5 * self._demand, self.step_s, 4.0)

    def _hydraulics(self, severity: Mapping[str, float]) -> dict[str, float]:
        ratio = self._speed_rpm / NOMINAL_RPM
        liquid_rest = 1.0 - 0.72 * severity.get("dry_running", 0.0)
        self._liquid = liquid = toward(self._liquid, liquid_rest, self.step_s, 3.0)
        k_filter = 700.0 * (1.0 + 4.0 * severity.get("blocked_filter", 0.0))
        k_suction = 500.0 * (1.0 + 15.0 * severity.get("cavitation", 0.0))
        k_valve = 3000.0 / self._opening**2
        lift_m = 22.0 + self._dest_m - self._source_m - (DEST_REST_M - SOURCE_REST_M)

        def flow(cavitation: float) -> float:
            head = 44.0 * liquid * ratio**2 - 2.0 * cavitation - lift_m
            resistance = 5400.0 * liquid + k_filter + k_suction + k_valve
            return liquid * math.sqrt(max(head, 0.0) / resistance)

        def cavitation_at(flow_m3s: float) -> float:
            vapour_pa = 611.0 * math.exp(17.3 * self._water_c / (237.0 + self._water_c))
            npsh_a = (101325.0 - vapour_pa) / GRAVITY_WATER + 1.5 + self._source_m - SOURCE_REST_M
            npsh_a -= (k_filter + k_suction) * flow_m3s**2
            return min(max((4.4 + 2200.0 * flow_m3s**2 - npsh_a) / 2.0, 0.0), 1.0)

        cavitation = cavitation_at(flow(0.0))
        q = flow(cavitation)
        head_m = max(liquid * (44.0 * ratio**2 - 5400.0 * q**2) - 2.0 * cavitation, 0.0)
        filter_in_kpa = GRAVITY_WATER * (self._source_m - SOURCE_REST_M + 1.5) / 1000.0
        suction_kpa = filter_in_kpa - GRAVITY_WATER * (1.5 + (k_filter + k_suction) * q**2) / 1000.0
        discharge_kpa = suction_kpa + GRAVITY_WATER * head_m / 1000.0
        header_kpa = max(discharge_kpa - GRAVITY_WATER * k_valve * q**2 * 0.6 / 1000.0, 0.0)
        leak = severity.get("leak", 0.0)
        header_kpa *= 1.0 - 0.1 * leak
        leak_m3s = min(0.16 * leak * q * math.sqrt(header_kpa / 250.0), q)
        self._move_water(q, q - leak_m3s, leak_m3s)
        return {
            "source_level": self._source_m,
            "dest_level": self._dest_m,
            "filter_in_pressure": filter_in_kpa,
            "filter_dp": GRAVITY_WATER * k_filter * q**2 / 1000.0,
            "suction_pressure": suction_kpa,
            "discharge_pressure": discharge_kpa,
            "header_pressure": header_kpa,
            "end_pressure": header_kpa * (1.0 - 0.08 * leak) - 12000.0 * (q - leak_m3s) ** 2,
            "flow_pump": q * 3600.0,
            "flow_out": (q - leak_m3s) * 3600.0,
            "flow_recirculation": 6.0 * math.sqrt(discharge_kpa / 300.0) * (1.1 - self._opening),
            "valve_suction": 100.0,
            "valve_discharge": 100.0 * self._opening,
            "valve_discharge_command": 45.0 + 50.0 * self._demand,
            "valve_recirculation": 100.0 * (1.1 - self._opening),
            "seal_flush_pressure": 0.6 * discharge_kpa + 60.0,
            "seal_flush_flow": 2.0 * math.sqrt(max(discharge_kpa, 0.0) / 300.0) * liquid,
            "_cavitation": cavitation,
            "_flow_m3s": q,
            "_head_m": head_m,
            "_liquid": liquid,
            "_leak_m3s": leak_m3s,
        }

    def _move_water(self, drawn_m3s: float, delivered_m3s: float, lost_m3s: float) -> None:
        step = self.step_s
        self._source_m -= drawn_m3s * step / TANK_AREA_M2
        self._dest_m += delivered_m3s * step / TANK_AREA_M2
        self._source_m = toward(self._source_m, SOURCE_REST_M + 0.15, step, 200.0)
        self._dest_m = toward(self._dest_m, DEST_REST_M - 0.15, step, 200.0)
        self._sump_m = toward(self._sump_m, 0.15 + 120.0 * lost_m3s, step, 25.0)
        self._moisture = toward(self._moisture, 8.0 + 9000.0 * lost_m3s, step, 12.0)

    def _electrics(self, values: dict[str, float], severity: Mapping[str, float]) -> None:
        ratio = self._speed_rpm / NOMINAL_RPM
        q, head_m = values["_flow_m3s"], values["_head_m"]
        efficiency = 0.78 * (1.0 - ((q / ratio - 0.05) / 0.07) ** 2)
        hydraulic_w = GRAVITY_WATER * q * head_m
        shaft_w = hydraulic_w / max(efficiency, 0.2) + 1500.0 * ratio**3
        shaft_w += 900.0 * severity.get("bearing_wear", 0.0) * ratio
        electric_w = shaft_w / 0.93 + 400.0
        power_factor = 0.9 - 0.35 * math.exp(-electric_w / 6000.0)
        sag = 0.07 * severity.get("phase_imbalance", 0.0)
        ampere = electric_w / (math.sqrt(3.0) * self._supply_v * power_factor)
        values.update(
            voltage_l1=self._supply_v,
            voltage_l2=self._supply_v * (1.0 - sag),
            voltage_l3=self._supply_v,
            current_l1=ampere * (1.0 - 1.2 * sag),
            current_l2=ampere * (1.0 + 5.0 * sag),
            current_l3=ampere * (1.0 + 0.8 * sag),
            power=electric_w / 1000.0,
            power_factor=power_factor,
            speed=self._speed_rpm,
            drive_frequency=self._speed_rpm / 29.6,
            torque=shaft_w / (self._speed_rpm * math.pi / 30.0),
            _shaft_w=shaft_w,
            _sag=sag,
        )

    def _heat(self, values: dict[str, float], severity: Mapping[str, float]) -> None:
        ratio = self._speed_rpm / NOMINAL_RPM
        wear, dry = severity.get("bearing_wear", 0.0), 1.0 - values["_liquid"]
        load = values["_shaft_w"] / 20000.0
        ambient, water = self._ambient_c, self._water_c
        casing = water + 3.0 + 40.0 * dry
        heat = 14.0 * ratio
        rests = {
            "winding_temp_u": (ambient + 55.0 * load, 120.0),
            "winding_temp_v": (ambient + 55.0 * load * (1.0 + 9.0 * values["_sag"]), 120.0),
            "winding_temp_w": (ambient + 54.0 * load * (1.0 + 2.0 * values["_sag"]), 120.0),
            "bearing_temp_de": (ambient + heat * 1.2 + 34.0 * wear, 60.0),
            "bearing_temp_nde": (ambient + heat + 6.0 * wear, 70.0),
            "bearing_temp_thrust": (ambient + heat * 1.4 + 8.0 * wear + 4.0 * dry, 70.0),
            "motor_bearing_temp_de": (ambient + heat * 0.9 + 12.0 * load, 90.0),
            "motor_bearing_temp_nde": (ambient + heat * 0.8 + 10.0 * load, 90.0),
            "oil_temp": (ambient + heat * 1.1 + 16.0 * wear, 80.0),
            "seal_temp": (water + 12.0 + 75.0 * dry, 40.0),
            "casing_temp": (casing, 80.0),
            "discharge_temp": (water + 0.8 + 22.0 * dry, 60.0),
            "drive_temp": (ambient + 24.0 * load + 6.0, 150.0),
        }
        for name, (rest, tau_s) in rests.items():
            now = toward(self._temperature.get(name, rest), rest, self.step_s, tau_s)
            self._temperature[name] = values[name] = now

    def _vibration(self, values: dict[str, float], severity: Mapping[str, float]) -> None:
        ratio2 = (self._speed_rpm / NOMINAL_RPM) ** 2
        wear, cavitation = severity.get("bearing_wear", 0.0), values["_cavitation"]
        dry, sag = 1.0 - values["_liquid"], values["_sag"] / 0.07
        off_best = abs(values["_flow_m3s"] - 0.035) / 0.035
        for place, near, bubble in (("de", 1.0, 1.0), ("nde", 0.45, 0.8)):
            values[f"vib_pump_{place}_1x"] = (1.1 * self._unbalance + 0.5 * wear * near) * ratio2
            values[f"vib_pump_{place}_2x"] = (0.6 * self._alignment + 0.4 * wear * near) * ratio2
            blade = 0.5 + 0.5 * off_best + 2.2 * cavitation * bubble + 0.7 * dry
            values[f"vib_pump_{place}_blade"] = blade * ratio2
            hf = 0.3 + 2.6 * wear * near + 1.5 * cavitation * bubble + 0.4 * dry
            values[f"vib_pump_{place}_hf"] = hf * ratio2
        values["vib_motor_1x"] = 0.8 * self._unbalance * ratio2
        values["vib_motor_2x"] = 0.5 * self._alignment * ratio2
        values["vib_motor_line"] = 0.3 + 1.9 * sag
        values["vib_motor_hf"] = (0.25 + 0.3 * wear) * ratio2
        values["vib_axial"] = (0.7 + 0.9 * cavitation + 0.6 * dry) * ratio2
        values["noise"] = 74.0 + 8.0 * ratio2 + 7.0 * cavitation + 3.0 * wear - 3.0 * dry
        values["noise_ultrasonic"] = 38.0 + 5.0 * ratio2 + 24.0 * cavitation + 12.0 * wear

    def _surroundings(self, values: dict[str, float], severity: Mapping[str, float]) -> None:
        drift = self._random.gauss(0.0, 0.01) * math.sqrt(self.step_s)
        self._ambient_c = min(max(self._ambient_c + drift, 8.0), 32.0)
        self._water_c = min(max(self._water_c + drift / 5.0, 7.0), 18.0)
        self._humidity = min(max(self._humidity - 2.0 * drift, 30.0), 80.0)
        wear, blocked = severity.get("bearing_wear", 0.0), severity.get("blocked_filter", 0.0)
        self._turbidity = min(max(self._turbidity + 0.5 * drift, 1.0), 4.0)
        self._particles = toward(self._particles, 11.0 + 60.0 * wear, self.step_s, 50.0)
        values.update(
            ambient_temp=self._ambient_c,
            water_temp=self._water_c,
            humidity=self._humidity + 0.12 * (self._moisture - 8.0),
            sump_level=self._sump_m,
            floor_moisture=min(self._moisture, 100.0),
            turbidity=self._turbidity + 3.0 * blocked,
            oil_level=82.0 - 6.0 * wear,
            oil_particles=self._particles,
        )

# SPDX-License-Identifier: Apache-2.0
"""What `bench` measures: the time of one step when everything, a part or nothing changed.

Every case does the same kind of work through the Python interface: codes in, output codes out. All
cases take turns within a round, LiteRT in its own process among them; a ratio is formed within a
round, so that what else the machine does falls on both.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.cli.info import cpu_name
from neurovm.errors import BackendError
from neurovm.packing import pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.backends.runtime import Runtime
    from neurovm.model import Model
    from neurovm.session import Session

Progress = Callable[[int, int], None]

INPUTS = 16
"""Different inputs that a case cycles through."""
SHORTEST_S = 0.002
"""A timed run of one case is repeated until it lasts about this long."""
FEWEST_ROUNDS, MOST_ROUNDS = 5, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table: microseconds a step, as a ratio to LiteRT, weights applied a step."""

    name: str
    median_us: float
    low_us: float
    high_us: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    sops: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything `bench` prints. `low` and `high` bound the middle half of the rounds."""

    model: str
    sha256: str
    profile: str
    machine: str
    runtime: str
    macs: int
    rounds: int
    seed: int
    cases: tuple[Case, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class _Runner:
    """One case: `step(i)` takes input i; `sops` are counted where a session does the work."""

    def __init__(self, name: str, step: Callable[[int], object], session: Session | None) -> None:
        self.name = name
        self._step = step
        self._session = session
        self.repeats = INPUTS
        self._at = 0
        self.times_s: list[float] = []
        self._first = session.counters if session is not None else None

    def time_s(self) -> float:
        """Seconds a step, over `repeats` steps."""
        step = self._step
        # Going on where the last run ended: every step meets another input than the one before.
        numbers = range(self._at, self._at + self.repeats)
        self._at += self.repeats
        start_s = time.perf_counter()
        for i in numbers:
            step(i)
        return (time.perf_counter() - start_s) / self.repeats

    def calibrate(self) -> None:
        """Choose how many steps a timed run takes; what was counted until now does not count."""
        self.time_s()
        self.repeats = _repeats(self.time_s())
        if self._session is not None:
            self._first = self._session.counters

    @property
    def sops(self) -> float | None:
        """Weights applied a step."""
        if self._session is None or self._first is None:
            return None
        now = self._session.counters
        steps = now.steps - self._first.steps
        return (now.sops - self._first.sops) / steps if steps else None


def measure(
    model: Model, source: Path | None, *, seconds: float, seed: int, progress: Progress
) -> Measured:
    """Time every case in turns for about `seconds`, LiteRT with `source` (.tflite) among them."""
    rng = np.random.default_rng(seed)
    runners = _runners(model, rng)
    for runner in runners:
        runner.calibrate()
    lite, runtime = _open_litert(source)
    try:
        theirs = _Theirs(lite, rng) if lite is not None else None
        rounds = _rounds(runners, theirs, seconds, progress)
    finally:
        if lite is not None:
            lite.close()
    lite_s = theirs.times_s if theirs is not None else None
    cases = [_case(r.name, r.times_s, lite_s, r.sops) for r in runners]
    if lite_s is not None:
        cases.append(_case("LiteRT", lite_s, lite_s, None))
    return Measured(
        model=model.name,
        sha256=model.sha256,
        profile=model.profile,
        machine=f"{platform.machine()}, {cpu_name(Path('/proc/cpuinfo')) or 'unknown processor'}",
        runtime=runtime,
        macs=model.manifest.macs,
        rounds=rounds,
        seed=seed,
        cases=tuple(cases),
    )


def _runners(model: Model, rng: np.random.Generator) -> list[_Runner]:
    size = sum(t.size for t in model.inputs)
    whole = _drawn(model, rng, INPUTS)
    runners = [
        _stepping(model, "dense, all", whole, "dense"),
        _stepping(model, "events, all", whole, "events"),
        _stepping(model, "auto, all", whole, "auto"),
    ]
    for percent in (10, 1):
        rows = _blocks(model, whole[0], max(1, size * percent // 100), rng)
        runners.append(_stepping(model, f"auto, {percent} %", rows, "auto"))
    runners.append(_updating(model, "auto, one", size, rng))
    runners.append(_stepping(model, "auto, none", whole[:1], "auto"))
    runners.append(_predicting(model, rng))
    return runners


def _drawn(model: Model, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Random codes of all inputs, (count, codes)."""
    parts = [rng.integers(t.limits[0], t.limits[1] + 1, (count, t.size)) for t in model.inputs]
    return np.concatenate(parts, axis=1)


def _packed(model: Model, rows: NDArray[np.int64]) -> list[bytes]:
    """Rows of codes as sessions take them."""
    ends = np.cumsum([t.size for t in model.inputs])[:-1]
    return [row.tobytes() for row in pack(model.inputs, np.split(rows, ends, axis=1))]


def _blocks(
    model: Model, base: NDArray[np.int64], width: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows that differ in one block of elements next to each other, in the middle."""
    rows = np.repeat(base[np.newaxis], INPUTS, axis=0)
    start = (base.size - width) // 2
    rows[:, start : start + width] = _drawn(model, rng, INPUTS)[:, start : start + width]
    return rows


def _stepping(model: Model, name: str, rows: NDArray[np.int64], way: Any) -> _Runner:
    session = model.session(way=way)
    codes = _packed(model, rows)
    count = len(codes)
    step = session.step
    return _Runner(name, lambda i: step(codes[i % count]), session)


def _updating(model: Model, name: str, size: int, rng: np.random.Generator) -> _Runner:
    session = model.session()
    session.step(_packed(model, _drawn(model, rng, 1))[0])
    place = np.array([size // 2], np.uint32)
    dtype = np.int16 if any(t.wide for t in model.inputs) else np.int8
    codes = [np.array([code], dtype) for code in rng.permutation(256)[:INPUTS] - 128]
    update = session.update
    return _Runner(name, lambda i: update(place.data, codes[i % INPUTS].data), session)


def _predicting(model: Model, rng: np.random.Generator) -> _Runner:
    """One row at a time, values to values, arrays and all."""
    rows = [[_value(info, rng) for info in model.inputs] for _ in range(INPUTS)]
    named = [dict(zip([t.name for t in model.inputs], row, strict=True)) for row in rows]
    given = [row[0] for row in rows] if len(model.inputs) == 1 else named
    return _Runner("predict", lambda i: model.predict(given[i % INPUTS]), None)


def _value(info: Any, rng: np.random.Generator) -> NDArray[np.generic]:
    codes: NDArray[np.int64] = rng.integers(info.limits[0], info.limits[1] + 1, info.shape)
    if info.dtype == "float32":
        return np.asarray((codes - info.zero_point) * info.scale, np.float32)
    return np.asarray(codes + (128 if info.dtype == "uint8" else 0), info.dtype)


class _Theirs:
    """LiteRT's turn in a round: set, invoke, get on rows of its own."""

    def __init__(self, lite: Runtime, rng: np.random.Generator) -> None:
        self._lite = lite
        self.rows = []
        for port in lite.inputs:
            shape = (INPUTS, *port.row_shape)
            if port.dtype == "float32":
                self.rows.append(rng.normal(0, 1, shape).astype(np.float32))
            else:
                ends = np.iinfo(port.dtype)
                self.rows.append(rng.integers(ends.min, ends.max, shape).astype(port.dtype))
        self.repeats = _repeats(lite.time_s(self.rows, 50) / 50)
        self.times_s: list[float] = []

    def turn(self) -> None:
        self.times_s.append(self._lite.time_s(self.rows, self.repeats) / self.repeats)


def _rounds(
    runners: Sequence[_Runner], theirs: _Theirs | None, seconds: float, progress: Progress
) -> int:
    start_s = time.monotonic()
    done = 0
    while done < MOST_ROUNDS:
        spent_s = time.monotonic() - start_s
        if done >= FEWEST_ROUNDS and spent_s >= seconds:
            break
        for runner in runners:
            runner.times_s.append(runner.time_s())
        if theirs is not None:
            theirs.turn()
        done += 1
        progress(int(1000 * min(spent_s, seconds)), int(1000 * seconds))
    return done


def _open_litert(source: Path | None) -> tuple[Runtime | None, str]:
    """LiteRT with the source model, or the reason why not."""
    from neurovm.backends.runtime import Runtime

    if source is None:
        return None, "not measured; --source names the .tflite to run in it"
    try:
        lite = Runtime(source)
    except BackendError as error:
        return None, f"not measured: {error}"
    return lite, f"{lite.name} {lite.version}"


def _repeats(step_s: float) -> int:
    return max(1, min(10_000, round(SHORTEST_S / max(step_s, 1e-8))))


def _case(
    name: str, times_s: Sequence[float], lite_s: Sequence[float] | None, sops: float | None
) -> Case:
    low, median, high = np.percentile(np.asarray(times_s) * 1e6, (25, 50, 75))
    ratios: tuple[float | None, ...] = (None, None, None)
    if lite_s is not None:
        each = np.asarray(times_s) / np.asarray(lite_s)
        ratios = tuple(float(r) for r in np.percentile(each, (25, 50, 75)))
    return Case(
        name=name,
        median_us=float(median),
        low_us=float(low),
        high_us=float(high),
        ratio=ratios[1],
        ratio_low=ratios[0],
        ratio_high=ratios[2],
        sops=sops,
    )

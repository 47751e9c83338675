# SPDX-License-Identifier: Apache-2.0
"""python -m examples.closed_loop.train: train `pole.tflite` anew.

A network of 4 → 32 → 16 → 1 learns what a linear-quadratic regulator answers, on states that one
meets on the way. Needs tensorflow; half a minute.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from examples.quantized import int8_tflite

from .plant import FORCE_N, PERIOD_S, RANGES, State, advance, run

MODEL = Path(__file__).with_name("pole.tflite")
SEED = 20260101
COST = np.diag([2.0, 0.5, 20.0, 0.5])


def gain() -> np.ndarray:
    """K of the regulator F = −K · state, for the plant linearised where the pole stands."""
    small = 1e-6
    a = np.empty((4, 4))
    for column in range(4):
        unit: State = tuple(small * (column == row) for row in range(4))  # type: ignore[assignment]  # four
        a[:, column] = np.array(advance(unit, 0.0)) / small
    b = np.array(advance((0.0, 0.0, 0.0, 0.0), small))[:, None] / small
    cost, effort = COST.copy(), np.array([[0.05]])
    for _ in range(3000):  # the Riccati equation, by going back in time
        k = np.linalg.solve(effort + b.T @ cost @ b, b.T @ cost @ a)
        cost = COST + a.T @ cost @ (a - b @ k)
    return np.asarray(k[0])


def rows(seed: int, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Sensors (n, 4) and the regulator's answers (n, 1), from disturbed runs."""
    draw, k = np.random.default_rng(seed), gain()
    ranges = np.array(RANGES)
    x: list[np.ndarray] = []
    for _ in range(runs):

        def control(sensors: list[float]) -> float:
            seen = np.array(sensors)
            x.append(np.clip(seen + draw.normal(0, 0.03, 4), -1, 1))
            return float(-k @ (seen * ranges) / FORCE_N + draw.normal(0, 0.1))

        start = draw.uniform(-0.5, 0.5, 4) * ranges
        for moment in run(control, 100 * PERIOD_S, start=tuple(start)):
            if abs(moment.state[2]) > RANGES[2]:
                break
    sensors = np.array(x, np.float32)
    return sensors, np.clip(-sensors * ranges @ k / FORCE_N, -1, 1)[:, None].astype(np.float32)


def main() -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(SEED)
    (x, y), (x_test, y_test) = rows(1, 600), rows(2, 60)
    inputs = keras.Input((4,))
    hidden = layers.Dense(16, activation="relu")(layers.Dense(32, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(1, activation="tanh")(hidden))
    model.compile("adam", "mse")
    model.fit(x, y, batch_size=128, epochs=25, verbose=0)
    error = float(np.abs(model.predict(x_test, verbose=0) - y_test).mean())
    print(f"mean error {error * FORCE_N:.2f} N on {len(x_test)} states it has not seen")
    MODEL.write_bytes(int8_tflite(model, x[::50]))


if __name__ == "__main__":
    main()

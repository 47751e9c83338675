# SPDX-License-Identifier: Apache-2.0
"""python -m examples.vibration.train: train `vibration.tflite` anew, on healthy machines alone.

An autoencoder: 32 bands of a spectrum → 24 → 6 → 24 → the same 32 bands. What it has never met it
cannot tell again, and how far it is off says so. The front end is that of `vm.yaml`. Needs
tensorflow; half a minute of a core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from examples.quantized import int8_tflite
from examples.vm_file import front

from .machine import RATE_HZ, Fault, Machine, as_counts

VM = Path(__file__).with_name("vm.yaml")
MODEL = Path(__file__).with_name("vibration.tflite")
SEED = 20260101
BANDS = 32
SECONDS = 60


def rows(
    machine: Machine, seconds: float, fault: Fault = "none", severity: float = 0
) -> np.ndarray:
    """float32 (n, 32): what the front end makes of a machine."""
    samples = as_counts(machine.samples(int(seconds * RATE_HZ), fault, severity))
    return np.asarray(front(VM).whole(samples))


def network() -> Any:
    """The network, untrained."""
    import keras
    from keras import layers

    x = inputs = keras.Input((BANDS,))
    for units in (24, 6, 24):
        x = layers.Dense(units, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(BANDS)(x))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--machines", type=int, default=80)
    parser.add_argument("--epochs", type=int, default=60)
    args = parser.parse_args()
    import keras

    keras.utils.set_random_seed(SEED)
    x = np.concatenate([rows(Machine(seed), SECONDS) for seed in range(args.machines)])
    print(f"{len(x)} rows, {x.min():.2f} … {x.max():.2f}, mean {x.mean():.2f}")
    model = network()
    model.compile(keras.optimizers.Adam(2e-3), "mse")
    model.fit(x, x, batch_size=64, epochs=args.epochs, verbose=0)
    for fault, severity in (("none", 0.0), ("bearing", 0.5), ("tooth", 0.5)):
        heard = rows(Machine(10_000), SECONDS, fault, severity)
        told = model.predict(heard, verbose=0)
        print(f"{fault:10} error {1000 * np.square(told - heard).mean():.2f} / 1000")
    MODEL.write_bytes(int8_tflite(model, x[::17]))


if __name__ == "__main__":
    main()

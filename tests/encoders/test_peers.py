# SPDX-License-Identifier: Apache-2.0
"""The encoders of other projects, where they are installed: equal where the equations are, and
different as the docstrings say.
"""

from __future__ import annotations

import numpy as np
import pytest

from neurovm.encoders import Delta, Latency, Phase, Poisson, Population, Rate

torch = pytest.importorskip("torch", reason="torch is not installed")


@pytest.mark.parametrize(
    "parameters",
    [
        {"tau": 5},
        {"tau": 5, "threshold": 0.2, "clip": True},
        {"tau": 5, "first_spike_time": 7},
        {"normalize": True},
        {"normalize": True, "first_spike_time": 3},
        {"linear": True, "tau": 40},
        {"bypass": True},
        {"tau": 30, "bypass": True},
        {"normalize": True, "linear": True},
        {"normalize": True, "linear": True, "first_spike_time": 11},
    ],
)
def test_latency_is_that_of_snntorch(parameters: dict[str, float]) -> None:
    parameters = dict(parameters)
    spikegen = pytest.importorskip("snntorch.spikegen", reason="snntorch is not installed")
    values = np.random.default_rng(4).uniform(0.02, 1, 200).astype(np.float32)
    peer = spikegen.latency(torch.tensor(values), num_steps=200, **parameters).numpy()
    parameters.pop("bypass", None)
    encoder = Latency(num_steps=200, **parameters)
    times = np.array(encoder.times(values.tolist()))
    clear = np.abs(times % 1 - 0.5) > 1e-3  # float32 there
    assert clear.sum() > 190
    assert np.array_equal(encoder.encode(values)[:, 0][:, clear], peer[:, clear])


@pytest.mark.parametrize("padding", [False, True])
def test_delta_is_that_of_snntorch_where_values_move_by_the_threshold_or_not_at_all(
    padding: bool,
) -> None:
    spikegen = pytest.importorskip("snntorch.spikegen", reason="snntorch is not installed")
    steps = np.random.default_rng(5).choice([-0.5, 0.0, 0.5], (60, 8)).cumsum(axis=0)
    peer = spikegen.delta(torch.tensor(steps), threshold=0.5, padding=padding, off_spike=True)
    train = Delta(threshold=0.5, padding=padding, off_spike=True).encode(steps).astype(int)
    assert np.array_equal(train[:, 0] - train[:, 1], peer.numpy())


def test_snntorch_loses_a_slow_ramp() -> None:
    spikegen = pytest.importorskip("snntorch.spikegen", reason="snntorch is not installed")
    ramp = np.arange(0, 5, 0.05)
    assert spikegen.delta(torch.tensor(ramp), threshold=0.1, off_spike=True).sum() == 0
    assert Delta(threshold=0.1).encode(ramp).sum() > 20


def test_rate_has_the_law_of_snntorch() -> None:
    spikegen = pytest.importorskip("snntorch.spikegen", reason="snntorch is not installed")
    torch.manual_seed(1)
    values = np.array([-0.5, 0.0, 0.2, 0.7, 1.0, 3.0], np.float32)
    steps = 20_000
    peer = spikegen.rate(torch.tensor(values), num_steps=steps, gain=0.8, offset=0.1)
    ours = Rate(num_steps=steps, gain=0.8, offset=0.1, seed=1).encode(values)[:, 0]
    law = np.clip(0.8 * values + 0.1, 0, 1)
    bound = 5 * np.sqrt(law * (1 - law) / steps) + 1e-6  # five standard deviations
    assert (np.abs(peer.numpy().mean(axis=0) - law) <= bound).all()
    assert (np.abs(ours.mean(axis=0) - law) <= bound).all()


def test_poisson_has_the_law_of_norse() -> None:
    encode = pytest.importorskip("norse.torch.functional.encode", reason="norse is not installed")
    torch.manual_seed(1)
    values = np.array([0.0, 0.2, 0.7, 1.0], np.float32)
    steps = 20_000
    peer = encode.poisson_encode(torch.tensor(values), steps, f_max=300, dt=0.002)
    ours = Poisson(seq_length=steps, f_max=300, dt=0.002, seed=1).encode(values)[:, 0]
    law = 0.6 * values
    bound = 5 * np.sqrt(law * (1 - law) / steps) + 1e-6
    assert (np.abs(peer.numpy().mean(axis=0) - law) <= bound).all()
    assert (np.abs(ours.mean(axis=0) - law) <= bound).all()


def test_population_has_the_bells_of_norse() -> None:
    encode = pytest.importorskip("norse.torch.functional.encode", reason="norse is not installed")
    values = np.linspace(0, 1, 9)
    peer = encode.population_encode(torch.tensor(values), 6, scale=1).numpy()
    encoder = Population(out_features=6)
    assert np.allclose([encoder.bells(value) for value in values.tolist()], peer, atol=1e-6)


def test_phase_is_that_of_spikingjelly() -> None:
    encoding = pytest.importorskip(
        "spikingjelly.activation_based.encoding", reason="spikingjelly is not installed"
    )
    values = np.arange(256, dtype=np.float32) / 256
    peer = encoding.WeightedPhaseEncoder(8)
    train = np.stack([peer(torch.tensor(values)).numpy() for _ in range(8)])
    assert np.array_equal(Phase(phases=8).encode(values)[:, 0], train)

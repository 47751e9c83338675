# SPDX-License-Identifier: Apache-2.0
"""Each encoder against its equation, written again in NumPy, and against what it promises."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovm.encoders import (
    AnyEncoder,
    Delta,
    Encoder,
    Latency,
    LevelCrossing,
    Phase,
    Poisson,
    Population,
    Rate,
)
from neurovm.errors import EventError

ENCODERS: list[Encoder] = [
    Rate(num_steps=7, gain=0.8, offset=0.1, first_spike_time=2, seed=5),
    Poisson(seq_length=9, f_max=400, seed=3),
    Latency(num_steps=12, tau=2.0),
    Latency(num_steps=12, normalize=True, first_spike_time=3, clip=True),
    Latency(num_steps=12, normalize=True, linear=True),
    Delta(threshold=0.3, off_spike=True),
    Delta(threshold=0.3, padding=True),
    LevelCrossing(threshold=0.07, offset=0.01, most=3),
    LevelCrossing(threshold=0.2, padding=True, off_spike=False),
    Population(out_features=5, scale=2.0, low=-0.5, sigma=0.3, seq_length=4, seed=9),
    Phase(phases=5, num_steps=11),
]
ids = [f"{type(e).__name__}-{i}" for i, e in enumerate(ENCODERS)]

walks = st.lists(st.floats(-4, 4), min_size=1, max_size=40)


def random_numbers(seed: int, count: int) -> np.ndarray:
    """SplitMix64 as its authors step it: a state that grows by the golden gamma, then a hash."""
    state, numbers = np.array([seed], np.uint64), []
    for _ in range(count):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        z = state
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        numbers.append(float(z[0] >> np.uint64(11)) / 2**53)
    return np.array(numbers)


def counts(encoder: Encoder, samples: np.ndarray) -> np.ndarray:
    """(ticks, channels · n) from a stream's pushes."""
    n = samples.shape[1]
    stream = encoder.stream(n)
    train = np.zeros((len(samples) * encoder.ticks, encoder.channels * n), int)
    for at, sample in enumerate(samples):
        spikes = stream.push(list(sample))
        order = list(zip(spikes.ticks, spikes.addresses, strict=True))
        assert order == sorted(order)
        for tick, address in order:
            train[at * encoder.ticks + tick, address] += 1
    return train


@pytest.mark.parametrize("encoder", ENCODERS, ids=ids)
def test_arrays_and_streams_give_the_same(encoder: Encoder) -> None:
    samples = np.random.default_rng(1).uniform(-0.2, 1.0, (6, 4))
    if encoder.signals:
        train = encoder.encode(samples).reshape(len(samples), -1)
        assert np.array_equal(train, counts(encoder, samples))
    else:
        train = encoder.encode(samples[0].reshape(2, 2))
        assert train.shape == (encoder.ticks, encoder.channels, 2, 2)
        assert np.array_equal(train.reshape(encoder.ticks, -1), counts(encoder, samples[:1]))
    assert train.any()


@pytest.mark.parametrize("encoder", ENCODERS, ids=ids)
def test_a_reset_stream_begins_again(encoder: Encoder) -> None:
    samples = np.random.default_rng(2).uniform(0, 1, (5, 3)).tolist()
    stream = encoder.stream(3)
    first = [stream.push(sample) for sample in samples]
    stream.reset()
    assert [stream.push(sample) for sample in samples] == first


@pytest.mark.parametrize("encoder", ENCODERS, ids=ids)
def test_a_bad_sample_changes_nothing(encoder: Encoder) -> None:
    samples = np.random.default_rng(3).uniform(0, 1, (4, 3)).tolist()
    clean, troubled = encoder.stream(3), encoder.stream(3)
    for sample in samples:
        for bad in ([0.1, float("nan"), 0.2], [float("inf"), 1, 1], [1.0], [1.0] * 4, []):
            with pytest.raises(EventError, match="found"):
                troubled.push(bad)
        assert troubled.push(sample) == clean.push(sample)


@pytest.mark.parametrize("encoder", ENCODERS, ids=ids)
def test_parameters_survive_a_file(encoder: Encoder) -> None:
    text = msgspec.json.encode(encoder)
    assert msgspec.json.decode(text, type=AnyEncoder) == encoder


@pytest.mark.parametrize("encoder", ENCODERS, ids=ids)
def test_huge_values_are_bounded(encoder: Encoder) -> None:
    stream = encoder.stream(2)
    for value in (1e308, -1e308, 5e-324, 0.0):
        try:
            spikes = stream.push([value, -value])
        except EventError as error:
            assert "linear" in str(error)
            continue
        assert len(spikes.ticks) <= 2 * 127 * encoder.ticks
        assert all(0 <= tick < encoder.ticks for tick in spikes.ticks)
        assert all(address < 2 * encoder.channels for address in spikes.addresses)


# Each equation


@given(st.integers(0, 2**64 - 1), st.lists(st.floats(-1, 2), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_rate(seed: int, values: list[float]) -> None:
    encoder = Rate(num_steps=6, gain=0.7, offset=0.05, first_spike_time=1, seed=seed)
    wanted = np.clip(0.7 * np.array(values) + 0.05, 0, 1)
    train = random_numbers(seed, 6 * len(values)).reshape(6, -1) < wanted
    train[0] = False
    assert np.array_equal(encoder.encode(values)[:, 0], train)


def test_rate_goes_on_with_new_numbers() -> None:
    stream = Rate(num_steps=64, seed=7).stream(1)
    first, second = stream.push([0.5]), stream.push([0.5])
    assert first != second
    both = random_numbers(7, 128) < 0.5
    assert first.ticks.tolist() == np.flatnonzero(both[:64]).tolist()
    assert second.ticks.tolist() == np.flatnonzero(both[64:]).tolist()


def test_rates_are_met() -> None:
    share = Rate(num_steps=20000, seed=1).encode([0, 0.1, 0.5, 1]).mean(axis=(0, 1))
    assert share[0] == 0
    assert share[3] == 1
    # Five standard deviations of a binomial mean.
    assert abs(share[1] - 0.1) < 5 * np.sqrt(0.09 / 20000)
    assert abs(share[2] - 0.5) < 5 * np.sqrt(0.25 / 20000)


@given(st.integers(0, 2**64 - 1), st.lists(st.floats(-1, 2), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_poisson(seed: int, values: list[float]) -> None:
    encoder = Poisson(seq_length=5, f_max=300, dt=0.002, seed=seed)
    wanted = 0.002 * 300 * np.clip(values, 0, 1)
    train = random_numbers(seed, 5 * len(values)).reshape(5, -1) < wanted
    assert np.array_equal(encoder.encode(values)[:, 0], train)


def test_population_has_the_bells_of_norse_for_a_scale_of_one() -> None:
    encoder = Population(out_features=3)
    # The example of norse.torch.functional.population_encode.
    expected = [[1.0, 0.8825, 0.6065], [0.8825, 1.0, 0.8825], [0.6065, 0.8825, 1.0]]
    assert np.allclose([encoder.bells(x) for x in (0, 0.5, 1)], expected, atol=5e-5)


def test_population() -> None:
    encoder = Population(
        out_features=4, scale=3.0, low=-1.0, sigma=0.25, seq_length=5, f_max=500, seed=11
    )
    values = np.array([-1.0, 0.3, 7.0])
    centres = np.linspace(-1.0, 2.0, 4)
    bells = np.exp(-(((values - centres[:, None]) / 3.0) ** 2) / (2 * 0.25**2))
    train = random_numbers(11, 5 * 12).reshape(5, 4, 3) < 0.5 * bells
    assert np.array_equal(encoder.encode(values), train)
    stream = encoder.stream(3)
    again = stream.push(list(values))
    assert again.addresses.tolist() == np.nonzero(train.reshape(5, -1))[1].tolist()


def latency_times(encoder: Latency, x: np.ndarray) -> np.ndarray:
    """As the docstring of Latency has it, in arrays."""
    n, f, theta = encoder.num_steps, encoder.first_spike_time, encoder.threshold
    if encoder.linear:
        tau = n - 1 - f if encoder.normalize else encoder.tau
        t = tau * (1 - np.maximum(x, theta)) + f
        if t.min() < 0:
            t = f + (t - t.min()) * (n - 1 - f) / np.ptp(t) if np.ptp(t) else np.full_like(t, f)
        return t
    x = np.maximum(x, theta + encoder.epsilon)
    t = encoder.tau * np.log(x / (x - theta)) + f
    if encoder.normalize:
        longest = (t - f).max()
        t = (t - f) * (n - 1 - f) / longest + f if longest else np.full_like(t, f)
    return t


@given(
    st.lists(st.floats(0, 1.5), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 4),
)
@settings(max_examples=150, deadline=None)
def test_latency(values: list[float], clip: bool, normalize: bool, linear: bool, f: int) -> None:
    encoder = Latency(
        num_steps=16, tau=3.0, clip=clip, normalize=normalize, linear=linear, first_spike_time=f
    )
    x = np.array(values)
    if linear and not normalize and x.max() > 1:
        with pytest.raises(EventError, match="accepted: at most 1 with linear"):
            encoder.encode(x)
        return
    times = latency_times(encoder, x)
    assert np.allclose(encoder.times(values), times, rtol=1e-9, atol=1e-9)
    train = encoder.encode(x)[:, 0]
    for at, time in enumerate(times):
        sent = np.flatnonzero(train[:, at])
        if abs(time % 1 - 0.5) < 1e-6:
            continue  # a last bit may round it either way
        late = np.rint(time) >= 16 or (clip and x[at] < encoder.threshold)
        assert sent.tolist() == ([] if late else [int(np.rint(time))])


def test_latency_of_the_example_of_snntorch() -> None:
    train = Latency(num_steps=5, normalize=True, linear=True).encode([0.02, 0.5, 1])
    assert np.nonzero(train[:, 0].T)[1].tolist() == [4, 2, 0]


def test_latency_keeps_the_last_tick_where_another_spike_is_too_late() -> None:
    encoder = Latency(num_steps=4, tau=1.0)
    edge, faint = 0.01 / (1 - np.exp(-3.0)), 0.01  # 3 ticks; far behind
    assert encoder.encode([edge, faint])[:, 0].T.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]


def held(values: list[float], threshold: float, start: float) -> list[int]:
    """Send-on-delta of one element, as +1, 0, −1."""
    sent, out = start, []
    for value in values:
        sign = int(value - sent >= threshold) - int(value - sent <= -threshold)
        sent = value if sign else sent
        out.append(sign)
    return out


@given(walks, st.floats(0.01, 2), st.booleans())
@settings(max_examples=100, deadline=None)
def test_delta(values: list[float], threshold: float, padding: bool) -> None:
    encoder = Delta(threshold=threshold, padding=padding, off_spike=True)
    train = encoder.encode(np.array(values)).astype(int)
    signed = held(values, threshold, values[0] if padding else 0.0)
    assert (train[:, 0] - train[:, 1]).tolist() == signed
    rises = Delta(threshold=threshold, padding=padding).encode(np.array(values))
    assert rises[:, 0].tolist() == train[:, 0].tolist()


@given(walks, st.floats(0.01, 2))
@settings(max_examples=60, deadline=None)
def test_a_receiver_of_delta_is_never_off_by_the_threshold(
    values: list[float], threshold: float
) -> None:
    """It takes the value whenever there is a spike."""
    stream = Delta(threshold=threshold, off_spike=True).stream(1)
    known = 0.0
    for value in values:
        if stream.push([value]).ticks:
            known = value
        assert abs(value - known) < threshold


def test_delta_sends_a_slow_ramp_that_neighbours_do_not_show() -> None:
    ramp = np.arange(0, 5, 0.05)
    assert np.diff(ramp).max() < 0.1  # nothing for a comparison of neighbours
    assert Delta(threshold=0.1).encode(ramp).sum() > 20


def test_delta_is_the_example_of_snntorch() -> None:
    """As its documentation prints it."""
    assert Delta(threshold=1).encode([1, 2, 2.9, 3, 3.9])[:, 0].tolist() == [1, 1, 0, 1, 0]
    padded = Delta(threshold=1, padding=True, off_spike=True).encode([1, 2, 0, 2, 2.9])
    assert (padded[:, 0] - padded[:, 1]).tolist() == [0, 1, -1, 1, 0]


@given(walks, st.floats(0.07, 2), st.floats(-1, 1), st.booleans())
@settings(max_examples=100, deadline=None)
def test_level_crossing(
    values: list[float], threshold: float, offset: float, padding: bool
) -> None:
    encoder = LevelCrossing(threshold=threshold, offset=offset, padding=padding)
    levels = offset + np.arange(-400, 401) * threshold
    at = int(np.flatnonzero(levels <= values[0])[-1]) if padding else 400
    moves = []
    for value in values:
        up, down = np.flatnonzero(levels <= value)[-1], np.flatnonzero(levels >= value)[0]
        goal = max(at, up) if up > at else min(at, down)
        moves.append(int(goal - at))
        at = goal
    train = encoder.encode(np.array(values)).astype(int)
    assert (train[:, 0] - train[:, 1]).tolist() == moves
    assert not (train[:, 0] * train[:, 1]).any()


@given(walks, st.floats(0.07, 2))
@settings(max_examples=60, deadline=None)
def test_a_receiver_of_level_crossings_stays_within_a_threshold(
    values: list[float], threshold: float
) -> None:
    stream, level = LevelCrossing(threshold=threshold).stream(1), 0
    for value in values:
        addresses = stream.push([value]).addresses
        level += addresses.count(0) - addresses.count(1)
        assert abs(value - level * threshold) < threshold * (1 + 1e-9)


def test_a_long_jump_goes_on_in_the_next_samples() -> None:
    stream = LevelCrossing(threshold=1.0, most=100).stream(1)
    assert [len(stream.push([250.0]).ticks) for _ in range(4)] == [100, 100, 50, 0]


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=5), st.integers(1, 32))
@settings(max_examples=60, deadline=None)
def test_phase(values: list[float], phases: int) -> None:
    train = Phase(phases=phases).encode(values)[:, 0]
    back = (train * 2.0 ** -(1 + np.arange(phases)[:, None])).sum(axis=0)
    top = 1 - 2.0**-phases
    assert np.array_equal(
        back, np.minimum(np.floor(np.clip(values, 0, 1) * 2**phases) / 2**phases, top)
    )


# Ranges


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Rate, {"num_steps": 0}),
        (Rate, {"num_steps": True}),
        (Rate, {"num_steps": 65537}),
        (Rate, {"gain": float("nan")}),
        (Rate, {"offset": "1"}),
        (Rate, {"num_steps": 5, "first_spike_time": 5}),
        (Rate, {"seed": -1}),
        (Poisson, {"seq_length": 0}),
        (Poisson, {"f_max": 0}),
        (Poisson, {"dt": -0.001}),
        (Poisson, {"f_max": 2000}),
        (Latency, {"threshold": 0}),
        (Latency, {"threshold": 1}),
        (Latency, {"epsilon": 0}),
        (Latency, {"epsilon": 1e-30}),
        (Latency, {"tau": float("inf")}),
        (Latency, {"clip": 1}),
        (Latency, {"num_steps": 4, "first_spike_time": 4}),
        (Delta, {"threshold": 0}),
        (Delta, {"padding": None}),
        (Delta, {"off_spike": "yes"}),
        (LevelCrossing, {"threshold": -1}),
        (LevelCrossing, {"most": 128}),
        (LevelCrossing, {"offset": 1e20}),
        (Population, {"out_features": 1}),
        (Population, {"out_features": 3, "scale": 0}),
        (Population, {"out_features": 3, "sigma": 0}),
        (Population, {"out_features": 3, "f_max": 1001}),
        (Phase, {"phases": 33}),
        (Phase, {"phases": 8, "num_steps": 7}),
    ],
)
def test_a_wrong_parameter_is_named(kind: type[Encoder], wrong: dict[str, object]) -> None:
    names = [*wrong, "threshold"]  # an offset too large for its threshold is the threshold's fault
    with pytest.raises(EventError, match=rf"^({'|'.join(names)}): found .*; accepted: "):
        kind(**wrong)


@pytest.mark.parametrize("n", [0, -1, 1 << 25, 2.0])
def test_the_number_of_elements_is_checked(n: int) -> None:
    with pytest.raises(EventError, match=r"^n: found"):
        Delta().stream(n)


def test_arrays_that_hold_no_sample() -> None:
    for encoder in (Delta(), Rate(), Phase()):
        with pytest.raises(EventError, match="accepted"):
            encoder.encode(np.zeros((0, 3)))


@pytest.mark.parametrize(
    "encoder",
    [
        Rate(num_steps=65536),
        Poisson(seq_length=65536),
        Latency(num_steps=65536),
        Phase(num_steps=65536),
    ],
)
def test_arrays_that_would_be_too_large(encoder: Encoder) -> None:
    with pytest.raises(EventError, match="65536 ticks of 65536 addresses; accepted: at most"):
        encoder.encode(np.zeros(65536))


def test_arrays_are_drawn_in_parts() -> None:
    encoder = Rate(num_steps=700, first_spike_time=3, seed=5)
    values = np.linspace(0, 1, 2000)  # 1.4 million numbers, more than are drawn at once
    train = encoder.encode(values)
    spikes = encoder.stream(2000).push(values.tolist())
    assert np.argwhere(train[:, 0]).tolist() == [
        [t, a] for t, a in zip(spikes.ticks, spikes.addresses, strict=True)
    ]

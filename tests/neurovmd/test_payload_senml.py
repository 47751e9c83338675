# SPDX-License-Identifier: Apache-2.0
"""SenML packs: the rules of RFC 8428, and what another library writes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovmd.payload import PayloadError, Sample, Senml

NOW_US = 1_760_000_000_000_000
BT = 1.276020076e9


def read(pack: object, **keys: Any) -> list[Sample]:
    payload = pack if isinstance(pack, bytes) else json.dumps(pack).encode()
    return list(Senml(**keys).samples(lambda: NOW_US * 1000)("a", payload))


def test_one_value_without_a_time_is_of_now() -> None:
    assert read([{"n": "urn:dev:ow:10e2073a01080063", "u": "Cel", "v": 23.1}]) == [
        (NOW_US, {"urn:dev:ow:10e2073a01080063": 23.1})
    ]


def test_base_fields_hold_until_others_come() -> None:
    pack = [
        {"bn": "dev:1/", "bt": BT, "bv": 20, "n": "t", "v": 1},
        {"n": "t", "v": 2, "t": -1.5},
        {"n": "on", "vb": True},
        {"bn": "dev:2/", "bv": 0, "n": "t", "v": 5},
        {"n": "label", "vs": "text"},
    ]
    at_us = round(BT * 1e6)
    assert read(pack) == [
        (at_us - 1_500_000, {"dev:1/t": 22.0}),
        (at_us, {"dev:1/t": 21.0, "dev:1/on": 1.0, "dev:2/t": 5.0}),
    ]
    assert read(pack, names="short")[1].values == {"t": 5.0, "on": 1.0}
    assert read(pack, record="dev:1/t") == [(at_us - 1_500_000, 22.0), (at_us, 21.0)]


def test_times_below_2_to_the_28_are_relative_to_now() -> None:
    pack = [{"n": "a", "v": 1, "t": t} for t in (-5, 0, 268435455, 268435456)]
    later = NOW_US + 268435455_000_000
    expected = [268435456_000_000, NOW_US - 5_000_000, NOW_US, later]
    assert [sample.t_us for sample in read(pack)] == expected
    # A base time and a time are added first.
    assert read([{"bt": 268435456, "n": "a", "v": 1, "t": -1}])[0].t_us == (
        NOW_US + 268435455_000_000
    )


def test_sums_take_the_base_sum_and_need_no_value() -> None:
    pack = [{"bn": "m", "bs": 100, "s": 5}, {"v": 3}, {"n": "2", "s": 1, "v": 1}]
    assert read(pack, value="sum") == [(NOW_US, {"m": 100.0, "m2": 101.0})]
    assert read(pack) == [(NOW_US, {"m": 3.0, "m2": 1.0})]


def test_units_are_looked_at_where_they_are_asked_for() -> None:
    pack = [{"bn": "a", "bu": "Cel", "v": 1}]
    assert read(pack, units={"a": "Cel"})
    with pytest.raises(PayloadError, match="unit 'Cel'; accepted: K"):
        read(pack, units={"a": "K"})


@pytest.mark.parametrize("version", [5, 10, 26])
def test_versions_that_are_understood(version: int) -> None:
    assert read([{"bver": version, "n": "a", "v": 1}])


@pytest.mark.parametrize(
    "pack",
    [
        [],
        {},
        5,
        [5],
        [[]],
        [{"bver": 11, "n": "a", "v": 1}],
        [{"bver": 10, "n": "a", "v": 1}, {"bver": 9, "n": "a", "v": 1}],
        [{"n": "a", "v": 1, "new_": 1}],
        [{"n": "a", "v": 1, "vs": "x"}],
        [{"n": "a", "v": "1"}],
        [{"n": "a", "v": True}],
        [{"n": "a", "vb": 1}],
        [{"n": "a", "v": None}],
        [{"n": 1, "v": 1}],
        [{"n": "a", "v": 1, "t": "now"}],
        [{"n": "a", "v": 1, "t": 1e300}],
        [{"v": 1}],
        [{"n": "_a", "v": 1}],
        [{"n": "ä", "v": 1}],
        [{"n": "a b", "v": 1}],
        [{"n": "a", "vs": "text"}],
        [{"bn": "a"}],
        [{"n": "a", "v": 1}] * 65537,
    ],
)
def test_packs_that_are_refused(pack: object) -> None:
    with pytest.raises(PayloadError):
        read(pack)


def test_later_fields_are_let_go() -> None:
    assert read([{"n": "a", "v": 1, "xy": {"z": []}, "ut": 5}]) == [(NOW_US, {"a": 1.0})]


def test_huge_numbers_are_refused() -> None:
    with pytest.raises(PayloadError, match="beyond all numbers"):
        read(b'[{"n":"a","v":1' + 400 * b"0" + b"}]")


def test_a_configuration_says_what_is_wrong() -> None:
    with pytest.raises(msgspec.ValidationError, match="encoding"):
        msgspec.convert({"format": "senml", "encoding": "xml"}, Senml)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    for encoding in ("auto", "json", "cbor"):
        try:
            assert read(payload, encoding=encoding)
        except PayloadError as error:
            assert str(error)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["t", "p/x", "a-1"]),
            st.booleans() | st.integers(-1000, 1000) | st.floats(-1e6, 1e6),
            st.integers(1, 1000),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 50),
)
def test_packs_of_another_library(records: list[tuple[str, float | bool, int]], base: int) -> None:
    """`micropython-senml` writes them with base name, base value and base time."""
    other = pytest.importorskip("senml", reason="micropython-senml is not installed (extra [dev])")
    pack = other.SenmlPack("urn:dev:1:")
    pack.base_value, pack.base_time = base, 1_500_000_000
    expected: dict[int, dict[str, float]] = {}
    for name, value, t_s in records:
        pack.add(other.SenmlRecord(name, value=value, time=1_500_000_000 + t_s))
        moment = expected.setdefault((1_500_000_000 + t_s) * 1_000_000, {})
        moment[f"urn:dev:1:{name}"] = float(value)
    for payload in (pack.to_json().encode(), pack.to_cbor()):
        found = read(payload)
        assert [t_us for t_us, _ in found] == sorted(expected)
        for t_us, values in found:
            assert values == pytest.approx(expected[t_us], abs=1e-9)

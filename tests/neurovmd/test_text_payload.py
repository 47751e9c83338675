# SPDX-License-Identifier: Apache-2.0
"""Text as counts of hashed words: what is counted, and that any bytes are read or refused."""

from __future__ import annotations

import itertools
from array import array
from collections import Counter
from pathlib import Path
from zlib import crc32

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neurovm
from neurovm.words import MOST_WORDS, hashed, words
from neurovmd.mapping import Inputs
from neurovmd.payload import PayloadError, Text
from neurovmd.refusal import MappingError
from neurovmd.schema import Vm

DIGITS = Path(__file__).parents[1] / "fixtures" / "digits_mlp.tflite"


def test_words_are_runs_of_letters_and_digits_of_any_script() -> None:
    assert words("Turn ON the light-2, s'il vous plaît! 灯_开") == [
        "turn", "on", "the", "light", "2", "s", "il", "vous", "plaît", "灯", "开"
    ]  # fmt: skip
    assert words("") == words("?! … _") == []


@given(st.text(max_size=200), st.integers(1, 300), st.booleans())
def test_counts_are_those_of_a_dictionary(text: str, features: int, pairs: bool) -> None:
    said = words(text)
    known = Counter(said)
    if pairs:
        known.update(f"{a} {b}" for a, b in itertools.pairwise(said))
    wanted = [0.0] * features
    for word, count in known.items():
        wanted[crc32(word.encode()) % features] += count
    assert list(hashed(text, features, pairs)) == wanted


def test_order_counts_by_pairs_alone() -> None:
    assert hashed("dog bites man", 512, pairs=False) == hashed("man bites dog", 512, pairs=False)
    assert hashed("dog bites man", 512) != hashed("man bites dog", 512)


def test_of_a_long_text_the_beginning_counts() -> None:
    assert sum(hashed("word " * 10_000, 8, pairs=False)) == MOST_WORDS


def test_a_payload_is_text_or_holds_it() -> None:
    wanted = array("f", hashed("good night", 16))
    ((when, values),) = Text(features=16).samples()("a", b"Good night!")
    assert (when, values) == (None, wanted)
    read = Text(features=16, field="message.text").samples()
    ((_, values),) = read("a", b'{"message": {"text": "good NIGHT"}}')
    assert values == wanted


@pytest.mark.parametrize(
    ("field", "payload", "why"),
    [
        (None, b"\xff", "not UTF-8"),
        ("text", b'{"text": 3}', "text: found 3; accepted: text"),
        ("text", b'{"word": "x"}', "no field 'text'"),
        ("text", b"good night", "not JSON"),
    ],
)
def test_no_text_is_refused(field: str | None, payload: bytes, why: str) -> None:
    with pytest.raises(PayloadError, match=why):
        Text(features=4, field=field).samples()("a", payload)


@pytest.mark.parametrize("wrong", [{"features": 0}, {"features": 2, "field": "a["}, {}])
def test_parameters_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"format": "text", **wrong}, Text)


@given(st.binary(max_size=300), st.sampled_from([None, "text", "a[0].b"]))
def test_any_bytes_are_read_or_refused(payload: bytes, field: str | None) -> None:
    try:
        ((_, values),) = Text(features=8, field=field).samples()(None, payload)
    except PayloadError as error:
        assert str(error)
    else:
        assert isinstance(values, array)
        assert len(values) == 8


def test_features_are_as_many_as_the_tensor_has() -> None:
    """What the model takes is known when the VM starts."""
    with neurovm.convert_tflite(DIGITS) as model:
        with pytest.raises(MappingError, match="features: found 63; accepted: 64, one for each"):
            Inputs(_vm(63), {}, model)
        inputs = Inputs(_vm(64), {}, model)
        update = inputs.read("house/hall/said", b"good night")
        info = model.inputs[0]
        codes = np.frombuffer(bytes(update.codes), np.int8).astype(int)
        counts = np.clip((codes - info.zero_point) * info.scale, 0, 1)
        wanted = np.minimum(hashed("good night", 64), 1)
        assert update.stream == "hall"
        assert np.allclose(counts, wanted, atol=info.scale)
        assert wanted.any()


def _vm(features: int) -> Vm:
    return msgspec.convert(
        {
            "model": "a.tflite",
            "inputs": [
                {
                    "topic": "house/{stream}/said",
                    "payload": {"format": "text", "features": features},
                }
            ],
        },
        Vm,
    )

# SPDX-License-Identifier: Apache-2.0
"""The text intent example: from sentences through broker and daemon to what they ask for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.intent.__main__ import answers
from examples.intent.picture import shares
from examples.intent.sentences import INTENTS, sentences


def test_sentences_reach_their_intents_through_broker_and_daemon() -> None:
    """The daemon answers as the network does offline, sentence by sentence."""
    said, _ = sentences(2, seed=77)
    results = answers(said)
    wanted = shares(said)
    assert [r["seq"] for r in results] == list(range(1, len(said) + 1))
    for result, row in zip(results, wanted, strict=True):
        first = result["top"][0]
        assert first["label"] == INTENTS[int(row.argmax())]
        assert first["value"] == pytest.approx(row.max())


def test_the_shipped_network_understands_most_sentences() -> None:
    """95 of 100 or more that it was not trained on; 14 is chance."""
    said, right = sentences(30, seed=88)
    assert (shares(said).argmax(axis=1) == np.array(right)).mean() >= 0.95


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from examples.intent.picture import draw

    draw(["good night", "open the blinds"], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

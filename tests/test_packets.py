# SPDX-License-Identifier: Apache-2.0
"""Public models over MQTT: the benchmark's rows hold, on some of the recordings."""

from __future__ import annotations

from pathlib import Path

import packets
import pytest
import shared_files

pytestmark = shared_files.needed


def test_the_wake_word_of_a_recording(tmp_path: Path) -> None:
    row = packets.wake_words(
        shared_files.model("str_ww_ref_model"), shared_files.ROOT / "data", tmp_path
    )
    assert row.holds, row


def test_a_few_clips_are_named_as_litert_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    every = packets.clips(shared_files.ROOT / "data")
    monkeypatch.setattr(packets, "clips", lambda *_: every[::60])
    row = packets.keywords(
        shared_files.model("kws_ref_model"), shared_files.ROOT / "data", tmp_path
    )
    assert row.differing == "0 of 10 answers", row

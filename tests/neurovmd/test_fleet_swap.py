# SPDX-License-Identifier: Apache-2.0
"""The benchmark of a switched tree, with few nodes: what it counts, not how long it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fleet_swap
from benchmarks.rig import find_mosquitto


def test_all_but_the_node_with_the_bad_overlay_take_the_tree(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (`make test` installs it)")
    figures = fleet_swap.measure(tmp_path, 4)
    assert figures["new_tree"] == 3
    assert figures["last_good"] == ["n02"] == [figures["bad_overlay"]]
    assert "n02.yaml:2:3: mqtt.keepalive" in figures["reason"]
    assert figures["hash_kept"]
    assert figures["supervisors_kept"]

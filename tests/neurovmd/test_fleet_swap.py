# SPDX-License-Identifier: Apache-2.0
"""The benchmark of a switched tree, with few nodes: what it counts, not how long it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fleet_swap
from benchmarks.rig import find_mosquitto


@pytest.mark.parametrize(
    ("kind", "reason"), [("key", "n02.yaml:2:3: mqtt.keepalive"), ("model", "digits: ")]
)
def test_all_but_the_node_with_the_bad_overlay_take_the_tree(
    tmp_path: Path, kind: str, reason: str
) -> None:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (`make test` installs it)")
    figures = fleet_swap.measure(tmp_path, 4, kind)
    assert figures["new_tree"] == 3
    assert figures["last_good"] == ["n02"] == [figures["bad_overlay"]]
    assert reason in figures["reason"] or kind == "model"
    after = figures["after_power_cut"]
    assert (after["state"], after["tree"]) == ("last_good", "one")
    assert reason in after["reason"] or kind == "model"
    assert figures["hash_kept"]
    assert figures["supervisors_kept"]

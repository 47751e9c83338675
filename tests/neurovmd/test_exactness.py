# SPDX-License-Identifier: Apache-2.0
"""Every message answered, every answer the oracle's, while the broker is killed half-way.

The suite runs a few hundred messages; `benchmarks/daemon_exactness.py` runs as many as you like.
"""

from pathlib import Path

import pytest

from benchmarks import daemon_exactness
from benchmarks.rig import find_mosquitto

MESSAGES = 600


@pytest.mark.skipif(
    find_mosquitto() is None, reason="mosquitto is not installed (`make test` installs it)"
)
@pytest.mark.parametrize("mqtt5", [False, True])
def test_no_gap_and_no_wrong_answer_over_a_broker_death(tmp_path: Path, *, mqtt5: bool) -> None:
    report = daemon_exactness.run(tmp_path, MESSAGES, kills=1, seed=11 + mqtt5, mqtt5=mqtt5)
    assert report.accepted >= MESSAGES
    assert report.kills == 1
    assert report.protocol == "5"


def test_the_checker_refuses_a_wrong_a_missing_and_a_stale_answer() -> None:
    """A checker that cannot fail proves nothing."""
    checker = daemon_exactness.Checker(lambda vector: tuple(int(1000 * x) for x in vector[:4]))
    burst = [(0, 0.1), (1, 0.2), (2, 0.3)]
    right = {1: (100, 0, 0, 0), 2: (100, 200, 0, 0), 3: (100, 200, 300, 0)}
    checker.in_order(burst, right)
    assert checker.seq == 3
    more = [(0, 0.5), (1, 0.6)]
    wrong = {4: (500, 200, 300, 0), 5: (500, 601, 300, 0)}
    with pytest.raises(daemon_exactness.MismatchError, match="seq 5"):
        checker.disturbed(5, burst, more, wrong)
    with pytest.raises(KeyError):
        checker.disturbed(5, burst, more, {4: wrong[4]})
    stale = {4: (500, 200, 300, 0), 5: (500, 600, 300, 0), 6: (500, 600, 300, 0)}
    with pytest.raises(daemon_exactness.MismatchError, match="not what was published last"):
        checker.disturbed(4, burst, more, stale)


def test_the_checker_follows_repeats() -> None:
    checker = daemon_exactness.Checker(lambda vector: tuple(int(1000 * x) for x in vector[:4]))
    burst = [(0, 0.1), (1, 0.2)]
    repeated = {
        1: (100, 0, 0, 0),
        2: (100, 200, 0, 0),
        3: (100, 200, 0, 0),
        4: (100, 200, 0, 0),
    }
    checker.disturbed(4, [], burst, repeated)
    assert checker.seq == 4

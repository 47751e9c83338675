# SPDX-License-Identifier: Apache-2.0
"""What holds for the whole suite: no test sees what another one set for its process."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

from neurovmd import log


def pytest_configure() -> None:
    """A suite that runs in the background of a script inherits an ignored SIGINT, and would hand it
    on to every command it interrupts.
    """
    os.environ.setdefault("NEUROVM_CALIBRATE", "0")  # or counts of work follow the machine's mood
    os.environ.setdefault("NEUROVM_PREPARED", "0")  # tests leave nothing in anybody's cache
    # No test is judged by how fast the machine is.
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _log_as_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that a test runs in this process set the level and the secrets of its log."""
    monkeypatch.setattr(log, "_state", log._State())

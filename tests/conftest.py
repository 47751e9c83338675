# SPDX-License-Identifier: Apache-2.0
"""What holds for the whole suite."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """A suite that runs in the background of a script inherits an ignored SIGINT, and would hand it
    on to every command it interrupts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

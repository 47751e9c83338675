# SPDX-License-Identifier: Apache-2.0
"""What signals ask of the supervisor: handlers only note it, its loop wakes and acts."""

from __future__ import annotations

import contextlib
import os
import signal


class Signals:
    """Notes of SIGTERM and SIGINT (`stop`), SIGHUP (`reload`), SIGUSR1 (`tell`) and SIGCHLD
    (`reap`); `fileno` becomes readable with each. A note is the owner's to take back.
    """

    def __init__(self) -> None:
        self.stop = self.reload = self.tell = self.reap = False
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._read_end

    def take(self) -> None:
        """From now on signals are noted; called on the main thread."""
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in (
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGCHLD,
            signal.SIGUSR1,
        ):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        if number == signal.SIGCHLD:
            self.reap = True
        elif number == signal.SIGHUP:
            self.reload = True
        elif number == signal.SIGUSR1:
            self.tell = True
        else:
            self.stop = True

    def drain(self) -> None:
        """What woke the loop is seen."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 4096)

    def forget(self) -> None:
        """In a forked worker, which has handlers of its own: close what was inherited."""
        signal.set_wakeup_fd(-1)
        os.close(self._read_end)
        os.close(self._write_end)

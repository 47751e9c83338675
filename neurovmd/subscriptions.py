# SPDX-License-Identifier: Apache-2.0
"""What a VM subscribed to before: a broker keeps a session's filters, also those no longer wanted.

One small file a VM in the state folder holds the filters of its session, so that a changed topic is
unsubscribed at the next start. Losing the file costs only that.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from neurovmd import log


class Subscriptions:
    """The filters last subscribed by `vm`, in `<folder>/<vm>.subscriptions.json`."""

    def __init__(self, folder: Path, vm: str) -> None:
        self._file = folder / f"{vm}.subscriptions.json"

    def obsolete(self, filters: Iterable[str]) -> list[str]:
        """The remembered filters that are not in `filters`."""
        wanted = set(filters)
        return [name for name in self._remembered() or () if name not in wanted]

    def _remembered(self) -> list[str] | None:
        """What the file says; None where there is none that can be read."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=list[str])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            log.warning("subscriptions.unreadable", file=self._file, error=error)
            return None

    def forget(self) -> None:
        """The session is gone, and what it subscribed to."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def remember(self, filters: Iterable[str]) -> None:
        """Write the filters, whole or not at all, unless they are what is written there."""
        wanted = sorted(filters)
        if self._remembered() == wanted:
            return
        scratch = self._file.with_suffix(f".{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as file:
                file.write(msgspec.json.encode(wanted))
                file.flush()
                os.fsync(file.fileno())  # else a power cut may leave the name without the text
            scratch.replace(self._file)
        except OSError as error:
            log.warning("subscriptions.not_written", file=self._file, error=error)
            with contextlib.suppress(OSError):
                scratch.unlink()

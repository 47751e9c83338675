# SPDX-License-Identifier: Apache-2.0
"""What a worker says no to: a message that sets nothing, inputs that do not fit the model."""

from __future__ import annotations

from neurovmd.shared import DropReason


class RefusedError(Exception):
    """A message that sets nothing; `reason` is what it is counted as."""

    def __init__(self, reason: DropReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class UnsettingError(RefusedError):
    """A message that was read and, by design, sets nothing: it is no drop."""

    def __init__(self) -> None:
        super().__init__(DropReason.PAYLOAD, "it sets nothing")


class MappingError(ValueError):
    """A VM's inputs that do not fit its model; `key` is where in its file."""

    def __init__(self, key: str, found: str, accepted: str) -> None:
        super().__init__(f"{key}: found {found}; accepted: {accepted}")
        self.key, self.found, self.accepted = key, found, accepted

# SPDX-License-Identifier: Apache-2.0
"""The backend protocol and the registry of backends."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from neurovm.errors import BackendError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from neurovm.bundle import Bundle
    from neurovm.description import Way


class BackendSession(Protocol):
    """The state of one stream. Used by one thread at a time."""

    @property
    def output(self) -> memoryview:
        """All output codes, int8, read-only, concatenated; rewritten by each step."""
        ...

    @property
    def changed(self) -> bool: ...
    @property
    def counters(self) -> tuple[int, int, int, int, int]: ...
    @property
    def sent_planes(self) -> int:
        """Of 8, in the last step."""
        ...

    planes: int
    """Of 8, from the next step on; see `neurovm.session.Session.planes`."""

    def bounds(self) -> tuple[bytes, bytes]:
        """Lowest and highest code of every output once all planes are sent."""
        ...

    def step(self, codes: Buffer) -> memoryview: ...
    def update(self, indices: Buffer | int, codes: Buffer | int) -> memoryview: ...
    def run(self, codes: Buffer, out: Buffer | None = None) -> Buffer:
        """One step a row of codes; a row of outputs each, in `out` or a new buffer."""
        ...

    def run_updates(
        self,
        indices: Buffer,
        codes: Buffer,
        ends: Buffer | None = None,
        out: Buffer | None = None,
    ) -> Buffer:
        """One step an entry of `ends` (None: a code), an update each."""
        ...

    def reset(self) -> None: ...
    def force(self, way: str, layer: int | None = None) -> None: ...
    def layer(self, index: int) -> tuple[memoryview, memoryview | None, int, int, str]:
        """Codes, accumulators, events sent, weights applied, way of the last step."""
        ...


class Memory(NamedTuple):
    """Bytes that a program takes on this machine, beside the bundle's own constants.

    `packed`: its weights in the order of dense runs, once for all sessions (and processes, where
    `neurovm.prepared` keeps them); `session`: each stream, `dense_session`: each that was made
    for way "dense"; `predict`: once a thread that predicts.
    """

    packed: int
    session: int
    dense_session: int
    predict: int


class Executable(Protocol):
    """A bundle made ready to run."""

    def session(self, counters: Buffer | None = None, way: Way = "auto") -> BackendSession:
        """A stream that is forced to this way; one of "dense" may take no other later."""
        ...

    def predict(self, codes: Buffer, out: Buffer, rows: int) -> None: ...
    def step_sessions(
        self, sessions: Sequence[Any], codes: Buffer, out: Buffer | None = None
    ) -> Buffer:
        """One step of each of its sessions, a row of codes each; a row of outputs each."""
        ...


class Backend(Protocol):
    """`name` as users write it; `kind` is what it runs on: cpu, simulator, virtual or hardware."""

    name: str
    kind: str

    def load(self, bundle: Bundle, *, threads: int = 1) -> Executable:
        """threads: at most so many compute a step; the answers are those of one."""
        ...


BACKENDS: dict[str, str] = {"cpu": "neurovm.backends.cpu"}
"""Backend name → module that defines `BACKEND`."""


def find(name: str) -> Backend:
    """The backend of that name; BackendError names those there are."""
    if name not in BACKENDS:
        raise BackendError(
            f"backend {name!r} is not known; available: {', '.join(sorted(BACKENDS))}"
        )
    return cast("Backend", importlib.import_module(BACKENDS[name]).BACKEND)

# SPDX-License-Identifier: Apache-2.0
"""An MQTT broker for the demo: neurovm's own in a child process, on loopback, on a free port."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from examples.pump.children import DemoError, tail
from neurovm.cli import broker
from neurovm.errors import BackendError


@contextlib.contextmanager
def embedded(log: Path) -> Iterator[int]:
    """The port of a running broker; `log` takes what it says."""
    with log.open("ab") as sink:
        try:
            child, port = broker.start(sink)
        except BackendError as error:
            raise DemoError(
                f"{error}; use --broker HOST[:PORT] with one that runs. It said:\n{tail(log)}"
            ) from None
        try:
            yield port
        finally:
            broker.end(child)

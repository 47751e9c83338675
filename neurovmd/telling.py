# SPDX-License-Identifier: Apache-2.0
"""What a worker tells its supervisor while it serves: what troubles it, what its results show."""

from __future__ import annotations

from collections import deque

from neurovmd.assignment import report, tell
from neurovmd.face import Face


class Telling:
    """Speaks on the pipe of reports. `remark` was said when the VM became ready, `face` is what its
    results show, and of its streams the first `most_streams` are named.
    """

    def __init__(self, pipe: int, remark: str, face: Face, most_streams: int) -> None:
        self._pipe = pipe
        self._remark = self._said = remark
        self._face: Face | None = face
        self._left = most_streams
        self._streams: deque[str] = deque()

    def opened(self, stream: str) -> None:
        """There is a new stream; of all methods the one that the compute thread may call."""
        if self._left:
            self._left -= 1
            self._streams.append(stream)

    def say(self, *troubles: str) -> None:
        """Tell what is new: troubles of a VM that is ready where they changed, and the rest."""
        said = "; ".join(part for part in (self._remark, *troubles) if part)
        if said != self._said:
            self._said = said
            report(self._pipe, "ready", said)
        self.show()

    def show(self) -> None:
        """Tell what results show, and of which streams; what finds no room now, later."""
        if self._face is not None and tell(self._pipe, face=self._face):
            self._face = None
        while self._streams and tell(self._pipe, streams=[self._streams[0]]):
            self._streams.popleft()

# SPDX-License-Identifier: Apache-2.0
"""When a connection is tried again, and in which version of MQTT; decides, and does nothing.

The next attempt comes after 1 s, then twice as long each time up to 30 s, with jitter; a connection
that lived a while starts over. MQTT 5 is tried first and 3.1.1 where the broker does not speak it,
then either in turn; a connection that is lost is taken up again with MQTT 5.
"""

from __future__ import annotations

import os

RETRY_FIRST_S = 1.0
RETRY_LAST_S = 30.0
# A connection that lived this long was a good one: the next retry starts at 1 s again.
STABLE_S = 10.0
# So many closes before a CONNACK mean another protocol; a broker that spoke it may be restarting.
CLOSES_UNKNOWN, CLOSES_KNOWN = 2, 6
# So many connections that end soon after they began are no accident.
QUICK_CLOSES = 3


class Attempts:
    """The attempts of one connection. `protocol`: auto, 5 or 3.1.1; `now` is of any one clock.

    `five`: whether the next attempt is in MQTT 5; `at`: when it comes.
    """

    def __init__(self, protocol: str, now: float) -> None:
        self._auto = protocol == "auto"
        self.five = protocol in ("auto", "5")
        self.at = now
        self._failures = 0
        self._closes_before_connack = 0
        self._spoken: set[bool] = set()
        self._quick_closes = 0

    @property
    def protocol(self) -> str:
        return "5" if self.five else "3.1.1"

    def accepted(self) -> None:
        """The broker has taken a connection in this version."""
        self._spoken.add(self.five)
        self._closes_before_connack = 0

    def closed_unanswered(self) -> None:
        """The broker closed the connection before it said anything."""
        self._closes_before_connack += 1

    def unanswered(self) -> None:
        """The broker took the connection and said nothing: a 3.1.1 broker may wait for the rest of
        a CONNECT that it misreads.
        """
        self._closes_before_connack += CLOSES_UNKNOWN

    def wrong_version(self) -> None:
        """The broker said that it does not speak this version."""
        self._closes_before_connack = CLOSES_KNOWN

    def lost(self, alive_s: float, *, taken_over: bool) -> int:
        """A connection that was up is gone after `alive_s`; how many in turn have ended so soon."""
        if alive_s >= STABLE_S:
            self._failures = self._quick_closes = 0
        else:
            self._quick_closes += 1
        if taken_over:
            self._failures = max(self._failures, 3)
        self.five = self.five or self._auto
        return self._quick_closes

    def plan(self, now: float) -> tuple[bool, float]:
        """Plan the next attempt: whether it is in the other version, the likely remedy, and how
        many seconds from now.
        """
        patience = CLOSES_KNOWN if self.five in self._spoken else CLOSES_UNKNOWN
        changes = self._auto and self._closes_before_connack >= patience
        if changes:
            self.five = not self.five
            self._closes_before_connack = 0
        delay_s = 0.0
        if not changes or self.five:
            delay_s = min(RETRY_LAST_S, RETRY_FIRST_S * 2 ** min(self._failures, 10))
            delay_s *= drawn(0.8, 1.2)
            self._failures += 1
        self.at = now + delay_s
        return changes, delay_s


def drawn(low: float, high: float) -> float:
    """A number between the two, by the system's own chance (the module random takes more room)."""
    return low + (high - low) * int.from_bytes(os.urandom(4), "little") / (1 << 32)

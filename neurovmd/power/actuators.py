# SPDX-License-Identifier: Apache-2.0
"""The duty cycle: the supervisor writes it into a worker's slot, the worker rests after its work.

``duty_q16`` is unsigned Q16: 65536 is all of the time, 0 a pause. It needs no privilege and works
on every box.
"""

from collections.abc import Iterable

from neurovmd.shared import DUTY_ONE, Slot


def set_duty(slots: Iterable[Slot], duty: float) -> None:
    """Write ``duty`` (0..1) to every slot, rounded down so that rounding never draws more.

    A duty that rounds to 0 also sets ``paused``.
    """
    if not 0 <= duty <= 1:
        raise ValueError(f"duty: found {duty}; accepted: 0..1")
    duty_q16 = int(duty * DUTY_ONE)
    for slot in slots:
        slot.duty_q16 = duty_q16
        slot.paused = duty_q16 == 0

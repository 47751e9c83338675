# SPDX-License-Identifier: Apache-2.0
"""The meters a box may have, best first; a new one is one file and one line in ``SENSORS``.

A sensor's module has ``open_sensor(roots)``, which returns the opened sensor or the reason why
this box has none. Missing hardware is a normal answer: nothing here raises for it.
"""

from collections.abc import Callable

from neurovmd.power.reading import Missing, Roots, Sensor
from neurovmd.power.sensors import powercap

SENSORS: tuple[Callable[[Roots], Sensor | Missing], ...] = (powercap.open_sensor,)

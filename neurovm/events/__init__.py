# SPDX-License-Identifier: Apache-2.0
"""Address events: spikes with a time and a place, in memory, in messages, in files.

    recording = read("digit.bin")               # N-MNIST, AEDAT4 (.aedat4), packed events (.aer)
    events = recording.events()                 # times in µs and addresses, as networks take them
    payload = aer.pack_xypt(recording)          # a message
    aer.unpack(payload, Geometry(34, 34))       # and back

The address of an event at (x, y) of polarity p is (p · height + y) · width + x: the layout of a
picture with one plane a polarity. Times are µs, never decreasing. Whatever is wrong is an
EventError that names the first event at fault, and nothing is left out silently. No numpy is needed
but for `synthetic` and AEDAT4.
"""

from __future__ import annotations

from neurovm.events.address import Events, Geometry, Recording
from neurovm.events.files import FORMATS, read, write

__all__ = ["FORMATS", "Events", "Geometry", "Recording", "read", "write"]

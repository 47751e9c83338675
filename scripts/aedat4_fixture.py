# SPDX-License-Identifier: Apache-2.0
"""python scripts/aedat4_fixture.py: write tests/fixtures/events.aedat4 (pip install dv-processing).

The file is iniVation's own writing, so that the reader is tested against it and not against
ourselves; the events are a formula, so that the test knows them without the file.
"""

from __future__ import annotations

from pathlib import Path

import dv_processing as dv

TARGET = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "events.aedat4"


def main() -> None:
    config = dv.io.MonoCameraWriter.EventOnlyConfig("formula", (34, 30))
    writer = dv.io.MonoCameraWriter(str(TARGET), config)
    events = dv.EventStore()
    for i in range(300):
        t_us = 1_700_000_000_000_000 + 37 * i + i % 5
        events.push_back(t_us, (7 * i + 3) % 34, (5 * i) % 30, i // 3 % 2 == 1)
    writer.writeEvents(events)


if __name__ == "__main__":
    main()

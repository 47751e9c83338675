# SPDX-License-Identifier: Apache-2.0
"""`neurovm convert --plot`: what each operator kept of the float network, as bars of SNR."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from neurovm.cli import drawing
from neurovm.cli.approx import LOW_DB
from neurovm.cli.drawing import Drawing, Line, Rectangle, Text
from neurovm.cli.network_picture import GRID, GROUND, INK, PALE

if TYPE_CHECKING:
    from neurovm.description import ApproxInfo, ApproxLayer

NARROW, WIDE = "#12857f", "#5a5fb0"
MARGIN, TOP, ROW = 36.0, 116.0, 26.0
NAMES, BARS, FIGURES = 250.0, 430.0, 150.0
TICK_DB = 10


def write(info: ApproxInfo, path: Path) -> None:
    """Draw it; see `drawing.write`."""
    drawing.write(picture(info), path)


def picture(info: ApproxInfo) -> Drawing:
    """A row an operator: its SNR as a bar, figures beside it; int16 ones in another colour."""
    found = [layer.snr_db for layer in info.layers if layer.snr_db is not None]
    top_db = max(TICK_DB * 3, TICK_DB * math.ceil(max(found, default=0.0) / TICK_DB))
    height = TOP + ROW * len(info.layers) + MARGIN
    width = 2 * MARGIN + NAMES + BARS + FIGURES
    sheet = Drawing(width, height, GROUND, f"SNR of {info.source.name}, quantized")
    _head(sheet, info)
    _grid(sheet, top_db, height - MARGIN)
    for number, layer in enumerate(info.layers):
        _row(sheet, layer, TOP + ROW * number, top_db)
    return sheet


def _head(sheet: Drawing, info: ApproxInfo) -> None:
    title = drawing.shortened(f"{info.source.name}, quantized", 700, 20, bold=True)
    lines = [f"signal to noise of each operator against the {info.number_format} network"]
    lines.append(f"on {info.rows} rows")
    if info.accuracy is not None:
        was, now = info.accuracy
        lines.append(f"right answers {was:.2%}, quantized {now:.2%}")
    if info.wide_share:
        lines.append(f"{info.wide_share:.1%} of the work at 16 bit")
    sheet.add(
        Text(MARGIN, 44, title, 20, INK, bold=True),
        Text(MARGIN, 68, " · ".join(lines), 13, PALE),
    )


def _grid(sheet: Drawing, top_db: int, bottom: float) -> None:
    for db in range(0, top_db + 1, TICK_DB):
        x = MARGIN + NAMES + BARS * db / top_db
        low = db == LOW_DB
        sheet.add(
            Line(((x, TOP - 8), (x, bottom)), PALE if low else GRID, 1.0, dashed=low),
            Text(x, TOP - 14, f"{db} dB" if db else "0", 11, PALE, "middle"),
        )


def _row(sheet: Drawing, layer: ApproxLayer, y: float, top_db: int) -> None:
    name = drawing.shortened(f"{layer.operator}  {layer.source_op}", NAMES - 16, 12)
    x, text_y = MARGIN + NAMES, y + ROW * 0.62
    snr_db = layer.snr_db
    share = 0.0 if snr_db is None else min(max(snr_db / top_db, 0.0), 1.0)
    colour = WIDE if layer.bits == 16 else NARROW
    said = "no noise" if snr_db is None else f"{snr_db:.1f} dB"
    sheet.add(
        Text(MARGIN, text_y, name, 12, INK),
        Rectangle(x, y + 4, max(1.0, BARS * share), ROW - 10, colour, 2),
        Text(x + BARS * share + 6, text_y, said, 11, INK),
        Text(x + BARS + FIGURES, text_y, f"max error {layer.max_error:.3g}", 11, PALE, "end"),
    )

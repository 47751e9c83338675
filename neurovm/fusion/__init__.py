# SPDX-License-Identifier: Apache-2.0
"""Fusion: fewer layers that hold the same bits, one idea a file.

Passes work on the source's operators; these work on what the operators were lowered to, where
thirty kinds of movement are one MAP layer and every unary function is one TABLE. None of them
changes a code that leaves the network, and none is known to the oracle, which judges them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurovm.fusion.channels import drop_constant_channels
from neurovm.fusion.draft import Draft
from neurovm.fusion.moves import fuse_moves
from neurovm.fusion.tables import fuse_tables
from neurovm.fusion.windows import fuse_crops, fuse_padding

if TYPE_CHECKING:
    from collections.abc import Callable

FUSIONS: tuple[Callable[[Draft], bool], ...] = (
    fuse_moves,
    fuse_tables,
    fuse_padding,
    fuse_crops,
    drop_constant_channels,
    Draft.drop_unread,
)
"""Each changes the draft and says whether it did; repeated until none does."""


def fuse(draft: Draft) -> None:
    """Apply all fusions until nothing changes; every round ends with fewer layers or codes."""
    changed = True
    while changed:
        changed = sum(one(draft) for one in FUSIONS) > 0


__all__ = [
    "FUSIONS",
    "Draft",
    "drop_constant_channels",
    "fuse",
    "fuse_crops",
    "fuse_moves",
    "fuse_padding",
    "fuse_tables",
]

# SPDX-License-Identifier: Apache-2.0
"""Text as numbers that a network can take: counts of hashed words, no numpy and no dictionary."""

from __future__ import annotations

import itertools
import re
from array import array
from zlib import crc32

MOST_WORDS = 4096
"""Of one text; what follows is not looked at."""
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Runs of letters and digits of any script, in small letters; the first 4096."""
    found: list[str] = []
    for match in _WORD.finditer(text.lower()):
        if len(found) == MOST_WORDS:
            break
        found.append(match.group())
    return found


def hashed(text: str, features: int, pairs: bool = True) -> array[float]:
    """`features` float32 (1 or more): how often each hashed word stands in the text.

    A word counts in element crc32(word in UTF-8) mod `features`; with `pairs` each two neighbours
    count too, joined by a space, so that "turn on" is not "turn off". Two words may share an
    element: the more features, the fewer. After Weinberger et al., Feature hashing for large scale
    multitask learning, ICML 2009, without signs.
    """
    found = words(text)
    counts = array("f", bytes(4 * features))
    for word in found:
        counts[_place(word, features)] += 1
    if pairs:
        for first, second in itertools.pairwise(found):
            counts[_place(f"{first} {second}", features)] += 1
    return counts


def _place(word: str, features: int) -> int:
    return crc32(word.encode("utf-8", "surrogatepass")) % features

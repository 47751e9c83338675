# SPDX-License-Identifier: Apache-2.0
"""update(int, int): one element, the same as arrays of one."""

from __future__ import annotations

import numpy as np
import pytest
from kernel.programs import Programming, random_convolution

from neurovm import _kernel
from neurovm.errors import ShapeError


def sessions() -> tuple[_kernel.Session, _kernel.Session]:
    made = Programming()
    layer = random_convolution(np.random.default_rng(3), 3, 8)
    layer.add(made, made.add("INPUT", 7 * 7 * 3, zeros=(0, 11)), 7, ("OUTPUT",))
    program = made.program()
    return _kernel.Session(program), _kernel.Session(program)


def test_same_as_arrays_of_one() -> None:
    rng = np.random.default_rng(4)
    one, many = sessions()
    for _ in range(200):
        index, code = int(rng.integers(147)), int(rng.integers(-128, 128))
        answer = one.update(index, code)
        assert answer == many.update(np.array([index], np.uint32), np.array([code], np.int8))
        assert one.changed == many.changed
    assert one.counters == many.counters


@pytest.mark.parametrize(
    ("index", "code", "text"),
    [
        (147, 0, "index: found 147; accepted: 0 to 146"),
        (-1, 0, "index: found -1"),
        (2**70, 0, "index: found 1180591620717411303424"),
        (0, 128, "code: found 128; accepted: -128 to 127"),
        (0, -129, "code: found -129"),
        (0, 2**70, "code: found 1180591620717411303424"),
    ],
)
def test_refused(index: int, code: int, text: str) -> None:
    session, other = sessions()
    with pytest.raises(ShapeError, match=text):
        session.update(index, code)
    assert session.counters == other.counters
    assert session.update(0, 5) == other.update(0, 5)  # not left busy


def test_mixed_kinds_are_refused() -> None:
    session, _ = sessions()
    with pytest.raises(TypeError, match="indices: found int"):
        session.update(0, b"\0")
    with pytest.raises(TypeError, match="codes: found int"):
        session.update(np.zeros(1, np.uint32), 0)

# SPDX-License-Identifier: Apache-2.0
"""The Fourier transform in 16-bit fixed point, rounding for rounding as KISS FFT makes it.

Every butterfly first divides by its radix, so the result is the transform divided by its length.
Radix 4 while it divides the length, then 2. Q15 throughout:

    round15(x) = (x + 2^14) >> 15,   x / p = round15(x · (32767 // p))

Arrays are int32 with the real and the imaginary part along the first axis. What the C code keeps in
int16 wraps around there: sums need to only where they are rounded or end, as they do so alike.
Source: kissfft (Mark Borgerding), _kiss_fft_guts.h with FIXED_POINT = 16.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_ONE = 32767


class Stage(NamedTuple):
    """Butterflies of `radix` inputs, `m` apart; twiddles int32 (2, radix − 1, m)."""

    radix: int
    m: int
    twiddles: Any


class FixedRfft:
    """The transform of `size` real numbers, a power of two from 4 on; owns its tables."""

    def __init__(self, size: int) -> None:
        import numpy as np

        self.size = size
        self._half = half = size // 2
        factors = _factors(half)
        self._order = _order(factors)
        self._stages = []
        m = 1
        for radix in reversed(factors):
            turns = np.arange(1, radix)[:, None] * np.arange(m) / (radix * m)
            self._stages.append(Stage(radix, m, _twiddles(-2 * np.pi * turns)))
            m *= radix
        self._last = _twiddles(-np.pi * (np.arange(1, half // 2 + 1) / half + 0.5))

    def __call__(self, rows: Any) -> Any:
        """int32 (2, m, size / 2 + 1): the bins of (m, size) int32 numbers within int16."""
        import numpy as np

        half = self._half
        up, down = slice(1, half // 2 + 1), slice(half - 1, half // 2 - 1, -1)
        packed = self._complex(rows)
        conjugate = packed[:, :, down].copy()
        conjugate[1] *= -1
        first, low, high = (
            _divided(part, 2) for part in (packed[:, :, 0], packed[:, :, up], _s16(conjugate))
        )
        total, difference = _s16(low + high), _s16(low - high)
        turned = _s16(_turned(difference, self._last))
        made = np.zeros((2, len(rows), half + 1), np.int32)
        made[0, :, 0] = _s16(first[0] + first[1])
        made[0, :, half] = _s16(first[0] - first[1])
        made[:, :, up] = (total + turned) >> 1
        made[0, :, down] = (total[0] - turned[0]) >> 1
        made[1, :, down] = (turned[1] - total[1]) >> 1
        return made

    def _complex(self, rows: Any) -> Any:
        """(2, m, size / 2): that of neighbours as complex numbers; the smallest butterflies, on
        inputs in their order, come first.
        """
        import numpy as np

        count, n = len(rows), self._half
        pairs = rows.reshape(count, n, 2)[:, self._order]
        values = np.ascontiguousarray(np.moveaxis(pairs, 2, 0))
        for radix, m, twiddles in self._stages:
            parts = _divided(values.reshape(2, count, n // (radix * m), radix, m), radix)
            parts[:, :, :, 1:] = _turned(parts[:, :, :, 1:], twiddles)
            made = np.empty(parts.shape, np.int16)
            (_radix_4 if radix == 4 else _radix_2)(parts, made)
            values = made.astype(np.int32).reshape(2, count, n)
        return values


def _radix_2(parts: Any, made: Any) -> None:
    import numpy as np

    a, b = parts[:, :, :, 0], parts[:, :, :, 1]
    np.add(a, b, out=made[:, :, :, 0], casting="unsafe")
    np.subtract(a, b, out=made[:, :, :, 1], casting="unsafe")


def _radix_4(parts: Any, made: Any) -> None:
    import numpy as np

    a, b, c, d = (parts[:, :, :, q] for q in range(4))
    even, odd, rest = a + c, b + d, a - c
    quarter = (b - d)[::-1].copy()  # −i times it: the imaginary part, and less the real one
    quarter[1] *= -1
    np.add(even, odd, out=made[:, :, :, 0], casting="unsafe")
    np.add(rest, quarter, out=made[:, :, :, 1], casting="unsafe")
    np.subtract(even, odd, out=made[:, :, :, 2], casting="unsafe")
    np.subtract(rest, quarter, out=made[:, :, :, 3], casting="unsafe")


def _factors(n: int) -> list[int]:
    """4 as often as it divides, then 2; the outermost first."""
    factors = []
    while n > 1:
        factors.append(4 if n % 4 == 0 else 2)
        n //= factors[-1]
    return factors


def _order(factors: list[int]) -> Any:
    """Where each input of the smallest butterflies stands."""
    import numpy as np

    order = np.zeros(1, np.intp)
    strides, stride = [], 1
    for p in factors:
        strides.append(stride)
        stride *= p
    for p, stride in zip(reversed(factors), reversed(strides), strict=True):
        order = (np.arange(p)[:, None] * stride + order).ravel()
    return order


def _twiddles(angles: Any) -> Any:
    import numpy as np

    return np.floor(0.5 + _ONE * np.stack([np.cos(angles), np.sin(angles)])).astype(np.int32)


def _turned(values: Any, twiddles: Any) -> Any:
    """Complex products, in Q15."""
    import numpy as np

    made = np.empty(values.shape, np.int32)
    np.subtract(values[0] * twiddles[0], values[1] * twiddles[1], out=made[0])
    np.add(values[0] * twiddles[1], values[1] * twiddles[0], out=made[1])
    return _round15(made)


def _divided(values: Any, radix: int) -> Any:
    return _round15(values * (_ONE // radix))


def _round15(products: Any) -> Any:
    products += 1 << 14
    products >>= 15
    return products


def _s16(values: Any) -> Any:
    """Wrapped to int16, as the C code stores it."""
    import numpy as np

    return values.astype(np.int16).astype(np.int32)

# SPDX-License-Identifier: Apache-2.0
"""The Fourier transform in 16-bit fixed point, rounding for rounding as KISS FFT makes it.

Every butterfly first divides by its radix, so nothing overflows: the result is the transform
divided by its length. Radix 4 while it divides the length, then 2. Q15 throughout:

    round15(x) = (x + 2^14) >> 15,   x / p = round15(x · (32767 // p))

Source: kissfft (Mark Borgerding), _kiss_fft_guts.h with FIXED_POINT = 16.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_ONE = 32767


class Complex(NamedTuple):
    """int32 arrays of a real and an imaginary part, each within int16."""

    re: Any
    im: Any


def rfft(rows: Any) -> Complex:
    """The bins 0 … n / 2 of (m, n) real int32 numbers within int16; n a power of two, 4 or more."""
    import numpy as np

    half = rows.shape[1] // 2
    packed = _fft(Complex(rows[:, 0::2], rows[:, 1::2]))
    first = Complex(_divided(packed.re[:, 0], 2), _divided(packed.im[:, 0], 2))
    k = np.arange(1, half // 2 + 1)
    low = Complex(_divided(packed.re[:, k], 2), _divided(packed.im[:, k], 2))
    high = Complex(_divided(packed.re[:, half - k], 2), _divided(_s16(-packed.im[:, half - k]), 2))
    total = Complex(_s16(low.re + high.re), _s16(low.im + high.im))
    turned = _times(
        Complex(_s16(low.re - high.re), _s16(low.im - high.im)),
        _twiddles(-np.pi * (k / half + 0.5)),
    )
    made = Complex(*(np.zeros((len(rows), half + 1), np.int32) for _ in range(2)))
    made.re[:, 0] = _s16(first.re + first.im)
    made.re[:, half] = _s16(first.re - first.im)
    made.re[:, k] = (total.re + turned.re) >> 1
    made.im[:, k] = (total.im + turned.im) >> 1
    made.re[:, half - k] = (total.re - turned.re) >> 1
    made.im[:, half - k] = (turned.im - total.im) >> 1
    return made


def _fft(values: Complex) -> Complex:
    """Decimation in time: the smallest butterflies first, on inputs in their order."""
    import numpy as np

    count, n = values.re.shape
    factors = _factors(n)
    order = _order(factors)
    parts = [part[:, order].astype(np.int32) for part in values]
    circle = _twiddles(-2 * np.pi * np.arange(n) / n)
    m = 1
    for p in reversed(factors):
        shaped = Complex(*(part.reshape(count, n // (p * m), p, m) for part in parts))
        inputs = [
            Complex(_divided(shaped.re[:, :, q], p), _divided(shaped.im[:, :, q], p))
            for q in range(p)
        ]
        stride = n // (p * m)
        for q in range(1, p):
            at = q * stride * np.arange(m)
            inputs[q] = _times(inputs[q], Complex(circle.re[at], circle.im[at]))
        outputs = _radix_4(inputs) if p == 4 else _radix_2(inputs)
        parts = [
            np.stack([output[part] for output in outputs], axis=2).reshape(count, n)
            for part in (0, 1)
        ]
        m *= p
    return Complex(*parts)


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


def _radix_2(inputs: list[Complex]) -> list[Complex]:
    a, b = inputs
    return [
        Complex(_s16(a.re + b.re), _s16(a.im + b.im)),
        Complex(_s16(a.re - b.re), _s16(a.im - b.im)),
    ]


def _radix_4(inputs: list[Complex]) -> list[Complex]:
    a, b, c, d = inputs
    even, odd = _radix_2([a, c]), _radix_2([b, d])
    first, third = _radix_2([even[0], odd[0]])
    difference, turned = even[1], odd[1]
    return [
        first,
        Complex(_s16(difference.re + turned.im), _s16(difference.im - turned.re)),
        third,
        Complex(_s16(difference.re - turned.im), _s16(difference.im + turned.re)),
    ]


def _twiddles(angles: Any) -> Complex:
    import numpy as np

    return Complex(
        *(np.floor(0.5 + _ONE * part).astype(np.int32) for part in (np.cos(angles), np.sin(angles)))
    )


def _times(a: Complex, b: Complex) -> Complex:
    return Complex(
        _round15(a.re * b.re - a.im * b.im),
        _round15(a.re * b.im + a.im * b.re),
    )


def _divided(values: Any, p: int) -> Any:
    return _round15(values * (_ONE // p))


def _round15(products: Any) -> Any:
    return _s16((products + (1 << 14)) >> 15)


def _s16(values: Any) -> Any:
    """Wrapped to int16, as the C code stores it."""
    import numpy as np

    return values.astype(np.int16).astype(np.int32)

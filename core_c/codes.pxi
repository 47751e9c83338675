# SPDX-License-Identifier: Apache-2.0
"""Real values into codes and back; a part of _kernel.pyx."""


def quantize_f32(values, float scale, int zero, str rounding, out):
    cdef Py_buffer x, codes
    cdef nvm_status status
    cdef nvm_rounding rule
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding: found {rounding!r}; accepted: {', '.join(ROUNDINGS)}")
    rule = <nvm_rounding><int>ROUNDINGS[rounding]
    _get(values, &x, b"f", 4, False, "values")
    try:
        _get_codes(out, &codes, True, True, "out")
        try:
            _expect(codes.len // codes.itemsize, x.len // 4, "out (one a value)")
            with nogil:
                if codes.itemsize == 2:
                    status = nvm_quantize_f32s16(
                        <const float *>x.buf, <size_t>x.len // 4, scale, zero, rule,
                        <int16_t *>codes.buf)
                else:
                    status = nvm_quantize_f32(
                        <const float *>x.buf, <size_t>x.len // 4, scale, zero, rule,
                        <int8_t *>codes.buf)
        finally:
            PyBuffer_Release(&codes)
    finally:
        PyBuffer_Release(&x)
    if status == NVM_E_RANGE:
        raise ValueError(
            f"values: found a NaN, or scale {scale}, zero point {zero}; accepted: numbers, a finite "
            "scale above 0, a zero point that the codes can hold")
    if status != NVM_OK:
        raise _error(status, "quantize")


def quantize_steps(values, thresholds, out):
    cdef Py_buffer x, steps, codes
    cdef nvm_status status
    _get(values, &x, b"f", 4, False, "values")
    try:
        _get(thresholds, &steps, b"f", 4, False, "thresholds")
        try:
            _expect(steps.len // 4, 255, "thresholds")
            _get_codes(out, &codes, True, False, "out")
            try:
                _expect(codes.len, x.len // 4, "out (one a value)")
                with nogil:
                    status = nvm_quantize_steps_f32(
                        <const float *>x.buf, <size_t>x.len // 4, <const float *>steps.buf,
                        <int8_t *>codes.buf)
            finally:
                PyBuffer_Release(&codes)
        finally:
            PyBuffer_Release(&steps)
    finally:
        PyBuffer_Release(&x)
    if status == NVM_E_RANGE:
        raise ValueError("values: found a NaN; accepted: numbers")
    if status != NVM_OK:
        raise _error(status, "quantize")


def dequantize(codes, float scale, int zero, out):
    cdef Py_buffer source, x
    cdef nvm_status status
    _get_codes(codes, &source, True, False, "codes")
    try:
        _get(out, &x, b"f", 4, True, "out")
        try:
            _expect(source.len // source.itemsize, x.len // 4, "codes (one a value of out)")
            with nogil:
                if source.itemsize == 2:
                    status = nvm_dequantize_s16(
                        <const int16_t *>source.buf, <size_t>x.len // 4, scale, zero, <float *>x.buf)
                else:
                    status = nvm_dequantize_s8(
                        <const int8_t *>source.buf, <size_t>x.len // 4, scale, zero, <float *>x.buf)
        finally:
            PyBuffer_Release(&x)
    finally:
        PyBuffer_Release(&source)
    if status == NVM_E_RANGE:
        raise ValueError(
            f"found scale {scale}, zero point {zero}; accepted: a finite scale above 0, a zero point "
            "that the codes can hold")
    if status != NVM_OK:
        raise _error(status, "dequantize")


def top_k(codes, Py_ssize_t k):
    cdef Py_buffer view
    cdef uint32_t *index = NULL
    cdef nvm_status status
    cdef Py_ssize_t n
    _get_codes(codes, &view, True, False, "codes")
    try:
        n = view.len // view.itemsize
        if k < 0 or k > n:
            raise ShapeError(f"k: found {k}; accepted: 0 to {n}")
        index = <uint32_t *>_allocate(<size_t>k * sizeof(uint32_t))
        try:
            if view.itemsize == 2:
                status = nvm_top_k_s16(<const int16_t *>view.buf, <size_t>n, <size_t>k, index)
            else:
                status = nvm_top_k_s8(<const int8_t *>view.buf, <size_t>n, <size_t>k, index)
            if status != NVM_OK:
                raise _error(status, "top_k")
            return [index[i] for i in range(k)]
        finally:
            free(index)
    finally:
        PyBuffer_Release(&view)

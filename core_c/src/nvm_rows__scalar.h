/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_rows__scalar.h: sums of weight rows in plain C.
 *
 * int8 weights times |x| <= 255 stay below 2^15, times |x| <= 65535 below 2^23. The accumulators of one
 * tile live in registers over the whole list of rows; tiles of constant width are what compilers turn
 * into SIMD code. With NVM_HAS_ROWS_CODES the includer has its own sums under codes.
 */
#ifndef NVM_ROWS_SCALAR_H
#define NVM_ROWS_SCALAR_H

/* Rows of a list of events; row = index - first. */
NVM_INLINE void nvm_event_tile(nvm_acc *restrict acc, const int8_t *restrict w, size_t stride,
                               const nvm_event *restrict events, size_t n, uint32_t first,
                               size_t width)
{
    nvm_acc_bits sum[32];
    for (size_t u = 0; u < width; u++) {
        sum[u] = (nvm_acc_bits)acc[u];
    }
    for (size_t k = 0; k < n; k++) {
        const int8_t *row = w + (size_t)(events[k].index - first) * stride;
        nvm_change x = (nvm_change)events[k].delta;
        NVM_ROW_BY_ROW
        for (size_t u = 0; u < width; u++) {
            sum[u] += (nvm_acc_bits)(nvm_acc)((int32_t)row[u] * x);
        }
    }
    for (size_t u = 0; u < width; u++) {
        acc[u] = (nvm_acc)sum[u];
    }
}

/* Consecutive rows, x = code - zero. */
NVM_INLINE void nvm_code_tile(nvm_acc *restrict acc, const int8_t *restrict w, size_t stride,
                              const nvm_code_in *restrict codes, size_t n, int16_t zero, size_t width)
{
    nvm_acc_bits sum[32];
    for (size_t u = 0; u < width; u++) {
        sum[u] = (nvm_acc_bits)acc[u];
    }
    for (size_t k = 0; k < n; k++) {
        const int8_t *row = w + k * stride;
        nvm_change x = (nvm_change)(codes[k] - zero);
        NVM_ROW_BY_ROW
        for (size_t u = 0; u < width; u++) {
            sum[u] += (nvm_acc_bits)(nvm_acc)((int32_t)row[u] * x);
        }
    }
    for (size_t u = 0; u < width; u++) {
        acc[u] = (nvm_acc)sum[u];
    }
}

#define NVM_TILES(tile, ...)                                                                       \
    do {                                                                                           \
        size_t u_ = 0;                                                                             \
        for (; width - u_ >= 32; u_ += 32) {                                                       \
            tile(acc + u_, w + u_, stride, __VA_ARGS__, 32);                                       \
        }                                                                                          \
        if (width - u_ >= 16) {                                                                    \
            tile(acc + u_, w + u_, stride, __VA_ARGS__, 16);                                       \
            u_ += 16;                                                                              \
        }                                                                                          \
        if (width - u_ >= 8) {                                                                     \
            tile(acc + u_, w + u_, stride, __VA_ARGS__, 8);                                        \
            u_ += 8;                                                                               \
        }                                                                                          \
        if (width - u_ >= 4) {                                                                     \
            tile(acc + u_, w + u_, stride, __VA_ARGS__, 4);                                        \
            u_ += 4;                                                                               \
        }                                                                                          \
        for (; u_ < width; u_++) {                                                                 \
            tile(acc + u_, w + u_, stride, __VA_ARGS__, 1);                                        \
        }                                                                                          \
    } while (0)

static inline void nvm_rows_events(nvm_acc *restrict acc, const int8_t *restrict w, size_t stride,
                                   const nvm_event *restrict events, size_t n, uint32_t first,
                                   size_t width)
{
    NVM_TILES(nvm_event_tile, events, n, first);
}

#ifndef NVM_HAS_ROWS_CODES
static inline void nvm_rows_codes(nvm_acc *restrict acc, const int8_t *restrict w, size_t stride,
                                  const nvm_code_in *restrict codes, size_t n, int16_t zero,
                                  size_t width)
{
    NVM_TILES(nvm_code_tile, codes, n, zero);
}
#endif

#endif

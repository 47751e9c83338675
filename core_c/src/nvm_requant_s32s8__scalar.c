/* SPDX-License-Identifier: Apache-2.0
 *
 * The requantisers R of nvm.h: accumulators of consecutive channels to codes.
 */
#include "nvm_internal.h"

/* floor((a m + 2^30) / 2^31); m >= 0, so |a m| < 2^62 and the result fits int32. */
static inline int32_t srdhm(int32_t a, int32_t m)
{
    return (int32_t)(((int64_t)a * m + (1 << 30)) >> 31);
}

static inline int32_t shift_left_wrap(int32_t a, int32_t e)
{
    return e > 0 ? (int32_t)((uint32_t)a << e) : a;
}

static inline int8_t clamp_to(int64_t y, int32_t lo, int32_t hi)
{
    y = y > lo ? y : lo;
    return (int8_t)(y < hi ? y : hi);
}

/* Half to even for |v| < 2^22: the sum's last mantissa bit is worth 1, and the default rounding
 * mode does the rest. Adding and taking away 1.5 * 2^23 keeps the sign. */
static inline int32_t rint_even(float v)
{
    return (int32_t)((v + 12582912.0f) - 12582912.0f);
}

static inline float clamp_f32(float v, float lo, float hi)
{
    v = v > lo ? v : lo;
    return v < hi ? v : hi;
}

static void requant_fp32(const nvm_layer *layer, const int32_t *restrict acc,
                         const float *restrict scale, size_t n, int8_t *restrict codes)
{
    int32_t zero = layer->zero_out;
    float lo = (float)(layer->lo - zero), hi = (float)(layer->hi - zero);
    for (size_t i = 0; i < n; i++) {
        codes[i] = (int8_t)(rint_even(clamp_f32((float)acc[i] * scale[i], lo, hi)) + zero);
    }
}

static void requant_fp32_one(const nvm_layer *layer, const int32_t *restrict acc, float scale,
                             size_t n, int8_t *restrict codes)
{
    int32_t zero = layer->zero_out;
    float lo = (float)(layer->lo - zero), hi = (float)(layer->hi - zero);
    for (size_t i = 0; i < n; i++) {
        codes[i] = (int8_t)(rint_even(clamp_f32((float)acc[i] * scale, lo, hi)) + zero);
    }
}

static void requant_affine(const nvm_layer *layer, const int32_t *restrict acc, float scale,
                           float offset, size_t n, int8_t *restrict codes)
{
    int32_t zero = layer->zero_out;
    float lo = (float)(layer->lo - zero), hi = (float)(layer->hi - zero);
    for (size_t i = 0; i < n; i++) {
        float v = (float)acc[i] * scale;
        codes[i] = (int8_t)(rint_even(clamp_f32(v + offset, lo, hi)) + zero);
    }
}

/* The integer rules, one accumulator; m in [0, 2^31), e in [-31, 30]. */
static int64_t round_double(int32_t a, int32_t m, int32_t e)
{
    int32_t x = srdhm(shift_left_wrap(a, e), m);
    int32_t r = e < 0 ? -e : 0;
    return r == 0 ? x : (x + (INT64_C(1) << (r - 1)) - (x < 0)) >> r;
}

static int64_t round_single(int32_t a, int32_t m, int32_t e)
{
    return ((int64_t)a * m + (INT64_C(1) << (30 - e))) >> (31 - e);
}

static int64_t round_halfup(int32_t a, int32_t m, int32_t e)
{
    int64_t x = srdhm(shift_left_wrap(a, e), m);
    int32_t r = e < 0 ? -e : 0;
    return r == 0 ? x : (x + (INT64_C(1) << (r - 1))) >> r;
}

static void requant_integer(const nvm_layer *layer, const int32_t *acc, const int32_t *m,
                            const int32_t *e, size_t step, size_t n, int8_t *codes)
{
    for (size_t i = 0; i < n; i++, m += step, e += step) {
        int64_t r;
        if (layer->requant == NVM_RQ_DOUBLE) {
            r = round_double(acc[i], *m, *e);
        } else if (layer->requant == NVM_RQ_SINGLE) {
            r = round_single(acc[i], *m, *e);
        } else {
            r = round_halfup(acc[i], *m, *e);
        }
        codes[i] = clamp_to(r + layer->zero_out, layer->lo, layer->hi);
    }
}

/* floor((A + 2^(s-1)) / 2^s) = floor(A / 2^s) + the highest bit shifted out: no overflow. */
static void requant_shift(const nvm_layer *layer, const int32_t *restrict acc, size_t n,
                          int8_t *restrict codes)
{
    int32_t s = (int32_t)layer->aux[0], zero = layer->zero_out, lo = layer->lo, hi = layer->hi;
    for (size_t i = 0; i < n; i++) {
        int32_t y = (acc[i] >> s) + ((acc[i] >> (s - 1)) & 1) + zero;
        y = y > lo ? y : lo;
        codes[i] = (int8_t)(y < hi ? y : hi);
    }
}

/* Channels [channel, channel + n). */
static void requant_channels(const nvm_node *node, const int32_t *acc, size_t channel, size_t n,
                             int8_t *codes)
{
    const nvm_layer *layer = node->layer;
    const int32_t *m = node->scale, *e = node->shift;
    if (layer->requant == NVM_RQ_FP32) {
        requant_fp32(layer, acc, (const float *)node->scale + channel, n, codes);
    } else {
        requant_integer(layer, acc, m + channel, e + channel, 1, n, codes);
    }
}

void NVM_OWN(requant_s32s8)(const nvm_node *node, const int32_t *acc, size_t channel, size_t n,
                            int8_t *codes)
{
    const nvm_layer *layer = node->layer;
    /* ADD, MEAN and MATMUL have one entry in all, and so has AFFINE. */
    int per_channel =
        layer->kind == NVM_DENSE || layer->kind == NVM_CONV || layer->kind == NVM_DWCONV;
    if (layer->requant == NVM_RQ_AFFINE) {
        requant_affine(layer, acc, *(const float *)node->scale, *(const float *)node->shift, n,
                       codes);
    } else if (layer->requant == NVM_RQ_SHIFT) {
        requant_shift(layer, acc, n, codes);
    } else if (per_channel) {
        for (size_t part; n != 0; n -= part, acc += part, codes += part, channel = 0) {
            part = layer->out_c - channel < n ? layer->out_c - channel : n;
            requant_channels(node, acc, channel, part, codes);
        }
    } else if (layer->requant == NVM_RQ_FP32) {
        requant_fp32_one(layer, acc, *(const float *)node->scale, n, codes);
    } else {
        requant_integer(layer, acc, node->scale, node->shift, 0, n, codes);
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Real values to codes and back, and the largest codes: the edges of a network.
 */
#include <math.h>

#include "nvm_internal.h"

static int is_scale(float scale)
{
    return scale > 0.0f && scale <= FLT_MAX;
}

/* Half away from zero of |v| <= 255. */
static int32_t round_away(float v)
{
    int32_t whole = (int32_t)v;
    float rest = v - (float)whole; /* exact */
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

/* Half to even of |v| <= 255; see rint_even of the requantisers. */
static int32_t round_even(float v)
{
    return (int32_t)((v + 12582912.0f) - 12582912.0f);
}

nvm_status nvm_quantize_f32(const float *x, size_t n, float scale, int32_t zero,
                            nvm_rounding rounding, int8_t *codes)
{
    nvm_status status = NVM_OK;
    if ((n != 0 && (x == NULL || codes == NULL)) ||
        (rounding != NVM_ROUND_EVEN_RECIPROCAL && rounding != NVM_ROUND_AWAY_DIVIDE)) {
        status = NVM_E_ARG;
        goto done;
    }
    if (!is_scale(scale) || zero < INT8_MIN || zero > INT8_MAX) {
        status = NVM_E_RANGE;
        goto done;
    }
    float lo = (float)(INT8_MIN - zero), hi = (float)(INT8_MAX - zero);
    float inverse = 1.0f / scale;
    int even = rounding == NVM_ROUND_EVEN_RECIPROCAL;
    for (size_t i = 0; i < n; i++) {
        float v = even ? x[i] * inverse : x[i] / scale;
        if (isnan(v)) {
            status = NVM_E_RANGE; /* NaN, or 0 times the infinite inverse of a subnormal scale */
            goto done;
        }
        /* The bounds are integers, so clamping first does not change what is rounded. */
        v = v > lo ? v : lo;
        v = v < hi ? v : hi;
        codes[i] = (int8_t)((even ? round_even(v) : round_away(v)) + zero);
    }
done:
    return status;
}

nvm_status nvm_dequantize_s8(const int8_t *codes, size_t n, float scale, int32_t zero, float *x)
{
    nvm_status status = NVM_OK;
    if (n != 0 && (codes == NULL || x == NULL)) {
        status = NVM_E_ARG;
        goto done;
    }
    if (!is_scale(scale) || zero < INT8_MIN || zero > INT8_MAX) {
        status = NVM_E_RANGE;
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(codes[i] - zero) * scale;
    }
done:
    return status;
}

/* Counting sort: 256 possible codes, and equal codes keep the order of their indices. */
nvm_status nvm_top_k_s8(const int8_t *codes, size_t n, size_t k, uint32_t *index)
{
    nvm_status status = NVM_OK;
    size_t place[256] = {0};
    size_t before = 0;
    if ((n != 0 && codes == NULL) || (k != 0 && index == NULL) || k > n || n > UINT32_MAX) {
        status = NVM_E_ARG;
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        place[INT8_MAX - codes[i]]++;
    }
    for (size_t rank = 0; rank < 256; rank++) {
        size_t count = place[rank];
        place[rank] = before;
        before += count;
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = place[INT8_MAX - codes[i]]++;
        if (at < k) {
            index[at] = (uint32_t)i;
        }
    }
done:
    return status;
}

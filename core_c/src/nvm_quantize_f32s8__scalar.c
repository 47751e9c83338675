/* SPDX-License-Identifier: Apache-2.0
 *
 * Real values to codes and back, and the largest codes: the edges of a network.
 */
#include <math.h>

#include "nvm_internal.h"

#define CHUNK 64

/* real = scale (code - zero), codes in [min, max]. */
typedef struct quantization {
    float scale;
    int32_t zero, min, max;
} quantization;

static int is_scale(float scale)
{
    return scale > 0.0f && scale <= FLT_MAX;
}

/* Half away from zero of |v| <= 65535. */
static int32_t round_away(float v)
{
    int32_t whole = (int32_t)v;
    float rest = v - (float)whole; /* exact */
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

/* Half to even of |v| <= 65535; see rint_even of the requantisers. */
static int32_t round_even(float v)
{
    return (int32_t)((v + 12582912.0f) - 12582912.0f);
}

/* Codes in [min, max], to either of the two that is not NULL. */
static nvm_status quantize(const float *x, size_t n, const quantization *to, nvm_rounding rounding,
                           int8_t *codes, int16_t *wide)
{
    nvm_status status = NVM_OK;
    int32_t zero = to->zero;
    if ((n != 0 && (x == NULL || (codes == NULL && wide == NULL))) ||
        (rounding != NVM_ROUND_EVEN_RECIPROCAL && rounding != NVM_ROUND_AWAY_DIVIDE)) {
        status = NVM_E_ARG;
        goto done;
    }
    if (!is_scale(to->scale) || zero < to->min || zero > to->max) {
        status = NVM_E_RANGE;
        goto done;
    }
    float lo = (float)(to->min - zero), hi = (float)(to->max - zero);
    float scale = to->scale, inverse = 1.0f / scale;
    int even = rounding == NVM_ROUND_EVEN_RECIPROCAL;
    for (size_t i = 0; i < n; i += CHUNK) { /* loops without exits, for compilers to turn into SIMD code */
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        int32_t code[CHUNK], nan = 0;
        float v[CHUNK];
        for (size_t k = 0; k < part; k++) {
            v[k] = even ? x[i + k] * inverse : x[i + k] / scale;
            nan |= v[k] != v[k];
            /* The bounds are integers, so clamping first does not change what is rounded. */
            v[k] = v[k] > lo ? v[k] : lo;
            v[k] = v[k] < hi ? v[k] : hi;
        }
        if (nan) {
            status = NVM_E_RANGE; /* NaN, or 0 times the infinite inverse of a subnormal scale */
            goto done;
        }
        for (size_t k = 0; k < part; k++) {
            code[k] = (even ? round_even(v[k]) : round_away(v[k])) + zero;
        }
        for (size_t k = 0; codes != NULL && k < part; k++) {
            codes[i + k] = (int8_t)code[k];
        }
        for (size_t k = 0; codes == NULL && k < part; k++) {
            wide[i + k] = (int16_t)code[k];
        }
    }
done:
    return status;
}

nvm_status nvm_quantize_f32(const float *x, size_t n, float scale, int32_t zero,
                            nvm_rounding rounding, int8_t *codes)
{
    quantization to = {.scale = scale, .zero = zero, .min = INT8_MIN, .max = INT8_MAX};
    return quantize(x, n, &to, rounding, codes, NULL);
}

nvm_status nvm_quantize_f32s16(const float *x, size_t n, float scale, int32_t zero,
                               nvm_rounding rounding, int16_t *codes)
{
    quantization to = {.scale = scale, .zero = zero, .min = INT16_MIN, .max = INT16_MAX};
    return quantize(x, n, &to, rounding, NULL, codes);
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

nvm_status nvm_dequantize_s16(const int16_t *codes, size_t n, float scale, int32_t zero, float *x)
{
    nvm_status status = NVM_OK;
    if (n != 0 && (codes == NULL || x == NULL)) {
        status = NVM_E_ARG;
        goto done;
    }
    if (!is_scale(scale) || zero < INT16_MIN || zero > INT16_MAX) {
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

/* Whether element a comes before b: a larger code, or an equal one with a lower index. */
static int precedes(const int16_t *codes, uint32_t a, uint32_t b)
{
    return codes[a] != codes[b] ? codes[a] > codes[b] : a < b;
}

/* Heap of n indices, the one that comes last on top: restores it below `at`. */
static void sift(const int16_t *codes, uint32_t *heap, size_t n, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && precedes(codes, heap[child], heap[child + 1])) {
            child++;
        }
        if (!precedes(codes, heap[at], heap[child])) {
            return;
        }
        uint32_t held = heap[at];
        heap[at] = heap[child];
        heap[child] = held;
    }
}

/* The k best are kept in a heap, which is then emptied from its top to the back. */
nvm_status nvm_top_k_s16(const int16_t *codes, size_t n, size_t k, uint32_t *index)
{
    nvm_status status = NVM_OK;
    if ((n != 0 && codes == NULL) || (k != 0 && index == NULL) || k > n || n > UINT32_MAX) {
        status = NVM_E_ARG;
        goto done;
    }
    for (size_t i = 0; i < k; i++) {
        index[i] = (uint32_t)i;
    }
    for (size_t at = k / 2; at-- > 0;) {
        sift(codes, index, k, at);
    }
    for (size_t i = k; k != 0 && i < n; i++) {
        if (precedes(codes, (uint32_t)i, index[0])) {
            index[0] = (uint32_t)i;
            sift(codes, index, k, 0);
        }
    }
    for (size_t end = k; end-- > 1;) {
        uint32_t last = index[0];
        index[0] = index[end];
        index[end] = last;
        sift(codes, index, end, 0);
    }
done:
    return status;
}

nvm_status nvm_quantize_steps_f32(const float *x, size_t n, const float *thresholds, int8_t *codes)
{
    nvm_status status = NVM_OK;
    if (n != 0 && (x == NULL || thresholds == NULL || codes == NULL)) {
        status = NVM_E_ARG;
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        int32_t reached = 0;
        if (isnan(x[i])) {
            status = NVM_E_RANGE;
            goto done;
        }
        for (int32_t step = 128; step > 0; step /= 2) {
            reached += x[i] >= thresholds[reached + step - 1] ? step : 0; /* 255 at most */
        }
        codes[i] = (int8_t)(reached - 128);
    }
done:
    return status;
}

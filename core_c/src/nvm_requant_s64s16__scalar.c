/* SPDX-License-Identifier: Apache-2.0
 *
 * The requantisers R of wide layers, nvm.h: accumulators of consecutive channels to int16 codes.
 */
#include "nvm_internal.h"

#define CHUNK 256

/* The product modulo 2^64: programs of the converter stay below 2^63. */
static inline int64_t product(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

static inline int64_t add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t round_half16(int64_t a, int32_t m, int32_t e)
{
    int32_t short_m = m < 0x7FFF0000 ? (m + (1 << 15)) >> 16 : 0x7FFF;
    return add(product(a, short_m), INT64_C(1) << (14 - e)) >> (15 - e);
}

/* Clamped beyond every code first, so that the whole part fits; what is left of it is exact. */
static int64_t round_away64(double v)
{
    v = v > -131072.0 ? v : -131072.0;
    v = v < 131072.0 ? v : 131072.0;
    int32_t whole = (int32_t)v;
    double part = v - (double)whole;
    return whole + (part >= 0.5) - (part <= -0.5);
}

/* Of a sum that is int32; `away`: halves go away from zero, else up. */
static int64_t round_twice(int64_t a, int32_t m, int32_t e, int away)
{
    int32_t left = e > 0 ? e : 0, right = e < 0 ? -e : 0;
    int32_t shifted = (int32_t)((uint32_t)a << left);
    int64_t x = ((int64_t)shifted * m + (1 << 30)) >> 31;
    return right == 0 ? x : (x + (INT64_C(1) << (right - 1)) - (away && x < 0)) >> right;
}

/* Channels [channel, channel + n). */
static void requant_channels(const nvm_node *node, const int64_t *acc, size_t channel, size_t n,
                             int16_t *codes)
{
    const nvm_layer *layer = node->layer;
    int per_channel =
        layer->kind == NVM_DENSE || layer->kind == NVM_CONV || layer->kind == NVM_DWCONV;
    size_t step = per_channel ? 1 : 0;
    const int32_t *m = node->scale, *e = node->shift; /* of some rules; of others doubles, none */
    int32_t zero = layer->zero_out_s16, lo = layer->lo_s16, hi = layer->hi_s16;
    for (size_t i = 0; i < n; i++) {
        size_t at = (channel + i) * step;
        int64_t r;
        switch (layer->requant) {
        case NVM_RQ_HALF16:
            r = round_half16(acc[i], m[at], e[at]);
            break;
        case NVM_RQ_AWAY64:
            r = round_away64((double)acc[i] * ((const double *)node->scale)[at]);
            break;
        case NVM_RQ_AWAY32:
            r = round_away64((float)acc[i] * ((const float *)node->scale)[at]);
            break;
        default:
            r = round_twice(acc[i], m[at], e[at], layer->requant == NVM_RQ_DOUBLE);
            break;
        }
        int64_t y = add(r, zero);
        y = y > lo ? y : lo;
        codes[i] = (int16_t)(y < hi ? y : hi);
    }
}

void NVM_OWN(requant_s64s16)(const nvm_node *node, const int64_t *acc, size_t channel, size_t n,
                             int16_t *codes)
{
    const nvm_layer *layer = node->layer;
    int per_channel =
        layer->kind == NVM_DENSE || layer->kind == NVM_CONV || layer->kind == NVM_DWCONV;
    for (size_t part; n != 0; n -= part, acc += part, codes += part, channel = 0) {
        part = per_channel && layer->out_c - channel < n ? layer->out_c - channel : n;
        requant_channels(node, acc, channel, part, codes);
    }
}

void NVM_OWN(requant_s32s16)(const nvm_node *node, const int32_t *acc, size_t channel, size_t n,
                                int16_t *codes)
{
    int64_t long_acc[CHUNK];
    /* Kinds with one entry in all have channel 0 only; their out_c may be 0. */
    size_t channels = node->layer->out_c != 0 ? node->layer->out_c : 1;
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t part = n - first < CHUNK ? n - first : CHUNK;
        for (size_t i = 0; i < part; i++) {
            long_acc[i] = acc[first + i];
        }
        NVM_OWN(requant_s64s16)(node, long_acc, (channel + first) % channels, part, codes + first);
    }
}

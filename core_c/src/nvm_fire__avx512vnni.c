/* SPDX-License-Identifier: Apache-2.0
 *
 * From sums to spikes, sixteen neurons at a time: requantised by a float rule, compared with the code sent
 * before, and listed where they differ, without a look at memory in between. Other rules go the scalar source's
 * way.
 */
#include "nvm_isa_avx512vnni.h"

#include <immintrin.h>

#include "nvm_internal.h"

/* What all neurons of a layer share: round(sum * scale + offset) between low and high, and the zero point. */
typedef struct rule {
    __m512 offset, low, high;
    __m512i zero;
    int is_affine;
} rule;

static inline rule rule_of(const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    int is_affine = layer->requant == NVM_RQ_AFFINE;
    return (rule){.offset = _mm512_set1_ps(is_affine ? *(const float *)node->shift : 0.0f),
                  .low = _mm512_set1_ps((float)(layer->lo - layer->zero_out)),
                  .high = _mm512_set1_ps((float)(layer->hi - layer->zero_out)),
                  .zero = _mm512_set1_epi32(layer->zero_out),
                  .is_affine = is_affine};
}

/* Half to even in the default rounding mode, as the scalar rule; a NaN becomes low. */
static inline __m512i wanted_of(const rule *by, __m512i sum, __m512 scale)
{
    __m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
    v = by->is_affine ? _mm512_add_ps(v, by->offset) : v;
    v = _mm512_min_ps(_mm512_max_ps(v, by->low), by->high);
    return _mm512_add_epi32(_mm512_cvtps_epi32(v), by->zero);
}

/* Up to 16 events behind the last one; whether or not all fit, none of other neurons is written over: an event
 * never stands behind the place of its neuron. */
static inline uint32_t list_events(nvm_event *events, __mmask16 differ, __mmask16 lanes, size_t index,
                                   __m512i delta)
{
    uint32_t n = (uint32_t)__builtin_popcount(differ);
    const __m512i count = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    __m512i at = _mm512_add_epi32(count, _mm512_set1_epi32((int32_t)index));
    __m512i i = _mm512_maskz_compress_epi32(differ, at);
    __m512i d = _mm512_maskz_compress_epi32(differ, delta);
    if (lanes == 0xFFFF) {
        _mm512_storeu_si512(events, _mm512_permutex2var_epi32(i, low, d));
        if (n > 8) {
            _mm512_storeu_si512(events + 8, _mm512_permutex2var_epi32(i, high, d));
        }
        return n;
    }
    uint32_t sent = (1u << n) - 1;
    _mm512_mask_storeu_epi64(events, (__mmask8)sent, _mm512_permutex2var_epi32(i, low, d));
    _mm512_mask_storeu_epi64(events + 8, (__mmask8)(sent >> 8),
                             _mm512_permutex2var_epi32(i, high, d));
    return n;
}

/* The neurons of one pixel, or of part of it: channels in order, from neuron `first` on. */
static inline void fire_channels(nvm_node *node, const rule *by, size_t first, size_t channels)
{
    const int32_t *acc = (const int32_t *)node->acc + first;
    const float *scale = node->scale;
    int8_t *codes = (int8_t *)node->codes + first;
    uint32_t sent = node->n_events;
    __m512 factor = _mm512_set1_ps(*scale);
    for (size_t c = 0; c < channels; c += 16) {
        __mmask16 lanes = (__mmask16)(channels - c < 16 ? (1u << (channels - c)) - 1 : 0xFFFF);
        if (!by->is_affine) {
            factor = _mm512_maskz_loadu_ps(lanes, scale + c);
        }
        __m512i now = wanted_of(by, _mm512_maskz_loadu_epi32(lanes, acc + c), factor);
        __m512i before = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(lanes, codes + c));
        __mmask16 differ = _mm512_mask_cmpneq_epi32_mask(lanes, now, before);
        if (node->unread) { /* without a branch that nobody can foretell */
            sent += (uint32_t)__builtin_popcount(differ);
        } else if (differ != 0) {
            sent += list_events(node->events + sent, differ, lanes, first + c,
                                _mm512_sub_epi32(now, before));
        } else {
            continue;
        }
        if (lanes == 0xFFFF) { /* loads would wait for a masked store */
            _mm_storeu_si128((__m128i *)(void *)(codes + c), _mm512_cvtepi32_epi8(now));
        } else {
            _mm_mask_storeu_epi8(codes + c, lanes, _mm512_cvtepi32_epi8(now));
        }
    }
    node->n_events = sent;
}

/* Whether a node's neurons can go this way: each channel has a scale of its own, and narrow pixels would leave
 * most lanes empty. */
static int is_quick(const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    int is_weighted = layer->kind == NVM_DENSE || layer->kind == NVM_CONV || layer->kind == NVM_DWCONV;
    return is_weighted && (layer->requant == NVM_RQ_FP32 || layer->requant == NVM_RQ_AFFINE) && !node->unit &&
           !node->quiet && !nvm_is_wide(layer) && layer->neuron == NVM_SD &&
           (layer->out_c >= 12 || layer->n == layer->out_c);
}

static void fire_quickly(nvm_node *node, size_t first, size_t end)
{
    rule by = rule_of(node);
    size_t channels = node->layer->out_c;
    for (size_t pixel = first; pixel < end; pixel++) {
        fire_channels(node, &by, pixel * channels, channels);
    }
}

#define NVM_FIRE_QUICKLY(node, first, end)                                                         \
    if (is_quick(node)) {                                                                          \
        fire_quickly(node, first, end);                                                            \
        return;                                                                                    \
    }

#include "nvm_fire__scalar.c"

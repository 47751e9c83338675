/* SPDX-License-Identifier: Apache-2.0
 *
 * Softmax over rows in fixed point, as gemmlowp computes it; a touched row again.
 */
#include "nvm_types.h"

#define CHUNK     256
#define CODE_BITS ((int32_t)(8 * sizeof(nvm_code)))

/* floor((a b + 2^30) / 2^31): the product of two Q0.31. */
static int32_t product(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

static int32_t saturate(int64_t a)
{
    return (int32_t)(a > INT32_MAX ? INT32_MAX : a < INT32_MIN ? INT32_MIN : a);
}

/* 1 / (1 + x) of x in Q0.31, x in [0, 1): Newton from 48/17 - 32/17 d, d = (1 + x) / 2, in Q2.29. */
static int32_t reciprocal_of_one_plus(int32_t x)
{
    int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) >> 1);
    int32_t estimate = saturate(INT64_C(1515870810) + product(half, -1010580540));
    for (int k = 0; k < 3; k++) {
        int32_t rest = (1 << 29) - product(half, estimate);
        estimate = saturate((int64_t)estimate + saturate((int64_t)product(estimate, rest) * 4));
    }
    return saturate((int64_t)estimate * 2);
}

/* t[max - q] of n codes. */
static inline void look_up(const int32_t *t, int32_t max, const nvm_code_in *q, size_t n,
                           int32_t *restrict to)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = t[max - q[i]];
    }
}

/* Those of Q0.31, as Q12.19. */
static uint32_t add_up(const int32_t *values, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += ((uint32_t)values[i] + (1u << 11)) >> 12;
    }
    return sum;
}

/* inverse t / 2^bits, half up and clamped; inverse, t >= 0, bits >= 1. */
static void scale_codes(const nvm_layer *layer, const int32_t *restrict values, int32_t inverse,
                        int32_t bits, size_t n, nvm_code *restrict codes)
{
    int32_t zero = NVM_ZERO_OUT(layer), lo = NVM_LO(layer), hi = NVM_HI(layer);
    uint32_t right = bits > 31 ? 31 : (uint32_t)bits, kept = bits > 31 ? 0 : UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        uint32_t share = (uint32_t)product(inverse, values[i]) & kept;
        int32_t y = (int32_t)((share + (1u << (right - 1))) >> right & kept) + zero;
        y = y > lo ? y : lo;
        codes[i] = (nvm_code)(y < hi ? y : hi);
    }
}

static void fire_row(nvm_node *node, size_t row)
{
    const nvm_layer *layer = node->layer;
    const int32_t *t = node->table0;
    size_t length = layer->out_c, first = row * length;
    const nvm_code_in *q = (const nvm_code_in *)node->in[0]->codes + first;
    nvm_code wanted[CHUNK];
    int32_t values[CHUNK];
    nvm_code_in max = NVM_IN_MIN;
    uint32_t sum = 0; /* Q12.19; at least 2^19, because t[0] is about 1 */
    for (size_t i = 0; i < length; i++) {
        max = q[i] > max ? q[i] : max;
    }
    for (size_t i = 0; i < length; i += CHUNK) {
        size_t part = length - i < CHUNK ? length - i : CHUNK;
        look_up(t, max, q + i, part, values);
        sum += add_up(values, part);
    }
    int32_t zeros = __builtin_clz(sum);
    int32_t inverse = reciprocal_of_one_plus((int32_t)((sum << zeros) - 0x80000000u));
    for (size_t i = 0; i < length; i += CHUNK) {
        size_t part = length - i < CHUNK ? length - i : CHUNK;
        if (length > CHUNK) { /* else they are there */
            look_up(t, max, q + i, part, values);
        }
        scale_codes(layer, values, inverse, 12 - zeros + 31 - CODE_BITS, part, wanted);
        nvm_neuron_sd(node, first + i, wanted, part);
    }
}

void NVM_NAME(softmaxq_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    uint32_t length = node->layer->out_c;
    (void)scratch;
    for (size_t k = 0; k < in->n_events;) {
        uint32_t row = in->events[k].index / length;
        fire_row(node, row);
        while (k < in->n_events && in->events[k].index / length == row) {
            k++;
        }
    }
}

void NVM_NAME(softmaxq_full)(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    for (size_t row = 0; row < node->layer->out_h; row++) {
        fire_row(node, row);
    }
}

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

/* a / 2^bits, half up; a >= 0, bits >= 1. */
static int32_t shift_right(int32_t a, int32_t bits)
{
    return bits > 31 ? 0 : (int32_t)(((int64_t)a + (INT64_C(1) << (bits - 1))) >> bits);
}

static void fire_row(nvm_node *node, size_t row)
{
    const nvm_layer *layer = node->layer;
    const int32_t *t = node->table0;
    size_t length = layer->out_c, first = row * length;
    const nvm_code_in *q = (const nvm_code_in *)node->in[0]->codes + first;
    nvm_code wanted[CHUNK];
    int32_t max = INT8_MIN;
    uint32_t sum = 0; /* Q12.19; at least 2^19, because t[0] is about 1 */
    for (size_t i = 0; i < length; i++) {
        max = q[i] > max ? q[i] : max;
    }
    for (size_t i = 0; i < length; i++) {
        sum += (uint32_t)shift_right(t[max - q[i]], 12);
    }
    int32_t zeros = __builtin_clz(sum);
    int32_t inverse = reciprocal_of_one_plus((int32_t)((sum << zeros) - 0x80000000u));
    for (size_t i = 0; i < length; i += CHUNK) {
        size_t part = length - i < CHUNK ? length - i : CHUNK;
        for (size_t k = 0; k < part; k++) {
            int32_t y = product(inverse, t[max - q[i + k]]);
            y = shift_right(y, 12 - zeros + 31 - CODE_BITS) + NVM_ZERO_OUT(layer);
            y = y > NVM_LO(layer) ? y : NVM_LO(layer);
            wanted[k] = (nvm_code)(y < NVM_HI(layer) ? y : NVM_HI(layer));
        }
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

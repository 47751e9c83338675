/* SPDX-License-Identifier: Apache-2.0
 *
 * Logarithm of the softmax over rows in fixed point, as gemmlowp and TFLM compute it; a touched row
 * again. Every product saturates, so that no table overflows; with tables of a real network none does.
 */
#include "nvm_internal.h"

#define CHUNK 256

static int32_t saturate(int64_t a)
{
    return (int32_t)(a > INT32_MAX ? INT32_MAX : a < INT32_MIN ? INT32_MIN : a);
}

/* floor((a b + 2^30) / 2^31): the product of two Q0.31. */
static int32_t product(int32_t a, int32_t b)
{
    return saturate(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* a / 2^bits, half away from zero; bits >= 1. */
static int64_t shift_right(int64_t a, int bits)
{
    return (a + (INT64_C(1) << (bits - 1)) - (a < 0)) >> bits;
}

/* 1 / (1 + x) of x in Q0.31, x in [0, 1), by three Newton steps. */
static int32_t reciprocal_of_one_plus(int32_t x)
{
    int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) >> 1);
    int32_t estimate = saturate(INT64_C(1515870810) + product(half, -1010580540));
    for (int k = 0; k < 3; k++) {
        int32_t rest = saturate((INT64_C(1) << 29) - product(half, estimate));
        estimate = saturate((int64_t)estimate + saturate((int64_t)product(estimate, rest) * 4));
    }
    return saturate((int64_t)estimate * 2);
}

/* ln x as Q5.26 of x > 0 in Q12.19: a power of two and a quotient around 2^(-1/4), the better of two
 * reductions (gemmlowp, log_x_for_x_greater_than_or_equal_to_1). */
static int32_t logarithm(int32_t x)
{
    const int32_t root = 1518500250, center = 1805811301; /* 2^(-1/2), 2^(-1/4) */
    int32_t lower = product(x, root);
    int zeros = __builtin_clz((uint32_t)x), less = lower > 0 ? __builtin_clz((uint32_t)lower) - 1 : 31;
    int32_t a = saturate((int64_t)product((int32_t)((int64_t)x << (zeros - 1)), root) * 2);
    int32_t b = saturate((int64_t)x * (INT64_C(1) << less));
    int64_t power_a = (int64_t)(12 - zeros) * (1 << 25) + (1 << 23);
    int64_t power_b = (int64_t)(12 - less) * (1 << 25) - (1 << 23);
    int32_t r = a < b ? a : b, power = saturate(power_a > power_b ? power_a : power_b);
    int32_t p = (int32_t)(((int64_t)r + center + 1) >> 1);
    int32_t q = saturate(2 * ((int64_t)r - center)), square = product(q, q);
    int32_t above = saturate((int64_t)product(q, r) + product(product(q, square), 117049297));
    int32_t inner = saturate((int64_t)1057819769 + q + product(127690142, square));
    int32_t below = saturate((int64_t)product(p, inner) + product(638450708, q));
    int32_t quotient = product((int32_t)shift_right(above, 6), reciprocal_of_one_plus(below));
    return saturate(2 * ((int64_t)product(power, 1488522236) + quotient));
}

static void fire_row(nvm_node *node, size_t row)
{
    const nvm_layer *layer = node->layer;
    const int32_t *t = node->table0, *u = node->table1;
    size_t length = layer->out_c, first = row * length;
    const int8_t *q = (const int8_t *)node->in[0]->codes + first;
    int8_t wanted[CHUNK];
    int32_t max = INT8_MIN;
    int64_t sum = 0; /* Q12.19, below 2^31: at most 4095 of 2^19 */
    for (size_t i = 0; i < length; i++) {
        max = q[i] > max ? q[i] : max;
    }
    for (size_t i = 0; i < length; i++) {
        sum += shift_right(t[max - q[i]], 12);
    }
    int64_t log = logarithm((int32_t)sum);
    for (size_t i = 0; i < length; i += CHUNK) {
        size_t part = length - i < CHUNK ? length - i : CHUNK;
        for (size_t k = 0; k < part; k++) {
            int64_t y = shift_right(u[max - q[i + k]] - log, 22) + layer->zero_out;
            y = y > layer->lo ? y : layer->lo;
            wanted[k] = (int8_t)(y < layer->hi ? y : layer->hi);
        }
        nvm_neuron_sd_s8__scalar(node, first + i, wanted, part);
    }
}

void nvm_logsoftmaxq_events_s8__scalar(nvm_node *node, nvm_scratch *scratch)
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

void nvm_logsoftmaxq_full_s8__scalar(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    for (size_t row = 0; row < node->layer->out_h; row++) {
        fire_row(node, row);
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_lstm_gates__lanes.h: gates, cells and hidden codes of one batch at one time, NVM_LANES_S32 units
 * at once (nvm_lanes.h). Lanes behind the last unit hold what lies there and are not stored.
 */
#ifndef NVM_LSTM_GATES_LANES_H
#define NVM_LSTM_GATES_LANES_H

#include "nvm_lanes.h"
#include "nvm_lstm.h"

/* RQ_DOUBLE of all lanes. With r > 0, (y + 2^(r - 1) - (y < 0)) >> r is ((y - (y < 0)) >> (r - 1)) + 1,
 * halved, and nothing leaves int32: |y| < 2^31 - 1. */
typedef struct nvm_rescaler {
    nvm_lanes m, left, below; /* below: r - 1 */
    int right;                /* whether r > 0 */
} nvm_rescaler;

typedef struct nvm_gates {
    nvm_rescaler rules[9];
    const int16_t *logistic, *of_gate, *of_cell;
    nvm_lanes added_half, clip, zero, lo, hi;
    nvm_lanes back_low, back_high; /* of what comes from h: as a 16-bit number, or so that sums fit int32 */
    int32_t shift;
    int stepwise;
} nvm_gates;

static inline nvm_gates nvm_gates_of(const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    const int32_t *m = node->scale, *e = node->shift;
    int32_t shift = (int32_t)(layer->aux[0] & 255), clip = (int32_t)layer->aux[1];
    int stepwise = layer->aux[0] >> 8 != 0;
    nvm_gates g = {.logistic = node->table0,
                   .of_gate = node->table1,
                   .shift = shift - stepwise,
                   .stepwise = stepwise,
                   .clip = nvm_lanes_all(clip > 0 ? clip : INT16_MAX + 1),
                   .zero = nvm_lanes_all(layer->zero_out),
                   .lo = nvm_lanes_all(layer->lo - layer->zero_out),
                   .hi = nvm_lanes_all(layer->hi - layer->zero_out),
                   .back_low = nvm_lanes_all(stepwise ? INT16_MIN : -65536),
                   .back_high = nvm_lanes_all(stepwise ? INT16_MAX : 65536)};
    g.of_cell = shift == 18 ? g.of_gate : g.of_gate + 65536;
    for (size_t k = 0; k < 9; k++) {
        g.rules[k] = (nvm_rescaler){.m = nvm_lanes_all(m[k]),
                                    .left = nvm_lanes_all(e[k] > 0 ? e[k] : 0),
                                    .below = nvm_lanes_all(e[k] < 0 ? -e[k] - 1 : 0),
                                    .right = e[k] < 0};
    }
    return g;
}

NVM_LANES_INLINE nvm_lanes nvm_gate_rescale(const nvm_rescaler *rule, nvm_lanes a)
{
    nvm_lanes y = nvm_lanes_srdhm(nvm_lanes_sll(a, rule->left), rule->m);
    if (rule->right) {
        y = nvm_lanes_sra(nvm_lanes_add(y, nvm_lanes_sign(y)), rule->below);
        y = nvm_lanes_halve(nvm_lanes_add(y, nvm_lanes_all(1)));
    }
    return y;
}

NVM_LANES_INLINE nvm_lanes nvm_gate_sat16(nvm_lanes x)
{
    return nvm_lanes_clamp(x, nvm_lanes_all(INT16_MIN), nvm_lanes_all(INT16_MAX));
}

/* x / 2^r, halves away from zero; stepwise r counts from x / 2 with halves up on. |x| <= 2^30. */
NVM_LANES_INLINE nvm_lanes nvm_scale_down(const nvm_gates *g, nvm_lanes x, int32_t r)
{
    if (g->stepwise) {
        x = nvm_lanes_halve(nvm_lanes_add(x, nvm_lanes_all(1)));
    }
    x = nvm_lanes_add(x, nvm_lanes_add(nvm_lanes_all(1 << (r - 1)), nvm_lanes_sign(x)));
    return nvm_lanes_sra(x, nvm_lanes_all(r));
}

NVM_LANES_INLINE nvm_lanes nvm_gate_sum(const nvm_gates *g, size_t k, const int32_t *from_x,
                                        const int32_t *from_h)
{
    nvm_lanes back = nvm_gate_rescale(&g->rules[4 + k], nvm_lanes_load(from_h));
    back = nvm_lanes_clamp(back, g->back_low, g->back_high);
    nvm_lanes ahead = nvm_gate_sat16(nvm_gate_rescale(&g->rules[k], nvm_lanes_load(from_x)));
    return nvm_gate_sat16(nvm_lanes_add(ahead, back));
}

/* As in nvm_lstm_gates__scalar.h. */
static inline int nvm_gates_advance(const nvm_gates *g, const nvm_lstm *l, const int32_t *from_x,
                                    const int32_t *from_h, int16_t *cell, int8_t *h)
{
    size_t units = l->units;
    nvm_lanes moved = nvm_lanes_all(0);
    for (size_t u = 0; u < units; u += NVM_LANES_S32) {
        size_t n = units - u < NVM_LANES_S32 ? units - u : NVM_LANES_S32;
        nvm_lanes gate[4];
        for (size_t k = 0; k < 4; k++) {
            gate[k] = nvm_gate_sum(g, k, from_x + k * units + u, from_h + k * units + u);
        }
        nvm_lanes forget = nvm_lanes_look_up(g->logistic, gate[1]);
        nvm_lanes input = nvm_lanes_look_up(g->logistic, gate[0]);
        nvm_lanes fresh = nvm_lanes_look_up(g->of_gate, gate[2]);
        nvm_lanes output = nvm_lanes_look_up(g->logistic, gate[3]);
        nvm_lanes kept = nvm_lanes_mul(forget, nvm_lanes_load_s16(cell + u));
        nvm_lanes c = nvm_lanes_add(nvm_scale_down(g, kept, 15 - g->stepwise),
                                    nvm_scale_down(g, nvm_lanes_mul(input, fresh), g->shift));
        c = nvm_gate_sat16(c);
        c = nvm_lanes_clamp(c, nvm_lanes_sub(nvm_lanes_all(0), g->clip), g->clip);
        nvm_lanes y = nvm_lanes_mul(output, nvm_lanes_look_up(g->of_cell, c));
        y = nvm_lanes_clamp(nvm_gate_rescale(&g->rules[8], y), g->lo, g->hi);
        y = nvm_lanes_add(y, g->zero);
        moved = nvm_lanes_mark(moved, nvm_lanes_load_s16(cell + units + u), c, n);
        moved = nvm_lanes_mark(moved, nvm_lanes_load_s8(h + units + u), y, n);
        nvm_lanes_store_s16(cell + units + u, c, n);
        nvm_lanes_store_s8(h + units + u, y, n);
    }
    return nvm_lanes_any(moved);
}

#endif

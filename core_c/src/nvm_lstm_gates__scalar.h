/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_lstm_gates__scalar.h: gates, cells and hidden codes of one batch at one time, in plain C.
 */
#ifndef NVM_LSTM_GATES_SCALAR_H
#define NVM_LSTM_GATES_SCALAR_H

#include "nvm_lstm.h"

typedef struct nvm_gates {
    const nvm_node *node;
} nvm_gates;

static inline nvm_gates nvm_gates_of(const nvm_node *node)
{
    return (nvm_gates){node};
}

/* RQ_DOUBLE; m in [0, 2^31), e in [-31, 30]. */
static inline int32_t nvm_gate_rescale(int32_t a, int32_t m, int32_t e)
{
    int32_t x = e > 0 ? (int32_t)((uint32_t)a << e) : a, r = e < 0 ? -e : 0;
    int64_t y = ((int64_t)x * m + (1 << 30)) >> 31;
    return (int32_t)(r == 0 ? y : (y + (INT64_C(1) << (r - 1)) - (y < 0)) >> r);
}

static inline int32_t nvm_gate_sat16(int64_t x)
{
    x = x < INT16_MIN ? INT16_MIN : x;
    return (int32_t)(x > INT16_MAX ? INT16_MAX : x);
}

/* x / 2^r, halves away from zero; stepwise after x / 2 with halves up. |x| <= 2^30. */
static inline int32_t nvm_scale_down(int32_t x, int32_t r, int stepwise)
{
    if (stepwise) {
        x = (x + 1) >> 1;
        r--;
    }
    return (x + (1 << (r - 1)) - (x < 0)) >> r;
}

/* From sums over x and h to cell[1] and h[1], one time of all units behind cell[0] and h[0]; whether
 * those then differ from what stood there. */
static inline int nvm_gates_advance(const nvm_gates *gates, const nvm_lstm *l, const int32_t *from_x,
                                    const int32_t *from_h, int16_t *cell, int8_t *h)
{
    const nvm_node *node = gates->node;
    const nvm_layer *layer = node->layer;
    const int32_t *m = node->scale, *e = node->shift;
    const int16_t *logistic = (const int16_t *)node->table0 + 32768,
                  *of_gate = (const int16_t *)node->table1 + 32768;
    int32_t shift = (int32_t)(layer->aux[0] & 255), clip = (int32_t)layer->aux[1];
    int stepwise = layer->aux[0] >> 8 != 0, moved = 0;
    const int16_t *of_cell = shift == 18 ? of_gate : of_gate + 65536;
    for (size_t u = 0; u < l->units; u++) {
        int32_t gate[4];
        for (size_t k = 0; k < 4; k++) {
            int64_t back = nvm_gate_rescale(from_h[k * l->units + u], m[4 + k], e[4 + k]);
            back = stepwise ? nvm_gate_sat16(back) : back;
            gate[k] = nvm_gate_sat16(
                nvm_gate_sat16(nvm_gate_rescale(from_x[k * l->units + u], m[k], e[k])) + back);
        }
        int32_t kept = nvm_scale_down(logistic[gate[1]] * cell[u], 15, stepwise);
        int32_t added = nvm_scale_down(logistic[gate[0]] * of_gate[gate[2]], shift, stepwise);
        int32_t c = nvm_gate_sat16(kept + added);
        if (clip > 0) {
            c = c < -clip ? -clip : c > clip ? clip : c;
        }
        int64_t y = (int64_t)nvm_gate_rescale(logistic[gate[3]] * of_cell[c], m[8], e[8]) +
                    layer->zero_out;
        y = y < layer->lo ? layer->lo : y;
        y = y > layer->hi ? layer->hi : y;
        moved |= cell[l->units + u] != c || h[l->units + u] != y;
        cell[l->units + u] = (int16_t)c;
        h[l->units + u] = (int8_t)y;
    }
    return moved;
}

#endif

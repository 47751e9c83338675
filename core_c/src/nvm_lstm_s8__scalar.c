/* SPDX-License-Identifier: Apache-2.0
 *
 * Long short-term memory. Two sums a gate unit: over the inputs, one for every time, changed by what
 * changed since the last step; and over the hidden codes, one in all, changed from time to time by
 * what h changed. Gates and cells follow at every time, as the cell moves by itself.
 */
#include "nvm_lstm.h"
#include "nvm_rows.h"

#define RECURRENT_SHARE 4u /* of the hidden codes: with more changes a dense sum is the cheaper */

/* Brings the sums over h up to date with what batch b holds now. */
static void feed_back(nvm_node *node, const nvm_lstm *l, size_t b, int densely)
{
    const int8_t *h = l->hiddens + b * l->units, *w = node->weights + l->inputs * l->width;
    int8_t *fed = l->fed + b * l->units;
    int32_t *sums = l->from_h + b * l->width;
    nvm_event *changes = node->events + node->n_events; /* room for all units: this time sends later */
    size_t n = 0;
    for (size_t u = 0; u < l->units; u++) {
        changes[n] = (nvm_event){(uint32_t)u, h[u] - fed[u]};
        n += h[u] != fed[u];
    }
    if (node->forced == NVM_AUTO) {
        densely = n * RECURRENT_SHARE > l->units * (RECURRENT_SHARE - 1);
    }
    if (densely) {
        memset(sums, 0, l->width * sizeof *sums);
        nvm_rows_codes(sums, w, l->width, h, l->units, node->layer->zero_out, l->width);
        n = l->units;
    } else {
        nvm_rows_events(sums, w, l->width, changes, n, 0, l->width);
    }
    node->sops += (uint64_t)n * l->width;
    memcpy(fed, h, l->units);
}

/* RQ_DOUBLE; m in [0, 2^31), e in [-31, 30]. */
static inline int32_t rescale(int32_t a, int32_t m, int32_t e)
{
    int32_t x = e > 0 ? (int32_t)((uint32_t)a << e) : a, r = e < 0 ? -e : 0;
    int64_t y = ((int64_t)x * m + (1 << 30)) >> 31;
    return (int32_t)(r == 0 ? y : (y + (INT64_C(1) << (r - 1)) - (y < 0)) >> r);
}

static inline int32_t sat16(int64_t x)
{
    x = x < INT16_MIN ? INT16_MIN : x;
    return (int32_t)(x > INT16_MAX ? INT16_MAX : x);
}

/* x / 2^r, halves away from zero; stepwise after x / 2 with halves up. |x| <= 2^30. */
static inline int32_t scale_down(int32_t x, int32_t r, int stepwise)
{
    if (stepwise) {
        x = (x + 1) >> 1;
        r--;
    }
    return (x + (1 << (r - 1)) - (x < 0)) >> r;
}

/* Cells and hidden codes of batch b at time t. */
static void advance(nvm_node *node, const nvm_lstm *l, size_t b, size_t t)
{
    const nvm_layer *layer = node->layer;
    const int32_t *a = l->from_x + (b * l->times + t) * l->width, *fb = l->from_h + b * l->width;
    const int32_t *m = node->scale, *e = node->shift;
    const int16_t *logistic = (const int16_t *)node->table0 + 32768,
                  *of_gate = (const int16_t *)node->table1 + 32768;
    int32_t shift = (int32_t)(layer->aux[0] & 255), clip = (int32_t)layer->aux[1];
    int stepwise = layer->aux[0] >> 8 != 0;
    const int16_t *of_cell = shift == 18 ? of_gate : of_gate + 65536;
    int16_t *cell = l->cells + b * l->units;
    int8_t *h = l->hiddens + b * l->units;
    for (size_t u = 0; u < l->units; u++) {
        int32_t gate[4];
        for (size_t k = 0; k < 4; k++) {
            int64_t back = rescale(fb[k * l->units + u], m[4 + k], e[4 + k]);
            back = stepwise ? sat16(back) : back;
            gate[k] = sat16(sat16(rescale(a[k * l->units + u], m[k], e[k])) + back);
        }
        int32_t kept = scale_down(logistic[gate[1]] * cell[u], 15, stepwise);
        int32_t added = scale_down(logistic[gate[0]] * of_gate[gate[2]], shift, stepwise);
        int32_t c = sat16(kept + added);
        if (clip > 0) {
            c = c < -clip ? -clip : c > clip ? clip : c;
        }
        cell[u] = (int16_t)c;
        int64_t y = (int64_t)rescale(logistic[gate[3]] * of_cell[c], m[8], e[8]) + layer->zero_out;
        y = y < layer->lo ? layer->lo : y;
        h[u] = (int8_t)(y > layer->hi ? layer->hi : y);
    }
}

static void run(nvm_node *node, int densely)
{
    nvm_lstm l = nvm_lstm_memory(node);
    memcpy(l.cells, l.cell, l.batches * l.units * sizeof *l.cells);
    memcpy(l.hiddens, l.hidden, l.batches * l.units);
    for (size_t b = 0; b < l.batches; b++) {
        for (size_t t = 0; t < l.times; t++) {
            feed_back(node, &l, b, densely);
            advance(node, &l, b, t);
            NVM_OWN(neuron_sd_s8)(node, (b * l.times + t) * l.units, l.hiddens + b * l.units,
                                     l.units);
        }
    }
}

void NVM_NAME(lstm_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    nvm_lstm l = nvm_lstm_memory(node);
    (void)scratch;
    for (size_t k = 0, n; k < in->n_events; k += n) {
        size_t at = in->events[k].index / l.inputs, first = at * l.inputs;
        for (n = 1; k + n < in->n_events && in->events[k + n].index < first + l.inputs; n++) {
        }
        nvm_rows_events(l.from_x + at * l.width, node->weights, l.width, in->events + k,
                                   n, (uint32_t)first, l.width);
    }
    node->sops += (uint64_t)in->n_events * l.width;
    run(node, 0);
}

void NVM_NAME(lstm_full)(nvm_node *node, nvm_scratch *scratch)
{
    const int8_t *codes = node->in[0]->codes;
    nvm_lstm l = nvm_lstm_memory(node);
    size_t all = l.batches * l.times;
    (void)scratch;
    for (size_t at = 0; at < all; at++) {
        int32_t *sums = l.from_x + at * l.width;
        memcpy(sums, node->bias, l.width * sizeof *sums);
        nvm_rows_codes(sums, node->weights, l.width, codes + at * l.inputs, l.inputs,
                       node->layer->zero_in, l.width);
    }
    node->sops += (uint64_t)all * l.inputs * l.width;
    run(node, 1);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Long short-term memory. Two sums a gate unit: over the inputs, one for every time, changed by what
 * changed since the last step; and over the hidden codes, one in all, changed from time to time by
 * what h changed. Gates and cells follow at every time whose inputs or state differ from the last
 * run's, as the cell moves by itself.
 */
#include "nvm_lstm.h"
#include "nvm_rows.h"

#ifdef NVM_LANES_HEADER
#include "nvm_lstm_gates__lanes.h"
#else
#include "nvm_lstm_gates__scalar.h"
#endif

#define RECURRENT_SHARE 4u /* of the hidden codes: with more changes a dense sum is the cheaper */

/* Brings the sums over h up to date with h of batch b. */
static void feed_back(nvm_node *node, const nvm_lstm *l, size_t b, const int8_t *h, int densely)
{
    const int8_t *w = node->weights + l->inputs * l->width;
    int8_t *fed = l->fed + b * l->units;
    int32_t *sums = l->from_h + b * l->width;
    nvm_event *changes = node->events + node->n_events; /* room for all units: this batch sends later */
    size_t n = NVM_OWN(count_changes)((const uint8_t *)fed, (const uint8_t *)h, l->units, 0);
    if (node->forced == NVM_AUTO) {
        densely = n * RECURRENT_SHARE > l->units * (RECURRENT_SHARE - 1);
    }
    if (densely) {
        memset(sums, 0, l->width * sizeof *sums);
        nvm_rows_codes(sums, w, l->width, h, l->units, node->layer->zero_out, l->width);
        n = l->units;
    } else {
        for (size_t u = 0, k = 0; k < n; u++) {
            changes[k] = (nvm_event){(uint32_t)u, h[u] - fed[u]};
            k += h[u] != fed[u];
        }
        nvm_rows_events(sums, w, l->width, changes, n, 0, l->width);
    }
    node->sops += (uint64_t)n * l->width;
    memcpy(fed, h, l->units);
}

/* The course of batch b; from `always` on or not, where something differs from the last run. */
static void run_batch(nvm_node *node, const nvm_gates *gates, const nvm_lstm *l, size_t b,
                      int densely, int always)
{
    int16_t *cells = l->cells + b * (l->times + 1) * l->units;
    int8_t *h = l->hiddens + b * (l->times + 1) * l->units;
    size_t first = l->times, end = 0; /* of the times whose codes may change */
    int moved = always || memcmp(cells, l->cell + b * l->units, l->units * sizeof *cells) != 0 ||
                memcmp(h, l->hidden + b * l->units, l->units) != 0;
    memcpy(cells, l->cell + b * l->units, l->units * sizeof *cells);
    memcpy(h, l->hidden + b * l->units, l->units);
    for (size_t t = 0; t < l->times; t++) {
        size_t at = b * l->times + t;
        if (!moved && !l->dirty[at]) {
            continue;
        }
        feed_back(node, l, b, h + t * l->units, densely);
        moved = nvm_gates_advance(gates, l, l->from_x + at * l->width, l->from_h + b * l->width,
                                  cells + t * l->units, h + t * l->units) || always;
        l->dirty[at] = 0;
        first = first < t ? first : t;
        end = t + 1;
    }
    if (first < end) {
        NVM_OWN(neuron_sd_s8)(node, (b * l->times + first) * l->units, h + (first + 1) * l->units,
                              (end - first) * l->units);
    }
}

/* Where codes may be behind what they should be, all are looked at. */
static void run(nvm_node *node, int densely)
{
    nvm_lstm l = nvm_lstm_memory(node);
    nvm_gates gates = nvm_gates_of(node);
    int always = densely || node->unit || node->coding != 0;
    for (size_t b = 0; b < l.batches; b++) {
        run_batch(node, &gates, &l, b, densely, always);
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
        l.dirty[at] = 1;
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

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_lstm.h: what long short-term memory keep in nvm_node.memory.
 *
 * The whole course of the last run is kept: cells and hidden codes before every time and after the
 * last. What a time leaves depends on its inputs and on what is there before it, so where neither
 * differs from the last run, nothing is computed and everything stands.
 */
#ifndef NVM_LSTM_H
#define NVM_LSTM_H

#include "nvm_internal.h"

#define NVM_LSTM_SLACK 64u /* bytes that may be read beyond the memory's last array */

typedef struct nvm_lstm {
    size_t batches, times, inputs, units, width; /* width: gates of all units */
    int32_t *from_x; /* [batches][times][width], with the bias */
    int32_t *from_h; /* [batches][width], over the codes in fed */
    int16_t *cells;  /* [batches][times + 1][units] */
    int16_t *cell;   /* [batches][units], when the step begins */
    int8_t *hiddens, *hidden;
    int8_t *fed;    /* [batches][units] */
    uint8_t *dirty; /* [batches][times]: whether from_x changed since the last run */
} nvm_lstm;

static inline nvm_lstm nvm_lstm_memory(const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    nvm_lstm l = {.batches = layer->out_h,
                  .times = layer->out_w,
                  .inputs = layer->in_c,
                  .units = layer->out_c,
                  .width = 4 * (size_t)layer->out_c,
                  .from_x = node->memory};
    size_t units = l.batches * l.units, all = units * (l.times + 1);
    l.from_h = l.from_x + l.batches * l.times * l.width;
    l.cells = (int16_t *)(l.from_h + 4 * units);
    l.cell = l.cells + all;
    l.hiddens = (int8_t *)(l.cell + units);
    l.hidden = l.hiddens + all;
    l.fed = l.hidden + units;
    l.dirty = (uint8_t *)(l.fed + units);
    return l;
}

#endif

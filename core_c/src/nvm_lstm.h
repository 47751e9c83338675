/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_lstm.h: what long short-term memory keep in nvm_node.memory.
 */
#ifndef NVM_LSTM_H
#define NVM_LSTM_H

#include "nvm_internal.h"

typedef struct nvm_lstm {
    size_t batches, times, inputs, units, width; /* width: gates of all units */
    int32_t *from_x;        /* [batches][times][width], with the bias */
    int32_t *from_h;        /* [batches][width], over the codes in fed */
    int16_t *cell, *cells;  /* [batches][units]: when the step begins, and now */
    int8_t *hidden, *hiddens;
    int8_t *fed;
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
    size_t units = l.batches * l.units;
    l.from_h = l.from_x + l.batches * l.times * l.width;
    l.cell = (int16_t *)(l.from_h + 4 * units);
    l.cells = l.cell + units;
    l.hidden = (int8_t *)(l.cells + units);
    l.hiddens = l.hidden + units;
    l.fed = l.hiddens + units;
    return l;
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_lstm.c: the memory of long short-term memory, the same for every instruction set.
 */
#include "nvm_lstm.h"

size_t nvm_lstm_bytes(const nvm_layer *layer)
{
    size_t units = (size_t)layer->out_h * layer->out_c, times = (size_t)layer->out_h * layer->out_w;
    size_t sums = ((size_t)layer->n + units) * 4 * sizeof(int32_t);
    return sums + ((size_t)layer->n + 2 * units) * 3 + units + times + NVM_LSTM_SLACK;
}

void nvm_lstm_begin(nvm_node *node)
{
    nvm_lstm l = nvm_lstm_memory(node);
    size_t units = l.batches * l.units;
    memset(l.from_h, 0, 4 * units * sizeof *l.from_h);
    memset(l.cell, 0, units * sizeof *l.cell);
    memset(l.hidden, node->layer->zero_out, units);
    memset(l.fed, node->layer->zero_out, units);
}

int nvm_lstm_commit(nvm_node *node)
{
    nvm_lstm l = nvm_lstm_memory(node);
    int moved = 0;
    for (size_t b = 0; b < l.batches; b++) {
        size_t end = (b * (l.times + 1) + l.times) * l.units, at = b * l.units;
        moved |= memcmp(l.cell + at, l.cells + end, l.units * sizeof *l.cell) != 0 ||
                 memcmp(l.hidden + at, l.hiddens + end, l.units) != 0;
        memcpy(l.cell + at, l.cells + end, l.units * sizeof *l.cell);
        memcpy(l.hidden + at, l.hiddens + end, l.units);
    }
    return moved;
}

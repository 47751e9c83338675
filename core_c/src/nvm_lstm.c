/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_lstm.c: the memory of long short-term memory, the same for every instruction set.
 */
#include "nvm_lstm.h"

size_t nvm_lstm_bytes(const nvm_layer *layer)
{
    size_t units = (size_t)layer->out_h * layer->out_c;
    return (size_t)layer->n * 16 + units * (16 + 4 + 3);
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
    size_t units = l.batches * l.units;
    int moved = memcmp(l.cell, l.cells, units * sizeof *l.cell) != 0 ||
                memcmp(l.hidden, l.hiddens, units) != 0;
    memcpy(l.cell, l.cells, units * sizeof *l.cell);
    memcpy(l.hidden, l.hiddens, units);
    return moved;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_svdf.c: the memory of singular value decomposition filters, the same for every instruction set.
 */
#include "nvm_svdf.h"

size_t nvm_svdf_bytes(const nvm_layer *layer)
{
    size_t filters = (size_t)layer->n * layer->aux[0];
    return filters * (4 + 2 + 2 * (size_t)layer->out_w);
}

void nvm_svdf_begin(nvm_node *node)
{
    nvm_svdf s = nvm_svdf_memory(node);
    memset(s.states, 0, s.batches * s.filters * s.length * sizeof *s.states);
}

int nvm_svdf_commit(nvm_node *node)
{
    nvm_svdf s = nvm_svdf_memory(node);
    int moved = 0;
    for (size_t f = 0; f < s.batches * s.filters; f++) {
        int16_t *state = s.states + f * s.length;
        for (size_t m = 0; m < s.length; m++) {
            int16_t next = m + 1 < s.length ? state[m + 1] : s.newest[f];
            moved |= next != state[m];
            state[m] = next;
        }
    }
    return moved;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Unary functions: y[i] = table[(i / run) % tables][q[i] + 128].
 */
#include "nvm_internal.h"

#define CHUNK 256

static inline int8_t look_up(const nvm_node *node, size_t i)
{
    const int8_t *tables = node->table0;
    uint32_t count = node->layer->aux[0], run = node->layer->aux[1];
    const int8_t *table = count == 1 ? tables : tables + (i / run) % count * 256;
    return table[node->in[0]->codes[i] + 128];
}

void nvm_table_events_s8__scalar(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    (void)scratch;
    for (size_t k = 0; k < in->n_events; k++) {
        size_t i = in->events[k].index;
        nvm_send_code(node, i, look_up(node, i));
    }
}

void nvm_table_full_s8__scalar(nvm_node *node, nvm_scratch *scratch)
{
    const int8_t *table = node->table0;
    size_t n = node->layer->n;
    int8_t wanted[CHUNK];
    (void)scratch;
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t part = n - first < CHUNK ? n - first : CHUNK;
        if (node->layer->aux[0] == 1) {
            for (size_t i = 0; i < part; i++) {
                wanted[i] = table[node->in[0]->codes[first + i] + 128];
            }
        } else {
            for (size_t i = 0; i < part; i++) {
                wanted[i] = look_up(node, first + i);
            }
        }
        nvm_neuron_sd_s8__scalar(node, first, wanted, part);
    }
}

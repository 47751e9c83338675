/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions of two variables: y[i] = table[q0[i] + 128][q1[i] + 128]; touched elements again.
 */
#include "nvm_internal.h"

#define CHUNK 256

static inline int8_t look_up(const nvm_node *node, size_t i)
{
    const int8_t *table = node->table0, *codes0 = node->in[0]->codes, *codes1 = node->in[1]->codes;
    return table[(size_t)(codes0[i] + 128) * 256 + (size_t)(codes1[i] + 128)];
}

void nvm_table2_events_s8__scalar(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_event *a = node->in[0]->events, *a_end = a + node->in[0]->n_events;
    const nvm_event *b = node->in[1]->events, *b_end = b + node->in[1]->n_events;
    (void)scratch;
    while (a < a_end || b < b_end) { /* each element once, ascending */
        uint32_t i = a < a_end ? a->index : UINT32_MAX;
        i = b < b_end && b->index < i ? b->index : i;
        a += a < a_end && a->index == i;
        b += b < b_end && b->index == i;
        nvm_send_s8(node, i, look_up(node, i));
    }
}

void nvm_table2_full_s8__scalar(nvm_node *node, nvm_scratch *scratch)
{
    size_t n = node->layer->n;
    int8_t wanted[CHUNK];
    (void)scratch;
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t part = n - first < CHUNK ? n - first : CHUNK;
        for (size_t i = 0; i < part; i++) {
            wanted[i] = look_up(node, first + i);
        }
        nvm_neuron_sd_s8__scalar(node, first, wanted, part);
    }
}

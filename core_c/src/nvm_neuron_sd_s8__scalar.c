/* SPDX-License-Identifier: Apache-2.0
 *
 * The sigma-delta neuron: sends what its code changed by, ascending, and remembers what it sent.
 */
#include "nvm_internal.h"

/* At most +1 or -1 a neuron; what is left is pending. */
static void send_unit(nvm_node *node, size_t first, const int8_t *wanted, size_t n)
{
    int8_t *codes = node->codes + first;
    for (size_t i = 0; i < n; i++) {
        int delta = wanted[i] - codes[i];
        int spike = (delta > 0) - (delta < 0);
        if (spike != 0) {
            node->events[node->n_events++] = (nvm_event){(uint32_t)(first + i), (int16_t)spike};
            codes[i] = (int8_t)(codes[i] + spike);
            node->pending |= delta != spike;
        }
    }
}

void nvm_neuron_sd_s8__scalar(nvm_node *node, size_t first, const int8_t *wanted, size_t n)
{
    int8_t *restrict codes = node->codes + first;
    nvm_event *events = node->events;
    uint32_t sent = node->n_events;
    size_t i = 0;
    if (node->unit) {
        send_unit(node, first, wanted, n);
        return;
    }
    for (; n - i >= 8; i += 8) {
        uint64_t old, new;
        memcpy(&old, codes + i, 8);
        memcpy(&new, wanted + i, 8);
        if (old == new) {
            continue;
        }
        for (size_t k = i; k < i + 8; k++) {
            /* Stored always, kept when it is one: no branch to mispredict; sent <= first + k < n. */
            events[sent] = (nvm_event){(uint32_t)(first + k), (int16_t)(wanted[k] - codes[k])};
            sent += wanted[k] != codes[k];
        }
        memcpy(codes + i, wanted + i, 8);
    }
    for (; i < n; i++) {
        events[sent] = (nvm_event){(uint32_t)(first + i), (int16_t)(wanted[i] - codes[i])};
        sent += wanted[i] != codes[i];
        codes[i] = wanted[i];
    }
    node->n_events = sent;
}

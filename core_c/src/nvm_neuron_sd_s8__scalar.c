/* SPDX-License-Identifier: Apache-2.0
 *
 * The sigma-delta neuron: sends what its code changed by, ascending, and remembers what it sent.
 */
#include "nvm_types.h"

/* Codes that are compared at once. */
#define LANES (8 / sizeof(nvm_code))

/* At most +1 or -1 a neuron; what is left is pending. */
static void send_unit(nvm_node *node, size_t first, const nvm_code *wanted, size_t n)
{
    nvm_code *codes = (nvm_code *)node->codes + first;
    for (size_t i = 0; i < n; i++) {
        int delta = wanted[i] - codes[i];
        int spike = (delta > 0) - (delta < 0);
        if (spike != 0) {
            node->events[node->n_events++] = (nvm_event){(uint32_t)(first + i), spike};
            codes[i] = (nvm_code)(codes[i] + spike);
            node->pending |= delta != spike;
        }
    }
}

void nvm_neuron_sd(nvm_node *node, size_t first, const nvm_code *wanted, size_t n)
{
    nvm_code *restrict codes = (nvm_code *)node->codes + first;
    nvm_event *events = node->events;
    uint32_t sent = node->n_events;
    size_t i = 0;
    if (node->quiet) {
        memcpy(codes, wanted, n * sizeof *codes);
        return;
    }
    if (node->unit) {
        send_unit(node, first, wanted, n);
        return;
    }
    for (; n - i >= LANES; i += LANES) {
        uint64_t old, new;
        memcpy(&old, codes + i, 8);
        memcpy(&new, wanted + i, 8);
        if (old == new) {
            continue;
        }
        for (size_t k = i; k < i + LANES; k++) {
            /* Stored always, kept when it is one: no branch to mispredict; sent <= first + k < n. */
            events[sent] = (nvm_event){(uint32_t)(first + k), wanted[k] - codes[k]};
            sent += wanted[k] != codes[k];
        }
        memcpy(codes + i, wanted + i, 8);
    }
    for (; i < n; i++) {
        events[sent] = (nvm_event){(uint32_t)(first + i), wanted[i] - codes[i]};
        sent += wanted[i] != codes[i];
        codes[i] = wanted[i];
    }
    node->n_events = sent;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Unary functions: y[i] = table[(i / run) % tables][q[i] + 128] (wide q + 32768).
 */
#include "nvm_types.h"

#define CHUNK 256

static inline nvm_code look_up(const nvm_node *node, size_t i)
{
    const nvm_code_in *codes = node->in[0]->codes;
    const nvm_code *tables = node->table0;
    uint32_t count = node->layer->aux[0], run = node->layer->aux[1];
    const nvm_code *table = count == 1 ? tables : tables + (size_t)((i / run) % count) * NVM_IN_ALL;
    return table[codes[i] - NVM_IN_MIN];
}

void NVM_NAME(table_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    (void)scratch;
    for (size_t k = 0; k < in->n_events; k++) {
        size_t i = in->events[k].index;
        nvm_send_code(node, i, look_up(node, i));
    }
}

#if defined(NVM_LOOK_UP_S8) && NVM_IN == 8 && NVM_OUT == 8
#include NVM_LOOK_UP_S8
#else
/* wanted[i] = table[codes[i] + 128] */
static void look_up_all(const nvm_code *table, const nvm_code_in *codes, size_t n, nvm_code *wanted)
{
    for (size_t i = 0; i < n; i++) {
        wanted[i] = table[codes[i] - NVM_IN_MIN];
    }
}
#endif

/* The next codes of a full run: `table` is the one of element `first`, for `left` elements more. */
typedef struct place {
    size_t table, left;
} place;

static place look_up_several(const nvm_node *node, size_t first, size_t n, place at, nvm_code *wanted)
{
    const nvm_code *tables = node->table0;
    const nvm_code_in *codes = (const nvm_code_in *)node->in[0]->codes + first;
    for (size_t i = 0, part; i < n; i += part) { /* a division an element would take most of the time */
        const nvm_code *table = tables + at.table * NVM_IN_ALL;
        part = n - i < at.left ? n - i : at.left;
        if (part == 1) {
            wanted[i] = table[codes[i] - NVM_IN_MIN];
        } else {
            look_up_all(table, codes + i, part, wanted + i);
        }
        at.left -= part;
        if (at.left == 0) {
            at.left = node->layer->aux[1];
            at.table = at.table + 1 == node->layer->aux[0] ? 0 : at.table + 1;
        }
    }
    return at;
}

void NVM_NAME(table_full)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_code *table = node->table0;
    const nvm_code_in *codes = node->in[0]->codes;
    size_t n = node->layer->n;
    place at = {.table = 0, .left = node->layer->aux[1]};
    nvm_code wanted[CHUNK];
    (void)scratch;
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t part = n - first < CHUNK ? n - first : CHUNK;
        if (node->layer->aux[0] != 1) {
            at = look_up_several(node, first, part, at, wanted);
        } else {
            look_up_all(table, codes + first, part, wanted);
        }
        nvm_neuron_sd(node, first, wanted, part);
    }
}

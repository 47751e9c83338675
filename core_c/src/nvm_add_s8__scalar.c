/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise sum by two tables: u = table0[q0 + 128] + table1[q1 + 128]; touched elements again.
 */
#include "nvm_types.h"

#define CHUNK 256

static inline int32_t sum_at(const nvm_node *node, size_t i)
{
    const int32_t *table0 = node->table0, *table1 = node->table1;
    const int8_t *codes0 = node->in[0]->codes, *codes1 = node->in[1]->codes;
    return nvm_add_wrap(table0[codes0[i] + 128], table1[codes1[i] + 128]);
}

/* Tables that are lines (modulo 2^32) need no looking up: a product is what SIMD can do. */
static void add_lines(const nvm_node *node, size_t first, size_t n, int32_t *restrict acc)
{
    const int8_t *restrict codes0 = (const int8_t *)node->in[0]->codes + first;
    const int8_t *restrict codes1 = (const int8_t *)node->in[1]->codes + first;
    uint32_t slope0 = (uint32_t)node->slope[0], slope1 = (uint32_t)node->slope[1];
    uint32_t base = (uint32_t)node->base;
    for (size_t i = 0; i < n; i++) {
        acc[i] = (int32_t)(base + (uint32_t)codes0[i] * slope0 + (uint32_t)codes1[i] * slope1);
    }
}

void NVM_NAME(add_full)(nvm_node *node, nvm_scratch *scratch)
{
    int32_t acc[CHUNK];
    int8_t wanted[CHUNK];
    size_t n = node->layer->n;
    (void)scratch;
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t part = n - first < CHUNK ? n - first : CHUNK;
        if (node->affine) {
            add_lines(node, first, part, acc);
        } else {
            for (size_t i = 0; i < part; i++) {
                acc[i] = sum_at(node, first + i);
            }
        }
        NVM_OWN(requant_s32s8)(node, acc, 0, part, wanted);
        NVM_OWN(neuron_sd_s8)(node, first, wanted, part);
    }
}

static void send_elements(nvm_node *node, const uint32_t *index, const int32_t *acc, size_t n)
{
    int8_t wanted[CHUNK];
    NVM_OWN(requant_s32s8)(node, acc, 0, n, wanted);
    for (size_t i = 0; i < n; i++) {
        nvm_send_s8(node, index[i], wanted[i]);
    }
}

void NVM_NAME(add_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_event *a = node->in[0]->events, *a_end = a + node->in[0]->n_events;
    const nvm_event *b = node->in[1]->events, *b_end = b + node->in[1]->n_events;
    uint32_t index[CHUNK];
    int32_t acc[CHUNK];
    size_t n = 0;
    (void)scratch;
    while (a < a_end || b < b_end) {
        uint32_t i = a < a_end ? a->index : UINT32_MAX;
        i = b < b_end && b->index < i ? b->index : i;
        a += a < a_end && a->index == i;
        b += b < b_end && b->index == i;
        index[n] = i;
        acc[n++] = sum_at(node, i);
        if (n == CHUNK) {
            send_elements(node, index, acc, n);
            n = 0;
        }
    }
    if (n != 0) {
        send_elements(node, index, acc, n);
    }
}

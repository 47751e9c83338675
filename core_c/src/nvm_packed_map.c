/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_packed_map.c: a MAP as the runs of consecutive codes that it copies; concatenations, slices and
 * pads have few. A run is its first source, or -1 where it fills, and its length.
 */
#include "nvm_pack.h"

#define LEAST_RUN 8u /* codes, on average: shorter ones are gathered one by one */

/* The runs of a map whose first input has n0 codes; written to `to` unless that is NULL. With `seen`: SIZE_MAX
 * as soon as they are not those. */
static size_t find_runs(const nvm_layer *layer, const int32_t *source, uint32_t n0, uint32_t *to,
                        const uint32_t *seen)
{
    size_t runs = 0;
    for (uint32_t i = 0, end; i < layer->n; i = end, runs++) {
        int32_t first = source[i] < 0 ? -1 : source[i];
        for (end = i + 1; end < layer->n; end++) {
            int64_t next = first < 0 ? -1 : (int64_t)first + (end - i);
            if ((source[end] < 0 ? -1 : source[end]) != next || next == n0) {
                break;
            }
        }
        if (to != NULL) {
            to[2 * runs] = (uint32_t)first;
            to[2 * runs + 1] = end - i;
        }
        if (seen != NULL && (seen[2 * runs] != (uint32_t)first || seen[2 * runs + 1] != end - i)) {
            return SIZE_MAX;
        }
    }
    return runs;
}

size_t nvm_map_runs(const nvm_program *program, uint32_t index, uint32_t *to)
{
    const nvm_layer *layer = &program->layers[index];
    const int32_t *source = nvm_arena_at(program, layer->off_table0);
    size_t runs = find_runs(layer, source, program->layers[layer->in[0]].n, to, NULL);
    return runs <= layer->n / LEAST_RUN + 1 ? runs : 0;
}

/* There is room for as many as the map has. */
int nvm_map_has_runs(const nvm_program *program, uint32_t index, const uint32_t *runs)
{
    const nvm_layer *layer = &program->layers[index];
    const int32_t *source = nvm_arena_at(program, layer->off_table0);
    return find_runs(layer, source, program->layers[layer->in[0]].n, NULL, runs) != SIZE_MAX;
}

/* Where run r of a map reads; NULL: it fills. */
static const int8_t *source_of(const nvm_node *node, const uint32_t *runs, size_t r)
{
    uint32_t n0 = node->in[0]->layer->n, first = runs[2 * r];
    if (first == UINT32_MAX) {
        return NULL;
    }
    return first < n0 ? (const int8_t *)node->in[0]->codes + first
                      : (const int8_t *)node->in[1]->codes + (first - n0);
}

void nvm_packed_map(nvm_node *node)
{
    const uint32_t *runs = (const void *)(node->pack + node->packed->segments);
    int8_t *to = node->codes;
    for (size_t r = 0; 2 * r < node->packed->n_segments; to += runs[2 * r + 1], r++) {
        const int8_t *from = source_of(node, runs, r);
        if (from == NULL) {
            memset(to, node->layer->zero_out, runs[2 * r + 1]);
        } else {
            memcpy(to, from, runs[2 * r + 1]);
        }
    }
}

/* What fills has been there since the first pass. */
void nvm_packed_map_changes(nvm_node *node)
{
    const uint32_t *runs = (const void *)(node->pack + node->packed->segments);
    uint8_t *to = node->codes, *old = node->old;
    node->n_runs = 0;
    for (size_t r = 0, n; 2 * r < node->packed->n_segments; to += n, old += n, r++) {
        const uint8_t *from = (const uint8_t *)source_of(node, runs, r);
        n = runs[2 * r + 1];
        if (from == NULL) {
            memcpy(old, to, n);
        } else {
            node->n_events += node->isa->take_codes(old, to, from, n, 0);
        }
    }
    node->lazy = node->n_events != 0;
}

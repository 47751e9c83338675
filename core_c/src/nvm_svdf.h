/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_svdf.h: what singular value decomposition filters keep in nvm_node.memory.
 */
#ifndef NVM_SVDF_H
#define NVM_SVDF_H

#include "nvm_internal.h"

typedef struct nvm_svdf {
    size_t batches, length, inputs, units, rank, filters;
    int32_t *features; /* [batches][filters]: sums over the input */
    int16_t *states;   /* [batches][filters][length], oldest first, when the step begins */
    int16_t *newest;   /* [batches][filters]: what joins them when it ends */
} nvm_svdf;

static inline nvm_svdf nvm_svdf_memory(const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    nvm_svdf s = {.batches = layer->out_h,
              .length = layer->out_w,
              .inputs = layer->in_c,
              .units = layer->out_c,
              .rank = layer->aux[0],
              .features = node->memory};
    s.filters = s.units * s.rank;
    s.newest = (int16_t *)(s.features + s.batches * s.filters);
    s.states = s.newest + s.batches * s.filters;
    return s;
}

#endif

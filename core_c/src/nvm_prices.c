/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_prices.c: what a part of a run takes, by instruction set and by width of codes.
 */
#include "nvm_prices.h"

#include "nvm_pack.h"

#define WIDE_NEURON_NS   8.0f  /* to int16 codes: products of 64 bits */

/* DENSE and CONV of int16 codes: a full run multiplies 16 bits, an event's difference has 17. */
#define WIDE_EVENT_WEIGHT_NS 0.2f
#define LONG_WEIGHT_NS       0.2f
#define LONG_EVENT_WEIGHT_NS 0.31f

#define NARROW 32u /* weights of a row */

static const nvm_prices plain_c = {.weight = WEIGHT_NS, .narrow_weight = WEIGHT_NS,
                                  .event_weight = WEIGHT_NS, .neuron = NEURON_NS,
                                  .event_tap = EVENT_TAP_NS, .pixel_tap = PIXEL_TAP_NS,
                                  .sum = 1.0f, .sum_event = 2.4f,
                                  .pooled = 0.4f, .pool = 0.6f, .pool_event = 14.0f,
                                  .mean_event = 1.5f,
                                  .dense_tap = EVENT_TAP_NS,
                                  .dense_weight = WEIGHT_NS, .packed = 30.0f,
                                  .packed_weight = 0.006f, .packed_neuron = 0.08f};

#ifdef __x86_64__
/* Fitted to `build/bench SET layers` and to what nvm_program_calibrate measures of single layers, on an AMD EPYC
 * of Zen 4: int8 codes, changes anywhere. */
#define VECTORS                                                                                    \
    .weight = 0.015f, .narrow_weight = 0.045f, .event_weight = 0.04f, .neuron = 0.1f,              \
    .event_tap = 2.5f, .pixel_tap = 6.0f, .sum = 0.25f, .sum_event = 8.0f, .pooled = 0.12f,        \
    .pool = 0.3f, .pool_event = 26.0f, .mean_event = 6.0f, .look = 0.06f, .list = 0.5f

static const nvm_prices vectors = {VECTORS, .begun = 35.0f, .dense_tap = 0.3f, .dense_weight = 0.011f,
                                   .packed = 55.0f, .packed_weight = 0.006f, .packed_neuron = 0.08f};
static const nvm_prices short_vectors = {VECTORS, .begun = 50.0f, .dense_tap = 0.6f,
                                         .dense_weight = 0.02f, .packed = 55.0f,
                                         .packed_weight = 0.018f, .packed_neuron = 0.25f};
#endif

/* Wide codes are summed in plain C's time; other architectures were not measured. */
const nvm_prices *nvm_prices_of(const nvm_node *node)
{
#ifdef __x86_64__
    if (node->isa->lower != node->isa->id && !nvm_is_wide(node->layer)) {
        const nvm_packing *packing = node->isa->packing;
        return packing != NULL && packing->lanes == 16 ? &vectors : &short_vectors;
    }
#endif
    (void)node;
    return &plain_c;
}

float nvm_neuron_ns(const nvm_node *node)
{
    return nvm_is_wide(node->layer) ? WIDE_NEURON_NS : nvm_prices_of(node)->neuron;
}

float nvm_weight_ns(const nvm_node *node)
{
    const nvm_prices *c = nvm_prices_of(node);
    if (node->layer->flags & NVM_FLAG_LONG) {
        return LONG_WEIGHT_NS;
    }
    return node->layer->out_c <= NARROW ? c->narrow_weight : c->weight;
}

float nvm_event_weight_ns(const nvm_node *node)
{
    if (node->layer->flags & NVM_FLAG_LONG) {
        return LONG_EVENT_WEIGHT_NS;
    }
    return nvm_is_wide(node->layer) ? WIDE_EVENT_WEIGHT_NS : nvm_prices_of(node)->event_weight;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_prices.h: what the parts of runs take, in nanoseconds, as estimates of whole runs add them up: on one thread of
 * an AMD EPYC server core, gcc 12 -O3; only their ratios matter.
 */
#ifndef NVM_PRICES_H
#define NVM_PRICES_H

#include "nvm_internal.h"

#define WEIGHT_NS        0.09f /* a weight applied in a row: DENSE, CONV; either way */
#define NEURON_NS        0.4f  /* a neuron requantised and compared */
#define EVENT_TAP_NS     0.3f  /* an event and one tap, beyond the weights */
#define PIXEL_TAP_NS     3.0f  /* a pixel with events and one tap */
#define SINGLE_WEIGHT_NS 1.0f  /* DWCONV: a weight that an event meets alone */
#define ROW_WEIGHT_NS    0.12f /* DWCONV: a weight of a full run */

/* What differs between plain C and vectors; nanoseconds. */
typedef struct nvm_prices {
    float weight, narrow_weight; /* of a full run, unpacked; narrow: few weights a row */
    float event_weight, neuron, event_tap, pixel_tap;
    float sum, sum_event;        /* ADD: an element, an event */
    float pooled, pool, pool_event; /* pools: a code read, a neuron, an event */
    float mean_event;
    float look, list; /* a code compared, an event listed, where only the codes are there; plain C: in the above */
    float begun, dense_tap, dense_weight; /* DENSE: a run by events, an event, a weight of its */
    float packed, packed_weight, packed_neuron; /* a full run over packed weights; DWCONV is apart */
} nvm_prices;

/* Of a layer with its instruction set. */
const nvm_prices *nvm_prices_of(const nvm_node *node);

/* A neuron requantised; a weight in a row of DENSE or CONV: in a full run, and of an event. */
float nvm_neuron_ns(const nvm_node *node);
float nvm_weight_ns(const nvm_node *node);
float nvm_event_weight_ns(const nvm_node *node);

#endif

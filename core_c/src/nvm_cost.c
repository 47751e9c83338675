/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_cost.c: which of the exact ways a layer takes in a step: the one with the smaller estimate.
 *
 * The estimates are nanoseconds on one thread of an AMD EPYC server core, gcc 12 -O3, SSE2; only
 * their ratios matter. Share of random changes from which on a full run is the cheaper, as the
 * estimates predict and as measured (`make -C tests/c build/bench && build/bench break-even`):
 *
 *     layer                   predicted  measured
 *     DENSE 512 to 512           1.00      1.00
 *     DENSE 64 to 10             0.77      0.81
 *     CONV 3x3, 32x32x16 to 16   0.73      0.77
 *     CONV 3x3, 8x8x64 to 64     0.98      0.93
 *     CONV 1x1, 25x5x64 to 64    0.98      0.89
 *     DWCONV 3x3, 25x5x64        0.08      0.06
 *     ADD, 32x32x16              0.22      0.24
 *     AVGPOOL 2x2, 32x32x16      0.06      0.05
 *     MAXPOOL 2x2, 32x32x16      0.06      0.05
 *     MEAN, 8x8x64               0.41      0.47
 *     MAP, 8x8x64                0.02      0.03
 *     TABLE, 8x8x64              1.00      1.00
 *     SOFTMAX, 64 rows of 64     0.10      0.07
 */
#include "nvm_internal.h"

#define WEIGHT_NS 0.09f        /* a weight applied in a row: DENSE, CONV; either way */
#define NEURON_NS 0.4f         /* a neuron requantised and compared */
#define EVENT_TAP_NS 0.3f      /* an event and one tap, beyond the weights */
#define PIXEL_TAP_NS 3.0f      /* a pixel with events and one tap */
#define SINGLE_WEIGHT_NS 1.0f  /* DWCONV: a weight that an event meets alone */
#define ROW_WEIGHT_NS 0.12f    /* DWCONV: a weight of a full run */

static float least(float a, float b)
{
    return a < b ? a : b;
}

void nvm_estimate_full(nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    float work = (float)nvm_layer_work(layer), n = (float)layer->n;
    float n_in = layer->n_in == 0 ? 1.0f : (float)node->in[0]->layer->n;
    switch (layer->kind) {
    case NVM_DENSE:
        node->taps = 1.0f;
        node->full_ns = work * WEIGHT_NS + n * NEURON_NS;
        break;
    case NVM_CONV:
        node->taps = work / (n_in * (float)(layer->out_c / layer->groups));
        node->full_ns = work * WEIGHT_NS + n * NEURON_NS;
        break;
    case NVM_DWCONV:
        node->taps = work / (n_in * (float)layer->groups);
        node->full_ns = work * ROW_WEIGHT_NS + n * NEURON_NS;
        break;
    case NVM_AVGPOOL:
    case NVM_MAXPOOL:
        node->taps = work / n_in;
        node->full_ns = work * 0.4f + n * 0.6f;
        break;
    case NVM_MEAN:
        node->full_ns = n_in * 0.6f;
        break;
    case NVM_SOFTMAX:
        node->full_ns = n * 3.0f;
        break;
    case NVM_TABLE: /* several: a division each to find the one */
        node->full_ns = n * (layer->aux[0] == 1 ? 1.0f : 3.5f);
        break;
    default: /* ADD, MAP */
        node->full_ns = n * 1.0f;
        break;
    }
}

/* Events of a windowed layer: their weights, the walk over the taps of every pixel among them, and
 * the neurons of every output pixel they reach. */
static float window_ns(const nvm_node *node, float events, float weight_ns)
{
    const nvm_layer *layer = node->layer;
    float pixels = least(events, (float)layer->in_h * (float)layer->in_w);
    float reached = least(pixels * node->taps, (float)layer->out_h * (float)layer->out_w);
    return events * node->taps * (EVENT_TAP_NS + weight_ns) + pixels * node->taps * PIXEL_TAP_NS +
           reached * (float)layer->out_c * NEURON_NS;
}

int nvm_prefers_events(const nvm_node *node, size_t received)
{
    const nvm_layer *layer = node->layer;
    float events = (float)received, rows, ns;
    switch (layer->kind) {
    case NVM_DENSE:
        ns = events * (EVENT_TAP_NS + (float)layer->out_c * WEIGHT_NS) + (float)layer->n * NEURON_NS;
        break;
    case NVM_CONV:
        ns = window_ns(node, events, (float)(layer->out_c / layer->groups) * WEIGHT_NS);
        break;
    case NVM_DWCONV:
        ns = window_ns(node, events, (float)layer->groups * SINGLE_WEIGHT_NS);
        break;
    case NVM_AVGPOOL:
    case NVM_MAXPOOL:
        ns = events * (14.0f + 4.0f * node->taps);
        break;
    case NVM_MEAN:
        ns = events * 1.5f;
        break;
    case NVM_SOFTMAX:
        rows = (float)layer->out_h; /* of which so many have an event, roughly */
        ns = rows * events / (rows + events) * (float)layer->out_c * 3.0f + events * 6.0f;
        break;
    default:
        ns = events * 2.4f;
        break;
    }
    return ns < node->full_ns;
}

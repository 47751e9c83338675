/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_cost.c: what events of a layer take, so that of its exact ways the one with the smallest estimate is taken.
 *
 * Share of changed inputs from which on a full run is the cheaper, as the
 * estimates predict and as measured with `make -C tests/c build/bench`, `build/bench break-even` and
 * `build/bench break-even runs`; in all, AUTO took at most 12 % longer than the better way.
 *
 *     plain C                    changes anywhere      neighbours
 *     layer                     pred.   meas.      pred.   meas.
 *     DENSE 512 to 512           1.00    0.98       1.00    1.00
 *     DENSE 64 to 10             0.77    0.81       0.77    0.85
 *     CONV 3x3, 32x32x16 to 16   0.73    0.77       0.77    0.85
 *     CONV 3x3, 8x8x64 to 64     0.98    0.93       0.98    0.93
 *     CONV 1x1, 25x5x64 to 64    0.98    0.89       0.98    0.93
 *     DWCONV 3x3, 25x5x64        0.06    0.03       0.43    0.47
 *     ADD, 32x32x16              0.22    0.23       0.22    0.19
 *     AVGPOOL 2x2, 32x32x16      0.03    0.03       0.03    0.04
 *     MAXPOOL 2x2, 32x32x16      0.03    0.02       0.03    0.03
 *     MEAN, 8x8x64               0.41    0.47       0.41    0.47
 *     MAP, 8x8x64                0.01    0.01       0.01    0.01
 *     TABLE, 8x8x64              1.00    1.00       1.00    1.00
 *     SOFTMAX, 64 rows of 64     0.04    0.04       0.60    0.66
 *     on int16 codes, a step as Python takes it:
 *     DENSE 512 to 512           0.45    0.40
 *     CONV 3x3, 32x32x16 to 16   0.36    0.35
 *     CONV 3x3, 8x8x64 to 64     0.44    0.40
 *     CONV 1x1, 25x5x64 to 64    0.44    0.37
 *     DENSE 2048 to 128, LONG    0.64    0.63
 *     CONV 3x3, 8x8x160, LONG    0.64    0.63
 */
#include "nvm_prices.h"

#define POOLED_PIXEL_NS     10.0f /* AVGPOOL: a pixel and a window */
#define POOLED_ROW_NS       0.1f  /* a code of it */

static float least(float a, float b)
{
    return a < b ? a : b;
}

/* Events of a windowed layer that lie in so many pixels: their weights, the walk over the taps of
 * every pixel, and the neurons of every output pixel they reach. */
static float window_ns(const nvm_node *node, float events, float pixels)
{
    const nvm_layer *layer = node->layer;
    if (nvm_has_deltas(node)) {
        return nvm_deltas_ns(node, events, pixels);
    }
    float reached = least(pixels * node->taps, (float)layer->out_h * (float)layer->out_w);
    float each = nvm_prices_of(node)->event_tap; /* an event and one tap */
    if (layer->kind == NVM_CONV) {
        each += (float)(layer->out_c / layer->groups) * nvm_event_weight_ns(node);
    } else {
        each += (float)layer->groups * SINGLE_WEIGHT_NS;
    }
    float synapses = events * each;
    if (layer->kind == NVM_DWCONV &&
        layer->groups == 1) { /* many channels of a pixel go as one row */
        synapses = least(synapses, pixels * (float)layer->in_c * 2.0f * ROW_WEIGHT_NS);
    }
    return node->taps * (synapses + pixels * nvm_prices_of(node)->pixel_tap) +
           reached * (float)layer->out_c * nvm_neuron_ns(node);
}

/* An event of the left matrix adds a row of the right one; one of the right a column of the left,
 * and then every row of its product is fired again. */
static float matmul_ns(const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    float left = (float)node->in[0]->n_events, right = (float)node->in[1]->n_events;
    float rows = (float)layer->n / (float)layer->out_c;
    float reached = right != 0.0f ? rows : least(left, rows);
    return left * (PIXEL_TAP_NS + (float)layer->out_c * WEIGHT_NS) +
           right * (float)layer->out_h * SINGLE_WEIGHT_NS +
           reached * (float)layer->out_c * NEURON_NS;
}

/* Of AVGPOOL: a pixel is added to the sums of every window that reads it, as a row or event by event. */
static float pooled_ns(const nvm_node *node, float events, float pixels)
{
    const nvm_layer *layer = node->layer;
    float all = (float)layer->out_h * (float)layer->out_w, row = (float)layer->in_c * POOLED_ROW_NS;
    float each = pixels * (POOLED_PIXEL_NS + least(row, events / (pixels + 1.0f)));
    return POOLED_PIXEL_NS + node->taps * each +
           least(pixels * node->taps, all) * (float)layer->out_c * nvm_prices_of(node)->pool;
}

/* Rows of many events go four at a time where codes are narrow. */
static float dense_events_ns(const nvm_node *node, float events)
{
    const nvm_prices *c = nvm_prices_of(node);
    int is_wide = nvm_is_wide(node->layer);
    float tap = is_wide ? c->event_tap : c->dense_tap;
    float weight = is_wide ? nvm_event_weight_ns(node) : c->dense_weight;
    return c->begun + events * (tap + (float)node->layer->out_c * weight);
}

float nvm_plain_events_ns(const nvm_node *node, float events, float pixels)
{
    const nvm_layer *layer = node->layer;
    float ns;
    switch (layer->kind) {
    case NVM_DENSE:
        ns = dense_events_ns(node, events) + (float)layer->n * nvm_neuron_ns(node);
        break;
    case NVM_CONV:
    case NVM_DWCONV:
        ns = window_ns(node, events, pixels);
        break;
    case NVM_AVGPOOL:
        ns = pooled_ns(node, events, pixels);
        break;
    case NVM_MAXPOOL:
        ns = events * (nvm_prices_of(node)->pool_event + 4.0f * node->taps);
        break;
    case NVM_MEAN:
        ns = events * nvm_prices_of(node)->mean_event;
        break;
    case NVM_LSTM:
        ns = events * (nvm_prices_of(node)->event_tap + 4.0f * (float)layer->out_c * WEIGHT_NS);
        break;
    case NVM_SVDF:
        ns = events * (nvm_prices_of(node)->event_tap + (float)layer->out_c * (float)layer->aux[0] * WEIGHT_NS);
        break;
    case NVM_SOFTMAX:
    case NVM_SOFTMAXQ:
    case NVM_L2NORM:
    case NVM_LOGSOFTMAX:
    case NVM_LOGSOFTMAXQ:
        ns = pixels * (float)layer->out_c * 3.0f + events * 2.0f;
        break;
    case NVM_MATMUL:
        ns = matmul_ns(node);
        break;
    case NVM_ARGMAX:
        ns = pixels * (float)layer->out_c + events;
        break;
    case NVM_LERP:
        ns = events * (4.0f * (float)layer->n / (float)node->in[0]->layer->n) * 7.0f;
        break;
    case NVM_ADD:
        ns = events * nvm_prices_of(node)->sum_event;
        break;
    default:
        ns = events * 2.4f;
        break;
    }
    return ns;
}

uint32_t nvm_pixel_codes(const nvm_layer *layer)
{
    switch (layer->kind) {
    case NVM_CONV:
    case NVM_DWCONV:
    case NVM_AVGPOOL:
        return layer->in_c;
    case NVM_SOFTMAX:
    case NVM_SOFTMAXQ:
    case NVM_L2NORM:
    case NVM_LOGSOFTMAX:
    case NVM_LOGSOFTMAXQ:
    case NVM_ARGMAX:
        return layer->out_c;
    default:
        return 1;
    }
}

/* Pixels, or rows, of so many codes that have an event. */
static size_t count_pixels(const nvm_node *in, uint32_t channels)
{
    return nvm_changed_pixels((nvm_node *)in, channels, NULL, SIZE_MAX);
}

/* Measured or not: from what changes next to each other take, to what those anywhere do. */
static float corrected_ns(const nvm_node *node, float events, float pixels, float fewest, float most)
{
    const nvm_layer_costs *costs = &node->costs;
    float spread = most > fewest ? (pixels - fewest) / (most - fewest) : 1.0f;
    float factor = costs->neighbours + (costs->scattered - costs->neighbours) * spread;
    return costs->event_ns + factor * nvm_plain_events_ns(node, events, pixels);
}

float nvm_scattered_ns(const nvm_node *node, size_t received)
{
    float events = (float)received;
    float most = least(events, (float)(node->in[0]->layer->n / nvm_pixel_codes(node->layer)));
    return corrected_ns(node, events, most, most, most);
}

/* To list what an input has only counted so far. */
static float list_ns(const nvm_node *in)
{
    return !in->lazy ? 0.0f
                     : (float)in->layer->n * nvm_prices_of(in)->look +
                           (float)in->n_events * nvm_prices_of(in)->list;
}

/* The pixels are counted only where the answer depends on them. */
float nvm_events_ns(const nvm_node *node, size_t received)
{
    uint32_t channels = nvm_pixel_codes(node->layer);
    float events = (float)received, each = (float)channels;
    float most = least(events, (float)(node->in[0]->layer->n / channels)), fewest = events / each;
    float ns = corrected_ns(node, events, most, fewest, most);
    if (channels > 1 && ns >= node->full_ns &&
        corrected_ns(node, events, fewest, fewest, most) < node->full_ns) {
        float pixels = (float)count_pixels(node->in[0], channels);
        ns = corrected_ns(node, events, pixels, fewest, most);
    }
    for (uint32_t p = 0; p < node->layer->n_in && !nvm_has_deltas(node); p++) {
        ns += list_ns(node->in[p]);
    }
    return ns;
}

float nvm_tiles_ns(const nvm_node *node, size_t received, size_t reached)
{
    if (nvm_is_elementwise(node)) {
        return nvm_plain_tiles_ns(node, received, reached);
    }
    return node->costs.tile_ns + node->costs.tile_share * nvm_plain_tiles_ns(node, received, reached);
}

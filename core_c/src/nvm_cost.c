/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_cost.c: which of the exact ways a layer takes in a step: the one with the smaller estimate.
 *
 * The estimates are nanoseconds on one thread of an AMD EPYC server core, gcc 12 -O3; only
 * their ratios matter. Share of changed inputs from which on a full run is the cheaper, as the
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
#include "nvm_pack.h"

#define WEIGHT_NS        0.09f /* a weight applied in a row: DENSE, CONV; either way */
#define NEURON_NS        0.4f  /* a neuron requantised and compared */
#define WIDE_NEURON_NS   8.0f  /* to int16 codes: products of 64 bits */
#define EVENT_TAP_NS     0.3f  /* an event and one tap, beyond the weights */
#define PIXEL_TAP_NS     3.0f  /* a pixel with events and one tap */
#define SINGLE_WEIGHT_NS 1.0f  /* DWCONV: a weight that an event meets alone */
#define ROW_WEIGHT_NS    0.12f /* DWCONV: a weight of a full run */

/* A full run over packed weights: of a depthwise one, and of all else. */
#define PACKED_DW_WEIGHT_NS 0.03f
#define PACKED_NS           30.0f
#define KEEP_NEURON_NS      0.1f  /* beyond: its sum is stored */
#define POOLED_PIXEL_NS     10.0f /* AVGPOOL: a pixel and a window */
#define POOLED_ROW_NS       0.1f  /* a code of it */
#define COPY_NS             0.05f /* MAP: a code of a run */
#define RUN_NS              4.0f

/* DENSE and CONV of int16 codes: a full run multiplies 16 bits, an event's difference has 17. */
#define WIDE_EVENT_WEIGHT_NS 0.2f
#define LONG_WEIGHT_NS       0.2f
#define LONG_EVENT_WEIGHT_NS 0.31f

/* What differs between plain C and vectors; nanoseconds. */
typedef struct prices {
    float weight, narrow_weight; /* of a full run, unpacked; narrow: rows of up to NARROW weights */
    float event_weight, neuron, event_tap, pixel_tap;
    float sum, sum_event;        /* ADD: an element, an event */
    float pooled, pool, pool_event; /* pools: a code read, a neuron, an event */
    float mean_event;
    float look, list; /* a code compared, an event listed, where only the codes are there; plain C: in the above */
    float begun, dense_tap, dense_weight; /* DENSE: a run by events, an event, a weight of its */
    float packed, packed_weight, packed_neuron; /* a full run over packed weights; DWCONV is apart */
} prices;

#define NARROW 32u

static const prices plain_c = {.weight = WEIGHT_NS, .narrow_weight = WEIGHT_NS,
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

static const prices vectors = {VECTORS, .begun = 35.0f, .dense_tap = 0.3f, .dense_weight = 0.011f,
                               .packed = 55.0f, .packed_weight = 0.006f, .packed_neuron = 0.08f};
static const prices short_vectors = {VECTORS, .begun = 50.0f, .dense_tap = 0.6f,
                                     .dense_weight = 0.02f, .packed = 55.0f,
                                     .packed_weight = 0.018f, .packed_neuron = 0.25f};
#endif

/* Wide codes are summed in plain C's time; other architectures were not measured. */
static const prices *prices_of(const nvm_node *node)
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

static float neuron_ns(const nvm_node *node)
{
    return nvm_is_wide(node->layer) ? WIDE_NEURON_NS : prices_of(node)->neuron;
}

/* A weight in a row of DENSE or CONV: in a full run, and of an event. */
static float weight_ns(const nvm_node *node)
{
    const prices *c = prices_of(node);
    if (node->layer->flags & NVM_FLAG_LONG) {
        return LONG_WEIGHT_NS;
    }
    return node->layer->out_c <= NARROW ? c->narrow_weight : c->weight;
}

static float event_weight_ns(const nvm_node *node)
{
    if (node->layer->flags & NVM_FLAG_LONG) {
        return LONG_EVENT_WEIGHT_NS;
    }
    return nvm_is_wide(node->layer) ? WIDE_EVENT_WEIGHT_NS : prices_of(node)->event_weight;
}

static float least(float a, float b)
{
    return a < b ? a : b;
}

static void estimate_full(nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    float work = (float)nvm_layer_work(layer), n = (float)layer->n;
    float n_in = layer->n_in == 0 ? 1.0f : (float)node->in[0]->layer->n;
    switch (layer->kind) {
    case NVM_DENSE:
        node->taps = 1.0f;
        node->full_ns = work * weight_ns(node) + n * neuron_ns(node);
        break;
    case NVM_CONV:
        node->taps = work / (n_in * (float)(layer->out_c / layer->groups));
        node->full_ns = work * weight_ns(node) + n * neuron_ns(node);
        break;
    case NVM_DWCONV:
        node->taps = work / (n_in * (float)layer->groups);
        node->full_ns = work * ROW_WEIGHT_NS + n * neuron_ns(node);
        break;
    case NVM_AVGPOOL:
    case NVM_MAXPOOL:
        node->taps = work / n_in;
        node->full_ns = work * prices_of(node)->pooled + n * prices_of(node)->pool;
        break;
    case NVM_MEAN:
        node->full_ns = n_in * 0.6f;
        break;
    case NVM_LSTM: /* its input's part; gates follow either way */
        node->full_ns = n_in * 4.0f * (float)layer->out_c * WEIGHT_NS;
        break;
    case NVM_SVDF: /* as LSTM */
        node->full_ns = n_in * (float)layer->out_c * (float)layer->aux[0] * WEIGHT_NS;
        break;
    case NVM_SOFTMAX:
    case NVM_SOFTMAXQ:
    case NVM_L2NORM:
    case NVM_LOGSOFTMAX:
    case NVM_LOGSOFTMAXQ:
        node->full_ns = n * 3.0f;
        break;
    case NVM_MATMUL:
        node->full_ns = work * WEIGHT_NS + n * NEURON_NS;
        break;
    case NVM_ARGMAX:
        node->full_ns = n_in * 1.0f;
        break;
    case NVM_LERP:
        node->full_ns = n * 5.0f;
        break;
    case NVM_TABLE:
        node->full_ns = n * 1.0f;
        break;
    case NVM_ADD:
        node->full_ns = n * (node->affine ? prices_of(node)->sum : 1.0f);
        break;
    default: /* MAP */
        node->full_ns = n * 1.0f;
        break;
    }
    if (node->packed != NULL && layer->kind == NVM_MAP) {
        node->full_ns = PACKED_NS + (float)node->packed->n_segments * RUN_NS + n * COPY_NS;
    } else if (node->packed != NULL) {
        const prices *c = prices_of(node);
        float each = node->packed->is_depthwise ? PACKED_DW_WEIGHT_NS : c->packed_weight;
        node->full_ns = c->packed + work * each + n * c->packed_neuron;
    }
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
    float each = prices_of(node)->event_tap; /* an event and one tap */
    if (layer->kind == NVM_CONV) {
        each += (float)(layer->out_c / layer->groups) * event_weight_ns(node);
    } else {
        each += (float)layer->groups * SINGLE_WEIGHT_NS;
    }
    float synapses = events * each;
    if (layer->kind == NVM_DWCONV &&
        layer->groups == 1) { /* many channels of a pixel go as one row */
        synapses = least(synapses, pixels * (float)layer->in_c * 2.0f * ROW_WEIGHT_NS);
    }
    return node->taps * (synapses + pixels * prices_of(node)->pixel_tap) +
           reached * (float)layer->out_c * neuron_ns(node);
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
           least(pixels * node->taps, all) * (float)layer->out_c * prices_of(node)->pool;
}

/* Rows of many events go four at a time where codes are narrow. */
static float dense_events_ns(const nvm_node *node, float events)
{
    const prices *c = prices_of(node);
    int is_wide = nvm_is_wide(node->layer);
    float tap = is_wide ? c->event_tap : c->dense_tap;
    float weight = is_wide ? event_weight_ns(node) : c->dense_weight;
    return c->begun + events * (tap + (float)node->layer->out_c * weight);
}

float nvm_plain_events_ns(const nvm_node *node, float events, float pixels)
{
    const nvm_layer *layer = node->layer;
    float ns;
    switch (layer->kind) {
    case NVM_DENSE:
        ns = dense_events_ns(node, events) + (float)layer->n * neuron_ns(node);
        break;
    case NVM_CONV:
    case NVM_DWCONV:
        ns = window_ns(node, events, pixels);
        break;
    case NVM_AVGPOOL:
        ns = pooled_ns(node, events, pixels);
        break;
    case NVM_MAXPOOL:
        ns = events * (prices_of(node)->pool_event + 4.0f * node->taps);
        break;
    case NVM_MEAN:
        ns = events * prices_of(node)->mean_event;
        break;
    case NVM_LSTM:
        ns = events * (prices_of(node)->event_tap + 4.0f * (float)layer->out_c * WEIGHT_NS);
        break;
    case NVM_SVDF:
        ns = events * (prices_of(node)->event_tap + (float)layer->out_c * (float)layer->aux[0] * WEIGHT_NS);
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
        ns = events * prices_of(node)->sum_event;
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
                     : (float)in->layer->n * prices_of(in)->look +
                           (float)in->n_events * prices_of(in)->list;
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

void nvm_estimate_full(nvm_node *node, const nvm_layer_costs *costs)
{
    estimate_full(node);
    if (costs != NULL && costs->full_ns > 0.0f) {
        node->costs = *costs;
        node->full_ns = costs->full_ns;
        return;
    }
    float keep_ns = node->packed == NULL ? 0.0f : (float)node->layer->n * KEEP_NEURON_NS;
    node->costs = (nvm_layer_costs){.keep_ns = node->full_ns + keep_ns,
                                    .scattered = 1.0f,
                                    .neighbours = 1.0f,
                                    .tile_share = 1.0f};
}

float nvm_tiles_ns(const nvm_node *node, size_t received, size_t reached)
{
    if (nvm_is_elementwise(node)) {
        return nvm_plain_tiles_ns(node, received, reached);
    }
    return node->costs.tile_ns + node->costs.tile_share * nvm_plain_tiles_ns(node, received, reached);
}

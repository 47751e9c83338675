/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_deltas.c: events of packed convolutions, in groups of four channels: what changed in a pixel is
 * added to the sums of the outputs that it reaches, by output, so that sums stay in registers.
 */
#include "nvm_pack.h"

enum { TARGETS = 32, SPANS = 256, MOST_ROWS = 16 };

/* Nanoseconds, as in nvm_prices.h: to begin with, of a changed pixel, of an output that is reached, of a group and
 * a block of channels that it meets. */
#define DELTAS_NS  80.0f
#define PIXEL_NS   10.0f
#define TARGET_NS  25.0f
#define PRODUCT_NS 0.55f
#define LEAST_NS   0.9f /* of a group and an output, however few channels */

int nvm_has_deltas_of(const nvm_isa *isa, const nvm_layer *layer)
{
    return isa->packing != NULL && isa->packing->deltas != NULL && layer->kind == NVM_CONV &&
           layer->groups == 1 && layer->in_c % 4 == 0;
}

int nvm_has_deltas(const nvm_node *node)
{
    return node->packed != NULL && nvm_has_deltas_of(node->isa, node->layer) &&
           (node->cols.dil == 1 || node->cols.k == 1) && node->rows.k <= MOST_ROWS;
}

/* Of so many events anywhere in so many pixels: groups that have one. */
static float groups_of(const nvm_layer *layer, float events, float pixels)
{
    float rest = 1.0f - events / (pixels * (float)layer->in_c);
    return pixels * (float)layer->in_c * 0.25f * (1.0f - rest * rest * rest * rest);
}

float nvm_deltas_ns(const nvm_node *node, float events, float pixels)
{
    const nvm_layer *layer = node->layer;
    float all = (float)(layer->n / layer->out_c), reached = pixels * node->taps;
    float each = (float)node->packed->blocks * PRODUCT_NS;
    reached = reached < all ? reached : all;
    if (pixels == 0.0f) {
        return DELTAS_NS;
    }
    return DELTAS_NS + pixels * PIXEL_NS + reached * TARGET_NS +
           groups_of(layer, events, pixels) * node->taps * (each > LEAST_NS ? each : LEAST_NS);
}

/* ---- what changed ------------------------------------------------------------------------- */

/* Four changes of one word, in as many parts as int8 needs; their sum. */
static int32_t put_word(nvm_deltas *deltas, int32_t changes[4], uint32_t word)
{
    int32_t sum = 0;
    while ((changes[0] | changes[1] | changes[2] | changes[3]) != 0) {
        uint32_t bytes = 0;
        for (int k = 0; k < 4; k++) {
            int32_t part = changes[k] < -128 ? -128 : changes[k] > 127 ? 127 : changes[k];
            bytes |= (uint32_t)(part & 255) << (8 * k);
            changes[k] -= part;
            sum += part;
        }
        deltas->codes[deltas->n] = (int32_t)bytes;
        deltas->words[deltas->n++] = word;
    }
    return sum;
}

/* The events of one pixel, *k the first of them, which becomes the one behind them; their sum. */
static int32_t put_events(nvm_deltas *deltas, const nvm_node *in, size_t *k, uint32_t first,
                          uint32_t channels, uint32_t word)
{
    int32_t changes[4] = {0}, sum = 0;
    uint32_t at = 0; /* word of the pixel */
    for (; *k < in->n_events && in->events[*k].index - first < channels; ++*k) {
        uint32_t c = in->events[*k].index - first;
        if (c / 4 != at) {
            sum += put_word(deltas, changes, word + at);
            at = c / 4;
        }
        changes[c % 4] = in->events[*k].delta;
    }
    return sum + put_word(deltas, changes, word + at);
}

/* The changes of all changed pixels; 0 where there is no room for them. */
static int collect(const nvm_node *node, nvm_scratch *scratch, nvm_deltas *deltas)
{
    const nvm_layer *layer = node->layer;
    const nvm_node *in = node->in[0];
    const int8_t *now = in->codes, *old = in->old;
    uint32_t channels = layer->in_c, sum = 0;
    nvm_changed *changed = scratch->changed;
    size_t n = scratch->n_pixels, k = 0;
    for (size_t p = 0; p < n; p++) {
        uint32_t pixel = scratch->pixels[p], first = pixel * channels;
        uint32_t word = pixel % layer->in_w * (channels / 4);
        if (deltas->most - deltas->n < channels / 4 * 3 + NVM_DELTA_SLACK) {
            return 0;
        }
        changed[p] = (nvm_changed){pixel, (uint32_t)deltas->n, sum};
        int32_t part = in->lazy ? node->isa->packing->compare(deltas, old + first, now + first, channels, word)
                                : put_events(deltas, in, &k, first, channels, word);
        sum += (uint32_t)part;
    }
    changed[n] = (nvm_changed){UINT32_MAX, (uint32_t)deltas->n, sum};
    return 1;
}

/* ---- what it reaches ---------------------------------------------------------------------- */

/* Targets and their spans until there are enough for one call of the product. */
typedef struct batch {
    nvm_product product;
    const nvm_deltas *deltas;
    const nvm_changed *changed;
    nvm_target targets[TARGETS];
    nvm_span spans[SPANS];
    uint32_t n, n_spans;
    uint32_t low[MOST_ROWS]; /* of each row of taps, the changed pixel where the last target began */
    uint64_t products;
} batch;

static void flush(batch *b)
{
    b->product.node->isa->packing->deltas(&b->product, b->deltas, b->spans, b->targets, b->n);
    b->n = b->n_spans = 0;
}

/* Adds output pixel `out` if anything meets its window; outputs come in order, and so do the pixels that each
 * row of taps begins with. */
static void add_target(batch *b, uint32_t out)
{
    const nvm_node *node = b->product.node;
    const nvm_layer *layer = node->layer;
    int32_t row = (int32_t)(out / layer->out_w) * node->rows.stride - node->rows.pad;
    int32_t col = (int32_t)(out % layer->out_w) * node->cols.stride - node->cols.pad;
    int32_t first = col > 0 ? col : 0, end = col + node->cols.k;
    int32_t words = (int32_t)(layer->in_c / 4);
    nvm_target *target = &b->targets[b->n];
    *target = (nvm_target){.out = out, .span = b->n_spans};
    end = end < node->cols.in ? end : node->cols.in;
    for (int32_t i = 0; i < node->rows.k; i++) {
        int32_t r = row + i * node->rows.dil;
        if (r < 0 || r >= node->rows.in || first >= end) {
            continue;
        }
        uint32_t from = (uint32_t)(r * node->cols.in + first), to = (uint32_t)(r * node->cols.in + end);
        uint32_t low = b->low[i], high;
        while (b->changed[low].pixel < from) {
            low++;
        }
        for (high = low; b->changed[high].pixel < to;) {
            high++;
        }
        b->low[i] = low;
        if (low != high) {
            const nvm_changed *x = &b->changed[low], *y = &b->changed[high];
            int32_t word = (col - i * node->cols.k) * words;
            b->spans[b->n_spans++] = (nvm_span){x->first, y->first, (uint32_t)word};
            target->sum = (int32_t)((uint32_t)target->sum + (y->sum - x->sum));
            target->n_spans++;
            b->products += y->first - x->first;
        }
    }
    b->n += target->n_spans != 0;
    if (b->n == TARGETS || SPANS - b->n_spans < MOST_ROWS) {
        flush(b);
    }
}

int nvm_run_deltas(nvm_node *node, nvm_scratch *scratch)
{
    nvm_deltas deltas = scratch->deltas;
    batch b = {.deltas = &deltas, .changed = scratch->changed};
    size_t channels = node->layer->out_c;
    if (scratch->marks.first == scratch->marks.end) {
        (void)nvm_mark_tiles(node, scratch);
    }
    if (!collect(node, scratch, &deltas)) {
        nvm_unmark_all(&scratch->marks);
        return 0;
    }
    b.product = (nvm_product){.packed = node->packed,
                              .pack = node->pack,
                              .node = node,
                              .codes = node->codes,
                              .acc = node->acc,
                              .channels = node->layer->out_c};
    node->n_runs = 0;
    for (size_t first, n; (first = nvm_unmark_run(&scratch->marks, &n)) != SIZE_MAX;) {
        nvm_touch(node, first * channels, (first + n) * channels);
        for (size_t k = 0; k < n; k++) {
            add_target(&b, (uint32_t)(first + k));
        }
    }
    flush(&b);
    node->sops += b.products * 4 * channels;
    return 1;
}

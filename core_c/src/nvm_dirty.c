/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_dirty.c: which pixels of an input changed, and which outputs those reach. Only the runs that the
 * sender touched are looked at, so that the cost is that of the change and not of the layer.
 */
#include "nvm_internal.h"

/* Nanoseconds, as in nvm_prices.h: to begin with, of a changed pixel, and of a code that is computed anew. */
#define TILES_NS       80.0f
#define TILE_PIXEL_NS  3.0f
#define STRIP_NS       30.0f /* of a strip, beyond its pixels and one more */
#define LEAST_PIXEL_NS 0.5f /* of a pixel in a full run, so that strips stay numbers that fit */
#define TILE_CODE_NS   0.05f
#define TILE_SHARE     1.1f /* of a pixel's time in a full run */

enum { EARLY = 2 }; /* words of a pixel */

/* ---- changed pixels ----------------------------------------------------------------------- */

/* Whether `n` bytes differ. */
static inline __attribute__((always_inline)) int differs(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t x, y, difference = 0;
    for (size_t k = 1; n >= sizeof x; k++, n -= sizeof x, a += sizeof x, b += sizeof x) {
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        difference |= x ^ y;
        if (k == EARLY && n > 2 * sizeof x && difference != 0) {
            return 1; /* of many codes, which mostly differ early where they do */
        }
    }
    for (; n != 0; n--, a++, b++) {
        difference |= (uint64_t)(*a ^ *b);
    }
    return difference != 0;
}

/* Appends those of the pixels [p, end) that differ; without branches, as nobody can foretell them. Every one is
 * written to the same place where step is 0. */
static inline __attribute__((always_inline)) size_t
compare_pixels(const nvm_node *node, uint32_t p, uint32_t end, size_t bytes, uint32_t *list, size_t step)
{
    const uint8_t *now = (const uint8_t *)node->codes + p * bytes;
    const uint8_t *old = (const uint8_t *)node->old + p * bytes;
    size_t n = 0;
    for (; p < end; p++, now += bytes, old += bytes) {
        list[n * step] = p;
        n += (size_t)differs(now, old, bytes);
    }
    return n;
}

static size_t compare_run(const nvm_node *node, uint32_t p, uint32_t end, size_t bytes, uint32_t *list,
                          size_t step)
{
    switch (bytes) { /* the usual ones, whose loops then have a known length */
    case 1:
        return compare_pixels(node, p, end, 1, list, step);
    case 3:
        return compare_pixels(node, p, end, 3, list, step);
    case 8:
        return compare_pixels(node, p, end, 8, list, step);
    case 16:
        return compare_pixels(node, p, end, 16, list, step);
    case 32:
        return compare_pixels(node, p, end, 32, list, step);
    case 64:
        return compare_pixels(node, p, end, 64, list, step);
    default:
        return compare_pixels(node, p, end, bytes, list, step);
    }
}

static size_t compare_runs(const nvm_node *node, uint32_t channels, uint32_t *list, size_t most)
{
    nvm_run all = {0, node->layer->n};
    const nvm_run *runs = node->n_runs == 0 ? &all : node->runs;
    size_t n_runs = node->n_runs == 0 ? 1 : node->n_runs, n = 0, step = list != NULL;
    size_t bytes = channels * nvm_code_bytes(node->layer);
    uint32_t unused;
    list = list != NULL ? list : &unused;
    int is_usual = bytes <= 4 || bytes == 8 || bytes == 16 || bytes == 32 || bytes % 64 == 0;
    nvm_differing_pixels_fn *vectors = is_usual ? node->isa->differing_pixels : NULL;
    for (const nvm_run *end = runs + n_runs; runs < end && n <= most; runs++) {
        if (vectors != NULL) {
            n += vectors(node->old, node->codes, runs->first / channels, runs->end / channels, bytes,
                         step != 0 ? list + n : NULL);
            continue;
        }
        n += compare_run(node, runs->first / channels, runs->end / channels, bytes, list + n * step, step);
    }
    return n <= most ? n : SIZE_MAX;
}

static size_t walk_events(const nvm_node *node, uint32_t channels, uint32_t *list, size_t most)
{
    size_t n = 0;
    uint64_t end = 0; /* of the pixel before */
    for (size_t k = 0; k < node->n_events; k++) {
        if (node->events[k].index < end) {
            continue;
        }
        if (n == most) {
            return SIZE_MAX;
        }
        uint32_t pixel = node->events[k].index / channels;
        end = ((uint64_t)pixel + 1) * channels;
        if (list != NULL) {
            list[n] = pixel;
        }
        n++;
    }
    return n;
}

size_t nvm_changed_pixels(nvm_node *node, uint32_t channels, uint32_t *list, size_t most)
{
    size_t n;
    if (list == NULL && node->counted == channels) {
        return node->n_changed;
    }
    if (node->lazy) {
        nvm_align_runs(node, channels);
        n = compare_runs(node, channels, list, most);
    } else {
        n = walk_events(node, channels, list, most);
    }
    node->counted = n == SIZE_MAX ? 0 : channels;
    node->n_changed = n == SIZE_MAX ? 0 : (uint32_t)n;
    return n;
}

/* ---- reached outputs ---------------------------------------------------------------------- */

/* Those of input pixels [first, end) of row r, and any that lie between them. */
static void mark_outputs(const nvm_node *node, nvm_scratch *scratch, int32_t r, int32_t first, int32_t end)
{
    nvm_marks *marks = &scratch->marks;
    int32_t y, y_end, x, x_end, unused;
    nvm_axis_outputs(&node->rows, r, &y, &y_end);
    nvm_axis_outputs(&node->cols, first, &x, &unused);
    nvm_axis_outputs(&node->cols, end - 1, &unused, &x_end);
    if (y >= y_end || x >= x_end) {
        return;
    }
    scratch->left = (uint32_t)x < scratch->left ? (uint32_t)x : scratch->left;
    scratch->right = (uint32_t)x_end > scratch->right ? (uint32_t)x_end : scratch->right;
    for (; y < y_end; y++) {
        nvm_mark_run(marks, (size_t)y * node->layer->out_w + (size_t)x, (size_t)(x_end - x));
    }
}

static size_t mark_windows(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_layer *layer = node->layer;
    nvm_node *in = (nvm_node *)node->in[0]; /* nodes and their lists are one session's own */
    nvm_marks *marks = &scratch->marks;
    uint32_t width = layer->in_w, *list = scratch->pixels;
    size_t reached = 0, strips = 0, n = nvm_changed_pixels(in, layer->in_c, list, scratch->most_pixels);
    scratch->n_pixels = n;
    scratch->left = UINT32_MAX;
    scratch->right = 0;
    uint32_t row = n != 0 ? list[0] / width : 0, behind = (row + 1) * width;
    for (size_t k = 0, end; k < n; k = end) {
        for (; list[k] >= behind; behind += width) {
            row++;
        }
        for (end = k + 1; end < n && list[end] == list[end - 1] + 1 && list[end] < behind;) {
            end++;
        }
        int32_t first = (int32_t)(list[k] - row * width);
        mark_outputs(node, scratch, (int32_t)row, first, first + (int32_t)(end - k));
    }
    for (size_t w = marks->first; w < marks->end; w++) {
        uint64_t word = marks->words[w];
        reached += (size_t)__builtin_popcountll(word);
        strips += (size_t)__builtin_popcountll(word & ~(word << 1));
    }
    float each = node->full_ns * (float)layer->out_c / (float)layer->n;
    return reached + strips + (size_t)((float)strips * STRIP_NS / (each + LEAST_PIXEL_NS));
}

size_t nvm_mark_tiles(nvm_node *node, nvm_scratch *scratch)
{
    return nvm_is_elementwise(node) ? nvm_elements_mark(node) : mark_windows(node, scratch);
}

float nvm_plain_tiles_ns(const nvm_node *node, size_t received, size_t reached)
{
    const nvm_layer *layer = node->layer;
    if (nvm_is_elementwise(node)) {
        return nvm_elements_ns(node, reached == 0 ? received : reached);
    }
    float all = (float)(layer->n / layer->out_c), changed = (float)received / (float)layer->in_c;
    float least = changed * all / ((float)layer->in_h * (float)layer->in_w); /* as large a share */
    float pixels = reached == 0 ? least : (float)reached;
    return TILES_NS + changed * TILE_PIXEL_NS +
           pixels * ((float)layer->out_c * TILE_CODE_NS + TILE_SHARE * node->full_ns / all);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_packed_pairs.c: windows of three columns, two output pixels of a row at a time, by Winograd's
 * F(2, 3): four products where there would be six. With the codes d0 .. d3 that a pair reads of a row, of one
 * channel, and weights g0 .. g2, all doubled so that nothing is halved before the end,
 *
 *     m0 = (d0 - d2) 2 g0    m1 = (d1 + d2) (g0 + g1 + g2)    m2 = (d2 - d1) (g0 - g1 + g2)
 *     m3 = (d1 - d3) 2 g2    2 y0 = m0 + m1 + m2              2 y1 = m1 - m2 - m3
 *
 * Sums of m over rows and channels are exact modulo 2^32, and so are 2 y, which the number of weights keeps
 * within int32. A canvas row holds the four kinds of factors one after the other, int16 [4][pairs][in_c]. Dirty
 * tiles go by single pixels, over the other packed form. Cook and Toom's algorithm as in S. Winograd, Arithmetic
 * Complexity of Computations, 1980.
 */
#include "nvm_pack.h"

#define KINDS         4u
#define LEAST_WIDTH   4u     /* output pixels of a row: fewer fill no tile */
#define LEAST_PIXELS  32u    /* in all: fewer do not pay for reading more weights */
#define LEAST_CODES   8u     /* channels: fewer leave most of the time to what comes before and after */
#define MOST_WEIGHTS  32768u /* of a window: 255 128 2^15 < 2^30 */
#define MOST_BYTES    0x7FFFFFFFu

enum { STRIPS = 64 };

nvm_packed nvm_pairs_of(const nvm_program *program, uint32_t index, const nvm_packed *p)
{
    const nvm_layer *layer = &program->layers[index];
    nvm_packed pairs = {.is_there = 0};
    if (!p->is_there || layer->kind != NVM_CONV || program->isa->packing->product_pairs == NULL ||
        layer->groups != 1 || layer->k_w != 3 || layer->stride_w != 1 || layer->dil_w != 1 || layer->in_c < LEAST_CODES ||
        p->out_w < LEAST_WIDTH || (uint64_t)p->out_w * p->out_h < LEAST_PIXELS ||
        3 * (uint64_t)layer->k_h * layer->in_c > MOST_WEIGHTS) {
        return pairs;
    }
    uint64_t of_row = (p->out_w + 1u) / 2u, line = KINDS * of_row * layer->in_c * sizeof(int16_t);
    if (line * p->height > MOST_BYTES) { /* at most three times the other canvas */
        return pairs;
    }
    pairs = *p;
    pairs.pairs = 0;
    pairs.n_segments = layer->k_h;
    pairs.words = (layer->in_c + 1) / 2;
    pairs.width = (uint32_t)(2 * of_row + 2);
    pairs.line = (uint32_t)line;
    pairs.row = layer->stride_h * pairs.line;
    pairs.column = layer->in_c * (uint32_t)sizeof(int16_t);
    return pairs;
}

uint64_t nvm_pairs_weight_bytes(const nvm_packed *pairs)
{
    uint64_t words = (uint64_t)pairs->n_segments * pairs->words;
    return KINDS * words * pairs->blocks * pairs->lanes * 2 * sizeof(int16_t);
}

/* The factors, and one row of codes that they are made from. */
uint64_t nvm_pairs_canvas_bytes(const nvm_layer *layer, const nvm_packed *pairs)
{
    return (uint64_t)pairs->height * pairs->line +
           (uint64_t)pairs->width * layer->in_c * sizeof(int16_t);
}

/* Of one row of taps, an input channel and an output channel. */
static int16_t weight_of(const nvm_layer *layer, const int8_t *weights, size_t kind, size_t row,
                         size_t k, size_t c)
{
    size_t column = (size_t)layer->in_c * layer->out_c;
    const int8_t *g = weights + (row * 3 * layer->in_c + k) * layer->out_c + c;
    int both = g[0] + g[2 * column];
    switch (kind) {
    case 0:
        return (int16_t)(2 * g[0]);
    case 1:
        return (int16_t)(both + g[column]);
    case 2:
        return (int16_t)(both - g[column]);
    default:
        return (int16_t)(2 * g[2 * column]);
    }
}

uint32_t nvm_pairs_segment(const nvm_layer *layer, const nvm_packed *pairs, size_t segment)
{
    return (uint32_t)(segment * layer->dil_h * pairs->line);
}

void nvm_pairs_write(const nvm_layer *layer, const nvm_packed *pairs, const int8_t *weights, uint8_t *pack)
{
    int16_t *to = (int16_t *)(void *)(pack + pairs->weights);
    uint32_t *segments = (uint32_t *)(void *)(pack + pairs->segments);
    size_t words = (size_t)pairs->n_segments * pairs->words;
    for (size_t s = 0; s < pairs->n_segments; s++) {
        segments[s] = nvm_pairs_segment(layer, pairs, s);
    }
    for (size_t block = 0; block < pairs->blocks; block += pairs->group) {
        size_t left = pairs->blocks - block, blocks = left < pairs->group ? left : pairs->group;
        size_t lanes = blocks * pairs->lanes;
        for (size_t i = 0; i < KINDS * words * lanes * 2; i++) { /* [kind][row][word][lane][2] */
            size_t lane = i / 2 % lanes, word = i / 2 / lanes;
            size_t c = block * pairs->lanes + lane, k = word % pairs->words * 2 + i % 2;
            size_t row = word / pairs->words % pairs->n_segments, kind = word / words;
            to[i] = c < layer->out_c && k < layer->in_c
                        ? weight_of(layer, weights, kind, row, k, c)
                        : 0;
        }
        to += KINDS * words * lanes * 2;
    }
}

/* ---- a full run --------------------------------------------------------------------------- */

static void build(const nvm_node *node, const nvm_packed *pairs, uint8_t *canvas)
{
    uint8_t *line = canvas + (size_t)pairs->height * pairs->line;
    for (uint32_t r = 0; r < pairs->height; r++) {
        nvm_canvas_row(node, line, r, 0, pairs->width);
        node->isa->packing->split((int16_t *)(void *)(canvas + (size_t)r * pairs->line),
                                  (const int16_t *)(void *)line, (pairs->out_w + 1) / 2,
                                  node->layer->in_c);
    }
}

void nvm_packed_pairs(const nvm_node *node, nvm_scratch *scratch, int8_t *codes, int32_t *acc)
{
    const nvm_packing *set = node->isa->packing;
    const nvm_packed *pairs = (const void *)(node->pack + node->packed->pairs);
    nvm_product product = {.packed = pairs,
                           .pack = node->pack,
                           .canvas = scratch->canvas,
                           .node = node,
                           .codes = codes,
                           .acc = acc,
                           .channels = node->layer->out_c};
    nvm_strip strips[STRIPS];
    size_t n = 0;
    uint32_t all = (pairs->out_w + 1) / 2, most = set->pixels[pairs->group];
    build(node, pairs, scratch->canvas);
    for (uint32_t y = 0; y < pairs->out_h; y++) {
        uint32_t parts = (all + most - 1) / most;
        for (uint32_t first = 0; first < all; parts--) {
            uint32_t end = first + (all - first + parts - 1) / parts;
            strips[n++] = (nvm_strip){.in = y * pairs->row + first * pairs->column,
                                      .out = y * pairs->out_w + 2 * first,
                                      .n = (end < all ? 2 * end : pairs->out_w) - 2 * first};
            first = end;
            if (n == STRIPS) {
                set->product_pairs(&product, strips, n);
                n = 0;
            }
        }
    }
    set->product_pairs(&product, strips, n);
}

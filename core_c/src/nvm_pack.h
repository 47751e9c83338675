/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_pack.h: the weights of a program a second time, in the order in which dense runs read them.
 *
 * A packed layer reads its input through a canvas: the codes + offset, surrounded by as much of the
 * zero point as its windows reach over. A tap of the padding then adds w (zero_in - zero_in) = 0, as if
 * it were skipped, and with u = q + offset
 *
 *     A = bias + sum w (q - zero_in) = constant + sum w u,  constant = bias - (offset + zero_in) sum w
 *
 * modulo 2^32, whichever way the sum is cut. Windows are cut into segments of consecutive codes,
 * segments into words of `depth` codes, which one lane multiplies and adds at once; a weight stands
 * beside each code, 0 where a word hangs over the segment's end. The instruction set says how wide all
 * this is (struct nvm_packing), so that a pack is for the set of its program.
 */
#ifndef NVM_PACK_H
#define NVM_PACK_H

#include "nvm_internal.h"

#define NVM_MAX_BLOCKS 4u  /* blocks whose sums are held in registers together: a group */
#define NVM_CANVAS_SLACK 128u /* bytes that may be read beyond a canvas */

/* One layer. Offsets count from the pack's first byte, but those of segments from a window's first. */
struct nvm_packed {
    uint64_t weights;   /* int8[words in all][lanes][depth], group by group; DWCONV: nvm_pack.c */
    uint64_t constant;  /* int32[blocks][lanes] */
    uint64_t scale;     /* float[blocks][lanes]: FP32 and AFFINE */
    uint64_t segments;  /* uint32[n_segments]: where each begins; MAP: its runs */
    uint64_t pairs;     /* 0, or where a second nvm_packed lies: nvm_packed_pairs.c */
    uint32_t n_segments, words; /* words of one segment */
    uint32_t blocks, group;     /* of channels; blocks that go together */
    uint32_t width, height;     /* of the canvas, in positions of in_c codes; flat: all in one row */
    uint32_t row, column;       /* bytes from one output pixel's window to the next one's */
    uint32_t line;              /* bytes of a canvas row */
    uint32_t out_w, out_h;      /* pixels; flat: out_w = all */
    uint8_t is_there, is_flat, is_depthwise;
    uint8_t lanes, depth;       /* channels of a block, codes of a word */
    uint8_t is_narrow;          /* no weight is -128 */
    uint8_t reserved[6];        /* 0: packs of a program are the same bytes */
};
_Static_assert(sizeof(nvm_packed) == 96, "no byte of a record is left unsaid");

typedef struct nvm_pack {
    uint64_t bytes;
    nvm_packed layers[];
} nvm_pack;

/* Consecutive pixels of one row: where the first's window begins in the canvas, and which it is. */
typedef struct nvm_strip {
    uint32_t in, out, n;
} nvm_strip;

/* What a run over strips needs; acc NULL: the sums are not kept, codes NULL: they alone are. */
typedef struct nvm_product {
    const nvm_packed *packed;
    const uint8_t *pack, *canvas;
    const nvm_node *node;
    int8_t *codes;
    int32_t *acc;
    uint32_t channels;
} nvm_product;

typedef void nvm_product_fn(const nvm_product *product, const nvm_strip *strips, size_t n);

/* The factors int16[4][pairs][in_c] of a row of 2 pairs + 2 positions of in_c codes (nvm_packed_pairs.c). */
typedef void nvm_split_fn(int16_t *to, const int16_t *line, size_t pairs, size_t in_c);

/* Those of [first, end) meet the word of a window that `word` lies before their own. */
typedef struct nvm_span {
    uint32_t first, end, word;
} nvm_span;

/* An output pixel whose sums change: by which spans, and by how much all codes that they change together. */
typedef struct nvm_target {
    uint32_t out, span, n_spans;
    int32_t sum;
} nvm_target;

typedef void nvm_deltas_fn(const nvm_product *product, const nvm_deltas *deltas, const nvm_span *spans,
                           const nvm_target *targets, size_t n);

/* Appends the changes from `old` to `now`, n codes from word `word` on, a multiple of 4; their sum. Changes
 * beyond int8 become up to three. At least NVM_DELTA_SLACK more than 3 n / 4 places are free. */
typedef int32_t nvm_compare_fn(nvm_deltas *deltas, const int8_t *old, const int8_t *now, size_t n,
                               uint32_t word);
#define NVM_DELTA_SLACK 16u

/* What an instruction set has for packed layers, and how their weights lie.
 *
 *              code_bytes  offset  lanes  depth  dw_lanes  dw_depth  dw_vectors
 *     avx2              2     128      8      2        16         2           2
 *     avxvnni           1     128      8      4        32         4           4
 *     avx512vnni        1     128     16      4        64         4           4
 *     neon              1       0      8     16        16         1           4
 *     dotprod           1       0     16      4        16         1           4
 *     i8mm              1       0     16      8        16         1           4
 */
struct nvm_packing {
    nvm_product_fn *product, *product_dw;
    nvm_product_fn *product_pairs; /* NULL: none; code_bytes and depth are 2 elsewhere */
    nvm_split_fn *split;
    nvm_deltas_fn *deltas; /* NULL: none; else depth is 4 */
    nvm_compare_fn *compare;
    void (*lift)(uint8_t *to, const int8_t *codes, size_t n); /* n codes + offset */
    uint8_t code_bytes; /* 1 or 2: of a code in a canvas, in the machine's order */
    uint8_t offset;     /* 0 or 128; 128 makes codes of one byte unsigned */
    uint8_t lanes;      /* channels of a block */
    uint8_t depth;      /* codes of a word; words begin at any code */
    uint8_t dw_lanes;   /* channels of a block of DWCONV, in dw_vectors vectors: vector v of them holds */
    uint8_t dw_vectors; /* channels 4 dw_vectors l + 4 v + 0 .. 3 for l = 0, 1 .. */
    uint8_t dw_depth;   /* taps of a word of DWCONV */
    uint8_t most_blocks;                /* of a group */
    uint8_t pixels[NVM_MAX_BLOCKS + 1]; /* of the longest strip, or pairs, by the blocks of a group */
};

/* The bytes of a layer's canvas; 0 where it cannot be packed. */
size_t nvm_canvas_bytes(const nvm_program *program, uint32_t index);

/* How packs are made: where layers' parts begin; the packed forms of a layer behind `*used` bytes, which it moves on;
 * where a segment of it begins. */
uint64_t nvm_pack_records_end(const nvm_program *program);
nvm_packed nvm_pack_next(const nvm_program *program, uint32_t index, nvm_packed *pairs,
                         uint64_t *used);
uint32_t nvm_pack_segment(const nvm_layer *layer, const nvm_packed *p, const nvm_packing *set,
                          size_t segment);

/* The runs of a MAP, written to `to` unless that is NULL, two words each; 0 where they are too many. */
size_t nvm_map_runs(const nvm_program *program, uint32_t index, uint32_t *to);
int nvm_map_has_runs(const nvm_program *program, uint32_t index, const uint32_t *runs);
/* A full run of a packed MAP; the same of a lazy sender, with its changes counted on the way. */
void nvm_packed_map(nvm_node *node);
void nvm_packed_map_changes(nvm_node *node);

/* Positions [left, right) of row r of a canvas, which begins at `line`. */
void nvm_canvas_row(const nvm_node *node, uint8_t *line, uint32_t r, uint32_t left, uint32_t right);

/* The form in pairs of a layer packed as `p`, but for where it lies; is_there = 0 where it has none. Then the
 * bytes of its weights and of its canvas, the weights themselves, and a full run. */
nvm_packed nvm_pairs_of(const nvm_program *program, uint32_t index, const nvm_packed *p);
uint32_t nvm_pairs_segment(const nvm_layer *layer, const nvm_packed *pairs, size_t segment);
uint64_t nvm_pairs_weight_bytes(const nvm_packed *pairs);
uint64_t nvm_pairs_canvas_bytes(const nvm_layer *layer, const nvm_packed *pairs);
void nvm_pairs_write(const nvm_layer *layer, const nvm_packed *pairs, const int8_t *weights, uint8_t *pack);
void nvm_packed_pairs(const nvm_node *node, nvm_scratch *scratch, int8_t *codes, int32_t *acc);

/* The packed form of a layer, or NULL. */
const nvm_packed *nvm_packed_of(const nvm_program *program, uint32_t index);

nvm_product_fn nvm_product_pairs_s8__avx2;
nvm_split_fn nvm_split_s16__avx2;
nvm_product_fn nvm_product_dw_s8__avx2, nvm_product_dw_s8__avxvnni, nvm_product_dw_s8__avx512vnni;
nvm_product_fn nvm_product_dw_s8__neon;
nvm_deltas_fn nvm_deltas_s8__avx512vnni, nvm_deltas_s8__dotprod;
nvm_compare_fn nvm_compare_s8__avx512vnni, nvm_compare_s8__dotprod;

static inline const void *nvm_pack_at(const nvm_product *product, uint64_t offset)
{
    return product->pack + offset;
}

#endif

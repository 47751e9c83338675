/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_pack.c: packs the weights of a program (nvm_pack.h says how they lie).
 */
#include "nvm_pack.h"

/* More than so many times the bytes of a layer's codes or weights are not spent on packing it, nor of the
 * arena on packing all, as layers may share weights. */
#define MAX_GROWTH 16u
#define FREE_BYTES 65536u
#define MOST_GROUPS 8u /* of CONV: packed weights of other groups' channels are 0, and multiplied like all others */
#define MAX_CANVAS 0x7FFFFFFFu /* bytes: offsets are of 32 bits */

static uint64_t align_up(uint64_t bytes)
{
    return (bytes + NVM_ALIGN - 1) / NVM_ALIGN * NVM_ALIGN;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Input channels that an output channel reads. */
static size_t depth_of(const nvm_layer *layer)
{
    return layer->kind == NVM_DWCONV ? 1 : layer->kind == NVM_CONV ? layer->in_c / layer->groups : layer->in_c;
}

/* Whether dense runs of this layer have a packed form at all. */
static int is_packable(const nvm_program *program, uint32_t index)
{
    const nvm_layer *layer = &program->layers[index];
    if (program->isa->packing == NULL || program->coding != 0 || layer->neuron != NVM_SD ||
        (layer->flags & NVM_FLAG_UNIT) || layer->n_in == 0 ||
        nvm_types_of(program, index) != NVM_TYPES_s8) {
        return 0;
    }
    return layer->kind == NVM_MAP || layer->kind == NVM_DENSE ||
           (layer->kind == NVM_CONV && layer->groups <= MOST_GROUPS) ||
           (layer->kind == NVM_DWCONV && (layer->groups == 1 || layer->in_c == 1));
}

/* Positions that the windows of an axis span. */
static uint64_t span(const nvm_axis *axis)
{
    return (uint64_t)(axis->out - 1) * (uint64_t)axis->stride +
           (uint64_t)(axis->k - 1) * (uint64_t)axis->dil + 1;
}

static int has_flat_axes(const nvm_axis *rows, const nvm_axis *cols)
{
    return rows->k == 1 && cols->k == 1 && rows->stride == 1 && cols->stride == 1 &&
           rows->pad == 0 && cols->pad == 0 && rows->in == rows->out && cols->in == cols->out;
}

/* Sizes of a layer's packed form but for where it lies; is_there = 0 where it has none. */
static nvm_packed shape_of(const nvm_program *program, uint32_t index)
{
    const nvm_layer *layer = &program->layers[index];
    nvm_packed p = {.is_there = 0};
    if (!is_packable(program, index)) {
        return p;
    }
    if (layer->kind == NVM_MAP) {
        p.n_segments = (uint32_t)(2 * nvm_map_runs(program, index, NULL));
        p.is_there = p.n_segments != 0;
        return p;
    }
    const nvm_packing *set = program->isa->packing;
    nvm_axis rows = nvm_layer_rows(layer), cols = nvm_layer_cols(layer);
    uint64_t in_c = layer->in_c, code_bytes = set->code_bytes, taps, words;
    p.is_depthwise = layer->kind == NVM_DWCONV && layer->in_c > 1;
    p.lanes = p.is_depthwise ? set->dw_lanes : set->lanes;
    p.depth = p.is_depthwise ? set->dw_depth : set->depth;
    if (layer->kind == NVM_DENSE) {
        rows = cols = (nvm_axis){.in = 1, .out = 1, .k = 1, .stride = 1, .dil = 1};
    }
    p.is_flat = (uint8_t)has_flat_axes(&rows, &cols);
    uint64_t width = span(&cols), height = span(&rows);
    if (width > UINT16_MAX * 4 || height > UINT16_MAX * 4 ||
        width * height * in_c > MAX_GROWTH * (uint64_t)program->layers[layer->in[0]].n + FREE_BYTES ||
        width * height * in_c * code_bytes > MAX_CANVAS) {
        return p;
    }
    taps = (uint64_t)rows.k * (uint64_t)cols.k;
    if (p.is_depthwise) {
        words = (taps + p.depth - 1) / p.depth;
        p.n_segments = (uint32_t)(words * p.depth);
        p.words = (uint32_t)words;
    } else {
        uint64_t codes = in_c; /* of a segment: a tap, a row of taps, or all */
        p.n_segments = (uint32_t)taps;
        if (cols.dil == 1 || cols.k == 1) {
            codes *= (uint64_t)cols.k;
            p.n_segments = (uint32_t)rows.k;
            if ((uint64_t)cols.k == width && (rows.dil == 1 || rows.k == 1)) {
                codes *= (uint64_t)rows.k;
                p.n_segments = 1;
            }
        }
        p.words = (uint32_t)((codes + p.depth - 1) / p.depth);
        words = (uint64_t)p.n_segments * p.words;
    }
    p.blocks = (layer->out_c + p.lanes - 1) / p.lanes;
    p.group = (uint32_t)least(p.blocks, set->most_blocks);
    if (words * p.depth * p.blocks * p.lanes >
        MAX_GROWTH * (layer->out_c * depth_of(layer) * taps) + FREE_BYTES) {
        return p;
    }
    p.width = (uint32_t)width;
    p.height = (uint32_t)height;
    p.line = (uint32_t)(width * in_c * code_bytes);
    p.column = (uint32_t)((uint64_t)cols.stride * in_c * code_bytes);
    p.row = (uint32_t)rows.stride * p.line;
    p.out_w = (uint32_t)cols.out;
    p.out_h = (uint32_t)rows.out;
    if (p.is_flat) {
        p.out_w *= p.out_h;
        p.width *= p.height;
        p.line *= p.height;
        p.out_h = p.height = 1;
    }
    p.is_there = 1;
    return p;
}

size_t nvm_canvas_bytes(const nvm_program *program, uint32_t index)
{
    nvm_packed p = shape_of(program, index), pairs = nvm_pairs_of(program, index, &p);
    uint64_t bytes = p.is_there ? (uint64_t)p.height * p.line : 0;
    if (pairs.is_there) {
        uint64_t more = nvm_pairs_canvas_bytes(&program->layers[index], &pairs);
        bytes = bytes > more ? bytes : more;
    }
    return bytes != 0 ? (size_t)bytes + NVM_CANVAS_SLACK : 0;
}

static uint64_t weight_bytes(const nvm_packed *p)
{
    uint64_t words = p->is_depthwise ? p->words : (uint64_t)p->n_segments * p->words;
    return p->blocks * words * p->depth * p->lanes;
}

/* Gives the layer's parts their places from `used` on; the end. */
static uint64_t place(nvm_packed *p, nvm_packed *pairs, uint64_t used)
{
    uint64_t channels = (uint64_t)p->blocks * p->lanes;
    p->weights = used;
    p->constant = align_up(p->weights + weight_bytes(p));
    p->scale = align_up(p->constant + channels * sizeof(int32_t));
    p->segments = align_up(p->scale + channels * sizeof(float));
    used = align_up(p->segments + p->n_segments * sizeof(uint32_t));
    if (pairs->is_there) {
        p->pairs = used;
        pairs->constant = p->constant;
        pairs->scale = p->scale;
        pairs->weights = align_up(used + sizeof *pairs);
        pairs->segments = align_up(pairs->weights + nvm_pairs_weight_bytes(pairs));
        used = align_up(pairs->segments + pairs->n_segments * sizeof(uint32_t));
    }
    return used;
}

/* ---- writing ------------------------------------------------------------------------------ */

/* Where channel c stands among the sums. DWCONV interleaves codes within parts of vectors
 * (struct nvm_packing), and so do its sums lie. */
static size_t lane_of(const nvm_packed *p, const nvm_packing *set, size_t c)
{
    if (!p->is_depthwise) {
        return c;
    }
    size_t turn = 4u * set->dw_vectors, in_block = c % p->lanes;
    size_t l = in_block / turn, v = in_block % turn / 4;
    return c - in_block + v * (p->lanes / set->dw_vectors) + l * 4 + c % 4;
}

/* Weight of a tap, input channel k (of DWCONV 0), output channel c; 0 where they are of two groups. */
static int8_t weight_at(const nvm_layer *layer, const int8_t *weights, size_t tap, size_t k, size_t c)
{
    size_t depth = depth_of(layer);
    if (layer->kind == NVM_CONV) {
        size_t first = c / (layer->out_c / layer->groups) * depth;
        if (k < first || k >= first + depth) {
            return 0;
        }
        k -= first;
    }
    return weights[(tap * depth + k) * layer->out_c + c];
}

static void write_windows(const nvm_layer *layer, const nvm_packed *p, const int8_t *weights,
                          int8_t *to)
{
    size_t taps = layer->kind == NVM_DENSE ? 1 : (size_t)layer->k_h * layer->k_w;
    size_t in_c = layer->in_c, codes = taps * in_c / p->n_segments;
    for (size_t block = 0; block < p->blocks; block += p->group) {
        size_t blocks = least(p->group, p->blocks - block);
        for (size_t s = 0; s < p->n_segments; s++) {
            for (size_t word = 0; word < p->words; word++) {
                for (size_t lane = 0; lane < blocks * p->lanes; lane++) {
                    size_t c = block * p->lanes + lane;
                    for (size_t k = 0; k < p->depth; k++, to++) {
                        size_t at = word * p->depth + k, code = s * codes + at;
                        *to = at < codes && c < layer->out_c
                                  ? weight_at(layer, weights, code / in_c, code % in_c, c)
                                  : 0;
                    }
                }
            }
        }
    }
}

static void write_depthwise(const nvm_layer *layer, const nvm_packed *p, const nvm_packing *set,
                            const int8_t *weights, int8_t *to)
{
    size_t taps = (size_t)layer->k_h * layer->k_w;
    memset(to, 0, weight_bytes(p));
    for (size_t c = 0; c < layer->out_c; c++) {
        size_t lane = lane_of(p, set, c), block = lane / p->lanes;
        for (size_t tap = 0; tap < taps; tap++) {
            size_t word = block * p->words + tap / p->depth;
            to[(word * p->lanes + lane % p->lanes) * p->depth + tap % p->depth] =
                weight_at(layer, weights, tap, 0, c);
        }
    }
}

uint32_t nvm_pack_segment(const nvm_layer *layer, const nvm_packed *p, const nvm_packing *set,
                          size_t segment)
{
    size_t position = (size_t)layer->in_c * set->code_bytes, taps = (size_t)layer->k_h * layer->k_w;
    int by_tap = p->is_depthwise || p->n_segments == taps;
    size_t i = 0, j = 0;
    if (p->n_segments > 1 && segment < taps) { /* beyond: weights of 0 */
        i = by_tap ? segment / layer->k_w : segment;
        j = by_tap ? segment % layer->k_w : 0;
    }
    return (uint32_t)(i * layer->dil_h * p->line + j * layer->dil_w * position);
}

static void write_channels(const nvm_program *program, const nvm_layer *layer, const nvm_packed *p,
                           uint8_t *pack)
{
    const nvm_packing *set = program->isa->packing;
    const int8_t *weights = nvm_arena_at(program, layer->off_weights);
    const int32_t *bias = nvm_arena_at(program, layer->off_bias);
    const float *scale = nvm_arena_at(program, layer->off_scale);
    int32_t *constant = (int32_t *)(void *)(pack + p->constant);
    float *factor = (float *)(void *)(pack + p->scale);
    size_t taps = layer->kind == NVM_DENSE ? 1 : (size_t)layer->k_h * layer->k_w;
    size_t in_c = depth_of(layer);
    memset(constant, 0, (size_t)p->blocks * p->lanes * sizeof *constant);
    memset(factor, 0, (size_t)p->blocks * p->lanes * sizeof *factor);
    for (size_t c = 0; c < layer->out_c; c++) {
        int64_t sum = 0; /* of at most 2^32 weights */
        for (size_t row = 0; row < taps * in_c; row++) {
            sum += weights[row * layer->out_c + c];
        }
        size_t lane = lane_of(p, set, c);
        constant[lane] =
            (int32_t)((uint32_t)bias[c] - (uint32_t)((set->offset + layer->zero_in) * sum));
        if (layer->requant == NVM_RQ_FP32 || layer->requant == NVM_RQ_AFFINE) {
            factor[lane] = scale[layer->requant == NVM_RQ_FP32 ? c : 0];
        }
    }
}

static int is_narrow(const nvm_layer *layer, const int8_t *weights)
{
    size_t taps = layer->kind == NVM_DENSE ? 1 : (size_t)layer->k_h * layer->k_w;
    size_t n = taps * depth_of(layer) * layer->out_c;
    return memchr(weights, 0x80, n) == NULL;
}

uint64_t nvm_pack_records_end(const nvm_program *program)
{
    return align_up(sizeof(nvm_pack) + program->n_layers * sizeof(nvm_packed));
}

nvm_packed nvm_pack_next(const nvm_program *program, uint32_t index, nvm_packed *pairs,
                         uint64_t *used)
{
    nvm_packed p = shape_of(program, index);
    *pairs = nvm_pairs_of(program, index, &p);
    uint64_t most =
        nvm_pack_records_end(program) + MAX_GROWTH * (uint64_t)program->arena_len + FREE_BYTES;
    uint64_t end = p.is_there ? place(&p, pairs, *used) : *used;
    p.is_there = p.is_there && end <= most;
    *used = p.is_there ? end : *used;
    if (p.is_there && program->layers[index].kind != NVM_MAP) {
        const nvm_layer *layer = &program->layers[index];
        p.is_narrow = (uint8_t)is_narrow(layer, nvm_arena_at(program, layer->off_weights));
    }
    return p;
}

size_t nvm_pack_size(const nvm_program *program)
{
    if (program == NULL || program->n_layers == 0) {
        return 0;
    }
    nvm_packed pairs;
    uint64_t used = nvm_pack_records_end(program);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        (void)nvm_pack_next(program, i, &pairs, &used);
    }
    return (size_t)used;
}

nvm_status nvm_program_pack(nvm_program *program, void *mem, size_t len)
{
    nvm_status status = NVM_OK;
    if (program == NULL || program->n_layers == 0 || mem == NULL) {
        status = NVM_E_ARG;
        goto done;
    }
    if ((uintptr_t)mem % NVM_ALIGN != 0 || len < nvm_pack_size(program)) {
        status = NVM_E_SIZE;
        goto done;
    }
    nvm_pack *pack = mem;
    uint8_t *base = mem;
    const nvm_packing *set = program->isa->packing;
    uint64_t used = nvm_pack_records_end(program);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        nvm_packed pairs, p = nvm_pack_next(program, i, &pairs, &used);
        if (p.is_there && layer->kind == NVM_MAP) {
            (void)nvm_map_runs(program, i, (uint32_t *)(void *)(base + p.segments));
        } else if (p.is_there) {
            const int8_t *weights = nvm_arena_at(program, layer->off_weights);
            if (p.is_depthwise) {
                write_depthwise(layer, &p, set, weights, (int8_t *)base + p.weights);
            } else {
                write_windows(layer, &p, weights, (int8_t *)base + p.weights);
            }
            uint32_t *segments = (uint32_t *)(void *)(base + p.segments);
            for (size_t segment = 0; segment < p.n_segments; segment++) {
                segments[segment] = nvm_pack_segment(layer, &p, set, segment);
            }
            write_channels(program, layer, &p, base);
            if (p.pairs != 0) {
                nvm_pairs_write(layer, &pairs, weights, base);
                memcpy(base + p.pairs, &pairs, sizeof pairs);
            }
        }
        pack->layers[i] = p;
    }
    pack->bytes = used;
    program->pack = pack;
done:
    return status;
}

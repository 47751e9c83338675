/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_pack.c: packs the weights of a program (nvm_pack.h says how they lie).
 */
#include "nvm_pack.h"

/* More than so many times the bytes of a layer's codes or weights are not spent on packing it, nor of the
 * arena on packing all, as layers may share weights. */
#define MAX_GROWTH 16u
#define FREE_BYTES 65536u

static uint64_t align_up(uint64_t bytes)
{
    return (bytes + NVM_ALIGN - 1) / NVM_ALIGN * NVM_ALIGN;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
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
    return layer->kind == NVM_MAP || layer->kind == NVM_DENSE || (layer->kind == NVM_CONV && layer->groups == 1) ||
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
    nvm_axis rows = nvm_layer_rows(layer), cols = nvm_layer_cols(layer);
    uint64_t in_c = layer->in_c, taps, quads;
    p.is_depthwise = layer->kind == NVM_DWCONV && layer->in_c > 1;
    if (layer->kind == NVM_DENSE) {
        rows = cols = (nvm_axis){.in = 1, .out = 1, .k = 1, .stride = 1, .dil = 1};
    }
    p.is_flat = (uint8_t)has_flat_axes(&rows, &cols);
    uint64_t width = span(&cols), height = span(&rows);
    if (width > UINT16_MAX * 4 || height > UINT16_MAX * 4 ||
        width * height * in_c > MAX_GROWTH * (uint64_t)program->layers[layer->in[0]].n + FREE_BYTES) {
        return p;
    }
    taps = (uint64_t)rows.k * (uint64_t)cols.k;
    if (p.is_depthwise) {
        quads = (taps + 3) / 4;
        p.n_segments = (uint32_t)(quads * 4);
        p.quads = (uint32_t)quads;
        p.blocks = (layer->out_c + NVM_DW_LANES - 1) / NVM_DW_LANES;
    } else {
        uint64_t bytes = in_c; /* of a segment: a tap, a row of taps, or all */
        p.n_segments = (uint32_t)taps;
        if (cols.dil == 1 || cols.k == 1) {
            bytes *= (uint64_t)cols.k;
            p.n_segments = (uint32_t)rows.k;
            if ((uint64_t)cols.k == width && (rows.dil == 1 || rows.k == 1)) {
                bytes *= (uint64_t)rows.k;
                p.n_segments = 1;
            }
        }
        quads = p.n_segments * ((bytes + 3) / 4);
        p.quads = (uint32_t)((bytes + 3) / 4);
        p.blocks = (layer->out_c + NVM_LANES - 1) / NVM_LANES;
        p.group = (uint32_t)least(p.blocks, program->isa->packing->most_blocks);
    }
    uint64_t lanes = p.is_depthwise ? NVM_DW_LANES : NVM_LANES;
    if (p.blocks * lanes * quads * 4 > MAX_GROWTH * (layer->out_c * in_c * taps) + FREE_BYTES) {
        return p;
    }
    p.width = (uint32_t)width;
    p.height = (uint32_t)height;
    p.line = (uint32_t)(width * in_c);
    p.column = (uint32_t)((uint64_t)cols.stride * in_c);
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
    nvm_packed p = shape_of(program, index);
    return p.is_there ? (size_t)p.height * p.line + NVM_CANVAS_SLACK : 0;
}

static uint32_t lanes_of(const nvm_packed *p)
{
    return p->is_depthwise ? NVM_DW_LANES : NVM_LANES;
}

static uint64_t weight_bytes(const nvm_packed *p)
{
    uint64_t quads = p->is_depthwise ? p->quads : (uint64_t)p->n_segments * p->quads;
    return p->blocks * quads * 4 * lanes_of(p);
}

/* Gives the layer's parts their places from `used` on; the end. */
static uint64_t place(nvm_packed *p, uint64_t used)
{
    uint64_t channels = (uint64_t)p->blocks * lanes_of(p);
    p->weights = used;
    p->constant = align_up(p->weights + weight_bytes(p));
    p->scale = align_up(p->constant + channels * sizeof(int32_t));
    p->segments = align_up(p->scale + channels * sizeof(float));
    return align_up(p->segments + p->n_segments * sizeof(uint32_t));
}

/* ---- writing ------------------------------------------------------------------------------ */

/* Where channel c stands among the sums of its block. DWCONV interleaves bytes within lanes of 16, so
 * that register v holds channels 16 l + 4 v + 0 .. 3, l = 0 .. 3, of each 64. */
static size_t lane_of(const nvm_packed *p, size_t c)
{
    if (!p->is_depthwise) {
        return c;
    }
    size_t block = c / 64, l = c % 64 / 16, v = c % 16 / 4;
    return block * 64 + v * 16 + l * 4 + c % 4;
}

/* Weight of tap (i, j), input channel k within its group, output channel c. */
static int8_t weight_at(const nvm_layer *layer, const int8_t *weights, size_t tap, size_t k, size_t c)
{
    size_t in_c = layer->kind == NVM_DWCONV ? 1 : layer->in_c;
    return weights[(tap * in_c + k) * layer->out_c + c];
}

static void write_windows(const nvm_layer *layer, const nvm_packed *p, const int8_t *weights,
                          int8_t *to)
{
    size_t taps = layer->kind == NVM_DENSE ? 1 : (size_t)layer->k_h * layer->k_w;
    size_t in_c = layer->in_c, bytes = taps * in_c / p->n_segments;
    for (size_t block = 0; block < p->blocks; block += p->group) {
        size_t blocks = least(p->group, p->blocks - block);
        for (size_t s = 0; s < p->n_segments; s++) {
            for (size_t q = 0; q < p->quads; q++) {
                for (size_t lane = 0; lane < blocks * NVM_LANES; lane++) {
                    size_t c = block * NVM_LANES + lane;
                    for (size_t k = 0; k < 4; k++, to++) {
                        size_t at = q * 4 + k, byte = s * bytes + at;
                        *to = at < bytes && c < layer->out_c
                                  ? weight_at(layer, weights, byte / in_c, byte % in_c, c)
                                  : 0;
                    }
                }
            }
        }
    }
}

static void write_depthwise(const nvm_layer *layer, const nvm_packed *p, const int8_t *weights,
                            int8_t *to)
{
    size_t taps = (size_t)layer->k_h * layer->k_w;
    memset(to, 0, weight_bytes(p));
    for (size_t c = 0; c < layer->out_c; c++) {
        size_t lane = lane_of(p, c), block = lane / NVM_DW_LANES;
        for (size_t tap = 0; tap < taps; tap++) {
            size_t quad = block * p->quads + tap / 4;
            to[(quad * NVM_DW_LANES + lane % NVM_DW_LANES) * 4 + tap % 4] =
                weight_at(layer, weights, tap, 0, c);
        }
    }
}

static void write_segments(const nvm_layer *layer, const nvm_packed *p, uint32_t *segments)
{
    size_t in_c = layer->in_c, taps = (size_t)layer->k_h * layer->k_w;
    int by_tap = p->is_depthwise || p->n_segments == taps;
    for (size_t s = 0; s < p->n_segments; s++) {
        size_t i = 0, j = 0;
        if (p->n_segments > 1 && s < taps) { /* beyond: weights of 0 */
            i = by_tap ? s / layer->k_w : s;
            j = by_tap ? s % layer->k_w : 0;
        }
        segments[s] = (uint32_t)(i * layer->dil_h * p->line + j * layer->dil_w * in_c);
    }
}

static void write_channels(const nvm_program *program, const nvm_layer *layer, const nvm_packed *p,
                           uint8_t *pack)
{
    const int8_t *weights = nvm_arena_at(program, layer->off_weights);
    const int32_t *bias = nvm_arena_at(program, layer->off_bias);
    const float *scale = nvm_arena_at(program, layer->off_scale);
    int32_t *constant = (int32_t *)(void *)(pack + p->constant);
    float *factor = (float *)(void *)(pack + p->scale);
    size_t taps = layer->kind == NVM_DENSE ? 1 : (size_t)layer->k_h * layer->k_w;
    size_t in_c = layer->kind == NVM_DWCONV ? 1 : layer->in_c;
    memset(constant, 0, (size_t)p->blocks * lanes_of(p) * sizeof *constant);
    memset(factor, 0, (size_t)p->blocks * lanes_of(p) * sizeof *factor);
    for (size_t c = 0; c < layer->out_c; c++) {
        int64_t sum = 0; /* of at most 2^32 weights */
        for (size_t row = 0; row < taps * in_c; row++) {
            sum += weights[row * layer->out_c + c];
        }
        size_t lane = lane_of(p, c);
        constant[lane] = (int32_t)((uint32_t)bias[c] - (uint32_t)((128 + layer->zero_in) * sum));
        if (layer->requant == NVM_RQ_FP32 || layer->requant == NVM_RQ_AFFINE) {
            factor[lane] = scale[layer->requant == NVM_RQ_FP32 ? c : 0];
        }
    }
}

static uint64_t records_end(const nvm_program *program)
{
    return align_up(sizeof(nvm_pack) + program->n_layers * sizeof(nvm_packed));
}

/* The packed form of a layer behind `*used` bytes, which it moves on. */
static nvm_packed next_layer(const nvm_program *program, uint32_t index, uint64_t *used)
{
    nvm_packed p = shape_of(program, index);
    uint64_t most = records_end(program) + MAX_GROWTH * (uint64_t)program->arena_len + FREE_BYTES;
    uint64_t end = p.is_there ? place(&p, *used) : *used;
    p.is_there = p.is_there && end <= most;
    *used = p.is_there ? end : *used;
    return p;
}

size_t nvm_pack_size(const nvm_program *program)
{
    if (program == NULL || program->n_layers == 0) {
        return 0;
    }
    uint64_t used = records_end(program);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        (void)next_layer(program, i, &used);
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
    uint64_t used = records_end(program);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        nvm_packed p = next_layer(program, i, &used);
        if (p.is_there && layer->kind == NVM_MAP) {
            (void)nvm_map_runs(program, i, (uint32_t *)(void *)(base + p.segments));
        } else if (p.is_there) {
            const int8_t *weights = nvm_arena_at(program, layer->off_weights);
            (p.is_depthwise ? write_depthwise : write_windows)(
                layer, &p, weights, (int8_t *)base + p.weights);
            write_segments(layer, &p, (uint32_t *)(void *)(base + p.segments));
            write_channels(program, layer, &p, base);
        }
        pack->layers[i] = p;
    }
    pack->bytes = used;
    program->pack = pack;
done:
    return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_check.c: one layer record against its predecessors. After it no kernel needs to look again.
 * A check that fails returns at once: there is nothing to undo.
 */
#include "nvm_internal.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return NVM_E_FORMAT;                                                                   \
        }                                                                                          \
    } while (0)

#define MAX_POOL_TAPS      (UINT64_C(1) << 23) /* so that |S| <= 2^30 */
#define MAX_WIDE_POOL_TAPS (UINT64_C(1) << 15)
#define MOST_SENT          (1 << 30) /* by a SIF neuron in all, and its threshold */

int nvm_arena_holds(const nvm_program *program, uint32_t offset, uint64_t bytes)
{
    return offset % NVM_ALIGN == 0 && offset <= program->arena_len &&
           bytes <= program->arena_len - offset;
}

static uint64_t product3(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t ab, abc;
    return __builtin_mul_overflow(a, b, &ab) || __builtin_mul_overflow(ab, c, &abc) ? UINT64_MAX
                                                                                    : abc;
}

static uint32_t n_of(const nvm_program *program, const nvm_layer *layer, uint32_t p)
{
    return program->layers[layer->in[p]].n;
}

static int has_weights(const nvm_layer *layer)
{
    return layer->kind == NVM_DENSE || layer->kind == NVM_CONV || layer->kind == NVM_DWCONV;
}

/* ---- fields of every kind ------------------------------------------------------------------- */

static nvm_status check_neuron(const nvm_program *program, const nvm_layer *layer)
{
    int spiking = layer->neuron != NVM_SD;
    REQUIRE(layer->neuron < NVM_NEURON_COUNT);
    REQUIRE(!(layer->flags & NVM_FLAG_SPIKES) || layer->kind == NVM_INPUT);
    REQUIRE(!(layer->flags & NVM_FLAG_UNIT) || !nvm_is_spiking(layer));
    REQUIRE(nvm_coding_of(layer) == nvm_coding_of(program->layers));
    REQUIRE(nvm_coding_of(layer) == 0 ||
            (!nvm_is_spiking(layer) && !nvm_is_wide(layer) && !(layer->flags & NVM_FLAG_UNIT) &&
             nvm_coding_of(layer) != (NVM_FLAG_PLANES | NVM_FLAG_TIMES)));
    for (uint32_t p = 0; p < layer->n_in; p++) {
        REQUIRE(nvm_is_spiking(&program->layers[layer->in[p]]) == spiking);
    }
    if (!spiking) {
        REQUIRE(layer->leak_q16 == 0 && layer->theta == 0 && layer->reset == 0 &&
                layer->reset_value == 0);
        return NVM_OK;
    }
    REQUIRE(has_weights(layer) && layer->requant == NVM_RQ_NONE && layer->zero_in == 0);
    REQUIRE(layer->reset <= NVM_RESET_SUBTRACT);
    REQUIRE(layer->neuron == NVM_LIF ? layer->leak_q16 <= 65536 : layer->leak_q16 == 65536);
    if (layer->neuron == NVM_SIF) {
        REQUIRE(layer->reset == NVM_RESET_SUBTRACT);
        REQUIRE(layer->theta >= 1 && layer->theta <= MOST_SENT);
        REQUIRE(layer->reset_value >= -MOST_SENT && layer->reset_value <= 0);
        REQUIRE(layer->aux[0] <= MOST_SENT);
    }
    return NVM_OK;
}

/* Which fields a kind names; the others must be 0, so that a later version may give them a meaning.
 * lo and hi are bounds everywhere. */
enum {
    WINDOW = 1, /* in_h .. out_c, k_h .. pad_l, groups */
    IN_C = 2,
    OUT_C = 4,
    ROWS = 8,      /* out_h */
    SYNAPSES = 16, /* zero_in, off_weights, off_bias */
    CODE = 32,     /* zero_out */
    RULE = 64,     /* off_scale, off_shift, aux[0] */
    TABLE0 = 128,
    TABLE1 = 256,
    WEIGHTS = 512, /* off_weights, of something else */
    AUX = 1024,
    FACTOR = 2048, /* zero_in, without weights */
    COLUMNS = 4096 /* out_w */
};

static const uint16_t named[NVM_KIND_COUNT] = {
    [NVM_INPUT] = CODE,
    [NVM_CONST] = TABLE0,
    [NVM_DENSE] = IN_C | OUT_C | SYNAPSES | CODE | RULE,
    [NVM_CONV] = WINDOW | SYNAPSES | CODE | RULE,
    [NVM_DWCONV] = WINDOW | SYNAPSES | CODE | RULE,
    [NVM_ADD] = CODE | RULE | TABLE0 | TABLE1 | AUX,
    [NVM_AVGPOOL] = WINDOW | AUX,
    [NVM_MAXPOOL] = WINDOW,
    [NVM_MEAN] = CODE | RULE | TABLE0,
    [NVM_MAP] = CODE | TABLE0 | TABLE1 | WEIGHTS,
    [NVM_TABLE] = TABLE0 | AUX,
    [NVM_SOFTMAX] = ROWS | OUT_C | CODE | RULE | TABLE0 | TABLE1,
    [NVM_TABLE2] = TABLE0,
    [NVM_SOFTMAXQ] = ROWS | OUT_C | CODE | TABLE0,
    [NVM_LERP] = RULE | TABLE0 | TABLE1 | WEIGHTS | AUX,
    [NVM_L2NORM] = ROWS | OUT_C | CODE | TABLE0,
    [NVM_LOGSOFTMAX] = ROWS | OUT_C | CODE | RULE | TABLE0,
    [NVM_MATMUL] = IN_C | ROWS | OUT_C | FACTOR | CODE | RULE | AUX,
    [NVM_ARGMAX] = ROWS | OUT_C | AUX,
    [NVM_STATE] = TABLE0 | AUX,
    [NVM_PAIR] = CODE | RULE,
    [NVM_LSTM] = IN_C | ROWS | COLUMNS | OUT_C | SYNAPSES | CODE | RULE | TABLE0 | TABLE1 | AUX,
    [NVM_SVDF] = IN_C | ROWS | COLUMNS | OUT_C | SYNAPSES | CODE | RULE | TABLE0 | AUX,
    [NVM_LOGSOFTMAXQ] = ROWS | OUT_C | CODE | TABLE0 | TABLE1,
};

static int others_are_zero(const nvm_layer *layer)
{
    unsigned has = named[layer->kind];
    unsigned bits = 0; /* of everything not named */
    bits |= has & (WINDOW | IN_C) ? 0 : layer->in_c;
    bits |= has & (WINDOW | OUT_C) ? 0 : layer->out_c;
    bits |= has & (WINDOW | ROWS) ? 0 : layer->out_h;
    bits |= has & (WINDOW | COLUMNS) ? 0 : layer->out_w;
    if (!(has & WINDOW)) {
        bits |= layer->in_h | layer->in_w | layer->groups;
        bits |= (unsigned)layer->k_h | layer->k_w | layer->stride_h | layer->stride_w |
                layer->dil_h | layer->dil_w;
        bits |= layer->pad_t != 0 || layer->pad_l != 0;
    }
    bits |= has & (SYNAPSES | WEIGHTS) ? 0 : layer->off_weights;
    bits |= has & SYNAPSES ? 0 : layer->off_bias;
    bits |= has & (SYNAPSES | FACTOR) ? 0 : layer->zero_in != 0;
    bits |= has & CODE ? 0 : layer->zero_out != 0 || layer->zero_out_s16 != 0;
    bits |= has & RULE ? 0 : layer->off_scale | layer->off_shift;
    bits |= has & TABLE0 ? 0 : layer->off_table0;
    bits |= has & TABLE1 ? 0 : layer->off_table1;
    bits |= has & (RULE | AUX) ? 0 : layer->aux[0];
    bits |= has & AUX ? 0 : layer->aux[1];
    bits |= layer->reserved_s16 | layer->reserved[0];
    return bits == 0;
}

/* A layer's codes lie in the fields of its width, and there is a kernel for its and its inputs'. */
static nvm_status check_width(const nvm_program *program, uint32_t index)
{
    const nvm_layer *layer = &program->layers[index];
    int wide = nvm_is_wide(layer), is_long = (layer->flags & NVM_FLAG_LONG) != 0;
    REQUIRE(!wide || (layer->neuron == NVM_SD &&
                      (layer->flags & (NVM_FLAG_SPIKES | NVM_FLAG_UNIT)) == 0));
    REQUIRE(!is_long || (wide && has_weights(layer)));
    for (uint32_t p = 1; p < layer->n_in; p++) {
        REQUIRE(nvm_is_wide(&program->layers[layer->in[p]]) ==
                nvm_is_wide(&program->layers[layer->in[0]]));
    }
    if (layer->kind != NVM_INPUT && layer->kind != NVM_CONST && layer->kind != NVM_STATE) {
        REQUIRE(!is_long || nvm_is_wide(&program->layers[layer->in[0]]));
        REQUIRE(nvm_kernel_of(program->isa, layer->kind, nvm_types_of(program, index))->full != NULL);
    }
    if (!wide) {
        REQUIRE(layer->zero_out_s16 == 0 && layer->lo_s16 == 0 && layer->hi_s16 == 0);
        REQUIRE(layer->lo <= layer->hi);
        return NVM_OK;
    }
    REQUIRE(layer->zero_in == 0 && layer->zero_out == 0 && layer->lo == 0 && layer->hi == 0);
    REQUIRE(layer->lo_s16 <= layer->hi_s16);
    return NVM_OK;
}

static nvm_status check_common(const nvm_program *program, uint32_t index)
{
    static const uint8_t inputs[NVM_KIND_COUNT][2] = {
        [NVM_INPUT] = {0, 0},  [NVM_CONST] = {0, 0}, [NVM_DENSE] = {1, 1},   [NVM_CONV] = {1, 1},
        [NVM_DWCONV] = {1, 1}, [NVM_ADD] = {2, 2},   [NVM_AVGPOOL] = {1, 1}, [NVM_MAXPOOL] = {1, 1},
        [NVM_MEAN] = {1, 1},   [NVM_MAP] = {1, 2},   [NVM_TABLE] = {1, 1},   [NVM_SOFTMAX] = {1, 1},
        [NVM_TABLE2] = {2, 2}, [NVM_SOFTMAXQ] = {1, 1}, [NVM_LERP] = {1, 1}, [NVM_L2NORM] = {1, 1}, [NVM_LOGSOFTMAX] = {1, 1},
        [NVM_MATMUL] = {2, 2}, [NVM_ARGMAX] = {1, 1}, [NVM_STATE] = {0, 0}, [NVM_PAIR] = {2, 2},
        [NVM_LSTM] = {1, 1}, [NVM_SVDF] = {1, 1}, [NVM_LOGSOFTMAXQ] = {1, 1},
    };
    const nvm_layer *layer = &program->layers[index];
    if (layer->kind >= NVM_KIND_COUNT || layer->requant >= NVM_RQ_COUNT) {
        return NVM_E_ARG;
    }
    if (layer->n == 0 || layer->n > NVM_MAX_NEURONS) {
        return NVM_E_RANGE;
    }
    REQUIRE((layer->flags & ~(NVM_FLAG_OUTPUT | NVM_FLAG_SPIKES | NVM_FLAG_UNIT |
                              NVM_FLAG_WIDE | NVM_FLAG_LONG | NVM_FLAG_PLANES | NVM_FLAG_TIMES)) == 0);
    REQUIRE(layer->n_in >= inputs[layer->kind][0] && layer->n_in <= inputs[layer->kind][1]);
    for (uint32_t p = 0; p < NVM_MAX_INPUTS; p++) {
        REQUIRE(p < layer->n_in ? layer->in[p] < index : layer->in[p] == 0);
    }
    REQUIRE(others_are_zero(layer));
    nvm_status status = check_width(program, index);
    return status != NVM_OK ? status : check_neuron(program, layer);
}

/* ---- windows -------------------------------------------------------------------------------- */

/* Every position a kernel computes along the axis fits int32. */
static int axis_fits(const nvm_axis *axis)
{
    int64_t pad = axis->pad < 0 ? -(int64_t)axis->pad : axis->pad;
    int64_t reach = (int64_t)(axis->out - 1) * axis->stride + (int64_t)(axis->k - 1) * axis->dil;
    return reach + pad + axis->in + axis->dil + axis->stride <= INT32_MAX;
}

static int every_window_reads(const nvm_axis *axis)
{
    for (int32_t y = 0; y < axis->out; y++) {
        int32_t first, end;
        nvm_axis_taps(axis, y, &first, &end);
        if (first == end) {
            return 0;
        }
    }
    return 1;
}

static nvm_status check_window(const nvm_program *program, const nvm_layer *layer)
{
    REQUIRE(layer->in_h != 0 && layer->in_w != 0 && layer->in_c != 0);
    REQUIRE(layer->out_h != 0 && layer->out_w != 0 && layer->out_c != 0);
    REQUIRE(product3(layer->in_h, layer->in_w, layer->in_c) == n_of(program, layer, 0));
    REQUIRE(product3(layer->out_h, layer->out_w, layer->out_c) == layer->n);
    REQUIRE(layer->k_h != 0 && layer->k_w != 0 && layer->stride_h != 0 && layer->stride_w != 0);
    REQUIRE(layer->dil_h != 0 && layer->dil_w != 0);
    nvm_axis rows = nvm_layer_rows(layer), cols = nvm_layer_cols(layer);
    return axis_fits(&rows) && axis_fits(&cols) ? NVM_OK : NVM_E_RANGE;
}

static nvm_status check_pool(const nvm_program *program, const nvm_layer *layer)
{
    nvm_status status = check_window(program, layer);
    if (status != NVM_OK) {
        return status;
    }
    nvm_axis rows = nvm_layer_rows(layer), cols = nvm_layer_cols(layer);
    uint64_t tall = layer->k_h < layer->in_h ? layer->k_h : layer->in_h;
    uint64_t wide = layer->k_w < layer->in_w ? layer->k_w : layer->in_w;
    REQUIRE(layer->in_c == layer->out_c && layer->groups <= 1);
    REQUIRE(layer->aux[0] <= (nvm_is_wide(layer) ? 0u : 1u) && layer->aux[1] == 0);
    REQUIRE(every_window_reads(&rows) && every_window_reads(&cols));
    uint64_t most = nvm_is_wide(layer) ? MAX_WIDE_POOL_TAPS : MAX_POOL_TAPS;
    return tall * wide <= most ? NVM_OK : NVM_E_RANGE;
}

/* ---- kinds ---------------------------------------------------------------------------------- */

static nvm_status check_weights(const nvm_program *program, const nvm_layer *layer, uint64_t bytes)
{
    if (!nvm_arena_holds(program, layer->off_weights, bytes) ||
        !nvm_arena_holds(program, layer->off_bias, (uint64_t)layer->out_c * nvm_acc_bytes(layer))) {
        return NVM_E_SIZE;
    }
    return layer->neuron == NVM_SD ? nvm_check_requant(program, layer, layer->out_c) : NVM_OK;
}

static nvm_status check_dense(const nvm_program *program, const nvm_layer *layer)
{
    REQUIRE(layer->in_c == n_of(program, layer, 0) && layer->out_c == layer->n);
    return check_weights(program, layer, (uint64_t)layer->in_c * layer->out_c);
}

static nvm_status check_conv(const nvm_program *program, const nvm_layer *layer)
{
    nvm_status status = check_window(program, layer);
    if (status != NVM_OK) {
        return status;
    }
    REQUIRE(layer->groups != 0 && layer->in_c % layer->groups == 0 &&
            layer->out_c % layer->groups == 0);
    uint64_t taps = (uint64_t)layer->k_h * layer->k_w;
    return check_weights(program, layer, product3(taps, layer->in_c / layer->groups, layer->out_c));
}

static nvm_status check_dwconv(const nvm_program *program, const nvm_layer *layer)
{
    nvm_status status = check_window(program, layer);
    if (status != NVM_OK) {
        return status;
    }
    REQUIRE((uint64_t)layer->in_c * layer->groups == layer->out_c);
    return check_weights(program, layer, product3(layer->k_h, layer->k_w, layer->out_c));
}

/* One input of a wide ADD: {b, m, e, sign} of the first elements, and of the others. */
static nvm_status check_term(const nvm_program *program, uint32_t offset)
{
    if (!nvm_arena_holds(program, offset, 8 * sizeof(int32_t))) {
        return NVM_E_SIZE;
    }
    const int32_t *t = nvm_arena_at(program, offset);
    for (int half = 0; half < 2; half++, t += 4) {
        int fits = t[0] >= 0 && t[0] <= 15 && t[1] >= 0 && t[2] >= -31 && t[2] <= 30;
        if (!fits || (t[3] != 1 && t[3] != -1)) {
            return NVM_E_RANGE;
        }
    }
    return NVM_OK;
}

static nvm_status check_pair(const nvm_program *program, const nvm_layer *layer)
{
    REQUIRE(n_of(program, layer, 0) == layer->n && n_of(program, layer, 1) == layer->n);
    REQUIRE(layer->aux[0] <= 2);
    if (layer->aux[0] != 0) {
        REQUIRE(layer->zero_out_s16 == 0 && layer->off_scale == 0 && layer->off_shift == 0);
        return NVM_OK;
    }
    return nvm_check_requant(program, layer, 1);
}

static nvm_status check_add(const nvm_program *program, const nvm_layer *layer)
{
    REQUIRE(n_of(program, layer, 0) == layer->n && n_of(program, layer, 1) == layer->n);
    if (nvm_is_wide(layer)) {
        nvm_status status = check_term(program, layer->off_table0);
        status = status != NVM_OK ? status : check_term(program, layer->off_table1);
        return status != NVM_OK ? status : nvm_check_requant(program, layer, 1);
    }
    REQUIRE(layer->aux[1] == 0);
    if (!nvm_arena_holds(program, layer->off_table0, 256 * sizeof(int32_t)) ||
        !nvm_arena_holds(program, layer->off_table1, 256 * sizeof(int32_t))) {
        return NVM_E_SIZE;
    }
    return nvm_check_requant(program, layer, 1);
}

/* Whether a layer of this width takes the requantiser. */
static int rule_fits(const nvm_layer *layer)
{
    switch (layer->requant) {
    case NVM_RQ_HALF16:
    case NVM_RQ_AWAY64:
    case NVM_RQ_AWAY32:
        return nvm_is_wide(layer);
    case NVM_RQ_DOUBLE:
    case NVM_RQ_HALFUP:
        return !(layer->flags & NVM_FLAG_LONG);
    default:
        return !nvm_is_wide(layer);
    }
}

static nvm_status check_lstm(const nvm_program *program, const nvm_layer *layer)
{
    const uint64_t curve = 65536 * sizeof(int16_t), width = 4 * (uint64_t)layer->out_c;
    uint32_t shift = layer->aux[0] & 255;
    REQUIRE(layer->in_c != 0 && layer->out_h != 0 && layer->out_w != 0 && layer->out_c != 0);
    REQUIRE(product3(layer->out_h, layer->out_w, layer->in_c) == n_of(program, layer, 0));
    REQUIRE(product3(layer->out_h, layer->out_w, layer->out_c) == layer->n);
    REQUIRE(layer->requant == NVM_RQ_DOUBLE);
    if (layer->aux[0] >> 8 > 1 || shift < 15 || shift > 21 || layer->aux[1] > INT16_MAX) {
        return NVM_E_RANGE;
    }
    if (!nvm_arena_holds(program, layer->off_weights,
                         product3((uint64_t)layer->in_c + layer->out_c, width, 1)) ||
        !nvm_arena_holds(program, layer->off_bias, width * sizeof(int32_t)) ||
        !nvm_arena_holds(program, layer->off_table0, curve) ||
        !nvm_arena_holds(program, layer->off_table1, shift == 18 ? curve : 2 * curve)) {
        return NVM_E_SIZE;
    }
    return nvm_check_requant(program, layer, 9);
}

static nvm_status check_svdf(const nvm_program *program, const nvm_layer *layer)
{
    uint64_t filters = (uint64_t)layer->out_c * layer->aux[0];
    REQUIRE(layer->in_c != 0 && layer->out_h != 0 && layer->out_w != 0 && layer->out_c != 0);
    REQUIRE(product3(layer->out_h, layer->in_c, 1) == n_of(program, layer, 0));
    REQUIRE(product3(layer->out_h, layer->out_c, 1) == layer->n);
    REQUIRE(layer->requant == NVM_RQ_DOUBLE);
    if (layer->aux[0] == 0 || layer->aux[1] > 256 ||
        product3(layer->n, layer->aux[0], layer->out_w) > NVM_MAX_NEURONS) {
        return NVM_E_RANGE;
    }
    if (!nvm_arena_holds(program, layer->off_weights, product3(layer->in_c, filters, 1)) ||
        !nvm_arena_holds(program, layer->off_bias, (uint64_t)layer->out_c * sizeof(int32_t)) ||
        !nvm_arena_holds(program, layer->off_table0,
                         product3(filters, layer->out_w, sizeof(int16_t)))) {
        return NVM_E_SIZE;
    }
    return nvm_check_requant(program, layer, 2);
}

static nvm_status check_kind(const nvm_program *program, const nvm_layer *layer)
{
    switch (layer->kind) {
    case NVM_INPUT:
        return NVM_OK;
    case NVM_CONST:
    case NVM_STATE:
        REQUIRE(layer->aux[1] == 0);
        return nvm_arena_holds(program, layer->off_table0,
                               (uint64_t)layer->n * nvm_code_bytes(layer))
                   ? NVM_OK
                   : NVM_E_SIZE;
    case NVM_DENSE:
        return check_dense(program, layer);
    case NVM_CONV:
        return check_conv(program, layer);
    case NVM_DWCONV:
        return check_dwconv(program, layer);
    case NVM_ADD:
        return check_add(program, layer);
    case NVM_PAIR:
        return check_pair(program, layer);
    case NVM_LSTM:
        return check_lstm(program, layer);
    case NVM_SVDF:
        return check_svdf(program, layer);
    case NVM_AVGPOOL:
    case NVM_MAXPOOL:
        return check_pool(program, layer);
    default:
        return nvm_check_tables(program, layer);
    }
}

nvm_status nvm_check_states(const nvm_program *program, uint32_t *bad)
{
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        if (layer->kind == NVM_STATE) {
            *bad = i;
            REQUIRE(layer->aux[0] < program->n_layers);
            const nvm_layer *source = &program->layers[layer->aux[0]];
            REQUIRE(source->n == layer->n && !nvm_is_spiking(source));
            REQUIRE(nvm_is_wide(source) == nvm_is_wide(layer));
        }
    }
    *bad = UINT32_MAX;
    return NVM_OK;
}

nvm_status nvm_check_layer(const nvm_program *program, uint32_t index)
{
    const nvm_layer *layer = &program->layers[index];
    nvm_status status = check_common(program, index);
    if (status != NVM_OK) {
        return status;
    }
    int requantised = (has_weights(layer) && layer->neuron == NVM_SD) || layer->kind == NVM_ADD ||
                      layer->kind == NVM_MEAN || layer->kind == NVM_MATMUL ||
                      layer->kind == NVM_LSTM || layer->kind == NVM_SVDF ||
                      (layer->kind == NVM_PAIR && layer->aux[0] == 0);
    REQUIRE((layer->requant != NVM_RQ_NONE) == requantised);
    REQUIRE(!requantised || rule_fits(layer));
    return check_kind(program, layer);
}

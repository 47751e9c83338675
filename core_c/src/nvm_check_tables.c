/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_check_tables.c: the contents of the arena that kernels index or compute with: requantiser
 * parameters, maps, float tables.
 */
#include "nvm_internal.h"

/* Neither NaN nor infinite. */
static int is_finite(float x)
{
    return x >= -FLT_MAX && x <= FLT_MAX;
}

static nvm_status check_integer_rule(const nvm_program *program, const nvm_layer *layer,
                                     uint32_t channels)
{
    if (!nvm_arena_holds(program, layer->off_scale, (uint64_t)channels * 4) ||
        !nvm_arena_holds(program, layer->off_shift, (uint64_t)channels * 4)) {
        return NVM_E_SIZE;
    }
    const int32_t *m = nvm_arena_at(program, layer->off_scale),
                  *e = nvm_arena_at(program, layer->off_shift);
    int32_t most = layer->requant == NVM_RQ_HALF16 ? 14 : 30;
    for (uint32_t c = 0; c < channels; c++) {
        if (m[c] < 0 || e[c] < -31 || e[c] > most) {
            return NVM_E_RANGE;
        }
    }
    return NVM_OK;
}

static nvm_status check_double_rule(const nvm_program *program, const nvm_layer *layer,
                                    uint32_t channels)
{
    if (!nvm_arena_holds(program, layer->off_scale, (uint64_t)channels * 8)) {
        return NVM_E_SIZE;
    }
    const double *scale = nvm_arena_at(program, layer->off_scale);
    for (uint32_t c = 0; c < channels; c++) {
        if (!(scale[c] >= 0.0 && scale[c] <= DBL_MAX)) {
            return NVM_E_RANGE;
        }
    }
    return NVM_OK;
}

nvm_status nvm_check_requant(const nvm_program *program, const nvm_layer *layer, uint32_t channels)
{
    const float *scale = nvm_arena_at(program, layer->off_scale),
                *shift = nvm_arena_at(program, layer->off_shift);
    switch (layer->requant) {
    case NVM_RQ_FP32:
    case NVM_RQ_AWAY32:
        if (!nvm_arena_holds(program, layer->off_scale, (uint64_t)channels * 4)) {
            return NVM_E_SIZE;
        }
        for (uint32_t c = 0; c < channels; c++) {
            if (!is_finite(scale[c]) || scale[c] <= 0.0f) {
                return NVM_E_RANGE;
            }
        }
        return NVM_OK;
    case NVM_RQ_AWAY64:
        return check_double_rule(program, layer, channels);
    case NVM_RQ_AFFINE:
        if (!nvm_arena_holds(program, layer->off_scale, 4) ||
            !nvm_arena_holds(program, layer->off_shift, 4)) {
            return NVM_E_SIZE;
        }
        return is_finite(*scale) && is_finite(*shift) ? NVM_OK : NVM_E_RANGE;
    case NVM_RQ_SHIFT:
        return layer->aux[0] >= 1 && layer->aux[0] <= 31 ? NVM_OK : NVM_E_RANGE;
    default:
        return check_integer_rule(program, layer, channels);
    }
}

static nvm_status check_mean(const nvm_program *program, const nvm_layer *layer)
{
    uint32_t n_in = program->layers[layer->in[0]].n;
    if (!nvm_arena_holds(program, layer->off_table0, (uint64_t)n_in * 4)) {
        return NVM_E_SIZE;
    }
    const uint32_t *map = nvm_arena_at(program, layer->off_table0);
    for (uint32_t i = 0; i < n_in; i++) {
        if (map[i] >= layer->n) {
            return NVM_E_RANGE;
        }
    }
    return nvm_check_requant(program, layer, 1);
}

/* targets is the inverse of source: every i with source[i] = j once, ascending, and nothing else. */
static nvm_status check_inverse(const nvm_layer *layer, const int32_t *source,
                                const uint32_t *offsets, const uint32_t *targets, uint32_t total)
{
    uint32_t filled = 0;
    for (uint32_t i = 0; i < layer->n; i++) {
        if (source[i] >= (int64_t)total) {
            return NVM_E_RANGE;
        }
        filled += source[i] < 0;
    }
    if (offsets[total] != layer->n - filled) {
        return NVM_E_FORMAT;
    }
    for (uint32_t j = 0; j < total; j++) {
        for (uint32_t t = offsets[j]; t < offsets[j + 1]; t++) {
            if (targets[t] >= layer->n || source[targets[t]] != (int32_t)j ||
                (t > offsets[j] && targets[t] <= targets[t - 1])) {
                return NVM_E_FORMAT;
            }
        }
    }
    return NVM_OK;
}

static nvm_status check_map(const nvm_program *program, const nvm_layer *layer)
{
    uint64_t total = 0;
    for (uint32_t p = 0; p < layer->n_in; p++) {
        total += program->layers[layer->in[p]].n;
    }
    if (!nvm_arena_holds(program, layer->off_table0, (uint64_t)layer->n * 4) ||
        !nvm_arena_holds(program, layer->off_table1, (total + 1) * 4)) {
        return NVM_E_SIZE;
    }
    const uint32_t *offsets = nvm_arena_at(program, layer->off_table1);
    if (offsets[0] != 0) {
        return NVM_E_FORMAT;
    }
    for (uint64_t j = 0; j < total; j++) {
        if (offsets[j] > offsets[j + 1]) {
            return NVM_E_FORMAT;
        }
    }
    if (!nvm_arena_holds(program, layer->off_weights, (uint64_t)offsets[total] * 4)) {
        return NVM_E_SIZE;
    }
    return check_inverse(layer, nvm_arena_at(program, layer->off_table0), offsets,
                         nvm_arena_at(program, layer->off_weights), (uint32_t)total);
}

static nvm_status check_table(const nvm_program *program, const nvm_layer *layer)
{
    if (program->layers[layer->in[0]].n != layer->n) {
        return NVM_E_FORMAT;
    }
    if (layer->aux[0] == 0 || layer->aux[1] == 0) {
        return NVM_E_RANGE;
    }
    uint64_t each = nvm_is_wide(&program->layers[layer->in[0]]) ? 65536 : 256;
    each *= nvm_code_bytes(layer);
    return nvm_arena_holds(program, layer->off_table0, layer->aux[0] * each) ? NVM_OK : NVM_E_SIZE;
}

static nvm_status check_table2(const nvm_program *program, const nvm_layer *layer)
{
    if (program->layers[layer->in[0]].n != layer->n ||
        program->layers[layer->in[1]].n != layer->n) {
        return NVM_E_FORMAT;
    }
    return nvm_arena_holds(program, layer->off_table0, 256 * 256) ? NVM_OK : NVM_E_SIZE;
}

/* From wide to wide: two tables that the kernel indexes with what it computed from the first. */
static nvm_status check_wide_softmax(const nvm_program *program, const nvm_layer *layer)
{
    if (!nvm_arena_holds(program, layer->off_table0, 65536 * sizeof(int16_t)) ||
        !nvm_arena_holds(program, layer->off_table1, 513 * sizeof(int16_t))) {
        return NVM_E_SIZE;
    }
    const int16_t *t = nvm_arena_at(program, layer->off_table0),
                  *r = nvm_arena_at(program, layer->off_table1);
    for (uint32_t d = 0; d < 65536; d++) {
        if (t[d] < 0) {
            return NVM_E_RANGE;
        }
    }
    for (uint32_t k = 0; k < 513; k++) {
        if (r[k] < 0) {
            return NVM_E_RANGE;
        }
    }
    int plain = layer->zero_out_s16 == 0 && layer->off_scale == 0 && layer->off_shift == 0 &&
                layer->aux[0] == 0 && layer->out_c < 1u << 16;
    return plain && t[0] >= 1 << 14 ? NVM_OK : NVM_E_RANGE;
}

static nvm_status check_softmax(const nvm_program *program, const nvm_layer *layer)
{
    if (program->layers[layer->in[0]].n != layer->n || layer->out_h == 0 || layer->out_c == 0 ||
        (uint64_t)layer->out_h * layer->out_c != layer->n) {
        return NVM_E_FORMAT;
    }
    if (nvm_is_wide(&program->layers[layer->in[0]])) {
        return check_wide_softmax(program, layer);
    }
    if (layer->off_table1 != 0) {
        return NVM_E_FORMAT;
    }
    if (!nvm_arena_holds(program, layer->off_table0, 256 * 4) ||
        !nvm_arena_holds(program, layer->off_scale, 4)) {
        return NVM_E_SIZE;
    }
    const float *t = nvm_arena_at(program, layer->off_table0),
                *scale = nvm_arena_at(program, layer->off_scale);
    for (uint32_t d = 0; d < 256; d++) {
        if (!is_finite(t[d]) || t[d] < 0.0f) {
            return NVM_E_RANGE;
        }
    }
    return t[0] > 0.0f && is_finite(*scale) && *scale > 0.0f ? NVM_OK : NVM_E_RANGE;
}

static nvm_status check_softmaxq(const nvm_program *program, const nvm_layer *layer)
{
    if (program->layers[layer->in[0]].n != layer->n || layer->out_h == 0 || layer->out_c == 0 ||
        layer->out_c > 4095 || (uint64_t)layer->out_h * layer->out_c != layer->n) {
        return NVM_E_FORMAT;
    }
    if (!nvm_arena_holds(program, layer->off_table0, 256 * 4)) {
        return NVM_E_SIZE;
    }
    const int32_t *t = nvm_arena_at(program, layer->off_table0);
    for (uint32_t d = 0; d < 256; d++) {
        if (t[d] < 0) {
            return NVM_E_RANGE;
        }
    }
    return t[0] >= 1 << 30 ? NVM_OK : NVM_E_RANGE;
}

static nvm_status check_logsoftmaxq(const nvm_program *program, const nvm_layer *layer)
{
    nvm_status status = check_softmaxq(program, layer);
    if (status != NVM_OK) {
        return status;
    }
    if (!nvm_arena_holds(program, layer->off_table1, 256 * 4)) {
        return NVM_E_SIZE;
    }
    const int32_t *u = nvm_arena_at(program, layer->off_table1);
    for (uint32_t d = 0; d < 256; d++) {
        if (u[d] > 0) {
            return NVM_E_RANGE;
        }
    }
    return NVM_OK;
}

static int has_rows(const nvm_program *program, const nvm_layer *layer)
{
    return program->layers[layer->in[0]].n == layer->n && layer->out_h != 0 && layer->out_c != 0 &&
           (uint64_t)layer->out_h * layer->out_c == layer->n;
}

static nvm_status check_l2norm(const nvm_program *program, const nvm_layer *layer)
{
    if (!has_rows(program, layer) || layer->out_c > 1 << 15) {
        return NVM_E_FORMAT;
    }
    if (!nvm_arena_holds(program, layer->off_table0, 256 * 4)) {
        return NVM_E_SIZE;
    }
    const int32_t *t = nvm_arena_at(program, layer->off_table0);
    for (uint32_t k = 0; k < 256; k++) {
        if (t[k] < -255 || t[k] > 255) {
            return NVM_E_RANGE;
        }
    }
    return NVM_OK;
}

static nvm_status check_logsoftmax(const nvm_program *program, const nvm_layer *layer)
{
    if (!has_rows(program, layer)) {
        return NVM_E_FORMAT;
    }
    if (!nvm_arena_holds(program, layer->off_table0, 256 * 4) ||
        !nvm_arena_holds(program, layer->off_scale, 2 * 4)) {
        return NVM_E_SIZE;
    }
    const float *t = nvm_arena_at(program, layer->off_table0),
                *scale = nvm_arena_at(program, layer->off_scale);
    for (uint32_t d = 0; d < 256; d++) {
        if (!(t[d] >= 0.0f && t[d] <= 1.0f)) {
            return NVM_E_RANGE;
        }
    }
    int scales = is_finite(scale[0]) && scale[0] > 0.0f && is_finite(scale[1]) && scale[1] > 0.0f;
    return t[0] >= 1.0f && scales && layer->off_shift == 0 && layer->aux[0] == 0 ? NVM_OK
                                                                                : NVM_E_RANGE;
}

/* How often element i reads code j. */
static uint32_t reads(const int32_t *source, uint32_t i, uint32_t j)
{
    uint32_t count = 0;
    for (int k = 0; k < 4; k++) {
        count += source[4 * (uint64_t)i + (uint64_t)k] == (int32_t)j;
    }
    return count;
}

/* targets holds i once for each source[i][k] = j, ascending, and nothing else: 4 n in all. */
static nvm_status check_lerp_inverse(const nvm_layer *layer, uint32_t n_in, const int32_t *source,
                                     const uint32_t *offsets, const uint32_t *targets)
{
    for (uint32_t j = 0; j < n_in; j++) {
        for (uint32_t t = offsets[j]; t < offsets[j + 1];) {
            uint32_t first = t, i = targets[t];
            if (i >= layer->n || (t > offsets[j] && i <= targets[t - 1])) {
                return NVM_E_FORMAT;
            }
            while (t < offsets[j + 1] && targets[t] == i) {
                t++;
            }
            if (t - first != reads(source, i, j)) {
                return NVM_E_FORMAT;
            }
        }
    }
    return NVM_OK;
}

static nvm_status check_lerp(const nvm_program *program, const nvm_layer *layer)
{
    uint32_t n_in = program->layers[layer->in[0]].n;
    uint64_t table = (uint64_t)layer->n * 4 * sizeof(int32_t);
    if (layer->off_shift != 0 || layer->aux[0] == 0 || layer->aux[0] > 30 || layer->aux[1] > 1) {
        return NVM_E_RANGE;
    }
    if (!nvm_arena_holds(program, layer->off_table0, table) ||
        !nvm_arena_holds(program, layer->off_scale, table) ||
        !nvm_arena_holds(program, layer->off_weights, table) ||
        !nvm_arena_holds(program, layer->off_table1, ((uint64_t)n_in + 1) * 4)) {
        return NVM_E_SIZE;
    }
    const int32_t *source = nvm_arena_at(program, layer->off_table0);
    for (uint64_t i = 0; i < (uint64_t)layer->n * 4; i++) {
        if (source[i] < 0 || (uint32_t)source[i] >= n_in) {
            return NVM_E_RANGE;
        }
    }
    const uint32_t *offsets = nvm_arena_at(program, layer->off_table1);
    for (uint32_t j = 0; j < n_in; j++) {
        if (offsets[j] > offsets[j + 1]) {
            return NVM_E_FORMAT;
        }
    }
    if (offsets[0] != 0 || offsets[n_in] != 4 * (uint64_t)layer->n) {
        return NVM_E_FORMAT;
    }
    return check_lerp_inverse(layer, n_in, source, offsets,
                              nvm_arena_at(program, layer->off_weights));
}

static nvm_status check_matmul(const nvm_program *program, const nvm_layer *layer)
{
    uint64_t cell = (uint64_t)layer->out_h * layer->out_c;
    if (layer->in_c == 0 || cell == 0 || layer->n % cell != 0) {
        return NVM_E_FORMAT;
    }
    uint64_t groups = layer->n / cell, left = program->layers[layer->in[0]].n,
             right = program->layers[layer->in[1]].n;
    if (layer->in_c > NVM_MAX_NEURONS || groups * layer->out_h * layer->in_c != left ||
        groups * layer->in_c * layer->out_c != right) {
        return NVM_E_FORMAT;
    }
    if (layer->aux[1] > 255 || (layer->aux[0] != 0 && layer->requant != NVM_RQ_SHIFT)) {
        return NVM_E_RANGE;
    }
    return nvm_check_requant(program, layer, 1);
}

static nvm_status check_argmax(const nvm_program *program, const nvm_layer *layer)
{
    if (layer->out_h != layer->n || layer->out_c == 0 ||
        (uint64_t)layer->n * layer->out_c != program->layers[layer->in[0]].n) {
        return NVM_E_FORMAT;
    }
    return layer->aux[0] <= 3 && layer->aux[1] == 0 ? NVM_OK : NVM_E_RANGE;
}

nvm_status nvm_check_tables(const nvm_program *program, const nvm_layer *layer)
{
    switch (layer->kind) {
    case NVM_MEAN:
        return check_mean(program, layer);
    case NVM_MAP:
        return check_map(program, layer);
    case NVM_TABLE:
        return check_table(program, layer);
    case NVM_SOFTMAX:
        return check_softmax(program, layer);
    case NVM_TABLE2:
        return check_table2(program, layer);
    case NVM_L2NORM:
        return check_l2norm(program, layer);
    case NVM_LOGSOFTMAX:
        return check_logsoftmax(program, layer);
    case NVM_MATMUL:
        return check_matmul(program, layer);
    case NVM_ARGMAX:
        return check_argmax(program, layer);
    case NVM_LERP:
        return check_lerp(program, layer);
    case NVM_LOGSOFTMAXQ:
        return check_logsoftmaxq(program, layer);
    case NVM_SOFTMAXQ:
        return check_softmaxq(program, layer);
    default:
        return NVM_E_ARG;
    }
}

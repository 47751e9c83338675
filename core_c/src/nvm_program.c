/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_program.c: takes a layer list and an arena into use.
 */
#include "nvm_internal.h"

nvm_axis nvm_layer_rows(const nvm_layer *layer)
{
    return (nvm_axis){.in = (int32_t)layer->in_h,
                      .out = (int32_t)layer->out_h,
                      .k = layer->k_h,
                      .stride = layer->stride_h,
                      .dil = layer->dil_h,
                      .pad = layer->pad_t};
}

nvm_axis nvm_layer_cols(const nvm_layer *layer)
{
    return (nvm_axis){.in = (int32_t)layer->in_w,
                      .out = (int32_t)layer->out_w,
                      .k = layer->k_w,
                      .stride = layer->stride_w,
                      .dil = layer->dil_w,
                      .pad = layer->pad_l};
}

int nvm_layer_keeps_acc(const nvm_layer *layer)
{
    switch (layer->kind) {
    case NVM_DENSE:
    case NVM_CONV:
    case NVM_DWCONV:
    case NVM_AVGPOOL:
    case NVM_MAXPOOL:
    case NVM_MEAN:
    case NVM_MATMUL:
        return 1;
    default:
        return 0;
    }
}

int nvm_layer_has_memory(const nvm_layer *layer)
{
    return layer->kind == NVM_STATE || nvm_layer_memory_bytes(layer) != 0;
}

size_t nvm_layer_memory_bytes(const nvm_layer *layer)
{
    return layer->kind == NVM_LSTM   ? nvm_lstm_bytes(layer)
           : layer->kind == NVM_SVDF ? nvm_svdf_bytes(layer)
                                     : 0;
}

nvm_types nvm_types_of(const nvm_program *program, uint32_t index)
{
    const nvm_layer *layer = &program->layers[index];
    int out = nvm_is_wide(layer);
    int in = layer->n_in == 0 ? out : nvm_is_wide(&program->layers[layer->in[0]]);
    if (layer->flags & NVM_FLAG_LONG) {
        return NVM_TYPES_s16s64;
    }
    return in ? (out ? NVM_TYPES_s16 : NVM_TYPES_s16s8) : (out ? NVM_TYPES_s8s16 : NVM_TYPES_s8);
}

/* Valid taps of all outputs of one axis; < 2^27 2^16. */
static uint64_t count_taps(const nvm_axis *axis)
{
    uint64_t taps = 0;
    for (int32_t y = 0; y < axis->out; y++) {
        int32_t first, end;
        nvm_axis_taps(axis, y, &first, &end);
        taps += (uint64_t)(end - first);
    }
    return taps;
}

/* a * b, or UINT64_MAX. */
static uint64_t multiply_saturated(uint64_t a, uint64_t b)
{
    return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

/* Taps of all windows, times what each of them costs. */
static uint64_t window_work(const nvm_layer *layer, uint64_t each)
{
    nvm_axis rows = nvm_layer_rows(layer), cols = nvm_layer_cols(layer);
    uint64_t taps = multiply_saturated(count_taps(&rows), count_taps(&cols));
    return multiply_saturated(taps, each);
}

uint64_t nvm_layer_macs(const nvm_layer *layer)
{
    switch (layer->kind) {
    case NVM_DENSE:
        return (uint64_t)layer->in_c * layer->out_c;
    case NVM_CONV:
        return window_work(layer, (uint64_t)(layer->in_c / layer->groups) * layer->out_c);
    case NVM_DWCONV:
        return window_work(layer, layer->out_c);
    case NVM_MATMUL:
        return (uint64_t)layer->n * layer->in_c;
    case NVM_LSTM: /* four gates of every unit, at every time of every batch */
        return ((uint64_t)layer->in_c + layer->out_c) * 4 * layer->n;
    case NVM_SVDF: /* features, and time; no overflow: what is carried was checked */
        return ((uint64_t)layer->in_c + layer->out_w) * layer->n * layer->aux[0];
    default:
        return 0;
    }
}

uint64_t nvm_layer_work(const nvm_layer *layer)
{
    int pool = layer->kind == NVM_AVGPOOL || layer->kind == NVM_MAXPOOL;
    return pool ? window_work(layer, layer->out_c) : nvm_layer_macs(layer);
}

static nvm_status add_layer(nvm_program *program, uint32_t index, uint64_t *work, uint64_t *neurons)
{
    const nvm_layer *layer = &program->layers[index];
    nvm_status status = nvm_check_layer(program, index);
    if (status != NVM_OK) {
        goto done;
    }
    uint64_t own_work =
        nvm_layer_work(layer); /* of a hostile program: bounded, or a step never ends */
    *neurons += layer->n;
    *work += own_work > NVM_MAX_WORK ? NVM_MAX_WORK + 1 : own_work;
    if (*neurons > NVM_MAX_NEURONS || *work > NVM_MAX_WORK) {
        status = NVM_E_RANGE;
        goto done;
    }
    program->macs += nvm_layer_macs(layer);
    program->unit |= (layer->flags & NVM_FLAG_UNIT) != 0;
    program->memory |= nvm_layer_has_memory(layer);
    program->coding = nvm_coding_of(layer);
    if (layer->kind == NVM_INPUT) {
        program->n_inputs++;
        program->codes_in += layer->n;
        program->bytes_in += layer->n * nvm_code_bytes(layer);
    }
    if (layer->flags & NVM_FLAG_OUTPUT) {
        program->n_outputs++;
        program->codes_out += layer->n;
        program->bytes_out += layer->n * nvm_code_bytes(layer);
    }
done:
    return status;
}

/* Records are used in place, as the host's own integers. */
static int is_little_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 1;
}

nvm_status nvm_program_init(nvm_program *program, const void *layers, uint32_t n_layers,
                            const uint8_t *arena, size_t len, uint32_t *bad_layer)
{
    nvm_status status = NVM_OK;
    uint32_t bad = UINT32_MAX;
    uint64_t work = 0, neurons = 0;
    if (program == NULL || layers == NULL || (arena == NULL && len != 0)) {
        status = NVM_E_ARG;
        goto done;
    }
    memset(program, 0, sizeof *program);
    if (!is_little_endian()) {
        status = NVM_E_UNSUPPORTED;
        goto done;
    }
    if ((uintptr_t)layers % 8 != 0 || (uintptr_t)arena % NVM_ALIGN != 0) {
        status = NVM_E_SIZE;
        goto done;
    }
    if (n_layers == 0 || n_layers > NVM_MAX_LAYERS) {
        status = NVM_E_RANGE;
        goto done;
    }
    program->layers = layers;
    program->arena = arena;
    program->arena_len = len;
    program->isa = nvm_isa_current();
    for (uint32_t i = 0; i < n_layers; i++) {
        program->n_layers = i; /* a layer may only look back */
        status = add_layer(program, i, &work, &neurons);
        if (status != NVM_OK) {
            bad = i;
            goto done;
        }
    }
    program->n_layers = n_layers;
    status = nvm_check_states(program, &bad);
    if (status != NVM_OK) {
        goto done;
    }
    if (program->n_inputs == 0 || program->n_outputs == 0) {
        status = NVM_E_FORMAT;
        goto done;
    }
    program->session_size = nvm_session_layout(program, 0, NULL, NULL);
    program->predict_size = nvm_predictor_layout(program);
done:
    if (status != NVM_OK && program != NULL) {
        memset(program, 0, sizeof *program);
    }
    if (bad_layer != NULL) {
        *bad_layer = bad;
    }
    return status;
}

size_t nvm_session_size(const nvm_program *program)
{
    return program == NULL ? 0 : program->session_size;
}

nvm_status nvm_program_sizes(const nvm_program *program, const char *isa, size_t *session,
                             size_t *predict)
{
    nvm_status status = NVM_E_ARG;
    nvm_program on;
    if (program == NULL || isa == NULL || session == NULL || predict == NULL ||
        nvm_isa_named(isa) == NULL) {
        goto done;
    }
    on = *program;
    on.isa = nvm_isa_named(isa);
    *session = nvm_session_layout(&on, 0, NULL, NULL);
    *predict = nvm_predictor_layout(&on);
    status = NVM_OK;
done:
    return status;
}

size_t nvm_predict_size(const nvm_program *program)
{
    return program == NULL ? 0 : program->predict_size;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking_program.c: takes populations, projections and an arena into use.
 */
#include "nvm_spiking_internal.h"

uint32_t nvm_spiking_segments(const nvm_projection *record)
{
    return record->kind == NVM_SYNAPSES_SPARSE ? record->n_delays
           : record->kind == NVM_SYNAPSES_PROCEDURAL
               ? (uint32_t)record->delay_high - record->delay_low + 1
               : 1;
}

uint32_t nvm_spiking_segment_delay(const nvm_spiking_program *program, const nvm_projection *record,
                                   uint32_t k)
{
    if (record->kind == NVM_SYNAPSES_SPARSE) {
        return ((const uint16_t *)(const void *)(program->arena + record->delays))[k];
    }
    return record->kind == NVM_SYNAPSES_PROCEDURAL ? record->delay_low + k : 0;
}

/* Pairs (output, tap) of one axis that read inside the input. */
static uint64_t count_taps(uint32_t in, uint32_t out, uint16_t k, uint16_t stride, uint16_t dil,
                           int16_t pad)
{
    nvm_axis axis = {(int32_t)in, (int32_t)out, k, stride, dil, pad};
    uint64_t taps = 0;
    for (int32_t y = 0; y < axis.out; y++) {
        int32_t first, end;
        nvm_axis_taps(&axis, y, &first, &end);
        taps += (uint64_t)(end - first);
    }
    return taps;
}

/* Windows count as many taps as read inside: below 2^41 an axis. */
static uint64_t count_window(const nvm_projection *r)
{
    uint64_t rows = count_taps(r->in_h, r->out_h, r->k_h, r->stride_h, r->dil_h, r->pad_t);
    uint64_t cols = count_taps(r->in_w, r->out_w, r->k_w, r->stride_w, r->dil_w, r->pad_l);
    uint64_t each = r->kind == NVM_SYNAPSES_POOL ? r->out_c : (uint64_t)(r->in_c / r->groups) * r->out_c;
    uint64_t taps, all;
    return __builtin_mul_overflow(rows, cols, &taps) || __builtin_mul_overflow(taps, each, &all)
               ? UINT64_MAX
               : all;
}

uint64_t nvm_spiking_synapses(const nvm_spiking_program *program, const nvm_projection *record)
{
    uint64_t n = program->populations[record->source].n;
    const uint64_t *rows;
    switch (record->kind) {
    case NVM_SYNAPSES_DENSE_S8:
    case NVM_SYNAPSES_DENSE_S16:
        return n * program->populations[record->target].n;
    case NVM_SYNAPSES_SPARSE:
        rows = (const uint64_t *)(const void *)(program->arena + record->rows);
        return rows[n * record->n_delays] / 3;
    case NVM_SYNAPSES_WIRES:
        return n;
    case NVM_SYNAPSES_PROCEDURAL: /* drawn again for every delay that one of them may have */
        return n * record->fan_out * nvm_spiking_segments(record);
    default:
        return count_window(record);
    }
}

static void add_population(nvm_spiking_program *program, const nvm_population *record)
{
    if (record->kind == NVM_CELL_INPUT) {
        program->n_in += record->n;
    }
    if (record->flags & NVM_POPULATION_OUTPUT) {
        int one = record->kind != NVM_CELL_INPUT && record->fire != NVM_FIRE_MANY;
        program->n_out += record->n;
        program->most_out += (size_t)record->n * (one ? 1 : NVM_MAX_SPIKES);
    }
}

static nvm_status add_populations(nvm_spiking_program *program, uint32_t *bad)
{
    uint64_t neurons = 0;
    for (uint32_t i = 0; i < program->n_populations; i++) {
        *bad = i;
        nvm_status status = nvm_spiking_check_population(program, i);
        if (status != NVM_OK) {
            return status;
        }
        neurons += program->populations[i].n;
        if (neurons > NVM_MAX_NEURONS) {
            return NVM_E_RANGE;
        }
        add_population(program, &program->populations[i]);
    }
    *bad = UINT32_MAX;
    return NVM_OK;
}

/* Steps that it took to check a projection. One alone is bounded by its arena, or its axes. */
static uint64_t cost_of_check(const nvm_spiking_program *program, const nvm_projection *record)
{
    uint64_t n = program->populations[record->source].n;
    const uint64_t *rows = (const uint64_t *)(const void *)(program->arena + record->rows);
    switch (record->kind) {
    case NVM_SYNAPSES_SPARSE:
        return n * record->n_delays + rows[n * record->n_delays];
    case NVM_SYNAPSES_WIRES:
        return n;
    case NVM_SYNAPSES_CONV_S8:
    case NVM_SYNAPSES_CONV_S16:
    case NVM_SYNAPSES_POOL:
        return (uint64_t)record->out_h + record->out_w;
    default:
        return 1;
    }
}

static nvm_status add_projections(nvm_spiking_program *program, uint32_t *bad)
{
    /* Many projections may share constants; of a hostile program, until checking never ends. */
    uint64_t budget = 16 * (uint64_t)program->arena_len + NVM_MAX_CHECK, cost = 0;
    for (uint32_t i = 0; i < program->n_projections; i++) {
        *bad = program->n_populations + i;
        nvm_status status = nvm_spiking_check_projection(program, i);
        if (status != NVM_OK) {
            return status;
        }
        cost += cost_of_check(program, &program->projections[i]);
        if (cost > budget) {
            return NVM_E_RANGE;
        }
        uint64_t own = nvm_spiking_synapses(program, &program->projections[i]);
        program->synapses += own > NVM_MAX_WORK ? NVM_MAX_WORK + 1 : own;
        if (program->synapses > NVM_MAX_WORK) { /* of a hostile program: bounded, or a tick never ends */
            return NVM_E_RANGE;
        }
    }
    *bad = UINT32_MAX;
    return NVM_OK;
}

/* Records are used in place, as the host's own integers. */
static int is_little_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 1;
}

static nvm_status check_arguments(const nvm_spiking_program *program)
{
    if (program->populations == NULL || (program->projections == NULL && program->n_projections != 0) ||
        (program->arena == NULL && program->arena_len != 0)) {
        return NVM_E_ARG;
    }
    if (!is_little_endian()) {
        return NVM_E_UNSUPPORTED;
    }
    if ((uintptr_t)program->populations % 8 != 0 || (uintptr_t)program->projections % 8 != 0 ||
        (uintptr_t)program->arena % NVM_ALIGN != 0) {
        return NVM_E_SIZE;
    }
    return program->n_populations == 0 || program->n_populations > NVM_MAX_POPULATIONS ||
                   program->n_projections > NVM_MAX_PROJECTIONS
               ? NVM_E_RANGE
               : NVM_OK;
}

nvm_status nvm_spiking_program_init(nvm_spiking_program *program, const void *populations,
                                    uint32_t n_populations, const void *projections,
                                    uint32_t n_projections, const uint8_t *arena, size_t len,
                                    uint32_t *bad)
{
    uint32_t fault = UINT32_MAX;
    nvm_status status = NVM_E_ARG;
    if (program == NULL) {
        goto done;
    }
    *program = (nvm_spiking_program){.populations = populations,
                                     .projections = projections,
                                     .arena = arena,
                                     .arena_len = len,
                                     .n_populations = n_populations,
                                     .n_projections = n_projections,
                                     .isa = nvm_isa_current()};
    status = check_arguments(program);
    if (status == NVM_OK) {
        status = add_populations(program, &fault);
    }
    if (status == NVM_OK) {
        status = add_projections(program, &fault);
    }
    if (status == NVM_OK) {
        program->session_size = nvm_spiking_layout(program, NULL, NULL);
        status = program->session_size > NVM_MAX_SESSION ? NVM_E_RANGE : NVM_OK;
    }
    if (status != NVM_OK) {
        memset(program, 0, sizeof *program);
    }
done:
    if (bad != NULL) {
        *bad = fault;
    }
    return status;
}

size_t nvm_spiking_session_size(const nvm_spiking_program *program)
{
    return program == NULL ? 0 : program->session_size;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking_session.c: the memory of one stream of a spiking program.
 *
 * One block: the session, its populations and links, the state of every neuron; then the rings of
 * spikes, which need no initial value, so that what delays never use is never touched.
 */
#include "nvm_spiking_internal.h"

typedef struct block {
    uint8_t *base; /* NULL: measure */
    size_t used;
} block;

/* count entries and room for vector code behind them. Sizes stay below 2^59: 2^27 neurons in all, 2^17
 * ticks of delay, 4 bytes. */
static void *take(block *mem, size_t count, size_t size)
{
    size_t start = mem->used;
    mem->used += (count * size + NVM_SLACK + NVM_ALIGN - 1) / NVM_ALIGN * NVM_ALIGN;
    return mem->base == NULL ? NULL : mem->base + start;
}

/* The longest delay of what leaves a population, or of the whole program (UINT32_MAX). */
static uint32_t longest_delay(const nvm_spiking_program *program, uint32_t source)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < program->n_projections; i++) {
        const nvm_projection *record = &program->projections[i];
        uint32_t last = nvm_spiking_segments(record) - 1;
        uint32_t delay = record->delay + nvm_spiking_segment_delay(program, record, last);
        if ((source == UINT32_MAX || record->source == source) && delay > longest) {
            longest = delay;
        }
    }
    return longest;
}

/* The smallest power of two above x. */
static uint64_t power_above(uint64_t x)
{
    uint64_t power = 1;
    while (power <= x) {
        power *= 2;
    }
    return power;
}

static void resolve_cells(const nvm_spiking_program *program, nvm_cells *cells)
{
    const nvm_population *record = cells->record;
    for (nvm_param p = 0; p < NVM_PARAM_COUNT; p++) {
        const uint8_t *at = program->arena + record->param[p];
        cells->param[p] = record->kind == NVM_CELL_INPUT ? NULL : (const int32_t *)(const void *)at;
    }
    cells->step = nvm_cells_fn_of(program->isa, record);
}

static void lay_out_state(nvm_cells *cells, const nvm_population *record, block *mem)
{
    int is_input = record->kind == NVM_CELL_INPUT;
    int has_current = record->kind == NVM_CELL_CUBA || record->kind == NVM_CELL_LOIHI;
    uint32_t n = is_input ? 0 : record->n, groups = is_input ? 0 : record->n / record->group;
    cells->n_groups = groups;
    cells->v = take(mem, n, sizeof *cells->v);
    cells->drive = take(mem, (n + NVM_ROW - 1) / NVM_ROW * NVM_ROW, sizeof *cells->drive);
    cells->current = has_current ? take(mem, n, sizeof *cells->current) : NULL;
    cells->refractory = record->refractory != 0 ? take(mem, n, sizeof *cells->refractory) : NULL;
    for (int k = 0; k < 2; k++) {
        nvm_param leak = k == 0 ? NVM_PARAM_LEAK : NVM_PARAM_LEAK_CURRENT;
        cells->factors[k] = take(mem, nvm_param_step(record, leak) ? n : 1, sizeof *cells->factors[k]);
    }
    cells->stamp = take(mem, groups, sizeof *cells->stamp);
    cells->reached = take(mem, groups / 64 + 1, sizeof *cells->reached);
    cells->awake = take(mem, groups / 64 + 1, sizeof *cells->awake);
}

/* The most that one spike adds to one neuron; 0 where that is not known. */
static uint32_t most_weight(const nvm_spiking_program *program, const nvm_projection *record)
{
    switch (record->kind) {
    case NVM_SYNAPSES_DENSE_S8:
    case NVM_SYNAPSES_CONV_S8:
        return 128;
    case NVM_SYNAPSES_DENSE_S16:
    case NVM_SYNAPSES_CONV_S16:
    case NVM_SYNAPSES_WIRES:
        return 32768;
    case NVM_SYNAPSES_SPARSE:
        return program->most_repeats < 1u << 16 ? 128 * program->most_repeats : 0;
    default:
        return 0;
    }
}

static void resolve_link(const nvm_spiking_program *program, nvm_spiking_session *session,
                         const nvm_projection *record, nvm_link *link)
{
    size_t lanes = record->kind == NVM_SYNAPSES_DENSE_S16 ? NVM_ALIGN / 2 : NVM_ALIGN;
    *link = (nvm_link){.record = record,
                       .source = &session->cells[record->source],
                       .target = &session->cells[record->target],
                       .deliver = nvm_link_fn_of(program->isa, record),
                       .n_delays = nvm_spiking_segments(record),
                       .delay = record->delay + nvm_spiking_segment_delay(program, record, 0),
                       .most_weight = most_weight(program, record)};
    if (program->arena != NULL) {
        link->weights = program->arena + record->weights;
        link->rows = (const uint64_t *)(const void *)(program->arena + record->rows);
        link->delays = (const uint16_t *)(const void *)(program->arena + record->delays);
    }
    link->stride = (program->populations[record->target].n + lanes - 1) / lanes * lanes;
    link->axis_rows = (nvm_axis){.in = (int32_t)record->in_h,
                                 .out = (int32_t)record->out_h,
                                 .k = record->k_h,
                                 .stride = record->stride_h,
                                 .dil = record->dil_h,
                                 .pad = record->pad_t};
    link->axis_cols = (nvm_axis){.in = (int32_t)record->in_w,
                                 .out = (int32_t)record->out_w,
                                 .k = record->k_w,
                                 .stride = record->stride_w,
                                 .dil = record->dil_w,
                                 .pad = record->pad_l};
}

static void resolve_links(const nvm_spiking_program *program, nvm_spiking_session *session)
{
    uint32_t used = 0;
    for (uint32_t p = 0; p < program->n_populations; p++) {
        session->cells[p].first_link = used;
        for (uint32_t i = 0; i < program->n_projections; i++) {
            if (program->projections[i].target == p) {
                resolve_link(program, session, &program->projections[i], &session->links[used++]);
            }
        }
        session->cells[p].end_link = used;
    }
}

static void lay_out_ring(const nvm_spiking_program *program, uint32_t index, nvm_cells *cells,
                         block *mem)
{
    uint64_t slots = power_above(longest_delay(program, index));
    size_t slack = NVM_SLACK / sizeof(nvm_spike);
    size_t capacity = (program->populations[index].n + 2 * slack - 1) / slack * slack;
    cells->ring_mask = (uint32_t)(slots - 1);
    cells->capacity = (uint32_t)capacity;
    cells->ring = take(mem, slots * capacity, sizeof *cells->ring);
}

static void number_ports(const nvm_spiking_program *program, nvm_cells *cells)
{
    uint32_t in = 0, out = 0;
    for (uint32_t i = 0; i < program->n_populations; i++) {
        const nvm_population *record = &program->populations[i];
        cells[i].in_address = in;
        cells[i].out_address = out;
        in += record->kind == NVM_CELL_INPUT ? record->n : 0;
        out += record->flags & NVM_POPULATION_OUTPUT ? record->n : 0;
    }
}

size_t nvm_spiking_layout(const nvm_spiking_program *program, uint8_t *base, size_t *zeroed)
{
    block mem = {.base = base};
    nvm_spiking_session measured = {0}, *session = take(&mem, 1, sizeof *session);
    nvm_cells one, *cells = take(&mem, program->n_populations, sizeof *cells);
    nvm_link *links = take(&mem, program->n_projections, sizeof *links);
    uint32_t longest = longest_delay(program, UINT32_MAX);
    uint64_t due = power_above(longest | 63);
    session = session == NULL ? &measured : session;
    session->program = program;
    session->cells = cells;
    session->links = links;
    session->output = take(&mem, program->n_out, sizeof *session->output);
    session->counts = take(&mem, program->n_in, sizeof *session->counts);
    session->due = take(&mem, due / 64, sizeof *session->due);
    session->due_mask = due - 1;
    session->delayed = longest != 0;
    session->scan = nvm_scan_fn_of(program->isa);
    for (uint32_t i = 0; i < program->n_populations; i++) {
        nvm_cells *each = cells == NULL ? &one : &cells[i];
        each->record = &program->populations[i];
        lay_out_state(each, each->record, &mem);
        each->volleys = take(&mem, power_above(longest_delay(program, i)), sizeof *each->volleys);
    }
    if (zeroed != NULL) {
        *zeroed = mem.used;
    }
    for (uint32_t i = 0; i < program->n_populations; i++) {
        lay_out_ring(program, i, cells == NULL ? &one : &cells[i], &mem);
    }
    if (cells != NULL) {
        for (uint32_t i = 0; i < program->n_populations; i++) {
            resolve_cells(program, &cells[i]);
        }
        number_ports(program, cells);
        resolve_links(program, session);
    }
    return mem.used;
}

static void set_awake(nvm_cells *cells, uint32_t group)
{
    size_t n = cells->record->group;
    if (nvm_cells_are_awake(cells, group * n, n)) {
        cells->awake[group / 64] |= UINT64_C(1) << (group % 64);
        cells->n_awake++;
    }
}

static void begin_cells(nvm_cells *cells)
{
    const nvm_population *record = cells->record;
    for (uint32_t slot = 0; slot <= cells->ring_mask; slot++) {
        cells->volleys[slot].tick = -1;
    }
    if (record->kind == NVM_CELL_INPUT) {
        return;
    }
    size_t n = record->n;
    const int32_t *initial = cells->param[NVM_PARAM_INITIAL];
    int has_initial = record->kind == NVM_CELL_LIF || record->kind == NVM_CELL_CUBA;
    for (size_t i = 0; i < n; i++) {
        cells->v[i] = has_initial ? initial[i * nvm_param_step(record, NVM_PARAM_INITIAL)] : 0;
    }
    memset(cells->drive, 0, n * sizeof *cells->drive);
    if (cells->current != NULL) {
        memset(cells->current, 0, n * sizeof *cells->current);
    }
    if (cells->refractory != NULL) {
        memset(cells->refractory, 0, n * sizeof *cells->refractory);
    }
    nvm_bounds_begin(cells);
    cells->n_awake = 0;
    memset(cells->awake, 0, (cells->n_groups / 64 + 1) * sizeof *cells->awake);
    memset(cells->reached, 0, (cells->n_groups / 64 + 1) * sizeof *cells->reached);
    for (uint32_t g = 0; g < cells->n_groups; g++) {
        cells->stamp[g] = -1;
        set_awake(cells, g);
    }
}

static void begin(nvm_spiking_session *session)
{
    session->tick = 0;
    session->ran = -1;
    nvm_spiking_silence(session);
    memset(session->counts, 0, session->program->n_in);
    memset(session->due, 0, (session->due_mask + 1) / 8);
    for (uint32_t i = 0; i < session->program->n_populations; i++) {
        begin_cells(&session->cells[i]);
    }
}

nvm_status nvm_spiking_session_init(void *mem, size_t len, const nvm_spiking_program *program,
                                    nvm_counters *counters, nvm_spiking_session **out)
{
    if (mem == NULL || program == NULL || program->n_populations == 0 || out == NULL) {
        return NVM_E_ARG;
    }
    if ((uintptr_t)mem % NVM_ALIGN != 0 || len < program->session_size ||
        (uintptr_t)counters % sizeof(uint64_t) != 0) {
        return NVM_E_SIZE;
    }
    size_t zeroed = 0;
    (void)nvm_spiking_layout(program, NULL, &zeroed);
    memset(mem, 0, zeroed);
    (void)nvm_spiking_layout(program, mem, NULL);
    nvm_spiking_session *session = mem;
    session->counters = counters != NULL ? counters : &session->own;
    begin(session);
    *out = session;
    return NVM_OK;
}

nvm_status nvm_spiking_reset(nvm_spiking_session *session)
{
    if (session == NULL) {
        return NVM_E_ARG;
    }
    begin(session);
    return NVM_OK;
}

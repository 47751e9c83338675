/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking_run.c: ticks one after the other, from counts or addresses, and what can be read after.
 */
#include "nvm_spiking_internal.h"

/* ---- what comes in -------------------------------------------------------------------------- */

void nvm_spiking_take_counts(nvm_spiking_session *session, const uint8_t *spikes)
{
    for (uint32_t i = 0; i < session->program->n_populations; i++) {
        nvm_cells *cells = &session->cells[i];
        if (cells->record->kind == NVM_CELL_INPUT) {
            nvm_spiking_open(cells, session->tick);
            session->scan(cells, spikes + cells->in_address, cells->record->n);
            nvm_spiking_close(session, cells);
        }
    }
}

/* The INPUT population that an address belongs to. */
static nvm_cells *find_input(nvm_spiking_session *session, uint32_t address)
{
    nvm_cells *cells = session->cells;
    while (cells->record->kind != NVM_CELL_INPUT ||
           address - cells->in_address >= cells->record->n) {
        cells++;
    }
    return cells;
}

void nvm_spiking_take_events(nvm_spiking_session *session, const uint32_t *address, size_t n)
{
    for (uint32_t i = 0; i < session->program->n_populations; i++) {
        if (session->cells[i].record->kind == NVM_CELL_INPUT) {
            nvm_spiking_open(&session->cells[i], session->tick);
        }
    }
    nvm_cells *cells = n == 0 ? NULL : find_input(session, address[0]);
    for (size_t i = 0; i < n; i++) {
        if (address[i] - cells->in_address >= cells->record->n) {
            cells = find_input(session, address[i]);
        }
        uint8_t *count = &session->counts[address[i]];
        if (*count == 0) {
            nvm_send(cells, address[i] - cells->in_address, 0);
        }
        *count = (uint8_t)(*count + (*count < NVM_MAX_SPIKES));
    }
    for (uint32_t i = 0; i < session->program->n_populations; i++) {
        cells = &session->cells[i];
        if (cells->record->kind != NVM_CELL_INPUT) {
            continue;
        }
        uint8_t *counts = session->counts + cells->in_address;
        for (uint32_t k = 0; k < cells->n_spikes; k++) {
            uint8_t *count = &counts[nvm_spike_index(cells->spikes[k])];
            cells->spikes[k] |= *count;
            cells->sent += *count;
            *count = 0;
        }
        nvm_spiking_close(session, cells);
    }
}

/* Whether every count is at most NVM_MAX_SPIKES. */
static int are_counts(const uint8_t *spikes, size_t n)
{
    uint64_t high = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, spikes + i, sizeof word);
        high |= word;
    }
    for (; i < n; i++) {
        high |= spikes[i];
    }
    return (high & UINT64_C(0x8080808080808080)) == 0;
}

/* ---- ticks ---------------------------------------------------------------------------------- */

nvm_status nvm_spiking_step(nvm_spiking_session *session, const uint8_t *spikes, size_t n)
{
    if (session == NULL || (spikes == NULL && n != 0) || n != session->program->n_in) {
        return NVM_E_ARG;
    }
    if (!are_counts(spikes, n)) {
        return NVM_E_RANGE;
    }
    if (session->tick == INT64_MAX) {
        return NVM_E_STATE;
    }
    nvm_spiking_take_counts(session, spikes);
    nvm_spiking_run_tick(session);
    return NVM_OK;
}

nvm_status nvm_spiking_step_events(nvm_spiking_session *session, const uint32_t *address, size_t n,
                                   size_t *bad)
{
    if (session == NULL || (address == NULL && n != 0)) {
        return NVM_E_ARG;
    }
    for (size_t i = 0; i < n; i++) {
        if (address[i] >= session->program->n_in) {
            if (bad != NULL) {
                *bad = i;
            }
            return NVM_E_RANGE;
        }
    }
    if (session->tick == INT64_MAX) {
        return NVM_E_STATE;
    }
    nvm_spiking_take_events(session, address, n);
    nvm_spiking_run_tick(session);
    return NVM_OK;
}

nvm_status nvm_spiking_run(nvm_spiking_session *session, const uint8_t *spikes, size_t ticks,
                           int8_t *out, int32_t *potentials)
{
    if (session == NULL) {
        return NVM_E_ARG;
    }
    size_t n_in = session->program->n_in, n_out = session->program->n_out;
    if (ticks != 0 && ((spikes == NULL && n_in != 0) || (out == NULL && n_out != 0))) {
        return NVM_E_ARG;
    }
    if (!are_counts(spikes, ticks * n_in)) {
        return NVM_E_RANGE;
    }
    if (ticks > (uint64_t)(INT64_MAX - session->tick)) {
        return NVM_E_STATE;
    }
    for (size_t t = 0; t < ticks; t++) {
        nvm_spiking_take_counts(session, spikes + t * n_in);
        nvm_spiking_run_tick(session);
        if (n_out != 0) {
            memcpy(out + t * n_out, session->output, n_out);
        }
        if (potentials != NULL) {
            (void)nvm_spiking_potentials(session, potentials + t * n_out);
        }
    }
    return NVM_OK;
}

/* ---- what can be read ----------------------------------------------------------------------- */

int64_t nvm_spiking_tick(const nvm_spiking_session *session)
{
    return session == NULL ? 0 : session->tick;
}

const int8_t *nvm_spiking_output(const nvm_spiking_session *session)
{
    return session == NULL ? NULL : session->output;
}

/* v and currents of a population after the last tick, either of them NULL. */
static void read_population(const nvm_spiking_session *session, const nvm_cells *cells, int32_t *v,
                            int32_t *current)
{
    size_t n = cells->record->group;
    if (cells->record->kind == NVM_CELL_INPUT) {
        n = cells->record->n * sizeof *v;
        if (v != NULL) {
            memset(v, 0, n);
        }
        if (current != NULL) {
            memset(current, 0, n);
        }
        return;
    }
    for (size_t g = 0; g < cells->n_groups; g++) {
        uint64_t elapsed = (uint64_t)(session->tick - 1 - cells->stamp[g]);
        nvm_cells_read(cells, g * n, n, elapsed, v == NULL ? NULL : v + g * n,
                       current == NULL ? NULL : current + g * n);
    }
}

nvm_status nvm_spiking_potentials(const nvm_spiking_session *session, int32_t *potentials)
{
    if (session == NULL || potentials == NULL) {
        return NVM_E_ARG;
    }
    for (uint32_t i = 0; i < session->program->n_populations; i++) {
        const nvm_cells *cells = &session->cells[i];
        if (cells->record->flags & NVM_POPULATION_OUTPUT) {
            read_population(session, cells, potentials + cells->out_address, NULL);
        }
    }
    return NVM_OK;
}

nvm_status nvm_spiking_population(const nvm_spiking_session *session, uint32_t population,
                                  int8_t *spikes, int32_t *v, int32_t *current)
{
    if (session == NULL) {
        return NVM_E_ARG;
    }
    if (population >= session->program->n_populations) {
        return NVM_E_RANGE;
    }
    const nvm_cells *cells = &session->cells[population];
    read_population(session, cells, v, current);
    if (spikes != NULL) {
        memset(spikes, 0, cells->record->n);
        for (uint32_t k = 0; k < cells->n_spikes; k++) {
            spikes[nvm_spike_index(cells->spikes[k])] = (int8_t)nvm_spike_count(cells->spikes[k]);
        }
    }
    return NVM_OK;
}

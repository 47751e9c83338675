/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking_tick.c: one tick of all populations.
 */
#include "nvm_spiking_internal.h"

static inline void deliver_segment(nvm_spiking_session *session, const nvm_link *link, uint32_t k,
                                   uint32_t delay)
{
    const nvm_cells *source = link->source;
    int64_t then = session->tick - delay;
    uint32_t slot = (uint32_t)then & source->ring_mask;
    const nvm_volley *volley = &source->volleys[slot];
    if (then < 0 || volley->tick != then) {
        return;
    }
    uint64_t *bound = &link->target->bounds.drive;
    uint64_t more = (uint64_t)volley->sent * link->most_weight;
    *bound = link->most_weight == 0 || *bound > UINT32_MAX ? UINT64_MAX : *bound + more;
    session->counters->sops +=
        link->deliver(link, k, source->ring + (size_t)slot * source->capacity, volley->n);
}

static void deliver(nvm_spiking_session *session, const nvm_link *link)
{
    deliver_segment(session, link, 0, link->delay);
    for (uint32_t k = 1; k < link->n_delays; k++) {
        uint32_t delay = nvm_spiking_segment_delay(session->program, link->record, k);
        deliver_segment(session, link, k, link->record->delay + delay);
    }
}

static void step_group(nvm_cells *cells, size_t group, int64_t tick)
{
    size_t n = cells->record->group;
    uint64_t bit = UINT64_C(1) << (group % 64), *awake = &cells->awake[group / 64];
    int was = (*awake & bit) != 0;
    int is = cells->step(cells, group * n, n, (uint64_t)(tick - cells->stamp[group]));
    cells->stamp[group] = tick;
    if (is != was) {
        *awake ^= bit;
        cells->n_awake += is ? 1 : UINT32_MAX;
    }
}

static void step_groups(nvm_cells *cells, int64_t tick)
{
    for (size_t word = 0; word * 64 < cells->n_groups; word++) {
        uint64_t bits = cells->reached[word] | cells->awake[word];
        cells->reached[word] = 0;
        for (; bits != 0; bits &= bits - 1) {
            step_group(cells, word * 64 + (size_t)__builtin_ctzll(bits), tick);
        }
    }
}

/* The ticks in which delayed spikes of this tick arrive. */
static void note_due(nvm_spiking_session *session)
{
    for (uint32_t i = 0; i < session->program->n_projections; i++) {
        const nvm_link *link = &session->links[i];
        if (link->source->n_spikes == 0) {
            continue;
        }
        for (uint32_t k = 0; k < link->n_delays; k++) {
            uint32_t delay =
                link->record->delay + nvm_spiking_segment_delay(session->program, link->record, k);
            uint64_t at = (uint64_t)(session->tick + delay) & session->due_mask;
            if (delay != 0) {
                session->due[at / 64] |= UINT64_C(1) << (at % 64);
            }
        }
    }
}

/* The outputs' counts: those of the last tick go, those of this one come. */
static void publish(nvm_spiking_session *session)
{
    uint32_t spikes = 0;
    for (uint32_t i = 0; i < session->program->n_populations; i++) {
        int is_output = session->cells[i].record->flags & NVM_POPULATION_OUTPUT;
        spikes += is_output ? session->cells[i].n_spikes : 0;
    }
    if (!session->published && spikes == 0) {
        return; /* nothing was there, nothing comes */
    }
    session->published = spikes != 0;
    memset(session->output, 0, session->program->n_out);
    for (uint32_t i = 0; i < session->program->n_populations; i++) {
        const nvm_cells *cells = &session->cells[i];
        if (!(cells->record->flags & NVM_POPULATION_OUTPUT)) {
            continue;
        }
        int8_t *out = session->output + cells->out_address;
        for (uint32_t k = 0; k < cells->n_spikes; k++) {
            out[nvm_spike_index(cells->spikes[k])] = (int8_t)nvm_spike_count(cells->spikes[k]);
        }
    }
}

void nvm_spiking_silence(nvm_spiking_session *session)
{
    for (uint32_t i = 0; i < session->program->n_populations; i++) {
        session->cells[i].n_spikes = 0;
    }
    memset(session->output, 0, session->program->n_out);
    session->published = 0;
}

void nvm_spiking_run_tick(nvm_spiking_session *session)
{
    const nvm_spiking_program *program = session->program;
    uint64_t at = (uint64_t)session->tick & session->due_mask;
    session->due[at / 64] &= ~(UINT64_C(1) << (at % 64));
    for (uint32_t i = 0; i < program->n_populations; i++) {
        nvm_cells *cells = &session->cells[i];
        if (cells->record->kind == NVM_CELL_INPUT) {
            continue;
        }
        nvm_spiking_open(cells, session->tick);
        for (uint32_t k = cells->first_link; k < cells->end_link; k++) {
            deliver(session, &session->links[k]);
        }
        nvm_bounds_tick(cells);
        step_groups(cells, session->tick);
        nvm_spiking_close(session, cells);
    }
    if (session->delayed) {
        note_due(session);
    }
    publish(session);
    session->counters->steps++;
    session->ran = session->tick;
    session->counters->dense_macs += program->synapses;
    session->tick++;
}

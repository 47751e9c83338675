/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking_timed.c: events with time stamps. A tick is run if an event or a delayed spike arrives in
 * it, or a group is awake; all others are passed over, which leaves the same bits.
 */
#include "nvm_spiking_internal.h"

/* What the caller gave. */
typedef struct timed {
    const int64_t *tick;
    const uint32_t *address;
    size_t n;
    int64_t until;
    int64_t *out_tick;
    uint32_t *out_address;
    size_t capacity;
} timed;

/* SIZE_MAX where all events are in order, or else the one at fault. */
static size_t find_bad(const nvm_spiking_session *session, const timed *call)
{
    int64_t last = session->tick;
    for (size_t i = 0; i < call->n; i++) {
        if (call->tick[i] < last || call->tick[i] >= call->until ||
            call->address[i] >= session->program->n_in) {
            return i;
        }
        last = call->tick[i];
    }
    return SIZE_MAX;
}

static int is_awake(const nvm_spiking_session *session)
{
    uint32_t awake = 0;
    for (uint32_t i = 0; i < session->program->n_populations; i++) {
        awake |= session->cells[i].n_awake;
    }
    return awake != 0;
}

/* The first tick from the session's on, and before `end`, in which a delayed spike may arrive; else
 * `end`. */
static int64_t next_due(const nvm_spiking_session *session, int64_t end)
{
    uint64_t words = (session->due_mask + 1) / 64, start = (uint64_t)session->tick & session->due_mask;
    uint64_t bits = session->due[start / 64] >> (start % 64);
    if (bits != 0) {
        int64_t at = session->tick + __builtin_ctzll(bits);
        return at < end ? at : end;
    }
    for (uint64_t k = 1; k <= words; k++) { /* the last is the first again: what wrapped around */
        int64_t base = session->tick - (int64_t)(start % 64) + (int64_t)(64 * k);
        if (base >= end) {
            break;
        }
        bits = session->due[(start / 64 + k) % words];
        if (bits != 0) {
            int64_t at = base + __builtin_ctzll(bits);
            return at < end ? at : end;
        }
    }
    return end;
}

/* Passes over the ticks in which nothing happens. */
static void pass_over(nvm_spiking_session *session, int64_t next_event)
{
    if (!is_awake(session)) {
        session->tick = session->delayed ? next_due(session, next_event) : next_event;
    }
}

static size_t collect(const nvm_spiking_session *session, const timed *call, size_t at)
{
    for (uint32_t i = 0; i < session->program->n_populations; i++) {
        const nvm_cells *cells = &session->cells[i];
        if (!(cells->record->flags & NVM_POPULATION_OUTPUT)) {
            continue;
        }
        for (uint32_t k = 0; k < cells->n_spikes; k++) {
            uint32_t address = cells->out_address + (uint32_t)nvm_spike_index(cells->spikes[k]);
            for (uint32_t count = nvm_spike_count(cells->spikes[k]); count != 0; count--, at++) {
                call->out_tick[at] = session->tick - 1;
                call->out_address[at] = address;
            }
        }
    }
    return at;
}

static void advance(nvm_spiking_session *session, const timed *call, nvm_progress *done)
{
    size_t i = 0, spikes = 0;
    while (session->tick < call->until) {
        pass_over(session, i < call->n ? call->tick[i] : call->until);
        if (session->tick >= call->until || call->capacity - spikes < session->program->most_out) {
            break;
        }
        size_t first = i;
        while (i < call->n && call->tick[i] == session->tick) {
            i++;
        }
        nvm_spiking_take_events(session, call->address + first, i - first);
        nvm_spiking_run_tick(session);
        spikes = collect(session, call, spikes);
    }
    *done = (nvm_progress){.events = i, .spikes = spikes, .tick = session->tick, .bad = SIZE_MAX};
}

nvm_status nvm_spiking_advance(nvm_spiking_session *session, const int64_t *tick,
                               const uint32_t *address, size_t n, int64_t until, int64_t *out_tick,
                               uint32_t *out_address, size_t capacity, nvm_progress *progress)
{
    if (session == NULL || progress == NULL || ((tick == NULL || address == NULL) && n != 0) ||
        ((out_tick == NULL || out_address == NULL) && capacity != 0)) {
        return NVM_E_ARG;
    }
    timed call = {tick, address, n, until, out_tick, out_address, capacity};
    size_t bad = find_bad(session, &call);
    *progress = (nvm_progress){.tick = session->tick, .bad = bad};
    if (bad != SIZE_MAX || until < session->tick || capacity < session->program->most_out) {
        return NVM_E_RANGE;
    }
    advance(session, &call, progress);
    if (session->ran != session->tick - 1) {
        nvm_spiking_silence(session);
    }
    return NVM_OK;
}

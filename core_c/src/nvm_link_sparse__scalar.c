/* SPDX-License-Identifier: Apache-2.0
 *
 * SPARSE: compressed rows, one segment a delay; gaps, then weights. While one segment is applied the
 * next spike's is on its way from memory.
 */
#include "nvm_spiking_internal.h"

#define GAP_ONLY 65535u /* an entry that reaches nobody */
#define LINE     64u

static size_t entries_of(uint64_t bytes)
{
    return (size_t)(bytes / 3); /* an odd number of them has one byte more */
}

nvm_status nvm_spiking_check_sparse(nvm_spiking_program *program, const nvm_projection *record)
{
    uint64_t n = program->populations[record->source].n, end = program->populations[record->target].n;
    if (record->n_delays < 1 || record->n_delays > 65536 ||
        !nvm_spiking_holds(program, record->delays, (uint64_t)record->n_delays * 2) ||
        !nvm_spiking_holds(program, record->rows, (n * record->n_delays + 1) * sizeof(uint64_t))) {
        return NVM_E_FORMAT;
    }
    const uint16_t *delays = (const uint16_t *)(const void *)(program->arena + record->delays);
    const uint64_t *rows = (const uint64_t *)(const void *)(program->arena + record->rows);
    for (uint32_t k = 1; k < record->n_delays; k++) {
        if (delays[k] <= delays[k - 1]) {
            return NVM_E_FORMAT;
        }
    }
    n *= record->n_delays;
    if (rows[0] != 0 || !nvm_spiking_holds(program, record->weights, rows[n])) {
        return NVM_E_FORMAT;
    }
    for (uint64_t s = 0; s < n; s++) {
        uint64_t bytes = rows[s + 1] - rows[s], target = 0;
        if (rows[s + 1] < rows[s] || rows[s + 1] > rows[n] || (bytes % 6 != 0 && bytes % 6 != 4)) {
            return NVM_E_FORMAT;
        }
        const uint8_t *segment = program->arena + record->weights + rows[s];
        const uint16_t *gaps = (const uint16_t *)(const void *)segment;
        size_t m = entries_of(bytes);
        const int8_t *w = (const int8_t *)(gaps + m);
        uint32_t repeats = 0;
        for (size_t e = 0; e < m; e++) {
            target += gaps[e];
            repeats = gaps[e] == 0 ? repeats + 1 : 1; /* one too many if the first target is 0 */
            program->most_repeats =
                repeats > program->most_repeats ? repeats : program->most_repeats;
            if (target >= end || (gaps[e] == GAP_ONLY && (w[e] != 0 || e + 1 == m))) {
                return NVM_E_RANGE;
            }
        }
        if (m % 2 != 0 && w[m] != 0) {
            return NVM_E_FORMAT;
        }
    }
    return NVM_OK;
}

/* Bytes of a segment that are asked for ahead; what follows comes by itself. */
#define AHEAD 512u
/* Spikes ahead, of which it is asked where their segments begin. */
#define LOOK_UP 4u

static void prefetch_segment(const nvm_link *link, size_t segment)
{
    const uint8_t *at = (const uint8_t *)link->weights + link->rows[segment];
    uint64_t bytes = link->rows[segment + 1] - link->rows[segment];
    bytes = bytes < AHEAD ? bytes : AHEAD;
    for (uint64_t b = 0; b < bytes; b += LINE) {
        __builtin_prefetch(at + b);
    }
}

static void mark_targets(nvm_cells *target, const uint16_t *gaps, size_t m)
{
    size_t at = 0;
    for (size_t e = 0; e < m; e++) {
        at += gaps[e];
        if (gaps[e] != GAP_ONLY) {
            nvm_mark_reached(target, at, 1);
        }
    }
}

static size_t apply_segment(const nvm_link *link, size_t segment, uint32_t count)
{
    const uint8_t *at = (const uint8_t *)link->weights + link->rows[segment];
    size_t m = entries_of(link->rows[segment + 1] - link->rows[segment]);
    const uint16_t *gaps = (const uint16_t *)(const void *)at;
    const int8_t *w = (const int8_t *)(gaps + m);
    int32_t *drive = link->target->drive;
    for (size_t e = 0; e < m; e++) {
        drive += gaps[e];
        nvm_drive_add(drive, w[e], count);
    }
    if (m != 0 && link->target->n_groups == 1) {
        link->target->reached[0] = 1;
    } else {
        mark_targets(link->target, gaps, m);
    }
    return m;
}

uint64_t nvm_link_sparse__scalar(const nvm_link *link, uint32_t segment, const nvm_spike *spikes,
                                 size_t n)
{
    uint64_t sops = 0;
    for (size_t k = 0; k < n; k++) {
        if (k + LOOK_UP < n) {
            __builtin_prefetch(&link->rows[nvm_spike_index(spikes[k + LOOK_UP]) * link->n_delays + segment]);
        }
        if (k + 1 < n) {
            prefetch_segment(link, nvm_spike_index(spikes[k + 1]) * link->n_delays + segment);
        }
        sops += apply_segment(link, nvm_spike_index(spikes[k]) * link->n_delays + segment,
                              nvm_spike_count(spikes[k]));
    }
    return sops;
}

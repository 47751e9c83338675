/* SPDX-License-Identifier: Apache-2.0
 *
 * PROCEDURAL: synapses drawn from the seed whenever they are needed.
 * Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
 */
#include "nvm_spiking_internal.h"

#define GAMMA UINT64_C(0x9E3779B97F4A7C15)

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

uint64_t nvm_link_procedural__scalar(const nvm_link *link, uint32_t segment, const nvm_spike *spikes,
                                     size_t n)
{
    const nvm_projection *r = link->record;
    uint64_t n_out = link->target->record->n, sops = 0;
    uint64_t weights = (uint64_t)((int64_t)r->high - r->low + 1), delays = link->n_delays;
    for (size_t k = 0; k < n; k++) {
        uint64_t at = (uint64_t)nvm_spike_index(spikes[k]) * r->fan_out;
        for (uint64_t s = 1; s <= r->fan_out; s++) {
            uint64_t u = mix(r->seed + (at + s) * GAMMA);
            if (((u >> 48) * delays) >> 16 != segment) {
                continue;
            }
            size_t target = (size_t)((u & UINT32_MAX) * n_out >> 32);
            int32_t w = r->low + (int32_t)((u >> 32 & 0xFFFF) * weights >> 16);
            nvm_drive_add(&link->target->drive[target], w, nvm_spike_count(spikes[k]));
            nvm_mark_reached(link->target, target, 1);
            sops++;
        }
    }
    return sops;
}

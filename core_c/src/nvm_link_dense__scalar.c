/* SPDX-License-Identifier: Apache-2.0
 *
 * DENSE: row j of the weights, s_j times; every neuron of the target is reached.
 */
#include "nvm_spiking_internal.h"

uint64_t nvm_link_dense_s8__scalar(const nvm_link *link, uint32_t segment, const nvm_spike *spikes,
                                   size_t n)
{
    const int8_t *weights = link->weights;
    int32_t *restrict drive = link->target->drive;
    size_t n_out = link->target->record->n;
    (void)segment;
    for (size_t k = 0; k < n; k++) {
        const int8_t *restrict row = weights + nvm_spike_index(spikes[k]) * link->stride;
        uint32_t count = nvm_spike_count(spikes[k]);
        for (size_t i = 0; i < n_out; i++) {
            nvm_drive_add(&drive[i], row[i], count);
        }
    }
    nvm_mark_reached(link->target, 0, n_out);
    return (uint64_t)n * n_out;
}

uint64_t nvm_link_dense_s16__scalar(const nvm_link *link, uint32_t segment, const nvm_spike *spikes,
                                    size_t n)
{
    const int16_t *weights = link->weights;
    int32_t *restrict drive = link->target->drive;
    size_t n_out = link->target->record->n;
    (void)segment;
    for (size_t k = 0; k < n; k++) {
        const int16_t *restrict row = weights + nvm_spike_index(spikes[k]) * link->stride;
        uint32_t count = nvm_spike_count(spikes[k]);
        for (size_t i = 0; i < n_out; i++) {
            nvm_drive_add(&drive[i], row[i], count);
        }
    }
    nvm_mark_reached(link->target, 0, n_out);
    return (uint64_t)n * n_out;
}

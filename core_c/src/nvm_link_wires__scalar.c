/* SPDX-License-Identifier: Apache-2.0
 *
 * WIRES: at most one synapse a source neuron.
 */
#include "nvm_spiking_internal.h"

uint64_t nvm_link_wires__scalar(const nvm_link *link, uint32_t segment, const nvm_spike *spikes,
                                size_t n)
{
    const int32_t *targets = (const int32_t *)(const void *)link->rows;
    const int16_t *weights = link->weights;
    size_t step = (size_t)link->record->high;
    uint64_t sops = 0;
    (void)segment;
    for (size_t k = 0; k < n; k++) {
        size_t j = nvm_spike_index(spikes[k]);
        if (targets[j] >= 0) {
            size_t target = (size_t)targets[j];
            nvm_drive_add(&link->target->drive[target], weights[j * step], nvm_spike_count(spikes[k]));
            nvm_mark_reached(link->target, target, 1);
            sops++;
        }
    }
    return sops;
}

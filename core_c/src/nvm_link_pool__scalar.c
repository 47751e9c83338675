/* SPDX-License-Identifier: Apache-2.0
 *
 * POOL: a spike counts `low` in every window of its channel that it stands in.
 */
#include "nvm_spiking_internal.h"

static uint64_t apply_spike(const nvm_link *link, size_t index, uint32_t count)
{
    const nvm_projection *r = link->record;
    const nvm_pixel at = nvm_pixel_of(r, index);
    int32_t y, x, y0, x0, y_end, x_end;
    nvm_axis_outputs(&link->axis_rows, at.y, &y0, &y_end);
    nvm_axis_outputs(&link->axis_cols, at.x, &x0, &x_end);
    for (y = y0; y < y_end; y++) {
        for (x = x0; x < x_end; x++) {
            size_t target = ((size_t)y * r->out_w + (size_t)x) * r->out_c + at.c;
            nvm_drive_add(&link->target->drive[target], r->low, count);
            nvm_mark_reached(link->target, target, 1);
        }
    }
    return y0 < y_end && x0 < x_end ? (uint64_t)(y_end - y0) * (uint64_t)(x_end - x0) : 0;
}

uint64_t nvm_link_pool__scalar(const nvm_link *link, uint32_t segment, const nvm_spike *spikes,
                               size_t n)
{
    uint64_t sops = 0;
    (void)segment;
    for (size_t k = 0; k < n; k++) {
        sops += apply_spike(link, nvm_spike_index(spikes[k]), nvm_spike_count(spikes[k]));
    }
    return sops;
}

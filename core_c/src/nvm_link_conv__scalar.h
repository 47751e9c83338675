/* SPDX-License-Identifier: Apache-2.0
 *
 * CONV of one width; the including file defines NVM_WEIGHT and NVM_CONV_FN. A spike of input pixel
 * (r, c) meets, for every output pixel whose window spans it, one run of weights.
 */
#include "nvm_spiking_internal.h"

/* Adds one run of n weights. */
static void add_run(int32_t *restrict drive, const NVM_WEIGHT *restrict w, size_t n, uint32_t count)
{
    for (size_t i = 0; i < n; i++) {
        nvm_drive_add(&drive[i], w[i], count);
    }
}

static uint64_t apply_spike(const nvm_link *link, size_t index, uint32_t count)
{
    const nvm_projection *r = link->record;
    const nvm_pixel at = nvm_pixel_of(r, index);
    size_t in_group = r->in_c / r->groups, out_group = r->out_c / r->groups;
    size_t channel = at.c / in_group * out_group; /* the first output channel it meets */
    const NVM_WEIGHT *weights = (const NVM_WEIGHT *)link->weights + at.c % in_group * r->out_c + channel;
    int32_t y, x, y0, x0, y_end, x_end;
    uint64_t sops = 0;
    nvm_axis_outputs(&link->axis_rows, at.y, &y0, &y_end);
    nvm_axis_outputs(&link->axis_cols, at.x, &x0, &x_end);
    for (y = y0; y < y_end; y++) {
        int32_t i = nvm_axis_tap(&link->axis_rows, y, at.y);
        for (x = x0; i >= 0 && x < x_end; x++) {
            int32_t j = nvm_axis_tap(&link->axis_cols, x, at.x);
            if (j < 0) {
                continue;
            }
            size_t tap = (size_t)i * r->k_w + (size_t)j;
            size_t target = ((size_t)y * r->out_w + (size_t)x) * r->out_c + channel;
            add_run(link->target->drive + target, weights + tap * in_group * r->out_c, out_group, count);
            nvm_mark_reached(link->target, target, out_group);
            sops += out_group;
        }
    }
    return sops;
}

uint64_t NVM_CONV_FN(const nvm_link *link, uint32_t segment, const nvm_spike *spikes, size_t n)
{
    uint64_t sops = 0;
    (void)segment;
    for (size_t k = 0; k < n; k++) {
        sops += apply_spike(link, nvm_spike_index(spikes[k]), nvm_spike_count(spikes[k]));
    }
    return sops;
}

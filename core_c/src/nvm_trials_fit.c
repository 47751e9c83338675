/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_trials_fit.c: from the times of a few runs of a layer to what any of its runs takes.
 */
#include "nvm_trials.h"

static float above(float value, float floor)
{
    return value > floor ? value : floor;
}

/* The line through (x0, y0) and (x1, y1), which neither falls nor begins below 0: its slope, and
 * *start at 0. */
static float line_through(float x0, float y0, float x1, float y1, float *start)
{
    float slope = x1 > x0 ? above(y1 - y0, 0.0f) / (x1 - x0) : 0.0f;
    *start = y0 - slope * x0;
    if (*start < 0.0f || !(x1 > x0)) {
        *start = 0.0f;
        slope = y1 / above(x1, 1.0f);
    }
    return slope;
}

static float plain_ns(const nvm_node *node, const nvm_trial_changes *which)
{
    float pixels = (float)which->count;
    if (which->in_a_row) {
        pixels /= (float)which->channels;
    }
    return nvm_plain_events_ns(node, (float)which->count, above(pixels, 1.0f));
}

static void fit_events(nvm_node *node, nvm_node *in, const float *ns, nvm_layer_costs *costs)
{
    nvm_trial_changes one = nvm_trial_changes_of(node, in, NVM_TRY_ONE);
    nvm_trial_changes many = nvm_trial_changes_of(node, in, NVM_TRY_SCATTERED);
    nvm_trial_send(in, &one); /* a product's estimate looks at what its inputs sent */
    float first = plain_ns(node, &one);
    nvm_trial_send(in, &many);
    float last = plain_ns(node, &many);
    float taken = above(ns[NVM_TRY_SCATTERED] - ns[NVM_TRY_SCATTER], 0.0f);
    costs->scattered = line_through(first, ns[NVM_TRY_ONE], last, taken, &costs->event_ns);
    costs->neighbours = costs->scattered;
    if (nvm_is_tried(node, NVM_TRY_NEIGHBOURS)) {
        nvm_trial_changes row = nvm_trial_changes_of(node, in, NVM_TRY_NEIGHBOURS);
        nvm_trial_send(in, &row);
        taken = above(ns[NVM_TRY_NEIGHBOURS] - ns[NVM_TRY_APPROACH] - costs->event_ns, 0.0f);
        costs->neighbours = taken / above(plain_ns(node, &row), 1.0f);
    }
}

nvm_layer_costs nvm_fit_costs(nvm_node *node, nvm_node *in, float ns[NVM_TRIALS])
{
    nvm_layer_costs costs = {.full_ns = 0.0f};
    for (nvm_trial trial = NVM_TRY_FULL; in != NULL && trial < NVM_TRIALS; trial++) {
        if (nvm_is_tried(node, trial) && ns[trial] == 0.0f) {
            in = NULL; /* no time, or no clock */
        }
    }
    if (in == NULL) {
        return costs;
    }
    for (nvm_trial trial = NVM_TRY_FULL; trial < NVM_TRY_OTHERS; trial++) {
        int has_others = nvm_reads_weights(trial) && nvm_is_tried(node, trial);
        ns[trial] -= has_others ? ns[NVM_TRY_OTHERS] : 0.0f;
        ns[trial] = above(ns[trial], 1.0f);
    }
    costs.full_ns = ns[NVM_TRY_FULL];
    costs.keep_ns = above(nvm_is_tried(node, NVM_TRY_KEEP) ? ns[NVM_TRY_KEEP] : 0.0f, ns[NVM_TRY_FULL]);
    costs.scattered = costs.neighbours = costs.tile_share = 1.0f;
    if (!nvm_has_tiles(node)) {
        fit_events(node, in, ns, &costs);
    }
    return costs;
}

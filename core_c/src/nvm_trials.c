/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_trials.c: which runs of a layer are measured, and the changes that they take.
 */
#include "nvm_trials.h"

#define FLIP 16 /* a change: this bit of the code */

nvm_node *nvm_trial_input(nvm_session *session, uint32_t index)
{
    nvm_node *node = &session->nodes[index];
    const nvm_layer *layer = node->layer;
    if (layer->n_in == 0 || layer->neuron != NVM_SD || layer->kind == NVM_LSTM ||
        layer->kind == NVM_SVDF) {
        return NULL;
    }
    for (uint32_t p = 0; p < layer->n_in; p++) {
        nvm_node *in = &session->nodes[layer->in[p]];
        if (in->layer->kind != NVM_CONST) {
            return nvm_is_spiking(in->layer) ? NULL : in;
        }
    }
    return NULL;
}

static uint32_t index_of(const nvm_node *in, const nvm_trial_changes *which, uint32_t k)
{
    uint32_t pixels = in->layer->n / which->channels, channels = which->channels;
    if (which->in_a_row) {
        uint32_t rest = in->layer->n - which->count;
        return rest / 2 / channels * channels + k;
    }
    uint32_t pixel = (uint32_t)((uint64_t)k * pixels / which->count);
    return pixel * channels + k * 7 % channels;
}

void nvm_trial_send(nvm_node *in, const nvm_trial_changes *which)
{
    int8_t *narrow = in->codes;
    int16_t *wide = in->codes;
    for (uint32_t k = 0; k < which->count; k++) {
        uint32_t i = index_of(in, which, k);
        int32_t before = nvm_is_wide(in->layer) ? wide[i] : narrow[i];
        int32_t after = before ^ FLIP;
        if (nvm_is_wide(in->layer)) {
            wide[i] = (int16_t)after;
        } else {
            narrow[i] = (int8_t)after;
        }
        in->events[k] = (nvm_event){i, after - before};
    }
    in->n_events = which->count;
    in->lazy = 0;
}

/* The most changes of this kind that the estimate holds cheaper than a full run; 1 at least. */
static nvm_trial_changes most_changes(const nvm_node *node, const nvm_node *in, int in_a_row)
{
    uint32_t channels = nvm_pixel_codes(node->layer);
    uint32_t low = 1, high = in_a_row ? in->layer->n / 2 : in->layer->n / channels;
    channels = in->layer->n % channels == 0 ? channels : 1;
    while (low < high) {
        uint32_t half = low + (high - low + 1) / 2;
        float pixels = in_a_row ? (float)half / (float)channels : (float)half;
        if (nvm_plain_events_ns(node, (float)half, pixels) > node->full_ns) {
            high = half - 1;
        } else {
            low = half;
        }
    }
    return (nvm_trial_changes){.count = low, .channels = channels, .in_a_row = in_a_row};
}

nvm_trial_changes nvm_trial_changes_of(const nvm_node *node, const nvm_node *in, nvm_trial trial)
{
    switch (trial) {
    case NVM_TRY_SCATTERED:
    case NVM_TRY_SCATTER:
        return most_changes(node, in, 0);
    case NVM_TRY_NEIGHBOURS:
    case NVM_TRY_APPROACH:
        return most_changes(node, in, 1);
    default:
        return (nvm_trial_changes){.count = 1, .channels = 1, .in_a_row = 1};
    }
}

/* What changes in layers that have tiles comes to them as codes to compare, not as a list: of them full runs
 * alone are measured, and the estimates of what changes take stand. */
int nvm_is_tried(const nvm_node *node, nvm_trial trial)
{
    switch (trial) {
    case NVM_TRY_FULL:
    case NVM_TRY_OTHERS:
        return 1;
    case NVM_TRY_KEEP:
        return node->packed != NULL && nvm_layer_keeps_acc(node->layer);
    case NVM_TRY_NEIGHBOURS:
    case NVM_TRY_APPROACH:
        return !nvm_has_tiles(node) && nvm_pixel_codes(node->layer) > 1;
    default:
        return !nvm_has_tiles(node);
    }
}

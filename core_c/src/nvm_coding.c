/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_coding.c: what travels between the layers of a coded program (nvm.h, "Spikes of a code"). A layer
 * first collects its changes as graded events; here they become the spikes of its window, and synapses
 * take those one by one.
 */
#include "nvm_internal.h"

#define TICKS 256

size_t nvm_event_room(const nvm_layer *layer)
{
    switch (nvm_coding_of(layer)) {
    case NVM_FLAG_PLANES:
        return (size_t)layer->n * (1 + 8);
    case NVM_FLAG_TIMES:
        return (size_t)layer->n * (1 + 1);
    default:
        return layer->n;
    }
}

/* ---- sending ------------------------------------------------------------------------------ */

/* The nearest code that so many planes can say. */
static int32_t nearest(int32_t code, uint32_t planes)
{
    int32_t step = 256 >> planes, up = code + step / 2;
    return (up < INT8_MAX ? up : INT8_MAX) & -step;
}

/* Codes become the nearest that can be said; changes between equal ones are not sent. */
static void keep_planes(nvm_node *node, uint32_t planes)
{
    int8_t *codes = node->codes;
    uint32_t kept = 0;
    for (uint32_t k = 0; k < node->n_events; k++) {
        nvm_event event = node->events[k];
        int32_t old = codes[event.index] - event.delta;
        int32_t sent = nearest(codes[event.index], planes);
        codes[event.index] = (int8_t)sent;
        node->events[kept] = (nvm_event){event.index, sent - old};
        kept += sent != old;
    }
    node->n_events = kept;
}

/* The same where the number of planes changed: codes that did not change are said in others too. */
static void keep_planes_of_all(nvm_node *node, uint32_t planes)
{
    int8_t *codes = node->codes;
    nvm_event *made = node->spikes; /* not in use yet */
    uint32_t kept = 0, k = 0;
    for (uint32_t i = 0; i < node->layer->n; i++) {
        int changed = k < node->n_events && node->events[k].index == i;
        int32_t old = codes[i] - (changed ? node->events[k].delta : 0);
        int32_t sent = nearest(codes[i], planes);
        k += (uint32_t)changed;
        codes[i] = (int8_t)sent;
        made[kept] = (nvm_event){i, sent - old};
        kept += sent != old;
    }
    memcpy(node->events, made, kept * sizeof *made);
    node->n_events = kept;
}

static void send_planes(nvm_node *node)
{
    const int8_t *codes = node->codes;
    uint32_t sent = 0;
    for (int plane = 7; plane >= 0; plane--) {
        int32_t worth = plane == 7 ? -128 : 1 << plane;
        for (uint32_t k = 0; k < node->n_events; k++) {
            nvm_event event = node->events[k];
            uint32_t now = (uint8_t)codes[event.index];
            uint32_t before = (uint8_t)(codes[event.index] - event.delta);
            int32_t spike = (int32_t)(now >> plane & 1) - (int32_t)(before >> plane & 1);
            if (spike != 0) {
                node->spikes[sent++] = (nvm_event){event.index, spike * worth};
            }
        }
    }
    node->n_spikes = sent;
}

/* One spike a change, in the order of their ticks; within a tick in that of their neurons. */
static void send_times(nvm_node *node)
{
    const int8_t *codes = node->codes;
    uint32_t place[TICKS + 1] = {0};
    for (uint32_t k = 0; k < node->n_events; k++) {
        place[INT8_MAX - codes[node->events[k].index] + 1]++;
    }
    for (uint32_t tick = 0; tick < TICKS; tick++) {
        place[tick + 1] += place[tick];
    }
    for (uint32_t k = 0; k < node->n_events; k++) {
        node->spikes[place[INT8_MAX - codes[node->events[k].index]]++] = node->events[k];
    }
    node->n_spikes = node->n_events;
}

void nvm_code_changes(nvm_node *node, uint32_t planes, int all)
{
    if (node->coding == NVM_FLAG_PLANES) {
        if (planes < 8 && !(node->layer->flags & NVM_FLAG_OUTPUT)) {
            (all ? keep_planes_of_all : keep_planes)(node, planes);
        }
        send_planes(node);
    } else if (node->coding == NVM_FLAG_TIMES) {
        send_times(node);
    }
}

/* ---- receiving ---------------------------------------------------------------------------- */

int nvm_takes_spikes(const nvm_node *node)
{
    uint32_t kind = node->layer->kind;
    return node->coding != 0 && (kind == NVM_DENSE || kind == NVM_CONV || kind == NVM_DWCONV);
}

static void add_row(int32_t *sum, const int8_t *weights, size_t n, int32_t delta)
{
    for (size_t u = 0; u < n; u++) {
        sum[u] = nvm_add_wrap(sum[u], weights[u] * delta); /* |w delta| <= 128 * 255 */
    }
}

/* One spike through one tap to one output pixel; returns the weights applied. */
static size_t add_tap(const nvm_node *node, int32_t *sum, size_t tap, size_t channel, int32_t delta)
{
    const nvm_layer *layer = node->layer;
    if (layer->kind == NVM_DWCONV) {
        size_t first = channel * layer->groups; /* groups: the multiplier */
        add_row(sum + first, node->weights + tap * layer->out_c + first, layer->groups, delta);
        return layer->groups;
    }
    size_t in_group = layer->in_c / layer->groups, out_group = layer->out_c / layer->groups;
    size_t group = channel / in_group, row = tap * in_group + channel % in_group;
    add_row(sum + group * out_group, node->weights + row * layer->out_c + group * out_group,
            out_group, delta);
    return out_group;
}

static void add_window(nvm_node *node, nvm_marks *marks, nvm_event spike)
{
    const nvm_layer *layer = node->layer;
    uint32_t pixel = spike.index / layer->in_c, channel = spike.index % layer->in_c;
    int32_t row = (int32_t)(pixel / layer->in_w), col = (int32_t)(pixel % layer->in_w);
    int32_t y, y_end, x_first, x_end, *sum = node->acc;
    nvm_axis_outputs(&node->rows, row, &y, &y_end);
    nvm_axis_outputs(&node->cols, col, &x_first, &x_end);
    for (; y < y_end; y++) {
        int32_t i = nvm_axis_tap(&node->rows, y, row);
        for (int32_t x = x_first; i >= 0 && x < x_end; x++) {
            int32_t j = nvm_axis_tap(&node->cols, x, col);
            if (j >= 0) {
                size_t out = (size_t)y * layer->out_w + (size_t)x;
                size_t tap = (size_t)i * layer->k_w + (size_t)j;
                node->sops += add_tap(node, sum + out * layer->out_c, tap, channel, spike.delta);
                nvm_mark(marks, out);
            }
        }
    }
}

void nvm_add_spikes(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_layer *layer = node->layer;
    const nvm_node *in = node->in[0];
    for (uint32_t k = 0; k < in->n_spikes; k++) {
        if (layer->kind == NVM_DENSE) {
            add_row(node->acc, node->weights + (size_t)in->spikes[k].index * layer->out_c,
                    layer->out_c, in->spikes[k].delta);
            node->sops += layer->out_c;
        } else {
            add_window(node, &scratch->marks, in->spikes[k]);
        }
    }
}

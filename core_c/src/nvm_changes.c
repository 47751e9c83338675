/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_changes.c: codes that all change at once. Their events are counted, and listed only for a layer
 * that goes by events: where everything changes, nobody does, and the list would be eight times the
 * codes.
 */
#include "nvm_internal.h"

static void *begin_lazy(nvm_node *node)
{
    size_t bytes = node->layer->n * nvm_code_bytes(node->layer);
    memcpy(node->old, node->codes, bytes);
    return node->codes;
}

static void end_lazy(nvm_node *node)
{
    int wide = nvm_is_wide(node->layer);
    size_t bytes = node->layer->n * nvm_code_bytes(node->layer);
    node->n_events = node->isa->count_changes(node->old, node->codes, bytes, wide);
    node->lazy = 1;
}

void nvm_send_all(nvm_node *node, const void *wanted)
{
    memcpy(begin_lazy(node), wanted, node->layer->n * nvm_code_bytes(node->layer));
    end_lazy(node);
}

void nvm_run_full(nvm_node *node, nvm_scratch *scratch, int keeps_acc)
{
    int lazily = nvm_is_lazy_sender(node);
    if (lazily) {
        (void)begin_lazy(node);
        node->quiet = 1;
    }
    if (node->packed != NULL) {
        nvm_packed_full(node, scratch, keeps_acc);
    } else {
        node->kernel->full(node, scratch);
    }
    if (lazily) {
        node->quiet = 0;
        end_lazy(node);
    }
}

void nvm_run_tiles(nvm_node *node, nvm_scratch *scratch)
{
    (void)begin_lazy(node);
    nvm_packed_tiles(node, scratch);
    end_lazy(node);
}

/* What the set's neuron stage sends on the way from the old codes; those are not needed again. */
static void list_s8(nvm_node *node)
{
    nvm_node before = *node;
    before.codes = node->old;
    before.n_events = 0;
    node->isa->neuron_sd_s8(&before, 0, node->codes, node->layer->n);
    assert(before.n_events == node->n_events);
}

static void list_s16(nvm_node *node)
{
    const int16_t *old = node->old, *now = node->codes;
    nvm_event *events = node->events;
    size_t n = node->layer->n, sent = 0;
    for (size_t i = 0; i < n; i++) {
        events[sent] = (nvm_event){(uint32_t)i, now[i] - old[i]};
        sent += now[i] != old[i];
    }
    assert(sent == node->n_events);
}

void nvm_list_events(nvm_node *node)
{
    if (!node->lazy) {
        return;
    }
    node->lazy = 0;
    if (nvm_is_wide(node->layer)) {
        list_s16(node);
    } else {
        list_s8(node);
    }
}

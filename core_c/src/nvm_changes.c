/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_changes.c: codes that all change at once. Their events are counted, and listed only for a layer
 * that goes by events: where everything changes, nobody does, and the list would be eight times the
 * codes.
 */
#include "nvm_pack.h"

/* Counts the changes of every run; those without any are dropped. */
static void count_runs(nvm_node *node)
{
    int wide = nvm_is_wide(node->layer);
    size_t width = nvm_code_bytes(node->layer);
    uint32_t kept = 0;
    for (uint32_t r = 0; r < node->n_runs; r++) {
        nvm_run run = node->runs[r];
        size_t at = run.first * width;
        uint32_t changes =
            node->isa->count_changes((const uint8_t *)node->old + at, (const uint8_t *)node->codes + at,
                                     (run.end - run.first) * width, wide);
        node->runs[kept] = run;
        kept += changes != 0;
        node->n_events += changes;
    }
    node->n_runs = kept;
    node->lazy = kept != 0;
}

/* What was sent so far of codes that are not touched yet. */
static void keep_old(nvm_node *node, size_t first, size_t end)
{
    size_t width = nvm_code_bytes(node->layer);
    memcpy((char *)node->old + first * width, (const char *)node->codes + first * width,
           (end - first) * width);
}

void nvm_touch(nvm_node *node, size_t first, size_t end)
{
    nvm_run *last = node->runs + node->n_runs;
    if (node->n_runs != 0 && (first <= last[-1].end + NVM_NEAR || node->n_runs == NVM_MAX_RUNS)) {
        last--;
        first = last->end;
        if (first >= end) {
            return;
        }
    } else {
        last->first = (uint32_t)first;
        node->n_runs++;
    }
    last->end = (uint32_t)end;
    keep_old(node, first, end);
}

/* Between runs codes are as they were. */
void nvm_align_runs(nvm_node *node, uint32_t channels)
{
    uint32_t n = node->n_runs;
    node->n_runs = 0;
    for (uint32_t r = 0, before = 0; r < n; r++) {
        nvm_run run = node->runs[r];
        uint32_t first = run.first - run.first % channels, over = run.end % channels;
        uint32_t limit = r + 1 < n ? node->runs[r + 1].first : node->layer->n;
        uint32_t end = over == 0 ? run.end : run.end + (channels - over);
        first = first > before ? first : before;
        end = end < limit ? end : limit;
        keep_old(node, first, run.first);
        keep_old(node, run.end, end);
        if (node->n_runs != 0 && first == before) {
            node->runs[node->n_runs - 1].end = end;
        } else {
            node->runs[node->n_runs++] = (nvm_run){first, end};
        }
        before = end;
    }
}

/* Codes of an input or a memory: compared in parts, of which the changed ones are copied. */
#define PART 128u

/* What a full run wrote to where the codes before it belong; or all of few codes, or of a memory, which mostly
 * changes as a whole, as a window does that moves on. */
static void send_whole(nvm_node *node, const void *wanted)
{
    size_t bytes = node->layer->n * nvm_code_bytes(node->layer);
    node->n_events = node->isa->take_codes(node->old, node->codes, wanted, bytes, nvm_is_wide(node->layer));
    node->lazy = node->n_events != 0;
}

void nvm_send_all(nvm_node *node, const void *wanted)
{
    size_t width = nvm_code_bytes(node->layer), n = node->layer->n;
    int wide = nvm_is_wide(node->layer);
    node->n_runs = 0;
    if (node->layer->kind == NVM_STATE || n <= PART) {
        send_whole(node, wanted);
        return;
    }
    for (size_t i = 0, part; i < n; i += part) {
        part = n - i < PART ? n - i : PART;
        uint8_t *codes = (uint8_t *)node->codes + i * width;
        const uint8_t *to = (const uint8_t *)wanted + i * width;
        uint32_t changes = node->isa->count_changes(codes, to, part * width, wide);
        if (changes != 0) {
            nvm_touch(node, i, i + part);
            memcpy(codes, to, part * width);
            node->n_events += changes;
        }
    }
    node->lazy = node->n_events != 0;
}

void nvm_run_full(nvm_node *node, nvm_scratch *scratch, int keeps_acc)
{
    int lazily = nvm_is_lazy_sender(node);
    if (lazily && node->packed != NULL && node->layer->kind == NVM_MAP) {
        nvm_packed_map_changes(node);
        return;
    }
    void *codes = node->codes;
    if (lazily) { /* no run reads its own */
        node->n_runs = 0;
        node->quiet = 1;
        node->codes = node->old;
    }
    if (node->packed != NULL) {
        nvm_packed_full(node, scratch, keeps_acc);
    } else {
        node->kernel->full(node, scratch);
    }
    if (lazily) {
        node->quiet = 0;
        node->codes = codes;
        send_whole(node, node->old);
    }
}

void nvm_run_tiles(nvm_node *node, nvm_scratch *scratch)
{
    if (nvm_is_elementwise(node)) {
        nvm_elements_tiles(node, scratch);
    } else {
        node->n_runs = 0;
        nvm_packed_tiles(node, scratch);
    }
    count_runs(node);
}

void nvm_run_events(nvm_node *node, nvm_scratch *scratch)
{
    if (nvm_has_deltas(node) && !node->behind && nvm_run_deltas(node, scratch)) {
        count_runs(node);
        return;
    }
    for (uint32_t p = 0; node->layer->kind != NVM_AVGPOOL && p < node->layer->n_in; p++) {
        nvm_list_events((nvm_node *)node->in[p]); /* nodes are one session's own */
    }
    node->kernel->events(node, scratch);
}

/* What the set's neuron stage sends on the way from the old codes; those are not needed again. */
static void list_s8(nvm_node *node, const nvm_run *runs, size_t n)
{
    nvm_node before = *node;
    before.codes = node->old;
    before.n_events = 0;
    for (const nvm_run *end = runs + n; runs < end; runs++) {
        node->isa->neuron_sd_s8(&before, runs->first, (const int8_t *)node->codes + runs->first,
                                runs->end - runs->first);
    }
    assert(before.n_events == node->n_events);
}

static void list_s16(nvm_node *node, const nvm_run *runs, size_t n)
{
    const int16_t *old = node->old, *now = node->codes;
    nvm_event *events = node->events;
    size_t sent = 0;
    for (const nvm_run *end = runs + n; runs < end; runs++) {
        for (uint32_t i = runs->first; i < runs->end; i++) {
            events[sent] = (nvm_event){i, now[i] - old[i]};
            sent += now[i] != old[i];
        }
    }
    assert(sent == node->n_events);
}

void nvm_list_events(nvm_node *node)
{
    nvm_run all = {0, node->layer->n};
    const nvm_run *runs = node->n_runs == 0 ? &all : node->runs;
    size_t n = node->n_runs == 0 ? 1 : node->n_runs;
    if (!node->lazy) {
        return;
    }
    node->lazy = 0;
    if (nvm_is_wide(node->layer)) {
        list_s16(node, runs, n);
    } else {
        list_s8(node, runs, n);
    }
}

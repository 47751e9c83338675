/* SPDX-License-Identifier: Apache-2.0
 *
 * Mean or sum over any axes: S[map[i]] += q[i], then the layer's requantiser.
 */
#include "nvm_types.h"

#define CHUNK     256
#define LEAST_RUN 4u /* inputs: fewer are added one by one */

static void fire_run(nvm_node *node, size_t first, size_t n)
{
    nvm_code wanted[CHUNK];
    const int32_t *acc = node->acc;
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        nvm_requant(node, acc + first + i, 0, part, wanted);
        nvm_neuron_sd(node, first + i, wanted, part);
    }
}

void NVM_NAME(mean_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    const uint32_t *map = node->table0;
    int32_t *acc = node->acc;
    for (size_t k = 0; k < in->n_events; k++) {
        uint32_t out = map[in->events[k].index];
        acc[out] = nvm_add_wrap(acc[out], in->events[k].delta);
        nvm_mark(&scratch->marks, out);
    }
    if (node->behind) {
        nvm_unmark_all(&scratch->marks);
        fire_run(node, 0, node->layer->n);
        return;
    }
    for (size_t first = nvm_unmark_next(&scratch->marks); first != SIZE_MAX;) {
        size_t end = first + 1, next;
        while ((next = nvm_unmark_next(&scratch->marks)) == end) {
            end++;
        }
        fire_run(node, first, end - first);
        first = next;
    }
}

/* The sums of inputs that go to neurons which follow each other: a run of those at a time. */
static void add_runs(const nvm_node *node, int32_t *acc)
{
    const uint32_t *map = node->table0;
    const nvm_code_in *codes = node->in[0]->codes;
    size_t n = node->in[0]->layer->n;
    for (size_t i = 0; i < n; i += node->run) {
        size_t part = n - i < node->run ? n - i : node->run;
        const nvm_code_in *restrict from = codes + i;
        int32_t *restrict sum = acc + map[i];
        for (size_t k = 0; k < part; k++) {
            sum[k] = nvm_add_wrap(sum[k], from[k]);
        }
    }
}

/* The same of inputs that go to one neuron, so many at a time. */
static void add_same(const nvm_node *node, int32_t *acc)
{
    const uint32_t *map = node->table0;
    const nvm_code_in *codes = node->in[0]->codes;
    size_t n = node->in[0]->layer->n;
    for (size_t i = 0; i < n; i += node->same) {
        size_t part = n - i < node->same ? n - i : node->same;
        const nvm_code_in *restrict from = codes + i;
        int32_t sum = 0;
        for (size_t k = 0; k < part; k++) {
            sum = nvm_add_wrap(sum, from[k]);
        }
        acc[map[i]] = nvm_add_wrap(acc[map[i]], sum);
    }
}

void NVM_NAME(mean_full)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    const uint32_t *map = node->table0;
    const nvm_code_in *codes = in->codes;
    int32_t *acc = node->acc;
    (void)scratch;
    memset(acc, 0, node->layer->n * sizeof *acc);
    if (node->run >= LEAST_RUN) {
        add_runs(node, acc);
    } else if (node->same >= LEAST_RUN) {
        add_same(node, acc);
    } else {
        for (size_t i = 0; i < in->layer->n; i++) {
            acc[map[i]] = nvm_add_wrap(acc[map[i]], codes[i]);
        }
    }
    fire_run(node, 0, node->layer->n);
}

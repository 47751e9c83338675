/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_choice.c: the way a layer takes in a step: the exact one with the smallest estimate.
 *
 * A full run over packed weights leaves its sums nowhere, so the layer is stale: events would have nothing to
 * change. A full run that keeps them takes d nanoseconds more, once, and nobody knows how long changes will
 * stay few. Two accounts decide, as when skis are rented or bought:
 *
 *     owed   what events would have saved in steps taken otherwise because the layer was stale. The sums are
 *            bought when it has reached d: until then as much is lost as they cost, so that the way through
 *            such a stretch takes at most what it takes with foresight, and 2 d.
 *     purse  what events did save, and ALLOWANCE of every step. They are bought from it alone: whatever the
 *            stream does, all steps together take at most 1 + ALLOWANCE of what they take without
 *            events, and once the purse of the beginning and the step under way.
 */
#include "nvm_internal.h"

#define ALLOWANCE 0.04f
#define PURSE     4.0f /* full runs; more is not saved up */

/* Tiles are not looked for where more than one in so many codes changed. */
#define LEAST_REST 2u
/* Of layers that take less, or windowed ones that take less than twice that, all are full runs. */
#define SMALL_NS 100.0f
#define MOST_WAITS 15u /* 2^n - 1 */

/* Whether a full run is over before a choice has paid. */
static int is_small(const nvm_node *node)
{
    switch (node->layer->kind) {
    case NVM_CONV:
    case NVM_DWCONV:
    case NVM_AVGPOOL:
        return node->full_ns < 2.0f * SMALL_NS;
    case NVM_ADD:
    case NVM_MAP:
    case NVM_TABLE:
        return node->full_ns < SMALL_NS;
    default:
        return 0;
    }
}

void nvm_forget_choices(nvm_node *node)
{
    node->small = (uint8_t)is_small(node);
    node->owed = 0.0f;
    node->purse = node->costs.keep_ns;
    node->vain = node->waits = 0;
}

static void save(nvm_node *node, float ns)
{
    float most = PURSE * node->full_ns;
    node->purse += ns;
    node->purse = node->purse < most ? node->purse : most;
}

/* Events rather than a way of so many nanoseconds? */
static int takes_events(nvm_node *node, float events_ns, float other_ns)
{
    float saved = other_ns - events_ns, price = node->costs.keep_ns - other_ns;
    save(node, ALLOWANCE * other_ns);
    if (!(saved > 0.0f)) {
        return 0;
    }
    if (!node->stale) {
        save(node, saved);
        return 1;
    }
    node->owed += saved;
    if (node->owed < price || node->purse < price) {
        return 0;
    }
    node->purse -= price > 0.0f ? price : 0.0f;
    node->owed = 0.0f;
    return 1;
}

static nvm_way forced_way(nvm_node *node, nvm_scratch *scratch)
{
    if (node->forced != NVM_TILES) {
        return (nvm_way)node->forced;
    }
    if (!nvm_has_tiles(node)) {
        return NVM_DENSE_WAY;
    }
    (void)nvm_mark_tiles(node, scratch);
    return NVM_TILES;
}

/* What tiles take where they may be the quickest, or FLT_MAX; then what they reach is marked. After a look in
 * vain the next ones are left out, more each time. Of nodes that have tiles. */
static float look_for_tiles(nvm_node *node, size_t received, nvm_scratch *scratch)
{
    if (received * LEAST_REST > node->in[0]->layer->n ||
        nvm_tiles_ns(node, received, 0) >= node->full_ns) {
        return FLT_MAX;
    }
    if (node->waits != 0) {
        node->waits--;
        return FLT_MAX;
    }
    float ns = nvm_tiles_ns(node, received, nvm_mark_tiles(node, scratch));
    node->vain = ns < node->full_ns ? 0 : (uint8_t)((2u * node->vain + 1u) & MOST_WAITS);
    node->waits = node->vain;
    return ns;
}

nvm_way nvm_choose_way(nvm_node *node, size_t received, nvm_scratch *scratch)
{
    if (node->forced != NVM_AUTO) {
        return forced_way(node, scratch);
    }
    if (node->small) {
        return NVM_DENSE_WAY;
    }
    int has_tiles = nvm_has_tiles(node);
    float ns = node->full_ns, tiles_ns = has_tiles ? look_for_tiles(node, received, scratch) : FLT_MAX;
    nvm_way way = tiles_ns < ns ? NVM_TILES : NVM_DENSE_WAY;
    ns = tiles_ns < ns ? tiles_ns : ns;
    /* Pixels are counted where they were looked at for tiles. */
    int is_known = !has_tiles || tiles_ns != FLT_MAX;
    float events_ns = is_known ? nvm_events_ns(node, received) : nvm_scattered_ns(node, received);
    if (takes_events(node, events_ns, ns)) {
        way = NVM_EVENTS;
    }
    /* What was found serves tiles and events of pixels; a run in full would leave it to the next layer. */
    int in_full = way == NVM_DENSE_WAY || node->stale || node->behind;
    if (way != NVM_TILES && (in_full || !nvm_has_deltas(node))) {
        nvm_unmark_all(&scratch->marks);
    }
    return way;
}

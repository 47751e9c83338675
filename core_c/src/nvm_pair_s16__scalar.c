/* SPDX-License-Identifier: Apache-2.0
 *
 * Products and extremes of int16 codes, element by element; touched elements again.
 */
#include "nvm_pairs_s16__scalar.h"

static int32_t combine(const nvm_node *node, size_t i, int16_t a, int16_t b)
{
    (void)i;
    switch (node->layer->aux[0]) {
    case 0:
        return a * b; /* <= 2^30 */
    case 1:
        return a < b ? a : b;
    default:
        return a < b ? b : a;
    }
}

void NVM_OWN(pair_events_s16)(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    nvm_pairs_events(node, combine);
}

void NVM_OWN(pair_full_s16)(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    nvm_pairs_full(node, combine);
}

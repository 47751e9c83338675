/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise sum of int16 codes, each brought to a common scale first; touched elements again.
 */
#include "nvm_pairs_s16__scalar.h"

/* sign double(q 2^b), table = {b, m, e, sign}; |q 2^b| <= 2^30. */
static int32_t term(const int32_t *table, int16_t q)
{
    int32_t left = table[2] > 0 ? table[2] : 0, right = table[2] < 0 ? -table[2] : 0;
    int32_t shifted = (int32_t)((uint32_t)(q * (1 << table[0])) << left);
    int64_t x = ((int64_t)shifted * table[1] + (1 << 30)) >> 31;
    if (right != 0) {
        x = (x + (INT64_C(1) << (right - 1)) - (x < 0)) >> right;
    }
    return (int32_t)(table[3] < 0 ? -x : x);
}

static int32_t combine(const nvm_node *node, size_t i, int16_t a, int16_t b)
{
    const int32_t *table0 = node->table0, *table1 = node->table1;
    size_t half = i < node->layer->aux[1] ? 0 : 4;
    return nvm_add_wrap(term(table0 + half, a), term(table1 + half, b));
}

void NVM_OWN(add_events_s16)(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    nvm_pairs_events(node, combine);
}

void NVM_OWN(add_full_s16)(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    nvm_pairs_full(node, combine);
}

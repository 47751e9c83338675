/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts that come in become a list of spikes, of which most are 0.
 */
#include "nvm_spiking_internal.h"

void nvm_scan__scalar(nvm_cells *cells, const uint8_t *counts, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, counts + i, sizeof word);
        while (word != 0) {
            size_t byte = (size_t)__builtin_ctzll(word) / 8;
            nvm_send(cells, i + byte, counts[i + byte]);
            word &= ~(UINT64_C(255) << (8 * byte));
        }
    }
    for (; i < n; i++) {
        if (counts[i] != 0) {
            nvm_send(cells, i, counts[i]);
        }
    }
}

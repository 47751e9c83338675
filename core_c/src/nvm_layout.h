/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_layout.h: one block of the caller's memory, parted; the same walk measures it and lays it out.
 */
#ifndef NVM_LAYOUT_H
#define NVM_LAYOUT_H

#include "nvm_internal.h"

typedef struct nvm_block {
    uint8_t *base; /* NULL: measure */
    size_t used;
} nvm_block;

/* The next count * size bytes, aligned; NULL where it only measures. */
static inline void *nvm_take(nvm_block *block, size_t count, size_t size)
{
    size_t start = block->used;
    block->used += (count * size + NVM_ALIGN - 1) / NVM_ALIGN * NVM_ALIGN;
    return block->base == NULL ? NULL : block->base + start;
}

#endif

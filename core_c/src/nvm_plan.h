/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_plan.h: the arena of codes that rows are predicted in (nvm_plan.c).
 */
#ifndef NVM_PLAN_H
#define NVM_PLAN_H

#include "nvm_internal.h"

typedef struct nvm_places {
    uint32_t at[NVM_MAX_LAYERS]; /* in units of NVM_ALIGN bytes */
} nvm_places;

/* Whether its codes are made anew for every row. */
int nvm_has_place(const nvm_layer *layer);

/* The place of every layer's codes of so many rows, a row after the other; the bytes of them all. */
size_t nvm_plan_codes(const nvm_program *program, size_t rows, nvm_places *places);

#endif

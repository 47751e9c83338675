/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_costs.h: measured costs as bytes that may be kept.
 */
#ifndef NVM_COSTS_H
#define NVM_COSTS_H

#include "nvm_internal.h"

/* Writes the header; where the layers' costs go, all 0. */
nvm_layer_costs *nvm_costs_begin(const nvm_program *program, void *costs);

#endif

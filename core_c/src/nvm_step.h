/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_step.h: the parts of a step: it begins, inputs send (nvm_inputs.c), and all else follows (nvm_step.c).
 */
#ifndef NVM_STEP_H
#define NVM_STEP_H

#include "nvm_internal.h"

/* Before the inputs send; once they have; a step that has nothing to do but to count. */
void nvm_step_begin(nvm_session *session);
void nvm_step_finish(nvm_session *session);
void nvm_step_count(nvm_session *session);

/* Sends what the wanted codes of an input or a memory differ by from those it sent before. */
void nvm_send_input(const nvm_isa *isa, nvm_node *node);

#endif

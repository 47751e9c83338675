/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_trials.h: what of a layer is measured, and what costs come of it.
 */
#ifndef NVM_TRIALS_H
#define NVM_TRIALS_H

#include "nvm_costs.h"

/* What is measured of a layer. SCATTER and APPROACH: what it takes to make the changes of SCATTERED and NEIGHBOURS
 * alone; OTHERS: to read the weights of other layers. */
typedef enum nvm_trial {
    NVM_TRY_FULL,
    NVM_TRY_KEEP,
    NVM_TRY_ONE,
    NVM_TRY_SCATTERED,
    NVM_TRY_SCATTER,
    NVM_TRY_NEIGHBOURS,
    NVM_TRY_APPROACH,
    NVM_TRY_OTHERS,
    NVM_TRIALS
} nvm_trial;

/* So many codes of an input: in pixels far from each other, or in a row. */
typedef struct nvm_trial_changes {
    uint32_t count, channels;
    int in_a_row;
} nvm_trial_changes;

/* The input whose changes are measured, or NULL: what sends nothing or has no choice is not. */
nvm_node *nvm_trial_input(nvm_session *session, uint32_t index);

/* Whether this is measured of a layer; the changes that it takes; the input sends them: twice, and its codes are
 * what they were. */
int nvm_is_tried(const nvm_node *node, nvm_trial trial);
nvm_trial_changes nvm_trial_changes_of(const nvm_node *node, const nvm_node *in, nvm_trial trial);
void nvm_trial_send(nvm_node *in, const nvm_trial_changes *which);

/* Making changes reads no weights. */
static inline int nvm_reads_weights(nvm_trial trial)
{
    return trial != NVM_TRY_SCATTER && trial != NVM_TRY_APPROACH;
}

/* From nanoseconds by trial, 0 where there are none, to costs; all 0 where something is missing. */
nvm_layer_costs nvm_fit_costs(nvm_node *node, nvm_node *in, float ns[NVM_TRIALS]);

#endif

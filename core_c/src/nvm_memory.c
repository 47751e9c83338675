/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_memory.c: what layers carry from one step to the next.
 *
 * Within a step memory stands still: a layer computes from what it remembers, as often as it is
 * asked to, and only the end of the step replaces that. So dense passes, sweeps and rows of
 * nvm_predict need nothing undone, and layers that remember each other may stand in any order.
 */
#include "nvm_internal.h"

void nvm_memory_begin(nvm_node *node)
{
    if (node->layer->kind == NVM_STATE) {
        memcpy(node->wanted, node->table0, node->layer->n * nvm_code_bytes(node->layer));
    } else if (node->layer->kind == NVM_LSTM) {
        nvm_lstm_begin(node);
    } else if (node->layer->kind == NVM_SVDF) {
        nvm_svdf_begin(node);
    }
}

void nvm_memory_commit(nvm_session *session)
{
    for (uint32_t i = 0; session->program->memory && i < session->program->n_layers; i++) {
        nvm_node *node = &session->nodes[i];
        if (node->layer->kind == NVM_STATE) {
            memcpy(node->wanted, session->nodes[node->layer->aux[0]].codes,
                   node->layer->n * nvm_code_bytes(node->layer));
        } else if (node->layer->kind == NVM_LSTM) {
            node->moved = (uint8_t)nvm_lstm_commit(node);
        } else if (node->layer->kind == NVM_SVDF) {
            node->moved = (uint8_t)nvm_svdf_commit(node);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_pass.c: the dense run that a session begins with.
 */
#include "nvm_internal.h"

void nvm_session_pass(nvm_session *session, int keeps_acc)
{
    for (uint32_t i = 0; i < session->program->n_layers; i++) {
        nvm_node *node = &session->nodes[i];
        const nvm_layer *layer = node->layer;
        uint64_t sops = node->sops;
        node->last_events = 0;
        node->unit = 0; /* straight to the code at rest */
        nvm_forget_choices(node);
        nvm_clear_events(node);
        node->quiet = 1;
        node->pending = node->behind = 0;
        node->moved = layer->kind == NVM_STATE; /* holds what it began with, not its source's codes */
        if (node->wanted != NULL) {
            memcpy(node->codes, node->wanted, layer->n * nvm_code_bytes(layer));
        } else if (layer->kind != NVM_CONST && layer->neuron == NVM_SD) {
            if (node->packed != NULL) {
                nvm_packed_full(node, &session->scratch, keeps_acc);
            } else {
                node->kernel->full(node, &session->scratch);
            }
        }
        nvm_clear_events(node);
        node->quiet = 0;
        node->way = layer->n_in == 0 ? NVM_EVENTS : NVM_DENSE_WAY;
        node->sops = sops;
        node->unit = (layer->flags & NVM_FLAG_UNIT) != 0;
    }
    nvm_session_publish(session, 1);
    session->changed = 0;
    session->settled = 0;
    session->behind = session->planes < 8; /* codes are whole here */
    session->sent_planes = 8;
}

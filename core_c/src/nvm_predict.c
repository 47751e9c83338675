/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_predict.c: dense runs, of a session that begins and of rows that keep no state.
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
        node->pending = node->behind = node->moved = 0;
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
    session->behind = session->planes < 8; /* codes are whole here */
    session->sent_planes = 8;
}

nvm_status nvm_predict(const nvm_program *program, void *scratch, size_t len, const void *in,
                       void *out, size_t rows)
{
    const uint8_t *from = in;
    uint8_t *to = out;
    nvm_status status;
    nvm_session *session;
    if (program == NULL || (rows != 0 && (in == NULL || out == NULL))) {
        status = NVM_E_ARG;
        goto done;
    }
    for (uint32_t i = 0; i < program->n_layers; i++) {
        if (nvm_is_spiking(&program->layers[i])) {
            status = NVM_E_UNSUPPORTED;
            goto done;
        }
    }
    status = nvm_session_open(scratch, len, program, NULL, &session);
    if (status != NVM_OK) {
        goto done;
    }
    for (size_t row = 0; row < rows; row++) {
        /* Memory is as it begins: only the end of a step replaces it. */
        for (uint32_t i = 0; i < program->n_layers; i++) {
            nvm_node *node = &session->nodes[i];
            if (node->layer->kind == NVM_INPUT) {
                size_t bytes = node->layer->n * nvm_code_bytes(node->layer);
                memcpy(node->wanted, from, bytes);
                from += bytes;
            }
        }
        nvm_session_pass(session, 0);
        memcpy(to, session->output, program->bytes_out);
        to += program->bytes_out;
    }
done:
    return status;
}

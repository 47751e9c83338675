/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_view.c: what a caller may see and set of a session between steps.
 */
#include "nvm_internal.h"

nvm_status nvm_session_output(const nvm_session *session, uint32_t port, const int8_t **codes,
                              size_t *n, int *changed)
{
    nvm_status status = NVM_OK;
    const uint8_t *start;
    if (session == NULL || (port != UINT32_MAX && port >= session->program->n_outputs)) {
        status = NVM_E_ARG;
        goto done;
    }
    start = session->output;
    size_t length = session->program->bytes_out;
    int any = session->changed;
    for (uint32_t i = 0; port != UINT32_MAX && i < session->program->n_layers; i++) {
        const nvm_node *node = &session->nodes[i];
        if (!(node->layer->flags & NVM_FLAG_OUTPUT)) {
            continue;
        }
        if (port-- == 0) {
            length = node->layer->n * nvm_code_bytes(node->layer);
            any = node->changed;
            break;
        }
        start += node->layer->n * nvm_code_bytes(node->layer);
    }
    if (codes != NULL) {
        *codes = (const int8_t *)start;
    }
    if (n != NULL) {
        *n = length;
    }
    if (changed != NULL) {
        *changed = any;
    }
done:
    return status;
}

nvm_status nvm_session_layer(const nvm_session *session, uint32_t layer, nvm_layer_view *view)
{
    nvm_status status = NVM_OK;
    if (session == NULL || view == NULL || layer >= session->program->n_layers) {
        status = NVM_E_ARG;
        goto done;
    }
    nvm_node *node = &session->nodes[layer];
    if (node->stale && !session->in_full) {
        nvm_scratch scratch = session->scratch;
        nvm_packed_refresh(node, &scratch);
    }
    *view = (nvm_layer_view){
        .codes = node->codes,
        .acc = session->in_full ? NULL : node->acc,
        .n = node->layer->n,
        .code_bytes = (uint32_t)nvm_code_bytes(node->layer),
        .acc_bytes = (uint32_t)nvm_acc_bytes(node->layer),
        .events = node->sent,
        .sops = node->sops,
        .way = (nvm_way)node->way,
        .last_events = node->last_events,
    };
done:
    return status;
}

nvm_status nvm_way_status(nvm_way way)
{
    switch (way) {
    case NVM_AUTO:
    case NVM_EVENTS:
    case NVM_TILES:
    case NVM_DENSE_WAY:
        return NVM_OK;
    case NVM_ZEROSKIP:
        return NVM_E_UNSUPPORTED;
    default:
        return NVM_E_ARG;
    }
}

nvm_status nvm_session_force(nvm_session *session, uint32_t layer, nvm_way way)
{
    nvm_status status = nvm_way_status(way);
    if (session == NULL || (layer != UINT32_MAX && layer >= session->program->n_layers)) {
        status = NVM_E_ARG;
    }
    if (status != NVM_OK) {
        goto done;
    }
    if (session->in_full && way != NVM_DENSE_WAY) {
        status = NVM_E_STATE;
        goto done;
    }
    session->settled = 0;
    for (uint32_t i = 0; i < session->program->n_layers; i++) {
        if (layer == UINT32_MAX || layer == i) {
            session->nodes[i].forced = (uint8_t)way;
        }
    }
done:
    return status;
}

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
        node->wanted = node->held;
        memcpy(node->wanted, node->table0, node->layer->n * nvm_code_bytes(node->layer));
    } else if (node->layer->kind == NVM_LSTM) {
        nvm_lstm_begin(node);
    } else if (node->layer->kind == NVM_SVDF) {
        nvm_svdf_begin(node);
    }
}

/* Whether what it sent are all the changes of its codes. */
static int tells_changes(const nvm_node *node)
{
    return nvm_is_lazy_sender(node) && !(node->layer->flags & NVM_FLAG_SPIKES);
}

/* Holds the codes of a source that runs after the memory has sent them: as they lie there. */
static int state_refer(nvm_node *node, const nvm_node *source)
{
    if (node->wanted == source->codes) {
        return source->last_events != 0;
    }
    int moved = memcmp(node->wanted, source->codes, node->layer->n * nvm_code_bytes(node->layer)) != 0;
    node->wanted = source->codes;
    return moved;
}

/* Takes the codes of the source. What neither changes nor is still to be sent is not looked at. */
static int state_commit(nvm_node *node, const nvm_node *source)
{
    size_t bytes = node->layer->n * nvm_code_bytes(node->layer);
    int tells = tells_changes(node) && tells_changes(source);
    if (tells && !node->moved && source->last_events == 0) {
        return 0;
    }
    if (tells && source > node) {
        return state_refer(node, source);
    }
    if (tells && memcmp(node->wanted, source->codes, bytes) == 0) {
        return 0; /* and what is held was sent in this step */
    }
    memcpy(node->wanted, source->codes, bytes);
    return 1;
}

int nvm_memory_commit(nvm_session *session)
{
    int moved = 0;
    for (uint32_t i = 0; i < session->end_memory; i++) {
        nvm_node *node = &session->nodes[i];
        if (node->layer->kind == NVM_STATE) {
            node->moved = (uint8_t)state_commit(node, &session->nodes[node->layer->aux[0]]);
        } else if (node->layer->kind == NVM_LSTM) {
            node->moved = (uint8_t)nvm_lstm_commit(node);
        } else if (node->layer->kind == NVM_SVDF) {
            node->moved = (uint8_t)nvm_svdf_commit(node);
        }
        moved |= node->moved;
    }
    return moved;
}

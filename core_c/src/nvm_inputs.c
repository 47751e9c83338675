/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_inputs.c: what inputs and memories send, and steps that name the inputs that change.
 */
#include "nvm_step.h"

/* ---- sending ------------------------------------------------------------------------------ */

static void send_spikes(nvm_node *node)
{
    const int8_t *wanted = node->wanted;
    memcpy(node->codes, wanted, node->layer->n);
    for (uint32_t i = 0; i < node->layer->n; i++) {
        if (wanted[i] != 0) {
            node->events[node->n_events++] = (nvm_event){i, wanted[i]};
        }
    }
}

/* Sends what the wanted codes of an input or a memory differ by from those it sent before. */
void nvm_send_input(const nvm_isa *isa, nvm_node *node)
{
    if (node->layer->flags & NVM_FLAG_SPIKES) {
        send_spikes(node);
    } else if (nvm_is_lazy_sender(node)) {
        nvm_send_all(node, node->wanted);
    } else if (nvm_is_wide(node->layer)) {
        isa->neuron_sd_s16(node, 0, node->wanted, node->layer->n);
    } else {
        isa->neuron_sd_s8(node, 0, node->wanted, node->layer->n);
    }
}

/* The input that holds elements [first, end) of the concatenated inputs. */
typedef struct place {
    nvm_node *node;
    size_t first, end;
} place;

/* Moves to the input that holds element i; 0 where none does. */
static int find_input(const nvm_session *session, place *at, size_t i)
{
    if (i >= at->first && i < at->end) {
        return 1;
    }
    if (i >= session->program->codes_in) {
        return 0;
    }
    at->node = session->nodes;
    for (at->first = 0;; at->node++) {
        if (at->node->layer->kind == NVM_INPUT) {
            at->end = at->first + at->node->layer->n;
            if (i < at->end) {
                return 1;
            }
            at->first = at->end;
        }
    }
}

/* Sends the inputs' marked elements, ascending. */
static void send_marked(nvm_session *session)
{
    place at = {0};
    for (size_t i; (i = nvm_unmark_next(&session->scratch.marks)) != SIZE_MAX;) {
        (void)find_input(session, &at, i);
        nvm_node *node = at.node;
        if (nvm_is_wide(node->layer)) {
            nvm_send_s16(node, i - at.first, ((const int16_t *)node->wanted)[i - at.first]);
        } else if (!(node->layer->flags & NVM_FLAG_SPIKES)) {
            nvm_send_s8(node, i - at.first, ((const int8_t *)node->wanted)[i - at.first]);
        }
    }
}

/* Sends all inputs that differ from what was sent; of programs without spiking inputs. */
static void send_inputs(nvm_session *session)
{
    for (uint32_t i = 0; i < session->end_inputs; i++) {
        if (session->nodes[i].layer->kind == NVM_INPUT) {
            nvm_send_input(session->program->isa, &session->nodes[i]);
        }
    }
}

/* ---- named codes --------------------------------------------------------------------------
 *
 * Another thread may write an update's arrays while a step reads them. So every element is read whole and each
 * time anew held against its bounds; one that left them after nvm_named_fit is left out. */

static size_t index_of(const nvm_named *set, size_t k)
{
    return __atomic_load_n(&set->index[k], __ATOMIC_RELAXED);
}

static int16_t code_of(const nvm_named *set, size_t k)
{
    return set->wide != NULL ? __atomic_load_n(&set->wide[k], __ATOMIC_RELAXED)
                             : __atomic_load_n(&set->narrow[k], __ATOMIC_RELAXED);
}

int nvm_named_fit(nvm_session *session, const nvm_named *set)
{
    place at = {0};
    for (size_t k = 0; k < set->n; k++) {
        if (index_of(set, k) >= session->program->codes_in) {
            return 0;
        }
    }
    for (size_t k = 0; set->wide != NULL && k < set->n; k++) {
        int16_t code = code_of(set, k);
        if (!find_input(session, &at, index_of(set, k)) ||
            (!nvm_is_wide(at.node->layer) && code != (int8_t)code)) {
            return 0;
        }
    }
    return 1;
}

/* Whether the inputs that are named hold their codes already. */
static int are_named_held(nvm_session *session, const nvm_named *set)
{
    place at = {0};
    for (size_t k = 0; k < set->n; k++) {
        size_t i = index_of(set, k);
        if (!find_input(session, &at, i)) {
            return 0;
        }
        int16_t held = nvm_is_wide(at.node->layer) ? ((const int16_t *)at.node->wanted)[i - at.first]
                                                   : ((const int8_t *)at.node->wanted)[i - at.first];
        if (held != code_of(set, k)) {
            return 0;
        }
    }
    return 1;
}

static void want_named(nvm_session *session, const nvm_named *set)
{
    place at = {0};
    for (size_t k = 0; k < set->n; k++) {
        size_t i = index_of(set, k);
        if (!find_input(session, &at, i)) {
            continue;
        }
        int16_t code = code_of(set, k);
        if (nvm_is_wide(at.node->layer)) {
            ((int16_t *)at.node->wanted)[i - at.first] = code;
        } else {
            ((int8_t *)at.node->wanted)[i - at.first] = (int8_t)code;
        }
        if (!session->in_full) {
            nvm_mark(&session->scratch.marks, i);
        }
    }
}

nvm_status nvm_session_take(nvm_session *session, const nvm_named *set)
{
    nvm_status status = NVM_OK;
    if (session == NULL ||
        (set->n != 0 && (set->index == NULL || (set->narrow == NULL && set->wide == NULL)))) {
        status = NVM_E_ARG;
        goto done;
    }
    if (!nvm_named_fit(session, set)) {
        status = NVM_E_RANGE;
        goto done;
    }
    if (session->settled && are_named_held(session, set)) {
        nvm_step_count(session);
        goto done;
    }
    nvm_step_begin(session);
    for (uint32_t i = 0; i < session->end_inputs; i++) {
        nvm_node *node = &session->nodes[i];
        if (node->layer->kind == NVM_INPUT && (node->layer->flags & NVM_FLAG_SPIKES)) {
            memset(node->wanted, 0, node->layer->n); /* elements not named do not spike */
        }
    }
    want_named(session, set);
    if (session->behind || session->in_full) {
        nvm_unmark_all(&session->scratch.marks);
        send_inputs(session);
    }
    send_marked(session);
    for (uint32_t i = 0; i < session->end_inputs; i++) {
        nvm_node *node = &session->nodes[i];
        if (node->layer->kind == NVM_INPUT && (node->layer->flags & NVM_FLAG_SPIKES)) {
            send_spikes(node);
        }
    }
    nvm_step_finish(session);
done:
    return status;
}

nvm_status nvm_session_update(nvm_session *session, const uint32_t *index, const int8_t *code,
                              size_t n)
{
    nvm_named set = {.index = index, .narrow = code, .n = n};
    return nvm_session_take(session, &set);
}

nvm_status nvm_session_update_s16(nvm_session *session, const uint32_t *index, const int16_t *code,
                                  size_t n)
{
    nvm_named set = {.index = index, .wide = code, .n = n};
    return nvm_session_take(session, &set);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_run.c: many steps with one call, of one session or of several.
 */
#include "nvm_internal.h"

/* The next row of outputs, unless nobody wants it. */
static uint8_t *keep_output(const nvm_session *session, uint8_t *to)
{
    if (to == NULL) {
        return NULL;
    }
    memcpy(to, session->output, session->program->bytes_out);
    return to + session->program->bytes_out;
}

nvm_status nvm_session_run(nvm_session *session, const void *codes, size_t rows, void *out)
{
    nvm_status status = NVM_OK;
    const uint8_t *from = codes;
    uint8_t *to = out;
    if (session == NULL || (rows != 0 && codes == NULL)) {
        status = NVM_E_ARG;
        goto done;
    }
    for (size_t row = 0; row < rows; row++) {
        status = nvm_session_step(session, from, session->program->bytes_in);
        if (status != NVM_OK) {
            goto done;
        }
        from += session->program->bytes_in;
        to = keep_output(session, to);
    }
done:
    return status;
}

nvm_status nvm_sessions_step(nvm_session *const *sessions, size_t n, const void *codes, void *out)
{
    nvm_status status = NVM_OK;
    const uint8_t *from = codes;
    uint8_t *to = out;
    if (n != 0 && (sessions == NULL || codes == NULL)) {
        status = NVM_E_ARG;
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        if (sessions[i] == NULL || sessions[i]->program != sessions[0]->program) {
            status = NVM_E_ARG;
            goto done;
        }
    }
    for (size_t i = 0; i < n; i++) {
        status = nvm_session_step(sessions[i], from, sessions[i]->program->bytes_in);
        if (status != NVM_OK) {
            goto done;
        }
        from += sessions[i]->program->bytes_in;
        to = keep_output(sessions[i], to);
    }
done:
    return status;
}

/* Whether the ends of steps ascend to the last of so many codes. */
static int are_ends(const uint32_t *end, size_t steps, size_t n)
{
    uint32_t before = 0;
    for (size_t k = 0; k < steps; k++) {
        uint32_t at = __atomic_load_n(&end[k], __ATOMIC_RELAXED);
        if (at < before) {
            return 0;
        }
        before = at;
    }
    return before == n;
}

static nvm_status run_updates(nvm_session *session, const nvm_named *set, const uint32_t *end,
                              size_t steps, void *out)
{
    nvm_status status = NVM_OK;
    uint8_t *to = out;
    nvm_named part = *set;
    if (session == NULL || (steps != 0 && end == NULL) ||
        (set->n != 0 && (set->index == NULL || (set->narrow == NULL && set->wide == NULL)))) {
        status = NVM_E_ARG;
        goto done;
    }
    if (!are_ends(end, steps, set->n) || !nvm_named_fit(session, set)) {
        status = NVM_E_RANGE;
        goto done;
    }
    for (size_t k = 0, first = 0; k < steps; k++) {
        size_t behind = __atomic_load_n(&end[k], __ATOMIC_RELAXED);
        if (behind < first || behind > set->n) { /* another thread wrote it after it was checked */
            status = NVM_E_RANGE;
            goto done;
        }
        part.n = behind - first;
        status = nvm_session_take(session, &part);
        if (status != NVM_OK) {
            goto done;
        }
        first = behind;
        part.index = set->index + first;
        part.narrow = set->narrow == NULL ? NULL : set->narrow + first;
        part.wide = set->wide == NULL ? NULL : set->wide + first;
        to = keep_output(session, to);
    }
done:
    return status;
}

nvm_status nvm_session_run_updates(nvm_session *session, const uint32_t *index, const int8_t *code,
                                   size_t n, const uint32_t *end, size_t steps, void *out)
{
    nvm_named set = {.index = index, .narrow = code, .n = n};
    return run_updates(session, &set, end, steps, out);
}

nvm_status nvm_session_run_updates_s16(nvm_session *session, const uint32_t *index,
                                       const int16_t *code, size_t n, const uint32_t *end,
                                       size_t steps, void *out)
{
    nvm_named set = {.index = index, .wide = code, .n = n};
    return run_updates(session, &set, end, steps, out);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_threads.c: workers that take pieces of a phase from whoever runs it.
 *
 * A phase is published as a number of pieces in one word, from which the caller and the workers take
 * theirs by compare and swap. The caller takes part: pieces that no worker came for in time are its
 * own, so nobody has to come, and a phase waits only for pieces that somebody has begun. What a piece
 * computes does not depend on who does it.
 *
 * Where CPUs have other things to do, workers come late or stop in the middle of a piece, and the caller
 * waits. So every phase is timed, alone now and then; for what workers lost the caller goes on alone,
 * PATIENCE times as long: whatever the machine does, threads lose about that share at most.
 */
#define _GNU_SOURCE /* clock_gettime, sched_yield */

#include "nvm_crew.h"

#include <sched.h>

#define WINDOW_NS        1000000 /* workers are woken for phases worth BUSY_PHASES of the least one in that time */
#define BUSY_PHASES      100.0f
#define PIECES_EACH      2u      /* so that one that is late takes fewer */
#define SPINS            4096u   /* before others of this CPU are let through */
#define PATIENCE         50.0f
#define CREDIT_NS        20000.0f /* lost before that, or gained and remembered */
#define SAMPLE           64u      /* one phase of so many is timed alone */
#define FIRST_SAMPLES    4u

int nvm_do_piece(nvm_threads *t)
{
    uint64_t word = atomic_load_explicit(&t->claim, memory_order_acquire);
    uint32_t piece, pieces;
    do {
        piece = (uint32_t)(word >> 16) & 0xFFFF;
        pieces = (uint32_t)word & 0xFFFF;
        if (piece >= pieces) {
            return 0;
        }
    } while (!atomic_compare_exchange_weak_explicit(&t->claim, &word, word + 0x10000,
                                                    memory_order_acq_rel, memory_order_acquire));
    t->run(t->job, piece, pieces);
    atomic_fetch_add_explicit(&t->done, 1, memory_order_release);
    return 1;
}

static void do_all(nvm_threads *t, nvm_piece_fn *run, const void *job, uint32_t pieces)
{
    t->run = run;
    t->job = job;
    t->phase++;
    atomic_store_explicit(&t->done, 0, memory_order_relaxed);
    atomic_store_explicit(&t->claim, (uint64_t)t->phase << 32 | pieces, memory_order_release);
    while (nvm_do_piece(t)) {
    }
    for (uint32_t spins = 0; atomic_load_explicit(&t->done, memory_order_acquire) != pieces;) {
        if (++spins < SPINS) {
            nvm_pause_cpu();
        } else {
            (void)sched_yield();
        }
    }
}

/* Whether phases come so close that sleeping workers are worth their waking. */
static int are_needed(nvm_threads *t, int64_t now, float ns)
{
    if (now - t->since > WINDOW_NS) {
        t->since = now;
        t->seen_ns = 0;
    }
    t->seen_ns += ns;
    if (t->seen_ns < BUSY_PHASES * t->least_ns && !t->always) {
        return 0;
    }
    t->seen_ns = 0;
    return 1;
}

/* Whether a phase goes to workers: some are awake now, or were woken for it. */
static int has_workers(nvm_threads *t, int64_t now, float ns)
{
    uint32_t sleeping = atomic_load_explicit(&t->sleeping, memory_order_relaxed);
    if (sleeping != 0 && are_needed(t, now, ns)) {
        nvm_wake_all(t);
        return 1;
    }
    return sleeping < t->workers;
}

/* By the caller, who notes how long that takes. */
static void do_alone(nvm_piece_fn *run, const void *job, nvm_phase *phase)
{
    int64_t begin = nvm_now_ns();
    run(job, 0, 1);
    float ns = (float)(nvm_now_ns() - begin), before = phase->alone_ns * 1.05f; /* times change */
    phase->alone_ns = phase->samples != 0 && before < ns ? before : ns;
    phase->samples += phase->samples < FIRST_SAMPLES;
}

static void do_together(nvm_threads *t, nvm_piece_fn *run, const void *job, const nvm_phase *phase,
                        uint32_t most)
{
    int64_t begin = nvm_now_ns();
    if (!has_workers(t, begin, phase->alone_ns)) {
        run(job, 0, 1);
        return;
    }
    uint32_t pieces = PIECES_EACH * (t->workers + 1);
    float worth = 2 * phase->alone_ns / t->least_ns; /* pieces of half the least phase */
    pieces = worth < (float)pieces ? (uint32_t)worth : pieces;
    do_all(t, run, job, pieces < most ? pieces : most);
    t->balance_ns += phase->alone_ns - (float)(nvm_now_ns() - begin);
    t->balance_ns = t->balance_ns > CREDIT_NS ? CREDIT_NS : t->balance_ns;
    if (t->balance_ns < -CREDIT_NS && !t->always) {
        t->alone_ns = -PATIENCE * t->balance_ns;
        t->balance_ns = 0;
    }
}

void nvm_threads_run(nvm_threads *t, nvm_piece_fn *run, const void *job, nvm_phase *phase,
                     float estimate_ns, uint32_t most)
{
    if (t == NULL || most < 2 || (phase->samples == 0 ? 4 * estimate_ns : phase->alone_ns) < t->least_ns ||
        t->forks != atomic_load_explicit(&nvm_forks, memory_order_relaxed) ||
        atomic_exchange_explicit(&t->busy, 1, memory_order_acquire) != 0) {
        run(job, 0, 1);
        return;
    }
    int is_sample = ++t->turn % SAMPLE == 0;
    if (t->always) {
        *phase = (nvm_phase){.alone_ns = 1e9f};
        do_together(t, run, job, phase, most);
    } else if (phase->samples < FIRST_SAMPLES || is_sample) {
        do_alone(run, job, phase);
    } else if (t->alone_ns > 0.0f) {
        t->alone_ns -= phase->alone_ns;
        run(job, 0, 1);
    } else {
        do_together(t, run, job, phase, most);
    }
    atomic_store_explicit(&t->busy, 0, memory_order_release);
}

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
 *
 * An idle worker spins for IDLE_NS, then sleeps in the kernel until it is woken, and is not counted on.
 */
#define _GNU_SOURCE /* syscall */

#include "nvm_threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define DEFAULT_LEAST_NS 1000u
#define IDLE_NS          50000
#define WINDOW_NS        1000000 /* workers are woken for phases worth BUSY_PHASES of the least one in that time */
#define BUSY_PHASES      100.0f
#define PIECES_EACH      2u      /* so that one that is late takes fewer */
#define SPINS            4096u   /* before others of this CPU are let through */
#define PATIENCE         50.0f
#define CREDIT_NS        20000.0f /* lost before that, or gained and remembered */
#define SAMPLE           64u      /* one phase of so many is timed alone */
#define FIRST_SAMPLES    4u
#define STACK_BYTES      (256u * 1024u)

typedef struct worker {
    pthread_t id;
} worker;

struct nvm_threads {
    _Alignas(64) _Atomic uint64_t claim; /* phase << 32 | next piece << 16 | pieces */
    _Alignas(64) _Atomic uint32_t done;  /* pieces */
    _Alignas(64) _Atomic uint32_t wake;  /* counts calls to wake */
    _Atomic uint32_t sleeping, stop, busy;
    _Alignas(64) nvm_piece_fn *run; /* of the phase: written while no piece of any is left */
    const void *job;
    uint32_t phase, workers, forks;
    float least_ns, seen_ns; /* seen: worth of phases since `since` */
    float balance_ns;        /* what workers gained lately */
    float alone_ns;          /* worth of phases that the caller does alone first */
    uint32_t turn;
    int always;
    int64_t since;
    worker worker[];
};

/* How often this process came from a fork: there, workers are no more. */
static _Atomic uint32_t forks;
static pthread_once_t watch_forks = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
    forks++;
}

static void begin_watching(void)
{
    (void)pthread_atfork(NULL, NULL, count_fork);
}

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#ifdef __linux__
static void wait_for_wake(_Atomic uint32_t *word, uint32_t seen)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void wake_all(_Atomic uint32_t *word)
{
    atomic_fetch_add(word, 1);
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}
#endif

/* ---- pieces ------------------------------------------------------------------------------- */

/* Takes and does one piece; whether there was one. */
static int do_piece(nvm_threads *t)
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
    while (do_piece(t)) {
    }
    for (uint32_t spins = 0; atomic_load_explicit(&t->done, memory_order_acquire) != pieces;) {
        if (++spins < SPINS) {
            pause_cpu();
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
#ifdef __linux__
    if (sleeping != 0 && are_needed(t, now, ns)) {
        wake_all(&t->wake);
        return 1;
    }
#endif
    return sleeping < t->workers;
}

/* By the caller, who notes how long that takes. */
static void do_alone(nvm_piece_fn *run, const void *job, nvm_phase *phase)
{
    int64_t begin = now_ns();
    run(job, 0, 1);
    float ns = (float)(now_ns() - begin), before = phase->alone_ns * 1.05f; /* times change */
    phase->alone_ns = phase->samples != 0 && before < ns ? before : ns;
    phase->samples += phase->samples < FIRST_SAMPLES;
}

static void do_together(nvm_threads *t, nvm_piece_fn *run, const void *job, const nvm_phase *phase,
                        uint32_t most)
{
    int64_t begin = now_ns();
    if (!has_workers(t, begin, phase->alone_ns)) {
        run(job, 0, 1);
        return;
    }
    uint32_t pieces = PIECES_EACH * (t->workers + 1);
    float worth = 2 * phase->alone_ns / t->least_ns; /* pieces of half the least phase */
    pieces = worth < (float)pieces ? (uint32_t)worth : pieces;
    do_all(t, run, job, pieces < most ? pieces : most);
    t->balance_ns += phase->alone_ns - (float)(now_ns() - begin);
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
        t->forks != atomic_load_explicit(&forks, memory_order_relaxed) ||
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

/* ---- workers ------------------------------------------------------------------------------ */

#ifdef __linux__
/* Sleeps until it is woken, unless it is to stop. A wake between the two looks changes the word. */
static void rest(nvm_threads *t)
{
    uint32_t seen = atomic_load(&t->wake);
    atomic_fetch_add(&t->sleeping, 1);
    if (!atomic_load(&t->stop)) {
        wait_for_wake(&t->wake, seen);
    }
    atomic_fetch_sub(&t->sleeping, 1);
}

static void *work(void *argument)
{
    nvm_threads *t = argument;
    uint32_t phase = 0, spins = 0;
    int64_t last = now_ns(); /* when there was something to do */
    while (!atomic_load_explicit(&t->stop, memory_order_acquire)) {
        uint32_t current = (uint32_t)(atomic_load_explicit(&t->claim, memory_order_relaxed) >> 32);
        if (do_piece(t) || current != phase) {
            phase = current;
            spins = 0;
            continue;
        }
        pause_cpu();
        if (++spins == 1) {
            last = now_ns();
        } else if (spins % 64 == 0 && now_ns() - last > IDLE_NS) {
            rest(t);
            spins = 0;
        }
    }
    return NULL;
}

static int start(nvm_threads *t, pthread_t *id)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int error = pthread_attr_init(&attributes);
    if (error != 0) {
        return error;
    }
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the program's own */
    error = pthread_create(id, &attributes, work, t);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return error;
}
#endif

size_t nvm_threads_size(uint32_t n)
{
    return n < 2 || n > NVM_MAX_THREADS ? 0 : sizeof(nvm_threads) + (n - 1) * sizeof(worker);
}

nvm_status nvm_threads_open(void *mem, size_t len, uint32_t n, uint32_t least_ns, nvm_threads **out)
{
    nvm_status status = NVM_OK;
    nvm_threads *t = mem;
    if (mem == NULL || out == NULL || nvm_threads_size(n) == 0) {
        status = NVM_E_ARG;
        goto done;
    }
    if ((uintptr_t)mem % NVM_ALIGN != 0 || len < nvm_threads_size(n)) {
        status = NVM_E_SIZE;
        goto done;
    }
#ifndef __linux__
    status = NVM_E_UNSUPPORTED;
    goto done;
#else
    (void)pthread_once(&watch_forks, begin_watching);
    memset(t, 0, nvm_threads_size(n));
    t->forks = forks;
    t->least_ns = (float)(least_ns != 0 ? least_ns : DEFAULT_LEAST_NS);
    t->always = least_ns == NVM_THREADS_ALWAYS;
    for (; t->workers < n - 1; t->workers++) {
        if (start(t, &t->worker[t->workers].id) != 0) {
            nvm_threads_close(t);
            status = NVM_E_UNSUPPORTED;
            goto done;
        }
    }
    *out = t;
#endif
done:
    return status;
}

void nvm_threads_close(nvm_threads *t)
{
    if (t == NULL || t->forks != atomic_load(&forks)) {
        return;
    }
#ifdef __linux__
    atomic_store(&t->stop, 1);
    wake_all(&t->wake);
    for (uint32_t i = 0; i < t->workers; i++) {
        (void)pthread_join(t->worker[i].id, NULL);
    }
    t->workers = 0;
#endif
}

nvm_status nvm_program_threads(nvm_program *program, nvm_threads *threads)
{
    if (program == NULL || program->n_layers == 0) {
        return NVM_E_ARG;
    }
    program->threads = threads;
    return NVM_OK;
}

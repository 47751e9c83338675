/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_crew.c: the workers: begun, idle, put to sleep, woken and ended.
 *
 * An idle worker spins for IDLE_NS, then sleeps in the kernel until it is woken, and is not counted on.
 */
#define _GNU_SOURCE /* syscall */

#include "nvm_crew.h"

#include <signal.h>
#include <string.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define DEFAULT_LEAST_NS 1000u
#define IDLE_NS          50000
#define STACK_BYTES      (256u * 1024u)

_Atomic uint32_t nvm_forks;
static pthread_once_t watch_forks = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
    nvm_forks++;
}

static void begin_watching(void)
{
    (void)pthread_atfork(NULL, NULL, count_fork);
}

void nvm_wake_all(nvm_threads *t)
{
#ifdef __linux__
    atomic_fetch_add(&t->wake, 1);
    (void)syscall(SYS_futex, &t->wake, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
#else
    (void)t;
#endif
}

#ifdef __linux__
static void wait_for_wake(_Atomic uint32_t *word, uint32_t seen)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

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
    int64_t last = nvm_now_ns(); /* when there was something to do */
    while (!atomic_load_explicit(&t->stop, memory_order_acquire)) {
        uint32_t current = (uint32_t)(atomic_load_explicit(&t->claim, memory_order_relaxed) >> 32);
        if (nvm_do_piece(t) || current != phase) {
            phase = current;
            spins = 0;
            continue;
        }
        nvm_pause_cpu();
        if (++spins == 1) {
            last = nvm_now_ns();
        } else if (spins % 64 == 0 && nvm_now_ns() - last > IDLE_NS) {
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
    t->forks = nvm_forks;
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
    if (t == NULL || t->forks != atomic_load(&nvm_forks)) {
        return;
    }
#ifdef __linux__
    atomic_store(&t->stop, 1);
    nvm_wake_all(t);
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

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_crew.h: what the caller of a phase and the workers share: a word with its pieces, and who sleeps.
 */
#ifndef NVM_CREW_H
#define NVM_CREW_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "nvm_threads.h"

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
extern _Atomic uint32_t nvm_forks;

static inline void nvm_pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline int64_t nvm_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Takes and does one piece; whether there was one. */
int nvm_do_piece(nvm_threads *t);

/* Workers that sleep look again. */
void nvm_wake_all(nvm_threads *t);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * spiking.h: random programs of spiking neurons, and one that does everything with a session.
 */
#ifndef NVM_TEST_SPIKING_H
#define NVM_TEST_SPIKING_H

#include "network.h"

enum { MAX_CELLS = 8, MAX_LINKS = 24, SPIKING_ARENA = 1 << 22 };

/* Records and arena under construction; big, so allocate it. */
typedef struct spiking {
    nvm_population populations[MAX_CELLS];
    nvm_projection projections[MAX_LINKS];
    shape shapes[MAX_CELLS];
    uint32_t n_populations, n_projections;
    size_t len;
    uint64_t seed;
    _Alignas(64) uint8_t arena[SPIKING_ARENA];
} spiking;

/* An input and 1 .. 5 populations of every kind, each reached through every kind of synapses, perhaps
 * recurrent, perhaps delayed; sizes that no vector divides. */
spiking *spiking_random(uint64_t seed);

/* Steps, runs, addresses, time stamps, resets of two sessions; a digest of all that can be read. */
uint64_t spiking_exercise(const nvm_spiking_program *program, uint64_t seed);

/* Tries these bytes, from copies that end where their memory does; exercises what is accepted and small.
 * digest (may be NULL): 0 where it was not. */
nvm_status spiking_try(const void *populations, uint32_t n_populations, const void *projections,
                       uint32_t n_projections, const uint8_t *arena, size_t len, uint64_t seed,
                       uint64_t *digest);

#endif

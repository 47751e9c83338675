/* SPDX-License-Identifier: Apache-2.0
 *
 * network.h: programs made by hand or at random, and the same rules written out naively.
 */
#ifndef NVM_TEST_NETWORK_H
#define NVM_TEST_NETWORK_H

#include "nvm.h"

enum { MAX_LAYERS = 24, ARENA_BYTES = 1 << 20 };

typedef struct shape {
    uint32_t h, w, c;
} shape;

/* Layers and arena under construction; big, so allocate it. */
typedef struct network {
    nvm_layer layers[MAX_LAYERS];
    shape shapes[MAX_LAYERS];
    uint32_t n;
    size_t len;
    uint64_t seed;
    int wide; /* more channels than any buffer on the kernel's stack has room for */
    uint32_t exponentials; /* offset of those of a wide softmax; 0: none yet */
    uint32_t large; /* offset of a table of all int16 codes, which all layers share; 0: none yet */
    _Alignas(64) uint8_t arena[ARENA_BYTES];
} network;

network *network_new(uint64_t seed);

uint64_t random_u64(uint64_t *seed);
/* low .. high, both included */
int32_t random_in(uint64_t *seed, int32_t low, int32_t high);
void random_codes(uint64_t *seed, int8_t *codes, size_t n);

/* Copies bytes into the arena; the offset. */
uint32_t network_put(network *net, const void *data, size_t bytes);
uint32_t network_put_codes(network *net, size_t n);                            /* random ones */
uint32_t network_put_words(network *net, size_t n, int32_t low, int32_t high); /* random int32 */
/* An empty record of this kind, to be filled in. */
nvm_layer *network_add(network *net, nvm_kind kind, shape out);

uint32_t add_input(network *net, shape out, int8_t zero);
uint32_t add_wide_input(network *net, shape out, int16_t zero);
int is_wide_layer(const network *net, uint32_t index);
uint32_t add_const(network *net, shape out);
/* A random layer of the kind on top of `in` (and of a second input where the kind takes one). */
uint32_t add_random(network *net, nvm_kind kind, uint32_t in);
/* A sum of `in` and of what the sum itself was a step before. */
uint32_t add_feedback(network *net, uint32_t in);
/* The same for the spiking kinds. */
uint32_t add_spiking(network *net, nvm_kind kind, nvm_neuron neuron, uint32_t in);
/* A random requantiser for `channels` channels of accumulators of about `magnitude`. */
void add_requant(network *net, nvm_layer *layer, nvm_requant requant, uint32_t channels,
                 double magnitude);

nvm_status network_init(const network *net, nvm_program *program);
nvm_session *session_new(const nvm_program *program, nvm_counters *counters);
nvm_session *session_new_by(const nvm_program *program, nvm_way way, nvm_counters *counters);
/* Costs of which nothing was measured, for the caller to fill in and free; they are in use. */
void *costs_blank(nvm_program *program);

/* What every layer remembers, and what it will at the end of the step; NULL where nothing. */
typedef struct naive_memory {
    uint8_t *now[MAX_LAYERS], *next[MAX_LAYERS];
} naive_memory;

void naive_memory_new(const network *net, naive_memory *memory); /* initial values */
void naive_memory_free(naive_memory *memory);
/* The end of a step: what layers hold is remembered. */
void naive_commit(const network *net, int16_t *const *codes, naive_memory *memory);

/* Codes of layer `index` from the codes of all earlier ones and what it remembers, by definition;
 * all as int16. */
void naive_codes(const network *net, uint32_t index, int16_t *const *codes, naive_memory *memory);
/* Synaptic sums alone (no bias), the first part of a spiking layer. */
void naive_drive(const network *net, uint32_t index, int16_t *const *codes, int64_t *sums);

#endif

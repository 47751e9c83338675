/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer target: bytes as records and an arena, or patches of a random program of spiking neurons.
 */
#include <stdlib.h>
#include <string.h>

#include "spiking.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_bytes(const uint8_t *data, size_t size)
{
    uint32_t p = data[1] % 4u, q = data[1] / 4 % 8u;
    size_t records = (p + q) * sizeof(nvm_population);
    if (size >= 2 + records) {
        const uint8_t *links = data + 2 + p * sizeof(nvm_population);
        (void)spiking_try(data + 2, p, links, q, data + 2 + records, size - 2 - records, size, NULL);
    }
}

/* Patches: where (bit 15: arena, else bit 14: projections), what. */
static void try_patches(const uint8_t *data, size_t size)
{
    uint64_t seed = 1;
    memcpy(&seed, data, size < 4 ? size : 4);
    spiking *net = spiking_random(seed);
    for (size_t k = 4; k + 3 <= size; k += 3) {
        size_t where = (size_t)(data[k] | (data[k + 1] & 63) << 8);
        int in_arena = data[k + 1] & 128, in_links = data[k + 1] & 64;
        uint8_t *at = in_arena   ? net->arena
                      : in_links ? (uint8_t *)net->projections
                                 : (uint8_t *)net->populations;
        size_t length = in_arena   ? net->len
                        : in_links ? net->n_projections * sizeof(nvm_projection)
                                   : net->n_populations * sizeof(nvm_population);
        if (length != 0) {
            at[where % length] = data[k + 2];
        }
    }
    (void)spiking_try(net->populations, net->n_populations, net->projections, net->n_projections,
                      net->arena, net->len, seed, NULL);
    free(net);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 2 && data[0] & 1) {
        try_bytes(data, size);
    } else if (size >= 2) {
        try_patches(data + 1, size - 1);
    }
    return 0;
}

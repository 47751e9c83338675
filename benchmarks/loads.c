/* SPDX-License-Identifier: Apache-2.0
 *
 * The load roofline of an event-driven run: what it cannot but load and store, in the same order, and
 * nothing made of it. In every step those are the counts that come in, of every layer the rows of the
 * spikes that reach it, and the state of its neurons, which is written again.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t line __attribute__((vector_size(64), aligned(1)));

/* Reads `width` bytes (a multiple of 64) of each of n rows; returns something that depends on all. */
uint64_t read_rows(const uint8_t *weights, size_t stride, size_t width, const uint32_t *rows, size_t n)
{
    line a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t k = 0; k < n; k++) {
        const uint8_t *row = weights + rows[k] * stride;
        size_t u = 0;
        for (; u + 256 <= width; u += 256) {
            a ^= *(const line *)(row + u);
            b ^= *(const line *)(row + u + 64);
            c ^= *(const line *)(row + u + 128);
            d ^= *(const line *)(row + u + 192);
        }
        for (; u + 64 <= width; u += 64) {
            a ^= *(const line *)(row + u);
        }
    }
    a ^= b ^ c ^ d;
    uint64_t word[8];
    memcpy(word, &a, sizeof word);
    return word[0] ^ word[1] ^ word[2] ^ word[3] ^ word[4] ^ word[5] ^ word[6] ^ word[7];
}

static uint64_t rewrite(uint8_t *state, size_t n)
{
    line all = {0};
    for (size_t u = 0; u + 64 <= n; u += 64) {
        line x = *(line *)(state + u);
        all ^= x;
        *(line *)(state + u) = x ^ 1;
    }
    return all[0];
}

/* begin[layer * (steps + 1) + t] counts through the layer's rows; state: 64 bytes and more a layer. */
uint64_t read_steps(size_t layers, size_t steps, const uint8_t *counts, size_t n_in,
                    const uint8_t *const *weights, const size_t *width, const uint32_t *const *rows,
                    const uint32_t *begin, uint8_t *const *state, const size_t *state_bytes)
{
    const uint32_t whole = 0;
    uint64_t all = 0;
    for (size_t t = 0; t < steps; t++) {
        all ^= read_rows(counts + t * n_in, 0, n_in / 64 * 64, &whole, 1);
        for (size_t l = 0; l < layers; l++) {
            const uint32_t *at = begin + l * (steps + 1) + t;
            all ^= read_rows(weights[l], width[l], width[l], rows[l] + at[0], at[1] - at[0]);
            all ^= rewrite(state[l], state_bytes[l]);
        }
    }
    return all;
}

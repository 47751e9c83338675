/* SPDX-License-Identifier: Apache-2.0
 *
 * DENSE with registers of NVM_BYTES bytes: a tile of the target's sums stays in registers while rows are
 * taken two at a time, each weight beside that of the other row. The including file defines the
 * operations (lower case, as below) and NVM_TILE, the most registers of a row that a tile takes.
 *
 * int8 rows: products and sums are int16. |sum of count w| <= 255 * 128 < 2^15 while the counts add up to
 * no more than 255; then they are added to the int32 drive, and it goes on with the next spikes.
 * int16 rows: products of two and sums are int32, modulo 2^32 as the drive.
 */
#ifndef NVM_LINK_DENSE_PAIRS_H
#define NVM_LINK_DENSE_PAIRS_H

#include "nvm_spiking_internal.h"

#define MOST_COUNTS 255u

/* Rows of the pair that begins at spikes[k]; of a last single one, itself with count 0. */
typedef struct pair {
    const uint8_t *first, *second;
    uint32_t count_first, count_second;
} pair;

static inline pair pair_of(const nvm_link *link, const nvm_spike *spikes, size_t k, size_t n,
                           size_t row_bytes)
{
    const uint8_t *weights = link->weights;
    nvm_spike a = spikes[k], b = k + 1 < n ? spikes[k + 1] : 0;
    pair p = {.count_first = nvm_spike_count(a), .count_second = nvm_spike_count(b)};
    p.first = weights + nvm_spike_index(a) * row_bytes;
    p.second = k + 1 < n ? weights + nvm_spike_index(b) * row_bytes : p.first;
    return p;
}

/* How many spikes from the first on have counts of at most MOST_COUNTS together. */
static inline size_t count_fitting(const nvm_spike *spikes, size_t n)
{
    uint32_t counts = 0;
    for (size_t k = 0; k < n && n <= MOST_COUNTS; k++) { /* in vectors: nothing leads out of it */
        counts += nvm_spike_count(spikes[k]);
    }
    if (n <= MOST_COUNTS && counts <= MOST_COUNTS) {
        return n;
    }
    counts = 0;
    for (size_t k = 0; k < n; k++) {
        counts += nvm_spike_count(spikes[k]);
        if (counts > MOST_COUNTS) {
            return k;
        }
    }
    return n;
}

/* `registers` is known when this is compiled. */
static inline __attribute__((always_inline)) void add_tile_s8(const nvm_link *link,
                                                              const nvm_spike *spikes, size_t n,
                                                              size_t at, const size_t registers)
{
    vector low[NVM_TILE], high[NVM_TILE];
    for (size_t r = 0; r < registers; r++) {
        low[r] = high[r] = zero();
    }
    for (size_t k = 0; k < n; k += 2) {
        pair p = pair_of(link, spikes, k, n, link->stride);
        vector counts = set_s16((int16_t)(p.count_first | p.count_second << 8));
        for (size_t r = 0; r < registers; r++) {
            vector a = load(p.first + at + r * NVM_BYTES), b = load(p.second + at + r * NVM_BYTES);
            low[r] = add_s16(low[r], multiply_u8s8(counts, interleave_low_s8(a, b)));
            high[r] = add_s16(high[r], multiply_u8s8(counts, interleave_high_s8(a, b)));
        }
    }
    int32_t *drive = link->target->drive + at;
    for (size_t r = 0; r < registers; r++) {
        add_to_drive_s16(drive + r * NVM_BYTES, low[r], high[r]);
    }
}

static inline __attribute__((always_inline)) void add_tile_s16(const nvm_link *link,
                                                               const nvm_spike *spikes, size_t n,
                                                               size_t at, const size_t registers)
{
    vector low[NVM_TILE], high[NVM_TILE];
    for (size_t r = 0; r < registers; r++) {
        low[r] = high[r] = zero();
    }
    for (size_t k = 0; k < n; k += 2) {
        pair p = pair_of(link, spikes, k, n, 2 * link->stride);
        vector counts = set_s32((int32_t)(p.count_first | p.count_second << 16));
        for (size_t r = 0; r < registers; r++) {
            vector a = load(p.first + 2 * at + r * NVM_BYTES);
            vector b = load(p.second + 2 * at + r * NVM_BYTES);
            low[r] = add_s32(low[r], multiply_s16(counts, interleave_low_s16(a, b)));
            high[r] = add_s32(high[r], multiply_s16(counts, interleave_high_s16(a, b)));
        }
    }
    int32_t *drive = link->target->drive + at;
    for (size_t r = 0; r < registers; r++) {
        add_to_drive_s32(drive + r * (NVM_BYTES / 2), low[r], high[r]);
    }
}

/* Rows padded to whole registers, in tiles of NVM_TILE registers, then smaller ones. */
#define NVM_ADD_ROWS(types, lanes)                                                                 \
    static void add_rows_##types(const nvm_link *link, const nvm_spike *spikes, size_t n)          \
    {                                                                                              \
        size_t registers = (link->target->record->n + (lanes) - 1) / (lanes), at = 0;              \
        for (; registers >= NVM_TILE; registers -= NVM_TILE, at += NVM_TILE * (lanes)) {           \
            add_tile_##types(link, spikes, n, at, NVM_TILE);                                       \
        }                                                                                          \
        if (registers >= 4) {                                                                      \
            add_tile_##types(link, spikes, n, at, 4);                                              \
            registers -= 4, at += 4 * (lanes);                                                     \
        }                                                                                          \
        if (registers >= 2) {                                                                      \
            add_tile_##types(link, spikes, n, at, 2);                                              \
            registers -= 2, at += 2 * (lanes);                                                     \
        }                                                                                          \
        if (registers >= 1) {                                                                      \
            add_tile_##types(link, spikes, n, at, 1);                                              \
        }                                                                                          \
    }
NVM_ADD_ROWS(s8, NVM_BYTES)
NVM_ADD_ROWS(s16, NVM_BYTES / 2)

uint64_t NVM_LINK_DENSE_S8(const nvm_link *link, uint32_t segment, const nvm_spike *spikes, size_t n)
{
    size_t n_out = link->target->record->n;
    (void)segment;
    if (n == 1) {
        add_row_s8(link->target->drive,
                   (const int8_t *)link->weights + nvm_spike_index(spikes[0]) * link->stride, n_out,
                   nvm_spike_count(spikes[0]));
    } else {
        for (size_t k = 0; k < n;) {
            size_t fitting = count_fitting(spikes + k, n - k);
            add_rows_s8(link, spikes + k, fitting);
            k += fitting;
        }
    }
    nvm_mark_reached(link->target, 0, n_out);
    return (uint64_t)n * n_out;
}

uint64_t NVM_LINK_DENSE_S16(const nvm_link *link, uint32_t segment, const nvm_spike *spikes, size_t n)
{
    size_t n_out = link->target->record->n;
    (void)segment;
    add_rows_s16(link, spikes, n);
    nvm_mark_reached(link->target, 0, n_out);
    return (uint64_t)n * n_out;
}

#endif

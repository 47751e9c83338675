/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_rows.h: sums of weight rows, the inner loop of every synapse, for the set and the widths this
 * file is compiled for.
 *
 *     acc[u] += sum_k w[row_k * stride + u] * x_k        u < width, modulo 2^32 (2^64)
 *
 * nvm_rows_events: rows and x of a list of events; nvm_rows_codes: consecutive rows, x = code - zero.
 */
#ifndef NVM_ROWS_H
#define NVM_ROWS_H

#include "nvm_types.h"

#define NVM_INLINE static inline __attribute__((always_inline))

/* Before an inner loop. gcc 12 otherwise turns several rows at a time into gathers (the empty asm
 * forbids it) or unrolls short tiles before it looks for SIMD: 7 and 2 times slower. */
#define NVM_ROW_BY_ROW                                                                             \
    __asm__ volatile("");                                                                          \
    _Pragma("GCC unroll 1")

#if defined(NVM_ROWS_S8) && NVM_IN == 8 && NVM_ACC == 32
#include NVM_ROWS_S8
#elif defined(NVM_ROWS_S16) && NVM_IN == 16
#include NVM_ROWS_S16
#else
#include "nvm_rows__scalar.h"
#endif

#endif

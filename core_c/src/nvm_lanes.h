/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_lanes.h: a vector of int32 of the set this file is compiled for, for rules that are written once
 * for all sets. A set that has one names its header in NVM_LANES_HEADER (nvm_isa_<set>.h), which defines:
 *
 *     NVM_LANES_S32          how many
 *     nvm_lanes_all(x)       the same everywhere          _load, _load_s16, _load_s8: so many from memory
 *     _add _sub _mul         modulo 2^32                  _clamp(x, low, high)
 *     _sll _sra              by a count a lane, 0 .. 31   _halve: x >> 1      _sign: -1 where x < 0, else 0
 *     _srdhm(a, m)           floor((a m + 2^30) / 2^31), m >= 0
 *     _look_up(t, i)         t[i + 2^15] of int16[2^16] at a multiple of 4; i fits int16
 *     _store_s16, _store_s8  the first n, which fit
 *     _mark(set, a, b, n)    set, and those of the first n where a differs from b; _any: whether it has some
 */
#ifndef NVM_LANES_H
#define NVM_LANES_H

#include <string.h>

#include "nvm_internal.h"

#define NVM_LANES_INLINE static inline __attribute__((always_inline))

#include NVM_LANES_HEADER

#endif

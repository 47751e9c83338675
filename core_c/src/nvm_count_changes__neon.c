/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts codes that differ, and takes new ones, 16 bytes at a time. The last ones of a number that 16 does
 * not divide are looked at with some before them, which are left out of the count.
 */
#include "nvm_isa_neon.h"

#include <arm_neon.h>

#include "nvm_internal.h"

#define INLINE static inline __attribute__((always_inline))

enum { ROUND = 64 * 31 }; /* bytes, until a lane could reach -128 */

/* -1 in every byte of a code that is the same. */
INLINE int8x16_t same(uint8x16_t a, uint8x16_t b, int wide)
{
    return vreinterpretq_s8_u8(
        wide ? vreinterpretq_u8_u16(vceqq_u16(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b)))
             : vceqq_u8(a, b));
}

INLINE int8x16_t same_four(uint8x16x4_t a, uint8x16x4_t b, int wide)
{
    return vaddq_s8(vaddq_s8(same(a.val[0], b.val[0], wide), same(a.val[1], b.val[1], wide)),
                    vaddq_s8(same(a.val[2], b.val[2], wide), same(a.val[3], b.val[3], wide)));
}

/* Those of the last n of 16 bytes, as a negative number. */
INLINE int32_t same_last(uint8x16_t a, uint8x16_t b, size_t n, int wide)
{
    static const uint8_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8x16_t is_last = vcgeq_u8(vld1q_u8(lanes), vdupq_n_u8((uint8_t)(16 - n)));
    return vaddvq_s8(vandq_s8(same(a, b, wide), vreinterpretq_s8_u8(is_last)));
}

/* Of n >= 16 bytes, how many do not differ, as a negative number. */
INLINE int32_t count(const uint8_t *old, const uint8_t *now, size_t n, int wide)
{
    size_t last = n % 16, left = n - last;
    int32_t equal = 0;
    do {
        size_t part = left < ROUND ? left : ROUND;
        int8x16_t sum = vdupq_n_s8(0);
        left -= part;
        for (; part >= 64; part -= 64, old += 64, now += 64) {
            sum = vaddq_s8(sum, same_four(vld1q_u8_x4(old), vld1q_u8_x4(now), wide));
        }
        for (; part != 0; part -= 16, old += 16, now += 16) {
            sum = vaddq_s8(sum, same(vld1q_u8(old), vld1q_u8(now), wide));
        }
        equal += vaddlvq_s8(sum);
    } while (left != 0);
    if (last != 0) {
        equal += same_last(vld1q_u8(old + last - 16), vld1q_u8(now + last - 16), last, wide);
    }
    return equal;
}

/* The same of codes that are replaced. */
INLINE int32_t take(uint8_t *old, uint8_t *codes, const uint8_t *wanted, size_t n, int wide)
{
    size_t last = n % 16, left = n - last;
    int32_t equal = 0;
    /* Read before anything is written: they overlap others, and `wanted` may be `old`. */
    uint8x16_t last_from = vld1q_u8(codes + n - 16), last_to = vld1q_u8(wanted + n - 16);
    do {
        size_t part = left < ROUND ? left : ROUND;
        int8x16_t sum = vdupq_n_s8(0);
        left -= part;
        for (; part >= 64; part -= 64, old += 64, codes += 64, wanted += 64) {
            uint8x16x4_t from = vld1q_u8_x4(codes), to = vld1q_u8_x4(wanted);
            vst1q_u8_x4(old, from);
            vst1q_u8_x4(codes, to);
            sum = vaddq_s8(sum, same_four(from, to, wide));
        }
        for (; part != 0; part -= 16, old += 16, codes += 16, wanted += 16) {
            uint8x16_t from = vld1q_u8(codes), to = vld1q_u8(wanted);
            vst1q_u8(old, from);
            vst1q_u8(codes, to);
            sum = vaddq_s8(sum, same(from, to, wide));
        }
        equal += vaddlvq_s8(sum);
    } while (left != 0);
    if (last != 0) {
        vst1q_u8(old + last - 16, last_from);
        vst1q_u8(codes + last - 16, last_to);
        equal += same_last(last_from, last_to, last, wide);
    }
    return equal;
}

uint32_t nvm_count_changes__neon(const uint8_t *old, const uint8_t *now, size_t n, int wide)
{
    if (n < 16) {
        return nvm_count_changes__scalar(old, now, n, wide);
    }
    if (wide) {
        return (uint32_t)((int32_t)n + count(old, now, n, 1)) / 2;
    }
    return (uint32_t)((int32_t)n + count(old, now, n, 0));
}

uint32_t nvm_take_codes__neon(uint8_t *old, uint8_t *codes, const uint8_t *wanted, size_t n, int wide)
{
    if (n < 16) {
        return nvm_take_codes__scalar(old, codes, wanted, n, wide);
    }
    if (wide) {
        return (uint32_t)((int32_t)n + take(old, codes, wanted, n, 1)) / 2;
    }
    return (uint32_t)((int32_t)n + take(old, codes, wanted, n, 0));
}

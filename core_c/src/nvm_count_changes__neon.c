/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts codes that differ, 16 bytes at a time; takes new ones.
 */
#include "nvm_isa_neon.h"

#include <arm_neon.h>

#include "nvm_internal.h"

/* -1 in every byte of a code that is the same. */
static inline int8x16_t same(const uint8_t *old, const uint8_t *now, int wide)
{
    uint8x16_t a = vld1q_u8(old), b = vld1q_u8(now);
    return vreinterpretq_s8_u8(
        wide ? vreinterpretq_u8_u16(vceqq_u16(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b)))
             : vceqq_u8(a, b));
}

uint32_t nvm_count_changes__neon(const uint8_t *old, const uint8_t *now, size_t n, int wide)
{
    enum { ROUND = 64 * 31 }; /* bytes, until a lane could reach -128 */
    size_t i = 0;
    int32_t equal = 0; /* bytes, negative */
    while (n - i >= 64) {
        size_t end = i + (n - i < ROUND ? (n - i) / 64 * 64 : ROUND);
        int8x16_t sum = vdupq_n_s8(0);
        for (; i < end; i += 64) {
            int8x16_t a = vaddq_s8(same(old + i, now + i, wide), same(old + i + 16, now + i + 16, wide));
            int8x16_t b = vaddq_s8(same(old + i + 32, now + i + 32, wide),
                                   same(old + i + 48, now + i + 48, wide));
            sum = vaddq_s8(sum, vaddq_s8(a, b));
        }
        equal += (int32_t)vaddlvq_s8(sum);
    }
    if (n - i >= 16) {
        int8x16_t sum = vdupq_n_s8(0);
        for (; n - i >= 16; i += 16) {
            sum = vaddq_s8(sum, same(old + i, now + i, wide));
        }
        equal += (int32_t)vaddlvq_s8(sum);
    }
    if (i < n && n >= 16) { /* the last ones with some before them, which are left out */
        static const uint8_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        uint8x16_t new = vcgeq_u8(vld1q_u8(lanes), vdupq_n_u8((uint8_t)(16 - (n - i))));
        int8x16_t last = same(old + n - 16, now + n - 16, wide);
        equal += (int32_t)vaddvq_s8(vandq_s8(last, vreinterpretq_s8_u8(new)));
        i = n;
    }
    uint32_t changes = ((uint32_t)i - (uint32_t)-equal) / (wide ? 2 : 1);
    return i == n ? changes : changes + nvm_count_changes__scalar(old + i, now + i, n - i, wide);
}

uint32_t nvm_take_codes__neon(uint8_t *old, uint8_t *codes, const uint8_t *wanted, size_t n, int wide)
{
    memcpy(old, codes, n);
    memcpy(codes, wanted, n);
    return nvm_count_changes__neon(old, codes, n, wide);
}

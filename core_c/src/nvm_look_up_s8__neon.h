/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_look_up_s8__neon.h: 16 codes in a table of 256, by four look-ups of 64 entries; an index beyond those
 * leaves what is there.
 */
#ifndef NVM_LOOK_UP_S8_NEON_H
#define NVM_LOOK_UP_S8_NEON_H

#include <arm_neon.h>

#define LEAST_LOOKED_UP 32u /* codes: fewer take less one by one than loading the table */

static inline uint8x16x4_t entries(const int8_t *table)
{
    const uint8_t *bytes = (const uint8_t *)table;
    uint8x16x4_t four = {{vld1q_u8(bytes), vld1q_u8(bytes + 16), vld1q_u8(bytes + 32), vld1q_u8(bytes + 48)}};
    return four;
}

/* wanted[i] = table[codes[i] + 128] */
static void look_up_all(const int8_t *table, const int8_t *codes, size_t n, int8_t *wanted)
{
    size_t i = 0;
    if (n >= LEAST_LOOKED_UP) {
        const uint8x16_t next = vdupq_n_u8(64);
        uint8x16x4_t t0 = entries(table), t1 = entries(table + 64), t2 = entries(table + 128), t3 = entries(table + 192);
        for (; n - i >= 16; i += 16) {
            uint8x16_t at = veorq_u8(vld1q_u8((const uint8_t *)codes + i), vdupq_n_u8(128));
            uint8x16_t found = vqtbl4q_u8(t0, at);
            at = vsubq_u8(at, next);
            found = vqtbx4q_u8(found, t1, at);
            at = vsubq_u8(at, next);
            found = vqtbx4q_u8(found, t2, at);
            found = vqtbx4q_u8(found, t3, vsubq_u8(at, next));
            vst1q_u8((uint8_t *)wanted + i, found);
        }
    }
    for (; i < n; i++) {
        wanted[i] = table[codes[i] + 128];
    }
}

#endif

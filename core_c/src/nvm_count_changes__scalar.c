/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts codes that differ, eight bytes at a time; takes new ones.
 */
#include "nvm_internal.h"

/* Bytes, or pairs of them, that differ; at most 255 words of 8 bytes at a time. */
static uint32_t count_bytes(const uint8_t *old, const uint8_t *now, size_t n, int wide)
{
    const uint64_t high = wide ? 0x8000800080008000u : 0x8080808080808080u;
    uint64_t a, b, lanes = 0;
    for (size_t i = 0; i < n; i += 8) {
        memcpy(&a, old + i, 8);
        memcpy(&b, now + i, 8);
        uint64_t differs = a ^ b;
        /* The lane's highest bit: set in it, or carried into from those below. */
        differs = (((differs & ~high) + ~high) | differs) & high;
        lanes += differs >> (wide ? 15 : 7);
    }
    uint32_t count = 0;
    for (; lanes != 0; lanes >>= wide ? 16 : 8) {
        count += (uint32_t)(lanes & (wide ? 0xFFFF : 0xFF));
    }
    return count;
}

uint32_t nvm_count_changes__scalar(const uint8_t *old, const uint8_t *now, size_t n, int wide)
{
    enum { ROUND = 255 * 8 };
    size_t i = 0;
    uint32_t count = 0;
    for (; i + 8 <= n;) {
        size_t part = n - i < ROUND ? (n - i) / 8 * 8 : ROUND;
        count += count_bytes(old + i, now + i, part, wide);
        i += part;
    }
    for (; i < n; i += wide ? 2 : 1) {
        count += old[i] != now[i] || (wide && old[i + 1] != now[i + 1]);
    }
    return count;
}

uint32_t nvm_take_codes__scalar(uint8_t *old, uint8_t *codes, const uint8_t *wanted, size_t n, int wide)
{
    uint32_t changes = 0;
    if (n == 1) {
        uint8_t from = *codes;
        *codes = *wanted;
        *old = from;
        return from != *codes;
    }
    for (size_t i = 0, part; i < n; i += part) {
        uint8_t to[512]; /* `wanted` may be `old` */
        part = n - i < sizeof to ? n - i : sizeof to;
        memcpy(to, wanted + i, part);
        memcpy(old + i, codes + i, part);
        memcpy(codes + i, to, part);
        changes += nvm_count_changes__scalar(old + i, codes + i, part, wide);
    }
    return changes;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The sigma-delta neuron: 16 codes are compared at once; where all of them changed, their events are
 * stored four at a time.
 */
#include "nvm_isa_neon.h"

#include <arm_neon.h>

#include "nvm_internal.h"

/* {index, delta} of four neurons. */
static inline void store_four(nvm_event *events, uint32x4_t index, int32x4_t delta)
{
    uint32x4x2_t pairs = {{index, vreinterpretq_u32_s32(delta)}};
    vst2q_u32((uint32_t *)(void *)events, pairs);
}

static inline void store_sixteen(nvm_event *events, uint32_t first, int8x16_t to, int8x16_t from)
{
    static const uint32_t lanes[4] = {0, 1, 2, 3};
    int16x8_t low = vsubl_s8(vget_low_s8(to), vget_low_s8(from)), high = vsubl_high_s8(to, from);
    uint32x4_t index = vaddq_u32(vld1q_u32(lanes), vdupq_n_u32(first)), four = vdupq_n_u32(4);
    store_four(events, index, vmovl_s16(vget_low_s16(low)));
    index = vaddq_u32(index, four);
    store_four(events + 4, index, vmovl_high_s16(low));
    index = vaddq_u32(index, four);
    store_four(events + 8, index, vmovl_s16(vget_low_s16(high)));
    index = vaddq_u32(index, four);
    store_four(events + 12, index, vmovl_high_s16(high));
}

void NVM_OWN(neuron_sd_s8)(nvm_node *node, size_t first, const int8_t *wanted, size_t n)
{
    int8_t *codes = (int8_t *)node->codes + first;
    nvm_event *events = node->events;
    uint32_t sent = node->n_events;
    size_t i = 0;
    if (node->unit || node->quiet) {
        nvm_neuron_sd_s8__scalar(node, first, wanted, n);
        return;
    }
    for (; n - i >= 16; i += 16) {
        int8x16_t to = vld1q_s8(wanted + i), from = vld1q_s8(codes + i);
        uint16x8_t equal = vreinterpretq_u16_u8(vceqq_s8(to, from));
        /* four bits a code */
        uint64_t differ = ~vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(equal, 4)), 0);
        if (differ == 0) {
            continue;
        }
        if (differ == UINT64_MAX) {
            store_sixteen(events + sent, (uint32_t)(first + i), to, from);
            sent += 16;
            differ = 0;
        }
        while (differ != 0) {
            uint32_t bit = (uint32_t)__builtin_ctzll(differ);
            size_t k = i + bit / 4;
            events[sent++] = (nvm_event){(uint32_t)(first + k), wanted[k] - codes[k]};
            differ &= ~(UINT64_C(15) << bit);
        }
        vst1q_s8(codes + i, to);
    }
    for (; i < n; i++) {
        events[sent] = (nvm_event){(uint32_t)(first + i), wanted[i] - codes[i]};
        sent += wanted[i] != codes[i];
        codes[i] = wanted[i];
    }
    node->n_events = sent;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_types.h: one source for several widths. A file that includes it is compiled as it stands for
 * int8 codes; a file of another width sets the types below and includes that source.
 *
 *     NVM_TYPES            as in the names of functions; s8 where nothing is set
 *     NVM_IN, NVM_OUT      nvm_code_in, nvm_code: int8_t or int16_t
 *     NVM_ACC              nvm_acc: int32_t or int64_t
 */
#ifndef NVM_TYPES_H
#define NVM_TYPES_H

#include "nvm_internal.h"

#ifndef NVM_TYPES
#define NVM_TYPES   s8
#define NVM_IN      8
#define NVM_OUT     8
#define NVM_ACC     32
#endif

/* nvm_<op>_<types>__<isa> */
#define NVM_TYPED_(op, types)  NVM_OWN(op##_##types)
#define NVM_TYPED(op, types)   NVM_TYPED_(op, types)
#define NVM_NAME(op)           NVM_TYPED(op, NVM_TYPES)

#if NVM_IN == 8
typedef int8_t nvm_code_in;
typedef int16_t nvm_change; /* of a code */
#define NVM_IN_MIN  INT8_MIN
#define NVM_IN_ALL  256 /* codes there are */
#define NVM_ZERO_IN(layer) ((layer)->zero_in)
#else
typedef int16_t nvm_code_in;
typedef int32_t nvm_change;
#define NVM_IN_MIN  INT16_MIN
#define NVM_IN_ALL  65536
#define NVM_ZERO_IN(layer) 0
#endif

#if NVM_OUT == 8
typedef int8_t nvm_code;
#define nvm_neuron_sd         NVM_OWN(neuron_sd_s8)
#define nvm_send_code         nvm_send_s8
#define nvm_requant           NVM_OWN(requant_s32s8)
#define NVM_LO(layer)         ((layer)->lo)
#define NVM_HI(layer)         ((layer)->hi)
#define NVM_ZERO_OUT(layer)   ((layer)->zero_out)
#else
typedef int16_t nvm_code;
#define nvm_neuron_sd         NVM_OWN(neuron_sd_s16)
#define nvm_send_code         nvm_send_s16
#define nvm_requant           NVM_OWN(requant_s32s16)
#define NVM_LO(layer)         ((layer)->lo_s16)
#define NVM_HI(layer)         ((layer)->hi_s16)
#define NVM_ZERO_OUT(layer)   ((layer)->zero_out_s16)
#endif

#define nvm_fire_all    NVM_OWN(fire_all)
#define nvm_fire_marked NVM_OWN(fire_marked)

#if NVM_ACC == 32
typedef int32_t nvm_acc;
typedef uint32_t nvm_acc_bits;
#else
typedef int64_t nvm_acc;
typedef uint64_t nvm_acc_bits;
#endif

/* a + b modulo 2^32 or 2^64. */
static inline nvm_acc nvm_add_acc(nvm_acc a, nvm_acc b)
{
    return (nvm_acc)((nvm_acc_bits)a + (nvm_acc_bits)b);
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_isa.h: instruction sets: which of them this file is compiled for, and what each provides.
 *
 * Beside the kinds of nvm_variants.inc a set has the helpers declared here. One that has no file of
 * its own for a helper borrows it below from the next lower set.
 */
#ifndef NVM_ISA_H
#define NVM_ISA_H

#include <stddef.h>
#include <stdint.h>

#include "nvm.h"

#ifndef NVM_ISA
#define NVM_ISA scalar
#endif

/* nvm_<name>__<isa> of the set this file is compiled for. */
#define NVM_OWN__(name, isa) nvm_##name##__##isa
#define NVM_OWN_(name, isa)  NVM_OWN__(name, isa)
#define NVM_OWN(name)        NVM_OWN_(name, NVM_ISA)

#define nvm_requant_s32s8__avxvnni  nvm_requant_s32s8__avx2
#define nvm_requant_s64s16__avxvnni nvm_requant_s64s16__avx2
#define nvm_requant_s32s16__avxvnni nvm_requant_s32s16__avx2
#define nvm_neuron_sd_s8__avxvnni   nvm_neuron_sd_s8__avx2
#define nvm_neuron_sd_s16__avxvnni  nvm_neuron_sd_s16__avx2
#define nvm_count_changes__avxvnni nvm_count_changes__avx2
#define nvm_take_codes__avxvnni nvm_take_codes__avx2
#define nvm_fire_all__avxvnni       nvm_fire_all__avx2
#define nvm_fire_marked__avxvnni    nvm_fire_marked__avx2

#define nvm_requant_s32s8__neon  nvm_requant_s32s8__scalar
#define nvm_requant_s64s16__neon nvm_requant_s64s16__scalar
#define nvm_requant_s32s16__neon nvm_requant_s32s16__scalar
#define nvm_neuron_sd_s16__neon  nvm_neuron_sd_s16__scalar
#define nvm_fire_all__neon       nvm_fire_all__scalar
#define nvm_fire_marked__neon    nvm_fire_marked__scalar

#define nvm_requant_s32s8__dotprod  nvm_requant_s32s8__neon
#define nvm_requant_s64s16__dotprod nvm_requant_s64s16__neon
#define nvm_requant_s32s16__dotprod nvm_requant_s32s16__neon
#define nvm_neuron_sd_s8__dotprod   nvm_neuron_sd_s8__neon
#define nvm_neuron_sd_s16__dotprod  nvm_neuron_sd_s16__neon
#define nvm_count_changes__dotprod nvm_count_changes__neon
#define nvm_take_codes__dotprod nvm_take_codes__neon
#define nvm_fire_all__dotprod       nvm_fire_all__neon
#define nvm_fire_marked__dotprod    nvm_fire_marked__neon

#define nvm_requant_s32s8__i8mm nvm_requant_s32s8__dotprod
#define nvm_requant_s64s16__i8mm nvm_requant_s64s16__dotprod
#define nvm_requant_s32s16__i8mm nvm_requant_s32s16__dotprod
#define nvm_neuron_sd_s8__i8mm nvm_neuron_sd_s8__dotprod
#define nvm_neuron_sd_s16__i8mm nvm_neuron_sd_s16__dotprod
#define nvm_count_changes__i8mm nvm_count_changes__dotprod
#define nvm_take_codes__i8mm nvm_take_codes__dotprod
#define nvm_fire_all__i8mm nvm_fire_all__dotprod
#define nvm_fire_marked__i8mm nvm_fire_marked__dotprod

/* Where a set packs weights (nvm_pack.h). */
#define NVM_PACKING_scalar     NULL
#define NVM_PACKING_avx2       &nvm_packing__avx2
#define NVM_PACKING_avxvnni    &nvm_packing__avxvnni
#define NVM_PACKING_avx512vnni &nvm_packing__avx512vnni
#define NVM_PACKING_neon       &nvm_packing__neon
#define NVM_PACKING_dotprod    &nvm_packing__dotprod
#define NVM_PACKING_i8mm       &nvm_packing__i8mm
typedef struct nvm_packing nvm_packing;
extern const nvm_packing nvm_packing__avx2, nvm_packing__avxvnni, nvm_packing__avx512vnni;
extern const nvm_packing nvm_packing__neon, nvm_packing__dotprod, nvm_packing__i8mm;

typedef struct nvm_node nvm_node;
typedef struct nvm_scratch nvm_scratch;

/* One entry a kind: bring the node up to date from the events of its inputs, or from their codes
 * alone; both leave the same bits and send the same events. */
typedef void nvm_node_fn(nvm_node *node, nvm_scratch *scratch);
typedef struct nvm_kernel {
    nvm_node_fn *events, *full;
} nvm_kernel;

/* R and clamp of n accumulators of consecutive channels, the first of them `channel`; after the last
 * channel comes the first again. */
typedef void nvm_requant_s32s8_fn(const nvm_node *node, const int32_t *acc, size_t channel,
                                  size_t n, int8_t *codes);
typedef void nvm_requant_s64s16_fn(const nvm_node *node, const int64_t *acc, size_t channel,
                                   size_t n, int16_t *codes);
typedef void nvm_requant_s32s16_fn(const nvm_node *node, const int32_t *acc, size_t channel,
                                   size_t n, int16_t *codes);

/* The SD neuron's fire and reset: codes[first .. first + n) become wanted[0 .. n), one event each
 * change. */
typedef void nvm_neuron_sd_s8_fn(nvm_node *node, size_t first, const int8_t *wanted, size_t n);
typedef void nvm_neuron_sd_s16_fn(nvm_node *node, size_t first, const int16_t *wanted, size_t n);

/* How many of n bytes, or of n / 2 pairs of them where wide, differ. */
typedef uint32_t nvm_count_changes_fn(const uint8_t *old, const uint8_t *now, size_t n, int wide);

/* The same of codes and wanted, on the way: old becomes codes, and codes wanted, which may be old. */
typedef uint32_t nvm_take_codes_fn(uint8_t *old, uint8_t *codes, const uint8_t *wanted, size_t n, int wide);

/* Lists those of the pixels [first, end) of so many bytes that differ, unless list is NULL; their number. */
typedef size_t nvm_differing_pixels_fn(const uint8_t *old, const uint8_t *now, uint32_t first, uint32_t end,
                                       size_t bytes, uint32_t *list);
nvm_differing_pixels_fn nvm_differing_pixels__avx512vnni;

/* Where a set has it; 1 to 4, 8, 16, 32 or a multiple of 64 bytes. */
#define NVM_PIXELS_scalar     NULL
#define NVM_PIXELS_avx2       NULL
#define NVM_PIXELS_avxvnni    NULL
#define NVM_PIXELS_avx512vnni nvm_differing_pixels__avx512vnni
#define NVM_PIXELS_neon       NULL
#define NVM_PIXELS_dotprod    NULL
#define NVM_PIXELS_i8mm       NULL

/* fire_all, fire_marked: the neuron stage of DENSE, CONV and DWCONV after the synapses: all neurons,
 * or (SD) those of the marked pixels. Both empty the marks. */
#define NVM_SET(isa, lower)                                                                        \
    nvm_requant_s32s8_fn nvm_requant_s32s8__##isa;                                                 \
    nvm_requant_s64s16_fn nvm_requant_s64s16__##isa;                                               \
    nvm_requant_s32s16_fn nvm_requant_s32s16__##isa;                                               \
    nvm_neuron_sd_s8_fn nvm_neuron_sd_s8__##isa;                                                   \
    nvm_neuron_sd_s16_fn nvm_neuron_sd_s16__##isa;                                                 \
    nvm_count_changes_fn nvm_count_changes__##isa;                                                 \
    nvm_take_codes_fn nvm_take_codes__##isa;                                                       \
    nvm_node_fn nvm_fire_all__##isa;                                                               \
    nvm_node_fn nvm_fire_marked__##isa;
#define NVM_VARIANT(kind, op, types, isa)                                                          \
    nvm_node_fn nvm_##op##_events_##types##__##isa;                                                \
    nvm_node_fn nvm_##op##_full_##types##__##isa;
#include "nvm_variants.inc"

/* What a set provides for everything that is not compiled for one. */
struct nvm_isa {
    const char *name;
    uint8_t id, lower;
    nvm_neuron_sd_s8_fn *neuron_sd_s8;
    nvm_neuron_sd_s16_fn *neuron_sd_s16;
    nvm_count_changes_fn *count_changes;
    nvm_take_codes_fn *take_codes;
    nvm_differing_pixels_fn *differing_pixels; /* NULL: none */
    const nvm_packing *packing; /* NULL: none */
};

/* The set new programs run: the one that was forced, else the best that this machine has. */
const nvm_isa *nvm_isa_current(void);
/* The set of that name, here or not; NULL: none. */
const nvm_isa *nvm_isa_named(const char *name);

/* The kernel of a set or of the next lower that has one; events == NULL where there is none, as for
 * INPUT, CONST and STATE. */
const nvm_kernel *nvm_kernel_of(const nvm_isa *isa, uint32_t kind, uint32_t types);

#endif

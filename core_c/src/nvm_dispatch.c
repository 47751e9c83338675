/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_dispatch.c: the one place that chooses an instruction set, and a kernel of it.
 *
 * The choice is the kernel's only mutable word. Threads that make it at once make the same one.
 */
#include "nvm_internal.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

enum {
#define NVM_SET(isa, lower) NVM_ISA_##isa,
#include "nvm_variants.inc"
    NVM_ISA_COUNT
};

static const nvm_kernel kernels[NVM_ISA_COUNT][NVM_KIND_COUNT][NVM_TYPES_COUNT] = {
#define NVM_VARIANT(kind, op, types, isa)                                                          \
    [NVM_ISA_##isa][kind][NVM_TYPES_##types] = {nvm_##op##_events_##types##__##isa,                \
                                                nvm_##op##_full_##types##__##isa},
#include "nvm_variants.inc"
};

static const nvm_isa sets[NVM_ISA_COUNT] = {
#define NVM_SET(isa, under)                                                                        \
    [NVM_ISA_##isa] = {.name = #isa,                                                               \
                       .id = NVM_ISA_##isa,                                                        \
                       .lower = NVM_ISA_##under,                                                   \
                       .neuron_sd_s8 = nvm_neuron_sd_s8__##isa,                                    \
                       .neuron_sd_s16 = nvm_neuron_sd_s16__##isa,                                  \
                       .count_changes = nvm_count_changes__##isa,                                  \
                       .take_codes = nvm_take_codes__##isa,                                        \
                       .differing_pixels = NVM_PIXELS_##isa,                                       \
                       .packing = NVM_PACKING_##isa},
#include "nvm_variants.inc"
};

static const nvm_isa *chosen; /* NULL: not yet */

/* ---- what the machine has, the operating system's part included --------------------------- */

static inline int has_scalar(void)
{
    return 1;
}

#ifdef __x86_64__
static inline int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

static inline int has_avx512vnni(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}

/* By hand: compilers do not know the name for as long as the instructions. */
static inline int has_avxvnni(void)
{
#ifdef NVM_AVXVNNI_AS_EVEX
    return has_avx512vnni(); /* a test build: the same operations in the other encoding */
#else
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4)) != 0;
#endif
}
#endif

#ifdef __aarch64__
static inline int has_neon(void)
{
    return 1; /* part of the base */
}

static inline int has_dotprod(void)
{
#ifdef __linux__
    return (getauxval(AT_HWCAP) & (1ul << 20)) != 0; /* HWCAP_ASIMDDP */
#else
    return 0;
#endif
}

static inline int has_i8mm(void)
{
#ifdef __linux__
    return has_dotprod() && (getauxval(AT_HWCAP2) & (1ul << 13)) != 0; /* HWCAP2_I8MM */
#else
    return 0;
#endif
}
#endif

static int is_there(uint32_t id)
{
    switch (id) {
#define NVM_SET(isa, lower)                                                                        \
    case NVM_ISA_##isa:                                                                            \
        return has_##isa();
#include "nvm_variants.inc"
    default:
        return 0;
    }
}

/* ---- the choice --------------------------------------------------------------------------- */

static const nvm_isa *best(void)
{
    uint32_t id = NVM_ISA_COUNT - 1;
#ifdef __x86_64__
    __builtin_cpu_init();
#endif
    while (!is_there(id)) {
        id--; /* ends at scalar */
    }
    return &sets[id];
}

const nvm_isa *nvm_isa_current(void)
{
    const nvm_isa *isa = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
    if (isa == NULL) {
        isa = best();
        __atomic_store_n(&chosen, isa, __ATOMIC_RELAXED);
    }
    return isa;
}

const char *nvm_isa_name(uint32_t i)
{
    return i < NVM_ISA_COUNT ? sets[i].name : NULL;
}

int nvm_isa_available(uint32_t i)
{
    return i < NVM_ISA_COUNT && is_there(i);
}

const char *nvm_isa_chosen(void)
{
    return nvm_isa_current()->name;
}

const nvm_isa *nvm_isa_named(const char *name)
{
    const nvm_isa *isa = NULL;
    for (uint32_t i = 0; i < NVM_ISA_COUNT; i++) {
        if (strcmp(name, sets[i].name) == 0) {
            isa = &sets[i];
        }
    }
    return isa;
}

nvm_status nvm_isa_force(const char *name)
{
    nvm_status status = NVM_E_ARG;
    const nvm_isa *isa = name == NULL ? best() : nvm_isa_named(name);
    if (isa != NULL) {
        status = NVM_E_UNSUPPORTED;
        if (is_there(isa->id)) {
            __atomic_store_n(&chosen, isa, __ATOMIC_RELAXED);
            status = NVM_OK;
        }
    }
    return status;
}

const nvm_kernel *nvm_kernel_of(const nvm_isa *isa, uint32_t kind, uint32_t types)
{
    assert(kind < NVM_KIND_COUNT && types < NVM_TYPES_COUNT);
    uint32_t id = isa->id;
    while (id != NVM_ISA_scalar && kernels[id][kind][types].events == NULL) {
        id = sets[id].lower;
    }
    return &kernels[id][kind][types];
}

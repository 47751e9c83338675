/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking.h: networks of spiking neurons in integers, run in ticks or by time stamps.
 *
 * A spiking program is a list of populations in the order in which a tick steps them, a list of
 * projections between them, and an arena of constants; all read-only, shared by every session.
 *
 *     nvm_spiking_program p;
 *     nvm_spiking_program_init(&p, populations, n, projections, m, arena, len, &bad);
 *     void *mem = aligned_alloc(64, nvm_spiking_session_size(&p));
 *     nvm_spiking_session *s;
 *     nvm_spiking_session_init(mem, nvm_spiking_session_size(&p), &p, &counters, &s);
 *     nvm_spiking_step(s, spikes, n, out);
 *
 * Drive. In tick t a population receives a_i = sum of w_ij s_j(t - delay) over its projections, modulo
 * 2^32; s_j in 0 .. 127 is the number of spikes neuron j sent. A projection without delay comes from an
 * earlier population. Sums do not depend on the order in which spikes are taken.
 *
 * Groups. The neurons of a population are divided into groups of `group` neurons with one time stamp,
 * at first tick -1. A group is stepped in a tick that a spike reaches it in (whatever its weight), and
 * while it is awake; otherwise nothing of it is touched. It is awake after a tick if one of its neurons
 * has a bias or a current other than 0, or fires and has max(v, 0) >= theta, or is refractory in the next
 * tick with v other than 0; LOIHI and TRUENORTH while any state, bias or leak is not 0. A group that is
 * stepped d ticks after its stamp has leaked for d of them, rounded once:
 *
 *     D(x, L) = (x L + 2^30) >> 31                               (64-bit product, arithmetic shift)
 *     C(x, L) = (x L + (x < 0 ? 2^31 - 1 : 0)) >> 31             (towards 0)
 *     L = product in Q0.31, by ascending k, of leak[k] over the bits k of min(d, 2^32 - 1), each product
 *         rounded as D; leak[k] in [0, 2^31], meant as leak[0]^(2^k)
 *
 * Neurons; sat() is to int32, each line is rounded once. Potentials, currents and parameters are int32
 * in units of the caller's choice.
 *
 *     LIF   v <- sat(D(v, L) + a gain + b)
 *     CUBA  i <- sat(C(i, Li) + a gain);  v <- sat(D(v, L) + ((i coupling + 2^30) >> 31) + b)
 *     both  v <- max(v, v_min), v_min <= 0; then, fires where v >= theta:
 *           NONE never; ONE s = 1, v <- reset_to, or sat(v - reset_to) with NVM_RESET_SUBTRACT;
 *           MANY s = min(1 + (v - theta) / reset_to, 127), v <- sat(v - s reset_to); reset_to >= 1
 *           For `refractory` ticks after that in which it fired a neuron keeps v, takes neither drive nor
 *           bias, and does not fire; its current goes on.
 *     LOIHI u <- T(u (4095 - leak_current)) + (a' << 6), modulo 2^24 in (-2^23, 2^23]; a' = a << e, or
 *           a >> -e where e < 0; T(x) = x / 4096 towards 0;  v <- T(v (4096 - leak)) + u + b, clipped to
 *           +-(2^23 - 1);  v > theta << 6: s = 1, v <- 0. One group
 *     TRUENORTH  v <- v + a + leak, clipped to [-2^19, 2^19 - 1];  v >= theta: s = 1 and by reset 0: v <-
 *           reset_to, 1: v <- v - theta, 2: v;  else v < floor: by floor_mode 1: v <- floor, 0: by reset
 *           0: v <- -reset_to, 1: v <- v - floor, 2: v. One group
 *
 * The state is read as of the last tick: v and the current leaked to it (D, C), which changes nothing.
 *
 * Order. Spikes of one tick leave in the order of populations and their neurons.
 *
 * The library never allocates, keeps no globals, and never reads or writes outside the memory it is
 * given. Thread safety, alignment and byte order as in nvm.h.
 */
#ifndef NVM_SPIKING_H
#define NVM_SPIKING_H

#include "nvm.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NVM_MAX_POPULATIONS 4096u
#define NVM_MAX_PROJECTIONS 16384u
#define NVM_MAX_POPULATION  0x02000000u /* neurons of one population: 2^25 */
#define NVM_MAX_SPIKES      127         /* of one neuron in one tick */
#define NVM_MAX_CHECK       0x10000000u /* entries to check, beyond 16 a byte of the arena: 2^28 */
#define NVM_MAX_SESSION     0x10000000000u /* bytes: 2^40 */

typedef enum nvm_cell {
    NVM_CELL_INPUT = 0, /* sends what comes from outside */
    NVM_CELL_LIF,
    NVM_CELL_CUBA,
    NVM_CELL_LOIHI,
    NVM_CELL_TRUENORTH,
    NVM_CELL_COUNT
} nvm_cell;

typedef enum nvm_fire { NVM_FIRE_NONE = 0, NVM_FIRE_ONE, NVM_FIRE_MANY, NVM_FIRE_COUNT } nvm_fire;

/* Parameters of a population: int32 arrays of 1 (shared) or n entries; the leaks of LIF and CUBA are
 * uint32[32][1 or n]. What a kind does not name has offset 0. */
typedef enum nvm_param {
    NVM_PARAM_THETA = 0,    /* LOIHI: mantissa, 0 .. 2^17 - 1; TRUENORTH: >= 1 */
    NVM_PARAM_RESET_TO,     /* LIF, CUBA, TRUENORTH */
    NVM_PARAM_LEAK,         /* LOIHI: decay of v, 0 .. 4095; TRUENORTH: added */
    NVM_PARAM_GAIN,         /* LIF, CUBA */
    NVM_PARAM_BIAS,         /* not TRUENORTH */
    NVM_PARAM_INITIAL,      /* LIF, CUBA: v before the first tick */
    NVM_PARAM_LEAK_CURRENT, /* CUBA; LOIHI: decay of u, 0 .. 4095 */
    NVM_PARAM_COUPLING,     /* CUBA: Q0.31 */
    NVM_PARAM_FLOOR,        /* TRUENORTH: <= 0 */
    NVM_PARAM_COUNT
} nvm_param;

enum { NVM_POPULATION_OUTPUT = 1 }; /* outputs are numbered in the order of populations */

/* 128 bytes, little-endian. Fields a kind does not name are 0. */
typedef struct nvm_population {
    uint8_t kind;    /* nvm_cell */
    uint8_t fire;    /* LIF, CUBA: nvm_fire */
    uint8_t reset;   /* LIF, CUBA: NVM_RESET_VALUE or NVM_RESET_SUBTRACT; TRUENORTH: 0 .. 2 */
    uint8_t flags;   /* NVM_POPULATION_OUTPUT */
    uint32_t n;      /* neurons, 1 .. NVM_MAX_POPULATION */
    uint32_t group;  /* neurons that share a time stamp; divides n; n for INPUT, LOIHI, TRUENORTH */
    uint32_t arrays; /* bit p: parameter p has n entries, not one */
    int32_t v_min;   /* LIF, CUBA: <= 0 */
    int32_t exponent; /* LOIHI: -8 .. 7 */
    uint16_t refractory; /* LIF, CUBA: ticks */
    uint8_t floor_mode;  /* TRUENORTH: 0, 1 */
    uint8_t reserved0;
    uint32_t reserved1;
    uint64_t param[NVM_PARAM_COUNT]; /* offsets into the arena, multiples of NVM_ALIGN */
    uint64_t reserved2[3];
} nvm_population;

/* Targets of source neuron j, and what each of its spikes adds to them. */
typedef enum nvm_synapses {
    NVM_SYNAPSES_DENSE_S8 = 0, /* weights = int8 w[n source][R], R = n target up to a multiple of 64, 0 there */
    NVM_SYNAPSES_DENSE_S16,    /* the same in int16, R to a multiple of 32 */
    NVM_SYNAPSES_SPARSE, /* rows = uint64 r[n source * n_delays + 1], ascending multiples of 2 from 0: bytes
                            r[s] .. r[s + 1] of weights are segment s = j n_delays + k, of m = bytes / 3
                            entries: uint16 gap[m], int8 w[m], and where m is odd one byte 0. The first
                            entry reaches target gap[0], each other one gap[e] beyond the one before. An
                            entry of gap 65535 only leads on: it reaches nobody and its weight is 0.
                            delays = uint16 d[n_delays], ascending; segment k is d[k] ticks later still */
    NVM_SYNAPSES_CONV_S8, /* weights = int8 w[k_h][k_w][in_c / groups][out_c], HWC on both sides; target (y, x)
                             reads row y stride_h - pad_t + i dil_h (columns alike) through w[i] */
    NVM_SYNAPSES_CONV_S16,
    NVM_SYNAPSES_POOL,  /* in_c = out_c: every neuron of a window, channel by channel, with weight low */
    NVM_SYNAPSES_WIRES, /* rows = int32 target[n source], -1: nobody; weights = int16 w[1 or n source]:
                           high = 1 where it has n entries, else 0 */
    NVM_SYNAPSES_PROCEDURAL, /* fan_out targets a source neuron, drawn from the seed. Synapse k of source j draws
                           u = h(seed + (j fan_out + k + 1) 0x9E3779B97F4A7C15), h the finalizer of SplitMix64:
                           target ((u mod 2^32) n) >> 32, weight low + (((u >> 32 mod 2^16) (high - low + 1)) >> 16),
                           delay delay_low + (((u >> 48) (delay_high - delay_low + 1)) >> 16), more than `delay` */
    NVM_SYNAPSES_COUNT
} nvm_synapses;

enum { NVM_PROJECTION_CHW = 1 }; /* CONV, POOL: the source counts its neurons as CHW */

/* 128 bytes, little-endian. Fields a kind does not name are 0. */
typedef struct nvm_projection {
    uint8_t kind;    /* nvm_synapses */
    uint8_t flags;
    uint16_t delay;  /* ticks; every synapse's delay is >= 1 unless source < target */
    uint32_t source, target; /* populations; the target is no INPUT */
    uint32_t n_delays;       /* SPARSE: 1 .. 65536 */
    uint32_t in_h, in_w, in_c, out_h, out_w, out_c, groups; /* CONV, POOL (groups 0): products are the n */
    uint16_t k_h, k_w, stride_h, stride_w, dil_h, dil_w;    /* CONV, POOL (dil 1): >= 1 */
    int16_t pad_t, pad_l;
    int32_t low, high;               /* PROCEDURAL: low <= high, |low|, |high| <= 32768 */
    uint32_t fan_out;                /* PROCEDURAL: 1 .. 2^24 */
    uint16_t delay_low, delay_high;  /* PROCEDURAL: delay_low <= delay_high */
    uint32_t reserved0;
    uint64_t weights, rows, delays;  /* offsets into the arena, multiples of NVM_ALIGN */
    uint64_t seed;                   /* PROCEDURAL */
    uint64_t reserved1[2];
} nvm_projection;

typedef struct nvm_spiking_program {
    const nvm_population *populations;
    const nvm_projection *projections;
    const uint8_t *arena;
    size_t arena_len;
    uint32_t n_populations, n_projections;
    size_t n_in, n_out;    /* neurons of INPUT populations, of outputs */
    size_t most_out;       /* spikes that the outputs can send in one tick */
    uint64_t synapses;     /* of all projections: what one tick can apply at most */
    uint32_t most_repeats; /* entries of one target in a segment of sparse rows, at most */
    size_t session_size;   /* bytes */
    const nvm_isa *isa;    /* what its sessions run: the choice when it was taken into use */
} nvm_spiking_program;

typedef struct nvm_spiking_session nvm_spiking_session;

/* Checks everything that bytes can get wrong, sparse rows included; time O(arena), however
 * many projections share it (NVM_MAX_CHECK). On failure *bad (may
 * be NULL) is the record at fault: a population, or n_populations + a projection; UINT32_MAX: none. */
nvm_status nvm_spiking_program_init(nvm_spiking_program *program, const void *populations,
                                    uint32_t n_populations, const void *projections,
                                    uint32_t n_projections, const uint8_t *arena, size_t len,
                                    uint32_t *bad);

size_t nvm_spiking_session_size(const nvm_spiking_program *program);

/* mem: NVM_ALIGN-aligned, >= nvm_spiking_session_size; only part of it is written until spikes with
 * delays need it. Counters as nvm_session_init: steps = ticks that were run, events = spikes, sops =
 * weights applied, dense_macs = synapses of the program a tick. */
nvm_status nvm_spiking_session_init(void *mem, size_t len, const nvm_spiking_program *program,
                                    nvm_counters *counters, nvm_spiking_session **out);

/* Back to tick 0; counters are kept. */
nvm_status nvm_spiking_reset(nvm_spiking_session *session);

/* The next tick to be run; 0 at first. */
int64_t nvm_spiking_tick(const nvm_spiking_session *session);

/* One tick: n = n_in counts, each 0 .. 127 (else NVM_E_RANGE, no effect). */
nvm_status nvm_spiking_step(nvm_spiking_session *session, const uint8_t *spikes, size_t n);

/* One tick by the addresses (0 .. n_in - 1) of its spikes, in any order; those of one address add up, to
 * 127 at most. *bad (may be NULL): which one is out of range; then there is no effect. */
nvm_status nvm_spiking_step_events(nvm_spiking_session *session, const uint32_t *address, size_t n,
                                   size_t *bad);

/* The n_out counts of the last tick; stays valid, rewritten by every call that runs a tick. */
const int8_t *nvm_spiking_output(const nvm_spiking_session *session);

/* `ticks` consecutive ticks: spikes[ticks][n_in] to out[ticks][n_out]; all counts are checked before any
 * effect. potentials: NULL, or int32[ticks][n_out] of the outputs after each tick. */
nvm_status nvm_spiking_run(nvm_spiking_session *session, const uint8_t *spikes, size_t ticks,
                           int8_t *out, int32_t *potentials);

/* What nvm_spiking_advance did. */
typedef struct nvm_progress {
    size_t events;  /* of the caller's events, how many are done */
    size_t spikes;  /* written to the caller's buffers */
    int64_t tick;   /* the next tick to be run; `until` when all is done */
    size_t bad;     /* NVM_E_RANGE: the event at fault, SIZE_MAX: `until` or a capacity below most_out */
} nvm_progress;

/* All ticks up to but not including `until`, passing over those in which nothing happens. n events of
 * ascending ticks (several may be equal), none before the session's tick and all before `until`, of
 * addresses below n_in; checked before any effect (NVM_E_RANGE). Spikes of the outputs go to out_tick and
 * out_address (0 .. n_out - 1), each once for every spike. Stops before a tick whose spikes might
 * not fit into the rest of `capacity` >= most_out: go on with the other events and an empty buffer. */
nvm_status nvm_spiking_advance(nvm_spiking_session *session, const int64_t *tick,
                               const uint32_t *address, size_t n, int64_t until, int64_t *out_tick,
                               uint32_t *out_address, size_t capacity, nvm_progress *progress);

/* v of the outputs after the last tick: int32[n_out]. INPUT: 0. */
nvm_status nvm_spiking_potentials(const nvm_spiking_session *session, int32_t *potentials);

/* One population after the last tick: its spikes, v and currents (0 where it has none) to n entries each,
 * any of them NULL. */
nvm_status nvm_spiking_population(const nvm_spiking_session *session, uint32_t population,
                                  int8_t *spikes, int32_t *v, int32_t *current);

#ifdef __cplusplus
}
#endif
#endif

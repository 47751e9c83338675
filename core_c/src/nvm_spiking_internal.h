/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking_internal.h: what the files of spiking networks share; not installed.
 *
 * `nvm_cells` is one population in one session, `nvm_link` one projection, both with every offset
 * resolved. In a tick the links of a population add what arrives to its drive and mark the groups that
 * they reach; then those and the awake ones are stepped, which takes the drive back to 0 and leaves the
 * spikes in the population's list. Everything here was validated by nvm_spiking_program_init.
 */
#ifndef NVM_SPIKING_INTERNAL_H
#define NVM_SPIKING_INTERNAL_H

#include "nvm_internal.h"

_Static_assert(sizeof(nvm_population) == 128, "a population record has 128 bytes");
_Static_assert(sizeof(nvm_projection) == 128, "a projection record has 128 bytes");

/* One neuron's spikes in one tick: index << 7 | count, the index below 2^25. */
typedef uint32_t nvm_spike;
#define NVM_COUNT_BITS 7

static inline size_t nvm_spike_index(nvm_spike spike)
{
    return spike >> NVM_COUNT_BITS;
}

static inline uint32_t nvm_spike_count(nvm_spike spike)
{
    return spike & NVM_MAX_SPIKES;
}

/* Room behind the last entry of a list of spikes and behind the arrays of neurons: vector code may
 * write and read whole registers there. */
#define NVM_SLACK 64u
#define NVM_ROW   64u /* drives have room for a multiple of this, as rows of DENSE_S8 have */

/* The spikes of one tick. */
typedef struct nvm_volley {
    int64_t tick; /* which one; -1: none yet */
    uint32_t n;   /* entries */
    uint32_t sent; /* spikes */
} nvm_volley;

typedef struct nvm_cells nvm_cells;
typedef struct nvm_link nvm_link;

/* What proves that sums of 32 bits are the sums of the rule (nvm_spiking_bounds.c). */
typedef struct nvm_bounds {
    int64_t gain, bias, reset_to; /* the largest of each, without sign */
    int64_t v;                    /* no |v| is above it */
    uint64_t drive;               /* no |drive| of this tick is; UINT64_MAX: not known */
    int32_t most_drive;           /* |a| up to which one neuron's sums fit, whatever |v| < 2^30; -1: never */
    uint8_t settles;              /* LIF that after its reset never is at theta, or below a theta <= 0 */
    uint8_t plain;                /* LIF, ONE or NONE, not refractory, resets that fit 32 bits */
    uint8_t calm;                 /* plain, and in this tick nothing can leave 32 bits */
} nvm_bounds;

/* Steps the neurons first .. first + n of one group, `elapsed` >= 1 ticks after its stamp; appends their
 * spikes to cells->spikes and says whether the group is awake now. */
typedef int nvm_cells_fn(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed);

/* Adds what n spikes of a tick bring to the target's drive, and marks the groups they reach; segment: which
 * of the delays of a row. Returns the weights applied. */
typedef uint64_t nvm_link_fn(const nvm_link *link, uint32_t segment, const nvm_spike *spikes, size_t n);

/* Appends those of n counts that are not 0 to the spikes of an INPUT population. */
typedef void nvm_scan_fn(nvm_cells *cells, const uint8_t *counts, size_t n);

struct nvm_cells {
    const nvm_population *record;
    const int32_t *param[NVM_PARAM_COUNT]; /* NULL: the kind has none */
    nvm_cells_fn *step;                    /* NULL: INPUT */
    int32_t *v, *current, *refractory;     /* n each; refractory: ticks to come, from the stamp on */
    int32_t *drive;                        /* n, all 0 between ticks */
    uint32_t *factors[2];                  /* leaks over several ticks, of v and of the current: 1 or n */
    int64_t *stamp;                        /* one a group */
    uint64_t *reached, *awake;             /* one bit a group; reached is 0 between ticks */
    uint32_t n_groups, n_awake;
    uint32_t first_link, end_link; /* what leads here */
    nvm_bounds bounds;             /* LIF, CUBA */
    uint32_t ring_mask;            /* volleys kept: a power of two, - 1 */
    uint32_t capacity;             /* spikes of a volley */
    nvm_volley *volleys;
    nvm_spike *ring;               /* [ring_mask + 1][capacity] */
    nvm_spike *spikes;             /* of the tick being run; n_spikes of them */
    uint32_t n_spikes;
    uint32_t sent;                 /* their counts */
    uint32_t in_address, out_address; /* of its first neuron among the inputs, the outputs */
};

struct nvm_link {
    const nvm_projection *record;
    nvm_cells *source, *target;
    nvm_link_fn *deliver;
    const void *weights;
    const uint64_t *rows;
    const uint16_t *delays; /* SPARSE */
    uint32_t n_delays;      /* segments: SPARSE, PROCEDURAL; else 1 */
    nvm_axis axis_rows, axis_cols;
    size_t stride;          /* DENSE: entries of a row */
    uint32_t most_weight;   /* a spike adds at most this to a neuron, without sign; 0: not known */
    uint32_t delay;         /* of the first segment, the projection's own included */
};

struct nvm_spiking_session {
    const nvm_spiking_program *program;
    nvm_cells *cells;
    nvm_link *links; /* sorted by target */
    nvm_counters *counters;
    nvm_counters own;
    int64_t tick;
    int8_t *output;
    uint8_t *counts;      /* n_in, 0 between calls: merges events of one address */
    uint64_t *due;        /* bit (tick & due_mask): delayed spikes may arrive then */
    uint64_t due_mask;
    int delayed;          /* some projection has a delay */
    nvm_scan_fn *scan;
    int64_t ran;          /* the last tick that was run; -1: none */
    int published;        /* some of the output is not 0 */
};

/* Checks (nvm_spiking_check.c). */
nvm_status nvm_spiking_check_population(const nvm_spiking_program *program, uint32_t index);
nvm_status nvm_spiking_check_projection(nvm_spiking_program *program, uint32_t index);
/* Also notes the program's most_repeats. */
nvm_status nvm_spiking_check_sparse(nvm_spiking_program *program, const nvm_projection *record);
int nvm_spiking_holds(const nvm_spiking_program *program, uint64_t offset, uint64_t bytes);

/* Synapses of one projection; those of rows and procedures, of all sources. */
uint64_t nvm_spiking_synapses(const nvm_spiking_program *program, const nvm_projection *record);

/* Delay of segment k, on top of the projection's own. */
uint32_t nvm_spiking_segments(const nvm_projection *record);
uint32_t nvm_spiking_segment_delay(const nvm_spiking_program *program, const nvm_projection *record,
                                   uint32_t k);

/* Lays out a session at base, or measures only (base NULL). zeroed (may be NULL): how many bytes from
 * the start must be 0 before. Returns the bytes. */
size_t nvm_spiking_layout(const nvm_spiking_program *program, uint8_t *base, size_t *zeroed);

/* Runs the session's tick: the INPUT populations hold their spikes of it already. */
void nvm_spiking_run_tick(nvm_spiking_session *session);
/* Takes back the spikes that can be read: nobody sent any in the last tick. */
void nvm_spiking_silence(nvm_spiking_session *session);
/* Puts counts into the lists of the INPUT populations. */
void nvm_spiking_take_counts(nvm_spiking_session *session, const uint8_t *spikes);
void nvm_spiking_take_events(nvm_spiking_session *session, const uint32_t *address, size_t n);

/* The variant of a set, or of the next lower that has one (nvm_spiking_dispatch.c). */
nvm_cells_fn *nvm_cells_fn_of(const nvm_isa *isa, const nvm_population *record);
nvm_link_fn *nvm_link_fn_of(const nvm_isa *isa, const nvm_projection *record);
nvm_scan_fn *nvm_scan_fn_of(const nvm_isa *isa);

/* Fills in the bounds of a population's parameters and initial state. */
void nvm_bounds_begin(nvm_cells *cells);
/* Decides `calm` once all drive of a tick is there, and keeps `v`. */
void nvm_bounds_tick(nvm_cells *cells);

/* The factor L of n neurons from `first`, `elapsed` ticks after their stamp: *step 0 (shared) or 1. */
const uint32_t *nvm_leak_over(const nvm_cells *cells, nvm_param leak, size_t first, size_t n,
                              uint64_t elapsed, size_t *step);

/* Whether neurons first .. first + n, not stepped yet, are awake. */
int nvm_cells_are_awake(const nvm_cells *cells, size_t first, size_t n);

static inline const uint32_t *nvm_leak_since(const nvm_cells *cells, nvm_param leak, size_t first,
                                             size_t n, uint64_t elapsed, size_t *step)
{
    if (elapsed != 1) {
        return nvm_leak_over(cells, leak, first, n, elapsed, step);
    }
    *step = cells->record->arrays >> leak & 1;
    return (const uint32_t *)(const void *)cells->param[leak] + *step * first;
}

/* v and current of n neurons from `first` as of `elapsed` >= 0 ticks after their stamp. */
void nvm_cells_read(const nvm_cells *cells, size_t first, size_t n, uint64_t elapsed, int32_t *v,
                    int32_t *current);

/* Entries of a parameter. */
static inline size_t nvm_param_step(const nvm_population *record, nvm_param param)
{
    return record->arrays >> param & 1;
}

/* What leaks to the nearest, and towards 0. */
static inline int32_t nvm_leak_nearest(int32_t x, uint32_t factor)
{
    return (int32_t)(((int64_t)x * factor + (INT64_C(1) << 30)) >> 31);
}

static inline int32_t nvm_leak_towards_0(int32_t x, uint32_t factor)
{
    return (int32_t)(((int64_t)x * factor + (x < 0 ? INT32_MAX : 0)) >> 31);
}

static inline int32_t nvm_saturate_s32(int64_t x)
{
    x = x < INT32_MAX ? x : INT32_MAX;
    return (int32_t)(x > INT32_MIN ? x : INT32_MIN);
}

/* Opens the list of a population for the session's tick, closes it. */
static inline void nvm_spiking_open(nvm_cells *cells, int64_t tick)
{
    uint32_t slot = (uint32_t)tick & cells->ring_mask;
    cells->spikes = cells->ring + (size_t)slot * cells->capacity;
    cells->n_spikes = 0;
    cells->sent = 0;
}

static inline void nvm_spiking_close(nvm_spiking_session *session, nvm_cells *cells)
{
    if (cells->n_spikes == 0) {
        return;
    }
    uint32_t slot = (uint32_t)session->tick & cells->ring_mask;
    cells->volleys[slot] =
        (nvm_volley){.tick = session->tick, .n = cells->n_spikes, .sent = cells->sent};
    if (cells->record->kind == NVM_CELL_INPUT) {
        session->counters->events_in += cells->sent;
    } else {
        session->counters->events_out += cells->sent;
    }
}

static inline void nvm_send(nvm_cells *cells, size_t index, uint32_t count)
{
    cells->spikes[cells->n_spikes++] = (nvm_spike)index << NVM_COUNT_BITS | count;
    cells->sent += count;
}

/* The groups of neurons first .. first + n, n >= 1. */
static inline void nvm_mark_reached(nvm_cells *cells, size_t first, size_t n)
{
    if (cells->n_groups == 1) {
        cells->reached[0] = 1;
        return;
    }
    uint32_t group = cells->record->group;
    size_t g = (uint32_t)first / group, end = (uint32_t)(first + n - 1) / group;
    for (; g <= end; g++) {
        cells->reached[g / 64] |= UINT64_C(1) << (g % 64);
    }
}

/* drive + weight count, modulo 2^32. */
static inline void nvm_drive_add(int32_t *drive, int32_t weight, uint32_t count)
{
    *drive = (int32_t)((uint32_t)*drive + (uint32_t)weight * count);
}

/* Where input neuron `index` of a window stands. */
typedef struct nvm_pixel {
    int32_t y, x;
    uint32_t c;
} nvm_pixel;

static inline nvm_pixel nvm_pixel_of(const nvm_projection *record, size_t index)
{
    uint32_t i = (uint32_t)index, w = record->in_w, c = record->in_c;
    if (record->flags & NVM_PROJECTION_CHW) {
        uint32_t plane = record->in_h * w, rest = i % plane;
        return (nvm_pixel){(int32_t)(rest / w), (int32_t)(rest % w), i / plane};
    }
    uint32_t pixel = i / c;
    return (nvm_pixel){(int32_t)(pixel / w), (int32_t)(pixel % w), i % c};
}

#define NVM_CELLS_VARIANT(kind, name, isa) nvm_cells_fn nvm_cells_##name##__##isa;
#define NVM_LINK_VARIANT(kind, name, isa)  nvm_link_fn nvm_link_##name##__##isa;
#define NVM_SCAN_VARIANT(isa)              nvm_scan_fn nvm_scan__##isa;
#include "nvm_spiking_variants.inc"

#endif

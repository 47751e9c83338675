/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_internal.h: what the files of the kernel share; not installed.
 *
 * A node is one layer in one session with every offset resolved to a pointer. A step runs the nodes
 * in order; each reads the codes and events of earlier nodes, updates its own accumulators, and
 * sends events for those of its codes that changed. Everything here was validated by
 * nvm_program_init, so these functions assert and do not check.
 */
#ifndef NVM_INTERNAL_H
#define NVM_INTERNAL_H

#include <assert.h>
#include <float.h>
#include <string.h>

#include "nvm_isa.h"

_Static_assert(sizeof(nvm_layer) == 128, "a layer record has 128 bytes");
_Static_assert(sizeof(nvm_event) == 8, "an event has 8 bytes");
_Static_assert((-3 >> 1) == -2, "right shifts of negative integers are arithmetic");
_Static_assert(FLT_EVAL_METHOD == 0, "float expressions are rounded to float");

/* One axis of a sliding window. nvm_program_init makes sure that every position
 * y stride - pad + i dil with y < out, i < k fits int32. */
typedef struct nvm_axis {
    int32_t in, out, k, stride, dil, pad;
} nvm_axis;

/* Set of small integers: one bit each, and the range of words that may hold set bits. */
typedef struct nvm_marks {
    uint64_t *words;
    size_t first, end; /* words[first .. end); all others are 0 */
} nvm_marks;

/* Codes [first, end) of a layer. */
typedef struct nvm_run {
    uint32_t first, end;
} nvm_run;

/* More runs than this, or such as lie close to each other, become one. */
#define NVM_MAX_RUNS 64u
#define NVM_NEAR     32u

/* A changed pixel of an input, and of those before it: how many changes they have (nvm_pack.h), their sum. */
typedef struct nvm_changed {
    uint32_t pixel, first, sum;
} nvm_changed;

/* Changes of an input, of four consecutive codes each, as int8 and in order of their pixels. `words` says where
 * in their row of the input they stand, in units of four codes. */
typedef struct nvm_deltas {
    int32_t *codes;
    uint32_t *words;
    size_t n, most;
} nvm_deltas;

/* Memory that no layer keeps from one layer to the next. */
struct nvm_scratch {
    nvm_marks marks; /* empty between layers */
    int32_t *drive;  /* synaptic sums of one IF or LIF layer */
    uint8_t *canvas; /* the input of a packed layer */
    const uint8_t *begin, *end; /* memory that may be read, whatever is in it; NULL: not known */
    uint32_t *pixels; /* those of an input that changed */
    nvm_changed *changed; /* the same, and one beyond */
    size_t n_pixels, most_pixels;
    uint32_t left, right; /* marked outputs of windows lie in these columns [left, right) */
    nvm_deltas deltas;
    nvm_threads *threads; /* NULL: the caller's alone */
};

/* What a job that may be cut into pieces (nvm_threads.h) took one thread so far; all 0: not known. */
typedef struct nvm_phase {
    float alone_ns;
    uint32_t samples;
} nvm_phase;

typedef struct nvm_packed nvm_packed; /* nvm_pack.h */
struct nvm_node {
    const nvm_layer *layer;
    const nvm_kernel *kernel;
    const nvm_isa *isa;
    const nvm_node *in[NVM_MAX_INPUTS];
    const int8_t *weights;
    const void *bias; /* int32_t, of LONG layers int64_t */
    const void *scale, *shift, *table0, *table1;
    nvm_axis rows, cols;
    void *codes;       /* int8_t, wide int16_t: what was sent so far; spikes of this step */
    void *wanted;      /* INPUT: what the caller asked for; STATE: what is held; NULL elsewhere */
    void *held;        /* STATE: its own memory of it; wanted may be the source's codes instead */
    void *acc;         /* int32_t, LONG int64_t: A, u, S or window maximum; NULL where the kind keeps none */
    void *memory;      /* what LSTM and SVDF carry from step to step, and their accumulators; SIF: int32_t n;
                          else NULL */
    void *sum;         /* where synapses add: acc, or scratch drive for IF and LIF */
    nvm_event *events; /* capacity n, shared with layers of other lifetimes */
    void *old;         /* lazy: the codes before this sweep, in the runs; shared as events are */
    nvm_run *runs;     /* lazy: where codes may differ from old, ascending; shared as events are */
    uint32_t n_runs;   /* 0: anywhere */
    uint32_t counted, n_changed; /* so many pixels of so many codes changed in this sweep; 0: not counted */
    const nvm_packed *packed; /* NULL: no packed weights */
    const uint8_t *pack;      /* what its offsets count from */
    nvm_phase phase;          /* the packed run */
    uint32_t n_events; /* sent in this sweep */
    uint32_t last_events;
    uint64_t sent, sops, macs;
    int32_t slope[2], base; /* ADD: tables that are u = slope[0] q0 + slope[1] q1 + base */
    float taps;          /* windows that read one input code, on average */
    uint32_t run, same;  /* MEAN: from any multiple of it on so many inputs go to neurons in a row; to one neuron */
    float full_ns;       /* estimate of a full run */
    nvm_layer_costs costs; /* measured; where they were not, full_ns and keep_ns are estimates */
    float owed, purse;   /* of a stale layer: see nvm_choice.c */
    uint8_t vain, waits; /* looks for tiles that found none; steps until the next one */
    uint32_t slot;       /* of the event buffer; used while the memory is laid out */
    uint8_t forced, way; /* nvm_way */
    uint8_t unit;        /* at most one unit spike a neuron and sweep */
    uint8_t pending;     /* unit: some code is not yet the one wanted */
    uint8_t behind;      /* unit: so it was after the last sweep; visit every neuron */
    uint8_t changed;     /* output port: some code differs from before the step */
    uint8_t types;       /* nvm_types */
    uint8_t moved;       /* memory: the last step changed it, so that this one must run, or send it */
    nvm_event *spikes;   /* coded: those of the events' window, in the order they are sent */
    uint32_t n_spikes;
    uint32_t coding;     /* NVM_FLAG_PLANES, NVM_FLAG_TIMES or 0 */
    uint8_t lazy;        /* n_events counts, but events does not list them: old tells */
    uint8_t quiet;       /* within a full run: codes change without events */
    uint8_t affine;      /* ADD: whether slope says all */
    uint8_t unread;      /* no layer has it for an input: its events need only be counted */
    uint8_t small;       /* a full run is over before a choice has paid */
    uint8_t stale;       /* acc is not that of the input's codes: packed runs do not keep it */
};

/* Widths of a layer's inputs and outputs, named as in the functions. */
typedef enum nvm_types {
    NVM_TYPES_s8 = 0, /* int8 to int8 */
    NVM_TYPES_s16,    /* int16 to int16 */
    NVM_TYPES_s16s64, /* int16 to int16 over int64 accumulators */
    NVM_TYPES_s8s16,
    NVM_TYPES_s16s8,
    NVM_TYPES_COUNT
} nvm_types;

struct nvm_session {
    const nvm_program *program;
    nvm_node *nodes;
    nvm_scratch scratch;
    uint8_t *output; /* all ports, concatenated */
    nvm_counters *counters;
    nvm_counters own;
    int changed;
    uint32_t planes, sent_planes; /* of 8 that are sent; that were in the last step */
    int behind;      /* their number changed: every neuron is looked at */
    uint32_t end_inputs, end_memory, first_output; /* layers: where to stop, or to begin, looking for them */
    int settled;     /* the last step sent nothing, and a step without changes would do nothing */
    int in_full;     /* full runs alone: changes are counted and not listed, sums not kept */
};

/* Codes an update names: of one width or the other. */
typedef struct nvm_named {
    const uint32_t *index;
    const int8_t *narrow;
    const int16_t *wide; /* NULL: narrow */
    size_t n;
} nvm_named;

/* Whether every index names an input, and every code fits it; a step with them (nvm_inputs.c). */
int nvm_named_fit(nvm_session *session, const nvm_named *set);
nvm_status nvm_session_take(nvm_session *session, const nvm_named *set);

/* Where things lie in the arena and what a layer costs (nvm_program.c). */
uint64_t nvm_layer_macs(const nvm_layer *layer);
uint64_t nvm_layer_work(const nvm_layer *layer); /* macs, or codes that a pool reads */
nvm_axis nvm_layer_rows(const nvm_layer *layer);
nvm_axis nvm_layer_cols(const nvm_layer *layer);
int nvm_layer_keeps_acc(const nvm_layer *layer);
int nvm_layer_has_memory(const nvm_layer *layer);
nvm_types nvm_types_of(const nvm_program *program, uint32_t index);
size_t nvm_layer_memory_bytes(const nvm_layer *layer); /* of nvm_node.memory */

/* Status of one layer given its predecessors (nvm_check.c). */
nvm_status nvm_check_layer(const nvm_program *program, uint32_t index);
/* STATE layers, which may look ahead, once all layers are known; *bad is the one at fault. */
nvm_status nvm_check_states(const nvm_program *program, uint32_t *bad);
nvm_status nvm_check_requant(const nvm_program *program, const nvm_layer *layer, uint32_t channels);
nvm_status nvm_check_tables(const nvm_program *program, const nvm_layer *layer);
int nvm_arena_holds(const nvm_program *program, uint32_t offset, uint64_t bytes);

/* A node of a session or of rows, but for its memory. */
void nvm_resolve_node(const nvm_program *program, nvm_node *nodes, uint32_t index);

/* Whether a session of this way runs its layers in full alone, so that it needs no sums and lists of its own. */
int nvm_runs_in_full(const nvm_program *program, nvm_way way);

/* Lays out a session at base, or measures only (base NULL, session NULL). Returns the bytes. */
size_t nvm_session_layout(const nvm_program *program, int in_full, uint8_t *base, nvm_session *session);

/* The bytes of a predictor. */
size_t nvm_predictor_layout(const nvm_program *program);

/* Whether a way can be asked for (nvm_view.c). */
nvm_status nvm_way_status(nvm_way way);

/* nvm_session_init_by without the first dense pass. */
nvm_status nvm_session_open(void *mem, size_t len, const nvm_program *program, nvm_way way,
                            nvm_counters *counters, nvm_session **out);

/* One dense pass from the inputs' wanted codes; sends and counts nothing. Accumulators that the next step
 * could use are left stale unless keeps_acc. */
void nvm_session_pass(nvm_session *session, int keeps_acc);

/* A full run of a node that has packed weights; keeps_acc: with its accumulators. */
void nvm_packed_full(nvm_node *node, nvm_scratch *scratch, int keeps_acc);

/* Dirty tiles: marks the output pixels that changes of the input reach (nvm_dirty.c); about what they cost, in
 * pixels of a full run. Then those are computed anew, and the marks are empty again. */
static inline int nvm_has_tiles_of(uint32_t kind)
{
    return kind == NVM_CONV || kind == NVM_DWCONV;
}
int nvm_has_tiles(const nvm_node *node);
size_t nvm_mark_tiles(nvm_node *node, nvm_scratch *scratch);
void nvm_packed_tiles(nvm_node *node, nvm_scratch *scratch);

/* The same for layers that work element by element (nvm_elements.c); what is marked are the node's runs. */
int nvm_is_elementwise(const nvm_node *node);
size_t nvm_elements_mark(nvm_node *node);
float nvm_elements_ns(const nvm_node *node, size_t elements);
void nvm_elements_tiles(nvm_node *node, nvm_scratch *scratch);

/* Events of packed convolutions (nvm_deltas.c). A layer that may have them, where it is packed; a node that has.
 * nvm_run_deltas: 0 where they are too many for it, and nothing is done. */
int nvm_has_deltas_of(const nvm_isa *isa, const nvm_layer *layer);
int nvm_has_deltas(const nvm_node *node);
float nvm_deltas_ns(const nvm_node *node, float events, float pixels);
int nvm_run_deltas(nvm_node *node, nvm_scratch *scratch);

/* How many pixels of so many codes changed in a layer; they are listed unless list is NULL. SIZE_MAX: more than
 * `most`. */
size_t nvm_changed_pixels(nvm_node *node, uint32_t channels, uint32_t *list, size_t most);

/* The accumulators alone, of a node where they are stale. */
void nvm_packed_refresh(nvm_node *node, nvm_scratch *scratch);

/* A full run of any node, whose changes are then counted but not listed (nvm_changes.c). */
void nvm_run_full(nvm_node *node, nvm_scratch *scratch, int keeps_acc);

/* Whether what it sends are changes of codes, which need no list before they are read. */
static inline int nvm_is_lazy_sender(const nvm_node *node)
{
    return node->layer->neuron == NVM_SD && !node->unit && node->coding == 0;
}

/* The same for the marked pixels of a layer that has tiles. */
void nvm_run_tiles(nvm_node *node, nvm_scratch *scratch);

/* By events, of a node whose sums are not stale. */
void nvm_run_events(nvm_node *node, nvm_scratch *scratch);

/* The codes [first, end) are about to change, of a lazy sender within nvm_run_tiles; ascending. */
void nvm_touch(nvm_node *node, size_t first, size_t end);
/* The runs of a node with changes grow until they begin and end with pixels of so many codes. */
void nvm_align_runs(nvm_node *node, uint32_t channels);

/* All codes at once, of a lazy sender. */
void nvm_send_all(nvm_node *node, const void *wanted);

/* The events of a node that are only counted so far. */
void nvm_list_events(nvm_node *node);

/* Nothing sent yet. */
static inline void nvm_clear_events(nvm_node *node)
{
    node->n_events = 0;
    node->lazy = 0;
    node->counted = 0;
}

/* A layer's memory to its initial values (nvm_memory.c); STATE: what its first step sends. */
void nvm_memory_begin(nvm_node *node);

/* At the end of a step: what the layers hold now is what the next step remembers. Whether that is anything
 * else than in this step. */
int nvm_memory_commit(nvm_session *session);

/* The same for one LSTM or SVDF layer (nvm_lstm.c, nvm_svdf.c); commit says whether anything moved. */
size_t nvm_lstm_bytes(const nvm_layer *layer);
void nvm_lstm_begin(nvm_node *node);
int nvm_lstm_commit(nvm_node *node);
size_t nvm_svdf_bytes(const nvm_layer *layer);
void nvm_svdf_begin(nvm_node *node);
int nvm_svdf_commit(nvm_node *node);

/* The coding of what a layer sends (nvm_coding.c): room for its events and spikes; the spikes of its
 * changes (all: codes that did not change are looked at too), after which codes are what was sent; and the sums of a layer that takes spikes one by one, with the
 * pixels marked that they reach (its kernel then fires them on no events). */
size_t nvm_event_room(const nvm_layer *layer);
void nvm_code_changes(nvm_node *node, uint32_t planes, int all);
int nvm_takes_spikes(const nvm_node *node);
void nvm_add_spikes(nvm_node *node, nvm_scratch *scratch);

/* Copies the ports that sent something (or all) to the output block and notes which of them changed. */
void nvm_session_publish(nvm_session *session, int always);

/* Estimates of a full run, set once, of so many events, and of tiles where they reach so many pixels; `costs`
 * are those of the program, or NULL. */
void nvm_estimate_full(nvm_node *node, const nvm_layer_costs *costs);
float nvm_events_ns(const nvm_node *node, size_t received);
float nvm_tiles_ns(const nvm_node *node, size_t received, size_t reached);
float nvm_plain_tiles_ns(const nvm_node *node, size_t received, size_t reached); /* by constants alone (nvm_dirty.c) */
float nvm_scattered_ns(const nvm_node *node, size_t received); /* of events anywhere */
/* Of so many events in so many pixels (of 1 code where the kind knows none), by the kernel's constants alone;
 * the channels of such a pixel. */
float nvm_plain_events_ns(const nvm_node *node, float events, float pixels);
uint32_t nvm_pixel_codes(const nvm_layer *layer);

/* The costs of a program's layer, or NULL (nvm_costs.c). */
const nvm_layer_costs *nvm_costs_of(const nvm_program *program, uint32_t index);
/* A node of which estimates can be had, and its inputs, which are no session's (nvm_session.c). */
void nvm_resolve_costs(const nvm_program *program, uint32_t index, nvm_node *node, nvm_node *inputs);

/* The way of a layer in this step (nvm_choice.c). Where it is TILES, what they reach is marked. */
nvm_way nvm_choose_way(nvm_node *node, size_t received, nvm_scratch *scratch);
void nvm_forget_choices(nvm_node *node);

/* One layer, once its inputs have sent (nvm_step.c). */
void nvm_run_node(nvm_session *session, nvm_node *node);

/* IF and LIF: leak, bias, drive, fire, reset of all n neurons; one event each spike. */
void nvm_neuron_lif_s32__scalar(nvm_node *node);
void nvm_neuron_sif_s32__scalar(nvm_node *node);

/* NULL outside the arena: offsets that a kind does not name are never followed. */
static inline const void *nvm_arena_at(const nvm_program *program, uint32_t offset)
{
    return offset < program->arena_len ? program->arena + offset : NULL;
}

static inline int nvm_is_spiking(const nvm_layer *layer)
{
    return layer->neuron != NVM_SD || (layer->flags & NVM_FLAG_SPIKES) != 0;
}

static inline int nvm_is_wide(const nvm_layer *layer)
{
    return (layer->flags & NVM_FLAG_WIDE) != 0;
}

/* How it sends: NVM_FLAG_PLANES, NVM_FLAG_TIMES or 0. */
static inline uint32_t nvm_coding_of(const nvm_layer *layer)
{
    return layer->flags & (uint32_t)(NVM_FLAG_PLANES | NVM_FLAG_TIMES);
}

/* Bytes of one code of the layer. */
static inline size_t nvm_code_bytes(const nvm_layer *layer)
{
    return nvm_is_wide(layer) ? sizeof(int16_t) : sizeof(int8_t);
}

/* Bytes of one of its accumulators. */
static inline size_t nvm_acc_bytes(const nvm_layer *layer)
{
    return layer->flags & NVM_FLAG_LONG ? sizeof(int64_t) : sizeof(int32_t);
}

/* nvm_neuron_sd of one neuron. */
static inline void nvm_send_s8(nvm_node *node, size_t i, int8_t wanted)
{
    int8_t *codes = node->codes;
    if (node->unit) {
        NVM_OWN(neuron_sd_s8)(node, i, &wanted, 1);
        return;
    }
    node->events[node->n_events] = (nvm_event){(uint32_t)i, wanted - codes[i]};
    node->n_events += wanted != codes[i];
    codes[i] = wanted;
}

static inline void nvm_send_s16(nvm_node *node, size_t i, int16_t wanted)
{
    int16_t *codes = node->codes;
    node->events[node->n_events] = (nvm_event){(uint32_t)i, wanted - codes[i]};
    node->n_events += wanted != codes[i];
    codes[i] = wanted;
}

static inline void nvm_mark(nvm_marks *marks, size_t i)
{
    size_t word = i / 64;
    if (marks->first == marks->end) {
        marks->first = word;
        marks->end = word + 1;
    } else if (word < marks->first) {
        marks->first = word;
    } else if (word >= marks->end) {
        marks->end = word + 1;
    }
    marks->words[word] |= UINT64_C(1) << (i % 64);
}

/* Removes and returns the smallest member, or SIZE_MAX when there is none. */
static inline size_t nvm_unmark_next(nvm_marks *marks)
{
    for (; marks->first < marks->end; marks->first++) {
        uint64_t word = marks->words[marks->first];
        if (word != 0) {
            marks->words[marks->first] = word & (word - 1);
            return marks->first * 64 + (size_t)__builtin_ctzll(word);
        }
    }
    marks->first = marks->end = 0;
    return SIZE_MAX;
}

/* Bits [first, first + n) of a set. */
static inline void nvm_mark_run(nvm_marks *marks, size_t first, size_t n)
{
    for (size_t end = first + n; first < end;) {
        size_t low = first % 64, part = end - first < 64 - low ? end - first : 64 - low;
        nvm_mark(marks, first);
        marks->words[first / 64] |= (UINT64_MAX >> (64 - part)) << low;
        first += part;
    }
}

/* Removes the smallest members that follow each other, at most those of one word, and returns the first; *n is
 * their number, 0 when there is none. */
static inline size_t nvm_unmark_run(nvm_marks *marks, size_t *n)
{
    for (*n = 0; marks->first < marks->end; marks->first++) {
        uint64_t word = marks->words[marks->first];
        if (word != 0) {
            unsigned low = (unsigned)__builtin_ctzll(word);
            uint64_t gaps = ~(word >> low);
            *n = gaps == 0 ? 64 : (size_t)__builtin_ctzll(gaps);
            marks->words[marks->first] = word & ~((UINT64_MAX >> (64 - *n)) << low);
            return marks->first * 64 + low;
        }
    }
    marks->first = marks->end = 0;
    return SIZE_MAX;
}

static inline void nvm_unmark_all(nvm_marks *marks)
{
    if (marks->first < marks->end) {
        memset(marks->words + marks->first, 0, (marks->end - marks->first) * sizeof *marks->words);
    }
    marks->first = marks->end = 0;
}

/* acc + product modulo 2^32, without signed overflow. */
static inline int32_t nvm_add_wrap(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* Taps [*first, *end) of output y that read inside the input. */
static inline void nvm_axis_taps(const nvm_axis *axis, int32_t y, int32_t *first, int32_t *end)
{
    int32_t start = y * axis->stride - axis->pad; /* read by tap 0 */
    int32_t left = axis->in - start;              /* taps with i dil < left are inside */
    *first = start >= 0 ? 0 : -start;
    *end = left <= 0 ? 0 : left;
    if (axis->dil != 1) { /* a division takes longer than all the rest */
        *first = (*first + axis->dil - 1) / axis->dil;
        *end = (*end + axis->dil - 1) / axis->dil;
    }
    *end = *end < axis->k ? *end : axis->k;
    *end = *end > *first ? *end : *first;
}

/* Outputs [*first, *end) whose window spans input position r. */
static inline void nvm_axis_outputs(const nvm_axis *axis, int32_t r, int32_t *first, int32_t *end)
{
    int32_t top = r + axis->pad;
    int32_t low = top - (axis->k - 1) * axis->dil;
    low = low > 0 ? low : 0;
    if (top < 0) {
        *first = *end = 0;
        return;
    }
    if (axis->stride == 2) {
        low = (low + 1) >> 1;
        top >>= 1;
    } else if (axis->stride != 1) {
        low = (low + axis->stride - 1) / axis->stride;
        top /= axis->stride;
    }
    *first = low;
    *end = top < axis->out ? top + 1 : axis->out;
}

/* The tap of output y that reads r, where nvm_axis_outputs gave y; -1 if dilation skips r. */
static inline int32_t nvm_axis_tap(const nvm_axis *axis, int32_t y, int32_t r)
{
    int32_t offset = r + axis->pad - y * axis->stride;
    if (axis->dil == 1) {
        return offset;
    }
    return offset % axis->dil == 0 ? offset / axis->dil : -1;
}

#endif

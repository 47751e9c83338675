/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_calibrate.c: measures what the ways of every layer take.
 *
 * The kernel's estimates know how time grows with changes, but not the machine. So few points of each way are
 * measured, where they decide: a full run, one change, and about as many changes as a full run takes; the
 * estimate between them is stretched to fit. Others use the machine too, so each point is taken in several
 * rounds over all layers, and its least time counts. In a step other layers run between two runs of one, so weights
 * of theirs are read in between: where not all fit the nearest cache, what a run reads comes from further away.
 */
#include "nvm_pack.h"
#include "nvm_trials.h"

enum { ROUNDS = 8, MOST_RUNS = 64 };

#define LINE       64u
#define LINE_NS    0.3f
#define MOST_READ  (64u * 1024) /* bytes between two runs: more than the nearest caches hold */
#define BATCH_NS   1000.0f /* between two looks at the clock */
#define OPEN_NS    0.15f   /* a byte of a session, written for the first time */
#define MOST_WORTH 4u      /* budgets that estimates alone may fill, where the clock stands still */

typedef struct course {
    nvm_session *session;
    nvm_clock *now;
    float *least;    /* [layers][NVM_TRIALS] */
    uint64_t start;
    float budget, spent, expected; /* ns: by the clock, and of turns by estimates */
    float before;                  /* of the time spent, until turns began */
} course;

/* Weights that other layers read: from those behind this one on, round to its own. */
typedef struct others {
    const uint8_t *from;
    size_t all, first, bytes;
} others;

static others others_of(const course *c, const nvm_node *node)
{
    const nvm_program *program = c->session->program;
    const nvm_layer *layer = node->layer;
    const nvm_pack *pack = program->pack;
    size_t all = pack != NULL ? (size_t)pack->bytes : program->arena_len, own = 0;
    if (layer->kind == NVM_DENSE || layer->kind == NVM_CONV || layer->kind == NVM_DWCONV) {
        own = (size_t)node->macs / (layer->n / layer->out_c); /* about; a weight is a byte */
    }
    size_t first = (node->packed != NULL ? (size_t)node->packed->weights : 0) + own;
    size_t rest = all > own ? all - own : 0;
    return (others){.from = pack != NULL ? (const uint8_t *)pack : program->arena,
                    .all = all,
                    .first = first < all ? first : 0,
                    .bytes = rest < MOST_READ ? rest : MOST_READ};
}

static void read_others(const others *o)
{
    size_t at = o->first;
    for (size_t left = o->bytes; left >= LINE; left -= LINE) {
        (void)*(const volatile uint8_t *)(o->from + at);
        at = o->all - at > LINE ? at + LINE : 0;
    }
}

static void run_once(course *c, nvm_node *node, nvm_node *in, const nvm_trial_changes *which,
                     nvm_trial trial)
{
    const nvm_layer *layer = node->layer;
    static const uint8_t ways[NVM_TRIALS] = {
        [NVM_TRY_FULL] = NVM_DENSE_WAY,   [NVM_TRY_KEEP] = NVM_EVENTS,
        [NVM_TRY_ONE] = NVM_EVENTS,       [NVM_TRY_SCATTERED] = NVM_EVENTS,
        [NVM_TRY_NEIGHBOURS] = NVM_EVENTS,
    };
    for (uint32_t p = 0; p < layer->n_in; p++) {
        nvm_clear_events(&c->session->nodes[layer->in[p]]);
    }
    nvm_trial_send(in, which);
    if (!nvm_reads_weights(trial)) {
        return;
    }
    node->forced = ways[trial];
    node->stale = nvm_is_tried(node, NVM_TRY_KEEP) && trial == NVM_TRY_KEEP;
    nvm_clear_events(node);
    nvm_run_node(c->session, node);
}

/* Nanoseconds of a run; UINT64_MAX where the clock went back. */
static void measure(course *c, nvm_node *node, nvm_node *in, nvm_trial trial, float *least)
{
    nvm_trial_changes which = nvm_trial_changes_of(node, in, trial);
    others rest = others_of(c, node);
    float runs = BATCH_NS / (node->full_ns + (float)(rest.bytes / LINE) * LINE_NS + 1.0f);
    int n = runs < 1.0f ? 2 : runs > MOST_RUNS ? MOST_RUNS : (int)runs / 2 * 2 + 2;
    uint64_t start = c->now();
    for (int run = 0; run < n; run++) {
        if (nvm_reads_weights(trial)) {
            read_others(&rest);
        }
        if (trial != NVM_TRY_OTHERS) {
            run_once(c, node, in, &which, trial);
        }
    }
    uint64_t ns = c->now() - start;
    float each = ns <= UINT64_MAX / 2 ? (float)ns / (float)n : 0.0f;
    if (each > 0.0f && (*least == 0.0f || each < *least)) {
        *least = each;
    }
    c->expected += (float)n * node->full_ns;
}

/* By the clock, which may go anywhere. */
static void look_at_clock(course *c)
{
    uint64_t spent = c->now() - c->start;
    c->spent = spent <= UINT64_MAX / 2 ? (float)spent : c->budget;
}

/* Whether the budget holds one more turn of a layer, at the pace of turns so far. */
static int has_time(const course *c, const nvm_node *node)
{
    float turn = NVM_TRIALS * (BATCH_NS + 2.0f * node->full_ns);
    float taken = c->spent - c->before;
    float pace = taken > c->expected && c->expected > 0.0f ? taken / c->expected : 1.0f;
    return c->spent + turn * pace < c->budget && c->expected + turn < MOST_WORTH * c->budget;
}

static void take_turn(course *c, uint32_t index)
{
    nvm_node *node = &c->session->nodes[index], *in = nvm_trial_input(c->session, index);
    if (in == NULL || !has_time(c, node)) {
        return;
    }
    node->forced = NVM_DENSE_WAY;
    nvm_trial_changes one = nvm_trial_changes_of(node, in, NVM_TRY_ONE);
    for (int run = 0; run < 2; run++) { /* caches fill, and sums are those of the codes */
        run_once(c, node, in, &one, NVM_TRY_KEEP);
    }
    for (nvm_trial trial = NVM_TRY_FULL; trial < NVM_TRIALS; trial++) {
        if (nvm_is_tried(node, trial)) {
            measure(c, node, in, trial, &c->least[(size_t)index * NVM_TRIALS + (size_t)trial]);
        }
        if (trial == NVM_TRY_FULL) { /* which kept no sums */
            run_once(c, node, in, &one, NVM_TRY_KEEP);
            run_once(c, node, in, &one, NVM_TRY_KEEP);
        }
    }
    look_at_clock(c);
}

static size_t times_bytes(const nvm_program *program)
{
    size_t bytes = (size_t)program->n_layers * NVM_TRIALS * sizeof(float);
    return (bytes + NVM_ALIGN - 1) / NVM_ALIGN * NVM_ALIGN;
}

size_t nvm_calibration_size(const nvm_program *program)
{
    return program == NULL || program->n_layers == 0
               ? 0
               : times_bytes(program) + nvm_session_size(program);
}

/* Inputs that are not at rest: codes of any size. */
static void make_codes(nvm_session *session)
{
    uint32_t state = 1;
    for (uint32_t i = 0; i < session->program->n_layers; i++) {
        nvm_node *node = &session->nodes[i];
        uint8_t *bytes = node->wanted;
        size_t n = node->layer->n * nvm_code_bytes(node->layer);
        for (size_t k = 0; node->layer->kind == NVM_INPUT && k < n; k++) {
            state = state * 1664525u + 1013904223u;
            bytes[k] = (uint8_t)(state >> 24);
        }
    }
}

static int is_graded(const nvm_program *program)
{
    for (uint32_t i = 0; i < program->n_layers; i++) {
        if (nvm_is_spiking(&program->layers[i])) {
            return 0;
        }
    }
    return program->coding == 0 && !program->unit;
}

/* Nanoseconds, by estimates, to open a session and to run all of its layers once. */
static float beginning_ns(const nvm_program *program)
{
    float ns = (float)nvm_session_size(program) * OPEN_NS;
    for (uint32_t i = 0; i < program->n_layers; i++) {
        nvm_node inputs[NVM_MAX_INPUTS], node;
        if (program->layers[i].n_in != 0) {
            memset(inputs, 0, sizeof inputs);
            memset(&node, 0, sizeof node);
            nvm_resolve_costs(program, i, &node, inputs);
            ns += node.full_ns;
        }
    }
    return ns;
}

static void measure_all(course *c, nvm_layer_costs *costs)
{
    uint32_t n = c->session->program->n_layers;
    make_codes(c->session);
    nvm_session_pass(c->session, 1);
    look_at_clock(c);
    c->before = c->spent;
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < n; i++) {
            take_turn(c, i);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        nvm_node *node = &c->session->nodes[i];
        costs[i] = nvm_fit_costs(node, nvm_trial_input(c->session, i), &c->least[(size_t)i * NVM_TRIALS]);
    }
}

nvm_status nvm_program_calibrate(nvm_program *program, void *costs, size_t len, void *scratch,
                                 size_t scratch_len, uint64_t budget_ns, nvm_clock *now_ns)
{
    nvm_status status = NVM_OK;
    if (program == NULL || program->n_layers == 0 || costs == NULL || scratch == NULL ||
        now_ns == NULL) {
        status = NVM_E_ARG;
        goto done;
    }
    if ((uintptr_t)costs % sizeof(float) != 0 || len < nvm_costs_size(program) ||
        (uintptr_t)scratch % NVM_ALIGN != 0 || scratch_len < nvm_calibration_size(program)) {
        status = NVM_E_SIZE;
        goto done;
    }
    program->costs = NULL;
    nvm_layer_costs *layers = nvm_costs_begin(program, costs);
    if (is_graded(program) && beginning_ns(program) < (float)budget_ns) {
        size_t times = times_bytes(program);
        course c = {.now = now_ns, .least = scratch, .budget = (float)budget_ns, .start = now_ns()};
        memset(scratch, 0, times);
        status = nvm_session_open((uint8_t *)scratch + times, scratch_len - times, program, NVM_AUTO, NULL,
                                  &c.session);
        if (status != NVM_OK) {
            goto done;
        }
        measure_all(&c, layers);
    }
    status = nvm_program_costs(program, costs, nvm_costs_size(program));
done:
    return status;
}

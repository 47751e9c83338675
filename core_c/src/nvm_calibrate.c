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
#include "nvm_costs.h"
#include "nvm_pack.h"

enum { ROUNDS = 8, MOST_RUNS = 64 };

#define LINE       64u
#define LINE_NS    0.3f
#define MOST_READ  (64u * 1024) /* bytes between two runs: more than the nearest caches hold */
#define BATCH_NS   1000.0f /* between two looks at the clock */
#define FLIP       16      /* a change: this bit of the code */
#define MOST_WORTH 4u      /* budgets that estimates alone may fill, where the clock stands still */

/* What is measured of a layer. */
enum { FULL, KEEP, ONE, SCATTERED, SCATTER, NEIGHBOURS, APPROACH, OTHERS, POINTS };

/* So many codes of an input: in pixels far from each other, or in a row. */
typedef struct changes {
    uint32_t count, channels;
    int in_a_row;
} changes;

typedef struct course {
    nvm_session *session;
    nvm_clock *now;
    float *least;    /* [layers][POINTS] */
    uint64_t start;
    float budget, spent, expected; /* ns: by the clock, and by estimates */
} course;

/* The input whose changes are measured, or NULL: what sends nothing or has no choice is not. */
static nvm_node *driver_of(nvm_session *session, uint32_t index)
{
    nvm_node *node = &session->nodes[index];
    const nvm_layer *layer = node->layer;
    if (layer->n_in == 0 || layer->neuron != NVM_SD || layer->kind == NVM_LSTM ||
        layer->kind == NVM_SVDF) {
        return NULL;
    }
    for (uint32_t p = 0; p < layer->n_in; p++) {
        nvm_node *in = &session->nodes[layer->in[p]];
        if (in->layer->kind != NVM_CONST) {
            return nvm_is_spiking(in->layer) ? NULL : in;
        }
    }
    return NULL;
}

static uint32_t index_of(const nvm_node *in, const changes *which, uint32_t k)
{
    uint32_t pixels = in->layer->n / which->channels, channels = which->channels;
    if (which->in_a_row) {
        uint32_t rest = in->layer->n - which->count;
        return rest / 2 / channels * channels + k;
    }
    uint32_t pixel = (uint32_t)((uint64_t)k * pixels / which->count);
    return pixel * channels + k * 7 % channels;
}

/* The input sends them; twice, and its codes are what they were. */
static void change(nvm_node *in, const changes *which)
{
    int8_t *narrow = in->codes;
    int16_t *wide = in->codes;
    for (uint32_t k = 0; k < which->count; k++) {
        uint32_t i = index_of(in, which, k);
        int32_t before = nvm_is_wide(in->layer) ? wide[i] : narrow[i];
        int32_t after = before ^ FLIP;
        if (nvm_is_wide(in->layer)) {
            wide[i] = (int16_t)after;
        } else {
            narrow[i] = (int8_t)after;
        }
        in->events[k] = (nvm_event){i, after - before};
    }
    in->n_events = which->count;
    in->lazy = 0;
}

/* The most changes of this kind that the estimate holds cheaper than a full run; 1 at least. */
static changes most_changes(const nvm_node *node, const nvm_node *in, int in_a_row)
{
    uint32_t channels = nvm_pixel_codes(node->layer);
    uint32_t low = 1, high = in_a_row ? in->layer->n / 2 : in->layer->n / channels;
    channels = in->layer->n % channels == 0 ? channels : 1;
    while (low < high) {
        uint32_t half = low + (high - low + 1) / 2;
        float pixels = in_a_row ? (float)half / (float)channels : (float)half;
        if (nvm_plain_events_ns(node, (float)half, pixels) > node->full_ns) {
            high = half - 1;
        } else {
            low = half;
        }
    }
    return (changes){.count = low, .channels = channels, .in_a_row = in_a_row};
}

static changes changes_at(const nvm_node *node, const nvm_node *in, int point)
{
    switch (point) {
    case SCATTERED:
    case SCATTER:
        return most_changes(node, in, 0);
    case NEIGHBOURS:
    case APPROACH:
        return most_changes(node, in, 1);
    default:
        return (changes){.count = 1, .channels = 1, .in_a_row = 1};
    }
}

/* What changes in layers that have tiles comes to them as codes to compare, not as a list: of them full runs
 * alone are measured, and the estimates of what changes take stand. */
static int is_measured_at(const nvm_node *node, int point)
{
    switch (point) {
    case FULL:
    case OTHERS:
        return 1;
    case KEEP:
        return node->packed != NULL && nvm_layer_keeps_acc(node->layer);
    case NEIGHBOURS:
    case APPROACH:
        return !nvm_has_tiles(node) && nvm_pixel_codes(node->layer) > 1;
    default:
        return !nvm_has_tiles(node);
    }
}

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

/* SCATTER and APPROACH: what it takes to make the changes of SCATTERED and NEIGHBOURS alone. */
static void run_once(course *c, nvm_node *node, nvm_node *in, const changes *which, int point)
{
    const nvm_layer *layer = node->layer;
    static const uint8_t ways[POINTS] = {[FULL] = NVM_DENSE_WAY,     [KEEP] = NVM_EVENTS,
                                         [ONE] = NVM_EVENTS,         [SCATTERED] = NVM_EVENTS,
                                         [NEIGHBOURS] = NVM_EVENTS};
    for (uint32_t p = 0; p < layer->n_in; p++) {
        nvm_clear_events(&c->session->nodes[layer->in[p]]);
    }
    change(in, which);
    if (point == SCATTER || point == APPROACH) {
        return;
    }
    node->forced = ways[point];
    node->stale = is_measured_at(node, KEEP) && point == KEEP;
    nvm_clear_events(node);
    nvm_run_node(c->session, node);
}

/* Making changes reads no weights. */
static int reads_others(int point)
{
    return point != SCATTER && point != APPROACH;
}

/* Nanoseconds of a run; UINT64_MAX where the clock went back. */
static void measure(course *c, nvm_node *node, nvm_node *in, int point, float *least)
{
    changes which = changes_at(node, in, point);
    others rest = others_of(c, node);
    float runs = BATCH_NS / (node->full_ns + (float)(rest.bytes / LINE) * LINE_NS + 1.0f);
    int n = runs < 1.0f ? 2 : runs > MOST_RUNS ? MOST_RUNS : (int)runs / 2 * 2 + 2;
    uint64_t start = c->now();
    for (int run = 0; run < n; run++) {
        if (reads_others(point)) {
            read_others(&rest);
        }
        if (point != OTHERS) {
            run_once(c, node, in, &which, point);
        }
    }
    uint64_t ns = c->now() - start;
    float each = ns <= UINT64_MAX / 2 ? (float)ns / (float)n : 0.0f;
    if (each > 0.0f && (*least == 0.0f || each < *least)) {
        *least = each;
    }
    c->expected += (float)n * node->full_ns;
}

/* Whether the budget holds one more turn of a layer, at the pace so far. */
static int has_time(const course *c, const nvm_node *node)
{
    float turn = POINTS * (BATCH_NS + 2.0f * node->full_ns);
    float pace = c->spent > c->expected && c->expected > 0.0f ? c->spent / c->expected : 1.0f;
    return c->spent + turn * pace < c->budget && c->expected + turn < MOST_WORTH * c->budget;
}

static void take_turn(course *c, uint32_t index)
{
    nvm_node *node = &c->session->nodes[index], *in = driver_of(c->session, index);
    if (in == NULL || !has_time(c, node)) {
        return;
    }
    node->forced = NVM_DENSE_WAY;
    changes one = changes_at(node, in, ONE);
    for (int run = 0; run < 2; run++) { /* caches fill, and sums are those of the codes */
        run_once(c, node, in, &one, KEEP);
    }
    for (int point = 0; point < POINTS; point++) {
        if (is_measured_at(node, point)) {
            measure(c, node, in, point, &c->least[(size_t)index * POINTS + (size_t)point]);
        }
        if (point == FULL) { /* which kept no sums */
            run_once(c, node, in, &one, KEEP);
            run_once(c, node, in, &one, KEEP);
        }
    }
    uint64_t spent = c->now() - c->start;
    c->spent = spent <= UINT64_MAX / 2 ? (float)spent : c->budget;
}

/* ---- from times to costs ------------------------------------------------------------------ */

static float above(float value, float floor)
{
    return value > floor ? value : floor;
}

/* The line through (x0, y0) and (x1, y1), which neither falls nor begins below 0: its slope, and
 * *start at 0. */
static float line_through(float x0, float y0, float x1, float y1, float *start)
{
    float slope = x1 > x0 ? above(y1 - y0, 0.0f) / (x1 - x0) : 0.0f;
    *start = y0 - slope * x0;
    if (*start < 0.0f || !(x1 > x0)) {
        *start = 0.0f;
        slope = y1 / above(x1, 1.0f);
    }
    return slope;
}

static float plain_ns(const nvm_node *node, const changes *which)
{
    float pixels = (float)which->count;
    if (which->in_a_row) {
        pixels /= (float)which->channels;
    }
    return nvm_plain_events_ns(node, (float)which->count, above(pixels, 1.0f));
}

static void fit_events(nvm_node *node, nvm_node *in, const float *ns, nvm_layer_costs *costs)
{
    changes one = changes_at(node, in, ONE), many = changes_at(node, in, SCATTERED);
    change(in, &one); /* a product's estimate looks at what its inputs sent */
    float first = plain_ns(node, &one);
    change(in, &many);
    float last = plain_ns(node, &many);
    float taken = above(ns[SCATTERED] - ns[SCATTER], 0.0f);
    costs->scattered = line_through(first, ns[ONE], last, taken, &costs->event_ns);
    costs->neighbours = costs->scattered;
    if (is_measured_at(node, NEIGHBOURS)) {
        changes row = changes_at(node, in, NEIGHBOURS);
        change(in, &row);
        taken = above(ns[NEIGHBOURS] - ns[APPROACH] - costs->event_ns, 0.0f);
        costs->neighbours = taken / above(plain_ns(node, &row), 1.0f);
    }
}

static nvm_layer_costs costs_from(course *c, uint32_t index)
{
    nvm_node *node = &c->session->nodes[index], *in = driver_of(c->session, index);
    float *ns = &c->least[(size_t)index * POINTS];
    nvm_layer_costs costs = {.full_ns = 0.0f};
    for (int point = 0; in != NULL && point < POINTS; point++) {
        if (is_measured_at(node, point) && ns[point] == 0.0f) {
            in = NULL; /* no time, or no clock */
        }
    }
    if (in == NULL) {
        return costs;
    }
    for (int point = 0; point < OTHERS; point++) {
        ns[point] -= reads_others(point) && is_measured_at(node, point) ? ns[OTHERS] : 0.0f;
        ns[point] = above(ns[point], 1.0f);
    }
    costs.full_ns = ns[FULL];
    costs.keep_ns = is_measured_at(node, KEEP) ? above(ns[KEEP], ns[FULL]) : ns[FULL];
    costs.scattered = costs.neighbours = costs.tile_share = 1.0f;
    if (!nvm_has_tiles(node)) {
        fit_events(node, in, ns, &costs);
    }
    return costs;
}

/* ---- a program ---------------------------------------------------------------------------- */

static size_t times_bytes(const nvm_program *program)
{
    size_t bytes = (size_t)program->n_layers * POINTS * sizeof(float);
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

static void measure_all(course *c, nvm_layer_costs *costs)
{
    uint32_t n = c->session->program->n_layers;
    make_codes(c->session);
    nvm_session_pass(c->session, 1);
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < n; i++) {
            take_turn(c, i);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        costs[i] = costs_from(c, i);
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
    if (is_graded(program)) {
        size_t times = times_bytes(program);
        course c = {.now = now_ns, .least = scratch, .budget = (float)budget_ns};
        memset(scratch, 0, times);
        status = nvm_session_open((uint8_t *)scratch + times, scratch_len - times, program, NVM_AUTO, NULL,
                                  &c.session);
        if (status != NVM_OK) {
            goto done;
        }
        c.start = now_ns();
        measure_all(&c, layers);
    }
    status = nvm_program_costs(program, costs, nvm_costs_size(program));
done:
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "spiking.h"

#include <stdlib.h>
#include <string.h>

/* ---- programs ------------------------------------------------------------------------------- */

static uint64_t put(spiking *net, const void *data, size_t bytes)
{
    size_t at = net->len;
    if (at + bytes > SPIKING_ARENA) {
        abort();
    }
    if (bytes != 0) {
        memcpy(net->arena + at, data, bytes);
    }
    net->len = (at + bytes + NVM_ALIGN - 1) / NVM_ALIGN * NVM_ALIGN;
    return at;
}

static int32_t draw(spiking *net, int32_t low, int32_t high)
{
    return random_in(&net->seed, low, high);
}

static int chance(spiking *net, int of)
{
    return draw(net, 1, of) == 1;
}

/* n int32 of low .. high. */
static uint64_t put_words(spiking *net, size_t n, int32_t low, int32_t high)
{
    int32_t *words = malloc(n * sizeof *words);
    for (size_t i = 0; i < n; i++) {
        words[i] = draw(net, low, high);
    }
    uint64_t at = put(net, words, n * sizeof *words);
    free(words);
    return at;
}

/* 1 or n entries. */
static void set_param(spiking *net, nvm_population *record, nvm_param param, int32_t low, int32_t high)
{
    size_t n = chance(net, 2) ? record->n : 1;
    record->arrays |= (uint32_t)(n != 1) << param;
    record->param[param] = put_words(net, n, low, high);
}

static void set_leak(spiking *net, nvm_population *record, nvm_param param)
{
    size_t n = chance(net, 3) ? record->n : 1;
    uint32_t *leak = malloc(32 * n * sizeof *leak), most = UINT32_C(1) << 31;
    int which = draw(net, 0, 3);
    for (size_t i = 0; i < n; i++) {
        leak[i] = which == 0 ? most : which == 1 ? 0 : most - (uint32_t)draw(net, 1, 1 << 30);
        for (size_t k = 1; k < 32; k++) {
            uint64_t root = leak[(k - 1) * n + i];
            leak[k * n + i] = (uint32_t)((root * root + (1u << 30)) >> 31);
        }
    }
    record->arrays |= (uint32_t)(n != 1) << param;
    record->param[param] = put(net, leak, 32 * n * sizeof *leak);
    free(leak);
}

static void fill_fixed_point(spiking *net, nvm_population *record)
{
    int extreme = chance(net, 5);
    int32_t big = extreme ? INT32_MAX / 2 : 3000;
    record->fire = (uint8_t)draw(net, 0, NVM_FIRE_COUNT - 1);
    record->reset = record->fire == NVM_FIRE_MANY || chance(net, 2) ? NVM_RESET_SUBTRACT : NVM_RESET_VALUE;
    record->refractory = (uint16_t)(chance(net, 3) ? draw(net, 1, 6) : 0);
    record->v_min = chance(net, 2) ? INT32_MIN : -draw(net, 0, big);
    set_param(net, record, NVM_PARAM_THETA, chance(net, 6) ? -big : 1, big);
    set_param(net, record, NVM_PARAM_RESET_TO, record->fire == NVM_FIRE_MANY ? 1 : -big, big);
    set_leak(net, record, NVM_PARAM_LEAK);
    set_param(net, record, NVM_PARAM_GAIN, extreme ? -big : 1, extreme ? big : 9);
    set_param(net, record, NVM_PARAM_BIAS, 0, chance(net, 3) ? big / 8 : 0);
    set_param(net, record, NVM_PARAM_INITIAL, -big, big);
    if (record->kind == NVM_CELL_CUBA) {
        set_leak(net, record, NVM_PARAM_LEAK_CURRENT);
        set_param(net, record, NVM_PARAM_COUPLING, -(1 << 30) + 1, (1 << 30) - 1);
    }
}

static void fill_chip(spiking *net, nvm_population *record)
{
    if (record->kind == NVM_CELL_LOIHI) {
        record->exponent = draw(net, -8, 7);
        set_param(net, record, NVM_PARAM_THETA, 0, 300);
        set_param(net, record, NVM_PARAM_LEAK, 0, 4095);
        set_param(net, record, NVM_PARAM_LEAK_CURRENT, 0, 4095);
        set_param(net, record, NVM_PARAM_BIAS, chance(net, 2) ? 0 : -1000, chance(net, 2) ? 0 : 3000);
    } else if (record->kind == NVM_CELL_TRUENORTH) {
        record->reset = (uint8_t)draw(net, 0, 2);
        record->floor_mode = (uint8_t)draw(net, 0, 1);
        set_param(net, record, NVM_PARAM_THETA, 1, 900);
        set_param(net, record, NVM_PARAM_RESET_TO, -100, 100);
        set_param(net, record, NVM_PARAM_LEAK, -20, 20);
        set_param(net, record, NVM_PARAM_FLOOR, -300, 0);
    }
}

static void add_population(spiking *net, nvm_cell kind)
{
    shape at = {(uint32_t)draw(net, 1, 6), (uint32_t)draw(net, 1, 6), 2 * (uint32_t)draw(net, 1, 13)};
    nvm_population *record = &net->populations[net->n_populations];
    uint32_t n = at.h * at.w * at.c;
    int grouped = (kind == NVM_CELL_LIF || kind == NVM_CELL_CUBA) && chance(net, 2);
    *record = (nvm_population){.kind = (uint8_t)kind, .n = n, .group = grouped ? at.c : n};
    record->flags = net->n_populations == 0 || chance(net, 2) ? NVM_POPULATION_OUTPUT : 0;
    net->shapes[net->n_populations++] = at;
    if (kind == NVM_CELL_LIF || kind == NVM_CELL_CUBA) {
        fill_fixed_point(net, record);
    } else {
        fill_chip(net, record);
    }
}

/* Weights of n entries, of which each `row` is padded to `lanes`. */
static uint64_t put_weights(spiking *net, size_t rows, size_t row, size_t lanes, int wide)
{
    size_t stride = (row + lanes - 1) / lanes * lanes, width = wide ? 2 : 1;
    uint8_t *data = calloc(rows * stride, width);
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < row; i++) {
            int16_t w = (int16_t)(wide ? draw(net, -900, 900) : draw(net, -128, 127));
            memcpy(data + (r * stride + i) * width, &w, width);
        }
    }
    uint64_t at = put(net, data, rows * stride * width);
    free(data);
    return at;
}

static void fill_sparse(spiking *net, nvm_projection *link, uint32_t n_in, uint32_t n_out)
{
    uint32_t k = link->n_delays = (uint32_t)draw(net, 1, 3);
    uint16_t delays[3] = {(uint16_t)draw(net, 0, 2), 3, 5};
    uint64_t *rows = malloc(((size_t)n_in * k + 1) * sizeof *rows);
    size_t used = 0, room = (size_t)n_in * k * 64;
    uint8_t *data = calloc(room, 1);
    for (size_t s = 0; s < (size_t)n_in * k; s++) {
        uint32_t m = (uint32_t)draw(net, 0, 12), target = 0;
        uint16_t gaps[12];
        rows[s] = used;
        for (uint32_t e = 0; e < m; e++) {
            uint32_t gap = (uint32_t)draw(net, 0, (int32_t)(n_out / 4));
            gaps[e] = (uint16_t)(target + gap < n_out ? gap : 0);
            target += gaps[e];
        }
        memcpy(data + used, gaps, m * sizeof *gaps);
        used += m * sizeof *gaps;
        for (uint32_t e = 0; e < m; e++) {
            data[used++] = (uint8_t)draw(net, 0, 255);
        }
        used += m % 2;
    }
    rows[(size_t)n_in * k] = used;
    link->weights = put(net, data, used);
    link->rows = put(net, rows, ((size_t)n_in * k + 1) * sizeof *rows);
    link->delays = put(net, delays, k * sizeof *delays);
    free(rows);
    free(data);
}

static void fill_window(spiking *net, nvm_projection *link, shape in, shape out)
{
    int is_pool = link->kind == NVM_SYNAPSES_POOL;
    link->flags = (uint8_t)draw(net, 0, 1);
    link->in_h = in.h, link->in_w = in.w, link->in_c = in.c;
    link->out_h = out.h, link->out_w = out.w, link->out_c = out.c;
    link->k_h = (uint16_t)draw(net, 1, 3), link->k_w = (uint16_t)draw(net, 1, 3);
    link->stride_h = (uint16_t)draw(net, 1, 3), link->stride_w = (uint16_t)draw(net, 1, 3);
    link->dil_h = (uint16_t)(is_pool ? 1 : draw(net, 1, 2)), link->dil_w = 1;
    link->pad_t = (int16_t)draw(net, -1, 2), link->pad_l = (int16_t)draw(net, -1, 2);
    if (is_pool) {
        link->low = draw(net, -99, 99);
        return;
    }
    link->groups = (uint32_t)draw(net, 1, 2); /* every number of channels is even */
    size_t rows = (size_t)link->k_h * link->k_w * (in.c / link->groups);
    link->weights = put_weights(net, rows, out.c, 1, link->kind == NVM_SYNAPSES_CONV_S16);
}

static void fill_link(spiking *net, nvm_projection *link)
{
    uint32_t n_in = net->populations[link->source].n, n_out = net->populations[link->target].n;
    switch (link->kind) {
    case NVM_SYNAPSES_DENSE_S8:
        link->weights = put_weights(net, n_in, n_out, 64, 0);
        break;
    case NVM_SYNAPSES_DENSE_S16:
        link->weights = put_weights(net, n_in, n_out, 32, 1);
        break;
    case NVM_SYNAPSES_SPARSE:
        fill_sparse(net, link, n_in, n_out);
        break;
    case NVM_SYNAPSES_WIRES:
        link->high = draw(net, 0, 1);
        link->rows = put_words(net, n_in, -1, (int32_t)n_out - 1);
        link->weights = put_weights(net, 1, link->high ? n_in : 1, 1, 1);
        break;
    case NVM_SYNAPSES_PROCEDURAL:
        link->low = draw(net, -128, 0), link->high = draw(net, 0, 128);
        link->fan_out = (uint32_t)draw(net, 1, 9);
        link->delay_high = (uint16_t)draw(net, 0, 2);
        link->seed = random_u64(&net->seed);
        break;
    default:
        fill_window(net, link, net->shapes[link->source], net->shapes[link->target]);
    }
}

static void add_link(spiking *net, nvm_synapses kind, uint32_t source, uint32_t target)
{
    int same = net->shapes[source].c == net->shapes[target].c;
    nvm_projection *link = &net->projections[net->n_projections];
    uint64_t dense = (uint64_t)net->populations[source].n * net->populations[target].n;
    kind = kind == NVM_SYNAPSES_POOL && !same ? NVM_SYNAPSES_CONV_S8 : kind;
    kind = kind <= NVM_SYNAPSES_DENSE_S16 && dense > 10000 ? NVM_SYNAPSES_SPARSE : kind;
    if (net->n_projections == MAX_LINKS || net->len > SPIKING_ARENA / 2) {
        return;
    }
    *link = (nvm_projection){.kind = (uint8_t)kind, .source = source, .target = target};
    link->delay = (uint16_t)(source >= target ? draw(net, 1, 4) : chance(net, 3) ? draw(net, 1, 9) : 0);
    fill_link(net, link);
    net->n_projections++;
}

spiking *spiking_random(uint64_t seed)
{
    spiking *net = calloc(1, sizeof *net);
    if (net == NULL) {
        abort();
    }
    net->seed = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    add_population(net, NVM_CELL_INPUT);
    uint32_t depth = 1 + (uint32_t)draw(net, 1, 4);
    while (net->n_populations < depth) {
        uint32_t me = net->n_populations;
        add_population(net, (nvm_cell)draw(net, chance(net, 9) ? 0 : 1, NVM_CELL_COUNT - 1));
        for (uint32_t source = 0; source <= me; source++) {
            if (net->populations[me].kind != NVM_CELL_INPUT && (source + 1 == me || chance(net, 3))) {
                add_link(net, (nvm_synapses)draw(net, 0, NVM_SYNAPSES_COUNT - 1), source, me);
            }
        }
    }
    return net;
}

/* ---- sessions ------------------------------------------------------------------------------- */

static uint64_t fold(uint64_t digest, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++) {
        digest = (digest ^ at[i]) * UINT64_C(0x100000001B3);
    }
    return digest;
}

typedef struct room {
    size_t n_in, n_out, most, widest;
    uint8_t *counts;
    int8_t *out;
    int32_t *potentials, *v, *current;
    uint32_t *address, *out_address;
    int64_t *tick, *out_tick;
} room;

enum { TICKS = 5, EVENTS = 12 };

static room room_new(const nvm_spiking_program *program)
{
    room r = {.n_in = program->n_in, .n_out = program->n_out, .most = program->most_out};
    for (uint32_t i = 0; i < program->n_populations; i++) {
        r.widest = program->populations[i].n > r.widest ? program->populations[i].n : r.widest;
    }
    r.counts = calloc(TICKS * r.n_in + 1, 1);
    r.out = calloc(TICKS * r.n_out + r.widest + 1, 1);
    r.potentials = calloc(TICKS * r.n_out + 1, sizeof *r.potentials);
    r.v = calloc(r.widest + 1, sizeof *r.v);
    r.current = calloc(r.widest + 1, sizeof *r.current);
    r.address = calloc(EVENTS, sizeof *r.address);
    r.tick = calloc(EVENTS, sizeof *r.tick);
    r.out_address = calloc(r.most + 1, sizeof *r.out_address);
    r.out_tick = calloc(r.most + 1, sizeof *r.out_tick);
    return r;
}

static void room_free(room *r)
{
    free(r->counts);
    free(r->out);
    free(r->potentials);
    free(r->v);
    free(r->current);
    free(r->address);
    free(r->tick);
    free(r->out_address);
    free(r->out_tick);
}

static uint64_t run_some(nvm_spiking_session *session, room *r, uint64_t *seed, uint64_t digest)
{
    for (size_t i = 0; i < TICKS * r->n_in; i++) {
        int32_t spikes = random_in(seed, 0, 19);
        r->counts[i] = (uint8_t)(spikes < 15 ? 0 : spikes < 19 ? 1 : random_in(seed, 2, 127));
    }
    (void)nvm_spiking_run(session, r->counts, TICKS, r->out, r->potentials);
    digest = fold(digest, r->out, TICKS * r->n_out);
    digest = fold(digest, r->potentials, TICKS * r->n_out * sizeof *r->potentials);
    (void)nvm_spiking_step(session, r->counts, r->n_in);
    return fold(digest, nvm_spiking_output(session), r->n_out);
}

static uint64_t advance_some(nvm_spiking_session *session, room *r, uint64_t *seed, uint64_t digest)
{
    int64_t tick = nvm_spiking_tick(session), until;
    size_t n = r->n_in == 0 ? 0 : EVENTS;
    for (size_t i = 0; i < n; i++) {
        tick += random_in(seed, 0, 3) == 0 ? random_in(seed, 1, 20) : 0;
        r->tick[i] = tick;
        r->address[i] = (uint32_t)random_in(seed, 0, (int32_t)(r->n_in < 65535 ? r->n_in : 65535) - 1);
    }
    until = tick + 1 + random_in(seed, 0, 15);
    (void)nvm_spiking_step_events(session, r->address, 0, NULL); /* one tick before the first */
    for (size_t i = 0; i < n; i++) {
        r->tick[i] += 1;
    }
    until += 1;
    for (size_t at = 0; nvm_spiking_tick(session) < until;) {
        nvm_progress done;
        nvm_status status = nvm_spiking_advance(session, r->tick + at, r->address + at, n - at, until,
                                                r->out_tick, r->out_address, r->most, &done);
        if (status != NVM_OK) {
            abort();
        }
        at += done.events;
        digest = fold(digest, r->out_tick, done.spikes * sizeof *r->out_tick);
        digest = fold(digest, r->out_address, done.spikes * sizeof *r->out_address);
    }
    if (n != 0) {
        (void)nvm_spiking_step_events(session, r->address, n, NULL);
    }
    return digest;
}

static uint64_t read_all(const nvm_spiking_session *session, const nvm_spiking_program *program, room *r,
                         uint64_t digest)
{
    for (uint32_t i = 0; i < program->n_populations; i++) {
        size_t n = program->populations[i].n;
        (void)nvm_spiking_population(session, i, r->out, r->v, r->current);
        digest = fold(digest, r->out, n);
        digest = fold(digest, r->v, n * sizeof *r->v);
        digest = fold(digest, r->current, n * sizeof *r->current);
    }
    (void)nvm_spiking_potentials(session, r->potentials);
    return fold(digest, r->potentials, r->n_out * sizeof *r->potentials);
}

uint64_t spiking_exercise(const nvm_spiking_program *program, uint64_t seed)
{
    size_t size = nvm_spiking_session_size(program);
    void *mem = NULL;
    nvm_spiking_session *session = NULL;
    nvm_counters counters = {0};
    uint64_t digest = UINT64_C(0xCBF29CE484222325);
    room r = room_new(program);
    if (posix_memalign(&mem, NVM_ALIGN, size) != 0) {
        abort();
    }
    memset(mem, 0xA5, size); /* what a session needs at first, it sets itself */
    if (nvm_spiking_session_init(mem, size, program, &counters, &session) != NVM_OK) {
        abort();
    }
    for (int round = 0; round < 3; round++) {
        digest = run_some(session, &r, &seed, digest);
        digest = advance_some(session, &r, &seed, digest);
        digest = read_all(session, program, &r, digest);
        if (round == 1) {
            (void)nvm_spiking_reset(session);
        }
    }
    digest = fold(digest, &counters, sizeof counters);
    room_free(&r);
    free(mem);
    return digest == 0 ? 1 : digest;
}

static void *exact_copy(const void *source, size_t bytes)
{
    void *copy = NULL;
    if (posix_memalign(&copy, NVM_ALIGN, bytes == 0 ? 1 : bytes) != 0) {
        abort();
    }
    if (bytes != 0) {
        memcpy(copy, source, bytes);
    }
    return copy;
}

nvm_status spiking_try(const void *populations, uint32_t n_populations, const void *projections,
                       uint32_t n_projections, const uint8_t *arena, size_t len, uint64_t seed,
                       uint64_t *digest)
{
    nvm_spiking_program program;
    uint32_t bad;
    void *p = exact_copy(populations, n_populations * sizeof(nvm_population));
    void *q = exact_copy(projections, n_projections * sizeof(nvm_projection));
    uint8_t *bytes = exact_copy(arena, len);
    nvm_status status =
        nvm_spiking_program_init(&program, p, n_populations, q, n_projections, bytes, len, &bad);
    uint64_t found = 0;
    if (status == NVM_OK && program.session_size < 1 << 22 && program.synapses < 1 << 18 &&
        program.most_out < 1 << 18) {
        found = spiking_exercise(&program, seed);
    }
    if (digest != NULL) {
        *digest = found;
    }
    free(p);
    free(q);
    free(bytes);
    return status;
}

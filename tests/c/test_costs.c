/* SPDX-License-Identifier: Apache-2.0
 *
 * What ways cost: measured with clocks of every kind, given back by anybody; and the choice that goes by it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "nvm_test.h"
#include "plain.h"

static uint64_t real_clock(void)
{
    return (uint64_t)now_ns();
}

static uint64_t ticks;

static uint64_t stopped_clock(void)
{
    return 5;
}

static uint64_t backward_clock(void)
{
    return ticks -= 1000;
}

static uint64_t jumping_clock(void)
{
    return random_u64(&ticks);
}

static uint64_t even_clock(void) /* every way takes as long */
{
    return ticks += 1000;
}

static uint64_t counted_calls;

static uint64_t slow_clock(void)
{
    counted_calls++;
    return ticks += 1000000000;
}

typedef struct calibrated {
    network *net;
    nvm_program program;
    void *pack, *costs;
    size_t size;
} calibrated;

/* A convolution, sums, a pool and a dense layer: the usual ways are all there. */
static network *narrow_network(uint64_t seed)
{
    network *net = network_new(seed);
    (void)add_input(net, (shape){8, 8, 16}, -5);
    static const nvm_kind kinds[] = {NVM_CONV, NVM_DWCONV, NVM_MAXPOOL, NVM_DENSE};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        (void)add_random(net, kinds[k], net->n - 1);
    }
    net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
    return net;
}

/* The same, a table and a softmax, whose codes may be wide. */
static network *usual_network(uint64_t seed)
{
    network *net = narrow_network(seed);
    (void)add_random(net, NVM_TABLE, net->n - 1);
    (void)add_random(net, NVM_SOFTMAX, net->n - 1);
    net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
    return net;
}

static void open_calibrated(calibrated *c, network *net, nvm_clock *now, uint64_t budget_ns)
{
    c->net = net;
    CHECK(network_init(net, &c->program) == NVM_OK);
    c->pack = aligned_alloc(64, nvm_pack_size(&c->program));
    CHECK(nvm_program_pack(&c->program, c->pack, nvm_pack_size(&c->program)) == NVM_OK);
    c->size = nvm_costs_size(&c->program);
    c->costs = aligned_alloc(64, (c->size + 63) / 64 * 64);
    size_t room = nvm_calibration_size(&c->program);
    void *scratch = aligned_alloc(64, room);
    memset(scratch, 0xA5, room);
    CHECK(nvm_program_calibrate(&c->program, c->costs, c->size, scratch, room, budget_ns, now) ==
          NVM_OK);
    free(scratch);
}

static void close_calibrated(calibrated *c)
{
    free(c->pack);
    free(c->costs);
    free(c->net);
}

static uint32_t layers_measured(const nvm_program *program)
{
    uint32_t measured = 0;
    for (uint32_t i = 0; i < program->n_layers; i++) {
        nvm_cost_view view;
        CHECK(nvm_program_cost(program, i, &view) == NVM_OK);
        measured += view.measured != 0;
        CHECK(view.keep_ns >= view.full_ns && isfinite(view.one_ns) && view.even >= 0);
    }
    return measured;
}

/* Sessions by these costs and by dense runs give the same codes, whatever changes. */
static void compare_steps(const nvm_program *program, uint64_t seed)
{
    nvm_session *by_cost = session_new(program, NULL), *dense = session_new(program, NULL);
    int8_t *codes = calloc(program->bytes_in, 1);
    CHECK(nvm_session_force(dense, UINT32_MAX, NVM_DENSE_WAY) == NVM_OK);
    for (int step = 0; step < 40; step++) {
        const int8_t *out, *wanted;
        size_t n = program->bytes_in, first = random_u64(&seed) % n, count = n - first;
        count = step % 8 == 0 ? n : step % 4 == 0 ? count : count < 9 ? count : 9;
        random_codes(&seed, codes + (step % 8 == 0 ? 0 : first), count);
        CHECK(nvm_session_step(by_cost, codes, n) == NVM_OK);
        CHECK(nvm_session_step(dense, codes, n) == NVM_OK);
        CHECK(nvm_session_output(by_cost, UINT32_MAX, &out, NULL, NULL) == NVM_OK);
        CHECK(nvm_session_output(dense, UINT32_MAX, &wanted, NULL, NULL) == NVM_OK);
        CHECK(memcmp(out, wanted, program->bytes_out) == 0);
    }
    free(by_cost);
    free(dense);
    free(codes);
}

static void measures_every_layer(void)
{
    calibrated c;
    open_calibrated(&c, usual_network(1), real_clock, UINT64_C(60000000000));
    CHECK(layers_measured(&c.program) == c.net->n - 1); /* but the input */
    compare_steps(&c.program, 3);
    close_calibrated(&c);
}

static void measures_every_kind(void)
{
    for (uint32_t kind = NVM_DENSE; kind < NVM_KIND_COUNT; kind++) {
        for (uint64_t round = 0; round < 6; round++) {
            calibrated c;
            network *net = network_new(500 + 10 * kind + round);
            shape size = {1 + (uint32_t)round % 3, 3, 1 + 5 * (uint32_t)round};
            (void)(round % 2 ? add_wide_input(net, size, 0) : add_input(net, size, -3));
            (void)add_random(net, (nvm_kind)kind, 0);
            net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
            open_calibrated(&c, net, real_clock, 100000000);
            compare_steps(&c.program, round);
            close_calibrated(&c);
        }
    }
}

static void keeps_estimates_without_a_clock(void)
{
    static nvm_clock *const useless[] = {stopped_clock, backward_clock, jumping_clock, slow_clock};
    for (size_t k = 0; k < sizeof useless / sizeof *useless; k++) {
        calibrated c;
        nvm_cost_view before, after;
        ticks = UINT64_C(1) << 40;
        open_calibrated(&c, usual_network(2), useless[k], 50000000);
        if (useless[k] == stopped_clock || useless[k] == backward_clock) {
            CHECK(layers_measured(&c.program) == 0);
            CHECK(nvm_program_cost(&c.program, 1, &after) == NVM_OK);
            CHECK(nvm_program_costs(&c.program, NULL, 0) == NVM_OK);
            CHECK(nvm_program_cost(&c.program, 1, &before) == NVM_OK);
            CHECK(memcmp(&before, &after, sizeof after) == 0);
        }
        compare_steps(&c.program, k);
        close_calibrated(&c);
    }
}

static void stops_when_the_budget_is_spent(void)
{
    calibrated c;
    ticks = 0;
    counted_calls = 0;
    open_calibrated(&c, usual_network(3), slow_clock, 50000000);
    CHECK(counted_calls == 2); /* before a session is opened, and after its first pass, which was too slow */
    CHECK(layers_measured(&c.program) == 0);
    close_calibrated(&c);
    open_calibrated(&c, usual_network(3), real_clock, 0);
    CHECK(layers_measured(&c.program) == 0);
    close_calibrated(&c);
}

/* What the estimates of a first pass do not leave time for is not begun: no session, and no look at the clock. */
static void begins_nothing_beyond_the_budget(void)
{
    calibrated c;
    float pass_ns = 0.0f;
    counted_calls = 0;
    open_calibrated(&c, usual_network(3), slow_clock, 1);
    for (uint32_t i = 0; i < c.net->n; i++) {
        nvm_cost_view view;
        CHECK(nvm_program_cost(&c.program, i, &view) == NVM_OK);
        pass_ns += view.full_ns;
    }
    size_t room = nvm_calibration_size(&c.program);
    uint8_t *scratch = aligned_alloc(64, room), *untouched = malloc(room);
    memset(scratch, 0xA5, room);
    memset(untouched, 0xA5, room);
    CHECK(pass_ns > 2.0f);
    CHECK(nvm_program_calibrate(&c.program, c.costs, c.size, scratch, room, (uint64_t)(pass_ns / 2.0f),
                                slow_clock) == NVM_OK);
    CHECK(counted_calls == 0 && memcmp(scratch, untouched, room) == 0);
    CHECK(layers_measured(&c.program) == 0);
    compare_steps(&c.program, 4);
    CHECK(nvm_program_calibrate(&c.program, c.costs, c.size, scratch, room, UINT64_C(60000000000),
                                real_clock) == NVM_OK);
    CHECK(layers_measured(&c.program) == c.net->n - 1);
    free(scratch);
    free(untouched);
    close_calibrated(&c);
}

static void keeps_estimates_of_other_codings(void)
{
    static const uint8_t flags[] = {NVM_FLAG_UNIT, NVM_FLAG_PLANES, NVM_FLAG_TIMES};
    for (size_t k = 0; k < sizeof flags; k++) {
        calibrated c;
        network *net = narrow_network(4);
        for (uint32_t i = 0; i < net->n; i++) {
            CHECK(!is_wide_layer(net, i));
            net->layers[i].flags |= flags[k];
        }
        open_calibrated(&c, net, real_clock, 50000000);
        CHECK(layers_measured(&c.program) == 0);
        close_calibrated(&c);
    }
}

static void takes_costs_back(void)
{
    calibrated c, same, other;
    nvm_cost_view a, b;
    ticks = 0;
    open_calibrated(&c, usual_network(5), even_clock, UINT64_C(1) << 60);
    open_calibrated(&same, usual_network(5), stopped_clock, 1000);
    CHECK(nvm_program_costs(&same.program, c.costs, c.size) == NVM_OK);
    for (uint32_t i = 0; i < c.net->n; i++) {
        CHECK(nvm_program_cost(&c.program, i, &a) == NVM_OK);
        CHECK(nvm_program_cost(&same.program, i, &b) == NVM_OK);
        CHECK(memcmp(&a, &b, sizeof a) == 0);
    }
    network *larger = usual_network(6);
    (void)add_random(larger, NVM_TABLE, larger->n - 1);
    open_calibrated(&other, larger, stopped_clock, 1000);
    CHECK(nvm_program_costs(&other.program, c.costs, c.size) == NVM_E_SIZE);
    CHECK(nvm_program_costs(&same.program, (uint8_t *)c.costs + 1, c.size) == NVM_E_SIZE);
    CHECK(nvm_program_costs(&same.program, c.costs, 0) == NVM_E_SIZE);
    CHECK(nvm_program_costs(NULL, c.costs, c.size) == NVM_E_ARG);
    close_calibrated(&c);
    close_calibrated(&same);
    close_calibrated(&other);
}

/* Any byte of it changed: refused, or taken and harmless. */
static void holds_hostile_costs(void)
{
    static const float refused[] = {NAN, -NAN, INFINITY, -INFINITY, -1.0f, -1e-38f, 2e12f};
    calibrated c;
    uint64_t seed = 8;
    open_calibrated(&c, usual_network(7), real_clock, 50000000);
    uint8_t *bytes = aligned_alloc(64, (c.size + 63) / 64 * 64);
    size_t records = c.net->n * sizeof(nvm_layer_costs), first = c.size - records;
    for (size_t at = first; at < c.size; at += sizeof(float)) {
        for (size_t k = 0; k < sizeof refused / sizeof *refused; k++) {
            memcpy(bytes, c.costs, c.size);
            memcpy(bytes + at, &refused[k], sizeof(float));
            const void *held = c.program.costs;
            CHECK(nvm_program_costs(&c.program, bytes, c.size) == NVM_E_RANGE);
            CHECK(c.program.costs == held);
        }
    }
    for (size_t at = 0; at < first; at++) {
        memcpy(bytes, c.costs, c.size);
        bytes[at] ^= (uint8_t)(1 + random_u64(&seed) % 255);
        CHECK(nvm_program_costs(&c.program, bytes, c.size) == NVM_E_FORMAT);
    }
    for (int round = 0; round < 60; round++) {
        for (size_t at = first; at < c.size; at++) {
            bytes[at] = (uint8_t)random_u64(&seed);
        }
        memcpy(bytes, c.costs, first);
        if (nvm_program_costs(&c.program, bytes, c.size) == NVM_OK) {
            compare_steps(&c.program, seed);
        }
    }
    CHECK(nvm_program_costs(&c.program, c.costs, c.size) == NVM_OK);
    free(bytes);
    close_calibrated(&c);
}

/* A dense layer of 64 whose full run takes 10^6 ns, or with sums `keep_ns`; of one change 6 10^5, of all
 * more than a full run. Of `steps` steps each `period`th changes all inputs, others one: how many of those
 * went by events. */
static unsigned steps_by_events(float keep_ns, int steps, int period)
{
    calibrated c;
    nvm_counters counters = {0};
    nvm_cost_view view;
    network *net = network_new(11);
    (void)add_input(net, (shape){1, 1, 64}, 0);
    do {
        net->n = 1;
        (void)add_random(net, NVM_DENSE, 0);
    } while (net->layers[1].out_c < 16 || net->layers[1].requant == NVM_RQ_SINGLE);
    net->layers[1].flags |= NVM_FLAG_OUTPUT;
    open_calibrated(&c, net, stopped_clock, 1000);
    nvm_layer_costs *layers =
        (nvm_layer_costs *)(void *)((uint8_t *)c.costs + c.size - 2 * sizeof(nvm_layer_costs));
    layers[1] = (nvm_layer_costs){.full_ns = 1e6f, .keep_ns = keep_ns, .scattered = 1.0f};
    CHECK(nvm_program_costs(&c.program, c.costs, c.size) == NVM_OK);
    CHECK(nvm_program_cost(&c.program, 1, &view) == NVM_OK);
    layers[1].scattered = layers[1].neighbours = 6e5f / view.one_ns;
    CHECK(nvm_program_costs(&c.program, c.costs, c.size) == NVM_OK);
    nvm_session *session = session_new(&c.program, &counters);
    int8_t codes[64] = {0};
    unsigned by_events = 0;
    uint64_t full = c.program.macs;
    for (int step = 0; step < steps; step++) {
        uint64_t before = counters.sops;
        int all = step % period == 0;
        for (int i = 0; i < (all ? 64 : 1); i++) {
            codes[i] = (int8_t)(codes[i] + 1);
        }
        CHECK(nvm_session_step(session, codes, sizeof codes) == NVM_OK);
        by_events += !all && counters.sops - before < full;
    }
    free(session);
    close_calibrated(&c);
    return by_events;
}

/* Where full runs leave no sums, going back to events costs some: it is paid as soon as the rule lets it. */
static void buys_sums_in_time(void)
{
    CHECK(steps_by_events(1.2e6f, 100, 100) >= 97);
    CHECK(steps_by_events(1.9e6f, 100, 100) >= 95);
}

static void refuses_wrong_arguments(void)
{
    calibrated c;
    nvm_cost_view view;
    open_calibrated(&c, usual_network(9), stopped_clock, 1000);
    size_t room = nvm_calibration_size(&c.program);
    uint8_t *scratch = aligned_alloc(64, room);
    nvm_program *p = &c.program;
    CHECK(nvm_program_calibrate(NULL, c.costs, c.size, scratch, room, 1, real_clock) == NVM_E_ARG);
    CHECK(nvm_program_calibrate(p, NULL, c.size, scratch, room, 1, real_clock) == NVM_E_ARG);
    CHECK(nvm_program_calibrate(p, c.costs, c.size, NULL, room, 1, real_clock) == NVM_E_ARG);
    CHECK(nvm_program_calibrate(p, c.costs, c.size, scratch, room, 1, NULL) == NVM_E_ARG);
    CHECK(nvm_program_calibrate(p, c.costs, c.size - 1, scratch, room, 1, real_clock) == NVM_E_SIZE);
    CHECK(nvm_program_calibrate(p, c.costs, c.size, scratch, room - 1, 1, real_clock) == NVM_E_SIZE);
    CHECK(nvm_program_calibrate(p, c.costs, c.size, scratch + 8, room, 1, real_clock) == NVM_E_SIZE);
    CHECK(nvm_program_cost(NULL, 0, &view) == NVM_E_ARG);
    CHECK(nvm_program_cost(p, 0, NULL) == NVM_E_ARG);
    CHECK(nvm_program_cost(p, c.net->n, &view) == NVM_E_ARG);
    CHECK(nvm_costs_size(NULL) == 0 && nvm_calibration_size(NULL) == 0);
    free(scratch);
    close_calibrated(&c);
}

int main(void)
{
    EACH_SET {
        RUN(measures_every_layer);
        RUN(measures_every_kind);
        RUN(keeps_estimates_without_a_clock);
        RUN(stops_when_the_budget_is_spent);
        RUN(begins_nothing_beyond_the_budget);
        RUN(keeps_estimates_of_other_codings);
        RUN(takes_costs_back);
        RUN(holds_hostile_costs);
        RUN(buys_sums_in_time);
        RUN(refuses_wrong_arguments);
    }
    return REPORT();
}

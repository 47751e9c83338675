/* SPDX-License-Identifier: Apache-2.0
 *
 * Planes that stop early: bounds of random networks hold the answer to all planes, and what is refused.
 * That all planes, and times, leave the graded codes is tested with the kinds (test_kinds.c).
 */
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "nvm_test.h"

static int takes_planes(network *net)
{
    for (uint32_t i = 0; i < net->n; i++) {
        uint8_t kind = net->layers[i].kind;
        if (is_wide_layer(net, i) || kind == NVM_STATE || kind == NVM_LSTM || kind == NVM_SVDF) {
            return 0;
        }
    }
    return 1;
}

/* Layers of any kind, each on the one before; some of them outputs beside the last. */
static network *random_net(uint64_t round)
{
    network *net = network_new(31337 + round);
    uint32_t depth = 2 + (uint32_t)(round % 4);
    shape size = {(uint32_t)random_in(&net->seed, 1, 6), (uint32_t)random_in(&net->seed, 1, 6),
                  (uint32_t)random_in(&net->seed, 1, 9)};
    (void)add_input(net, size, (int8_t)random_in(&net->seed, -128, 127));
    (void)add_const(net, size);
    while (net->n < depth + 2) {
        nvm_kind kind = (nvm_kind)random_in(&net->seed, NVM_DENSE, NVM_KIND_COUNT - 1);
        uint32_t in = net->n == 2 ? 0 : net->n - 1;
        uint32_t made = add_random(net, kind, in);
        net->layers[made].flags |= random_in(&net->seed, 0, 3) == 0 ? NVM_FLAG_OUTPUT : 0;
    }
    net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
    for (uint32_t i = 0; i < net->n; i++) {
        net->layers[i].flags |= NVM_FLAG_PLANES;
    }
    return net;
}

static size_t hold_bounds(const nvm_program *program, uint64_t seed)
{
    size_t n = program->codes_in, out = program->codes_out, size = nvm_bounds_size(program), tight = 0;
    int8_t *codes = malloc(n), *wanted = malloc(out), *low = malloc(out), *high = malloc(out);
    void *scratch = aligned_alloc(NVM_ALIGN, (nvm_predict_size(program) + size + 63) / 64 * 64);
    nvm_session *session = session_new(program, NULL);
    const int8_t *found;
    for (uint32_t round = 0; round < 12; round++) {
        uint32_t planes = 1 + round % 8;
        random_codes(&seed, codes, n);
        CHECK(nvm_predict(program, scratch, nvm_predict_size(program), codes, wanted, 1) == NVM_OK);
        CHECK(nvm_session_planes(session, planes) == NVM_OK);
        CHECK(nvm_session_step(session, codes, n) == NVM_OK);
        CHECK(nvm_session_sent_planes(session) == planes);
        CHECK(nvm_session_bounds(session, scratch, size, low, high) == NVM_OK);
        for (size_t i = 0; i < out; i++) {
            CHECK(low[i] <= wanted[i] && wanted[i] <= high[i]);
            CHECK(planes < 8 || low[i] == high[i]);
            tight += planes < 8 && (low[i] > INT8_MIN || high[i] < INT8_MAX);
        }
        CHECK(nvm_session_planes(session, 8) == NVM_OK);
        CHECK(nvm_session_update(session, NULL, NULL, 0) == NVM_OK);
        CHECK(nvm_session_output(session, UINT32_MAX, &found, NULL, NULL) == NVM_OK);
        CHECK(memcmp(found, wanted, out) == 0);
    }
    free(session);
    free(scratch);
    free(codes);
    free(wanted);
    free(low);
    free(high);
    return tight;
}

static void bounds_hold_the_final_codes(void)
{
    int run = 0;
    size_t tight = 0;
    for (uint64_t round = 0; round < ROUNDS(900); round++) {
        network *net = random_net(round);
        nvm_program program;
        if (takes_planes(net)) {
            CHECK(network_init(net, &program) == NVM_OK);
            tight += hold_bounds(&program, round);
            run++;
        }
        free(net);
    }
    CHECK(run > ROUNDS(200));
    CHECK(tight > 1000); /* they say something */
}

static void refusals(void)
{
    network *net = network_new(1);
    nvm_program program;
    int8_t low[64], high[64];
    _Alignas(64) uint8_t scratch[4096];
    (void)add_input(net, (shape){1, 1, 4}, 0);
    net->layers[add_random(net, NVM_TABLE, 0)].flags |= NVM_FLAG_OUTPUT;
    CHECK(network_init(net, &program) == NVM_OK && program.coding == 0);
    nvm_session *session = session_new(&program, NULL);
    CHECK(nvm_session_planes(session, 8) == NVM_OK);
    CHECK(nvm_session_planes(session, 7) == NVM_E_UNSUPPORTED);
    CHECK(nvm_session_planes(session, 0) == NVM_E_RANGE);
    CHECK(nvm_session_planes(session, 9) == NVM_E_RANGE);
    CHECK(nvm_session_planes(NULL, 8) == NVM_E_ARG);
    CHECK(nvm_session_bounds(session, scratch, sizeof scratch, low, high) == NVM_E_UNSUPPORTED);
    CHECK(nvm_session_bounds(session, scratch, 8, low, high) == NVM_E_SIZE);
    CHECK(nvm_session_bounds(session, scratch + 8, 4000, low, high) == NVM_E_SIZE);
    CHECK(nvm_session_bounds(session, scratch, sizeof scratch, NULL, high) == NVM_E_ARG);
    CHECK(nvm_bounds_size(NULL) == 0 && nvm_session_sent_planes(NULL) == 8);
    free(session);
    net->layers[1].flags |= NVM_FLAG_PLANES; /* its input does not */
    CHECK(network_init(net, &program) == NVM_E_FORMAT);
    net->layers[0].flags |= NVM_FLAG_TIMES;
    CHECK(network_init(net, &program) == NVM_E_FORMAT);
    net->layers[0].flags = net->layers[1].flags = NVM_FLAG_PLANES | NVM_FLAG_TIMES | NVM_FLAG_OUTPUT;
    CHECK(network_init(net, &program) == NVM_E_FORMAT);
    net->layers[0].flags = net->layers[1].flags = NVM_FLAG_PLANES | NVM_FLAG_UNIT;
    CHECK(network_init(net, &program) == NVM_E_FORMAT);
    net->layers[0].flags = net->layers[1].flags = NVM_FLAG_PLANES | NVM_FLAG_WIDE;
    CHECK(network_init(net, &program) == NVM_E_FORMAT);
    net->layers[0].flags = NVM_FLAG_PLANES | NVM_FLAG_SPIKES;
    CHECK(network_init(net, &program) == NVM_E_FORMAT);
    free(net);
}

int main(void)
{
    RUN(bounds_hold_the_final_codes);
    RUN(refusals);
    return REPORT();
}

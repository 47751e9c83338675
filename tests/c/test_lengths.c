/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers of every length: full runs of each instruction set, packed and not, against plain C's. What plain C
 * answers is held to the written-out rules in test_kinds.c.
 */
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "nvm_test.h"

enum { ROWS = 3, MOST = 140 };

/* Answers to the rows; free them. */
static int8_t *answers(const network *net, const char *isa, int packed, const int8_t *rows)
{
    nvm_program program;
    CHECK(nvm_isa_force(isa) == NVM_OK);
    CHECK(network_init(net, &program) == NVM_OK);
    void *pack = aligned_alloc(NVM_ALIGN, nvm_pack_size(&program));
    if (packed) {
        CHECK(nvm_program_pack(&program, pack, nvm_pack_size(&program)) == NVM_OK);
    }
    nvm_session *session = session_new_by(&program, NVM_DENSE_WAY, NULL);
    int8_t *out = malloc(ROWS * program.bytes_out);
    CHECK(nvm_session_run(session, rows, ROWS, out) == NVM_OK);
    free(session);
    free(pack);
    return out;
}

static void compare(network *net)
{
    nvm_program program;
    net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
    CHECK(nvm_isa_force("scalar") == NVM_OK);
    nvm_status status = network_init(net, &program);
    CHECK(status == NVM_OK);
    if (status == NVM_OK) {
        int8_t *rows = malloc(ROWS * program.bytes_in);
        random_codes(&net->seed, rows, ROWS * program.bytes_in);
        int8_t *wanted = answers(net, "scalar", 0, rows);
        for (uint32_t i = 1; nvm_isa_name(i) != NULL; i++) {
            for (int packed = 0; nvm_isa_available(i) && packed < 2; packed++) {
                int8_t *found = answers(net, nvm_isa_name(i), packed, rows);
                CHECK(memcmp(found, wanted, ROWS * program.bytes_out) == 0);
                free(found);
            }
        }
        free(wanted);
        free(rows);
    }
    CHECK(nvm_isa_force(NULL) == NVM_OK);
    free(net);
}

static network *on_input(uint64_t seed, shape size, int wide)
{
    network *net = network_new(seed);
    for (int i = 0; i < 2; i++) { /* ADD and MAP read both */
        (void)(wide ? add_wide_input(net, size, 3) : add_input(net, size, -7));
    }
    return net;
}

static void of_every_length(nvm_kind kind, uint32_t side)
{
    for (uint32_t n = 1; n <= MOST; n += 1 + n / 40) {
        for (int wide = 0; wide < 2; wide++) {
            network *net = on_input(1000 * kind + 2 * n + (uint64_t)wide, (shape){side, side, n}, wide);
            (void)add_random(net, kind, 0);
            compare(net);
        }
    }
}

static void elements(void)
{
    of_every_length(NVM_TABLE, 1);
    of_every_length(NVM_ADD, 1);
    of_every_length(NVM_DENSE, 1);
}

static void rows(void)
{
    of_every_length(NVM_SOFTMAX, 3);
    of_every_length(NVM_SOFTMAXQ, 3);
    of_every_length(NVM_MEAN, 3);
}

static void windows(void)
{
    of_every_length(NVM_CONV, 3);
    of_every_length(NVM_DWCONV, 3);
    of_every_length(NVM_MAXPOOL, 4);
    of_every_length(NVM_AVGPOOL, 4);
}

/* Sums over any one axis of three, whose maps are runs, repetitions or both. */
static void means_over_an_axis(void)
{
    for (uint64_t round = 0; round < 40; round++) {
        network *net = on_input(5000 + round, (shape){1, 1, 1}, (int)(round % 2));
        uint32_t length[3], map[1 << 12], n;
        for (int axis = 0; axis < 3; axis++) {
            length[axis] = (uint32_t)random_in(&net->seed, 1, 13);
        }
        n = length[0] * length[1] * length[2];
        net->shapes[0].c = net->layers[0].n = n;
        uint32_t axis = (uint32_t)(round % 3), after = axis == 0 ? length[1] * length[2] : axis == 1 ? length[2] : 1;
        for (uint32_t i = 0; i < n; i++) {
            map[i] = i / (after * length[axis]) * after + i % after;
        }
        nvm_layer *layer = network_add(net, NVM_MEAN, (shape){1, 1, n / length[axis]});
        layer->n_in = 1;
        layer->off_table0 = network_put(net, map, n * sizeof *map);
        layer->flags |= round % 2 ? NVM_FLAG_WIDE : 0;
        if (round % 2) {
            layer->lo_s16 = INT16_MIN;
            layer->hi_s16 = INT16_MAX;
        } else {
            layer->lo = INT8_MIN;
            layer->hi = INT8_MAX;
        }
        add_requant(net, layer, NVM_RQ_DOUBLE, 1, round % 2 ? 1e5 : 400.0);
        compare(net);
    }
}

/* The most that a pair of products can be, in more of them than int32 holds. */
static void largest_products(void)
{
    static int8_t weights[2000 * 16], rows[ROWS * 4000];
    network *net = network_new(1);
    int64_t bias[16] = {0};
    int32_t m[16], e[16];
    (void)add_wide_input(net, (shape){1, 1, 2000}, 0);
    nvm_layer *layer = network_add(net, NVM_DENSE, (shape){1, 1, 16});
    for (int c = 0; c < 16; c++) {
        m[c] = 1 << 30;
        e[c] = -17;
    }
    memset(weights, INT8_MIN, sizeof weights);
    for (size_t i = 1; i < sizeof rows; i += 2) {
        rows[i] = INT8_MIN; /* codes of -32768 */
    }
    layer->n_in = 1;
    layer->in_c = 2000;
    layer->out_c = 16;
    layer->flags = NVM_FLAG_WIDE | NVM_FLAG_LONG | NVM_FLAG_OUTPUT;
    layer->requant = NVM_RQ_HALF16;
    layer->off_weights = network_put(net, weights, sizeof weights);
    layer->off_bias = network_put(net, bias, sizeof bias);
    layer->off_scale = network_put(net, m, sizeof m);
    layer->off_shift = network_put(net, e, sizeof e);
    layer->lo_s16 = INT16_MIN;
    layer->hi_s16 = INT16_MAX;
    int8_t *wanted = answers(net, "scalar", 0, rows);
    int16_t first;
    memcpy(&first, wanted, sizeof first);
    CHECK(first == 32000); /* 2000 2^22 2^-18 */
    for (uint32_t i = 1; nvm_isa_name(i) != NULL; i++) {
        if (nvm_isa_available(i)) {
            int8_t *found = answers(net, nvm_isa_name(i), 1, rows);
            CHECK(memcmp(found, wanted, ROWS * 32) == 0);
            free(found);
        }
    }
    free(wanted);
    free(net);
    CHECK(nvm_isa_force(NULL) == NVM_OK);
}

int main(void)
{
    RUN(elements);
    RUN(rows);
    RUN(windows);
    RUN(means_over_an_axis);
    RUN(largest_products);
    return REPORT();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Windows that slide, of random networks: every layer of every window is that of a dense run.
 */
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "nvm_test.h"

static const nvm_kind in_time[] = {NVM_CONV, NVM_DWCONV, NVM_AVGPOOL, NVM_MAXPOOL, NVM_ADD,
                                   NVM_TABLE, NVM_MAP, NVM_CONV, NVM_TABLE2};

/* Mostly kinds in which time runs on, then any; sums and pairs of one layer with itself or a constant. */
static network *random_net(uint64_t round)
{
    network *net = network_new(977 + round);
    uint32_t depth = 2 + (uint32_t)(round % 5);
    int is_line = round % 4 == 0; /* time runs across */
    shape size = {is_line ? 1 : (uint32_t)random_in(&net->seed, 4, 16),
                  (uint32_t)random_in(&net->seed, is_line ? 4 : 1, is_line ? 20 : 4),
                  (uint32_t)random_in(&net->seed, 1, 9)};
    (void)add_input(net, size, (int8_t)random_in(&net->seed, -128, 127));
    while (net->n < depth) {
        nvm_kind kind = in_time[random_in(&net->seed, 0, 8)];
        if (random_in(&net->seed, 0, 4) == 0) {
            kind = (nvm_kind)random_in(&net->seed, NVM_DENSE, NVM_KIND_COUNT - 1);
        }
        if (kind == NVM_STATE || kind == NVM_LSTM || kind == NVM_SVDF || kind == NVM_PAIR) {
            continue;
        }
        (void)add_random(net, kind, net->n - 1);
    }
    net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
    return net;
}

static int is_narrow(const network *net)
{
    for (uint32_t i = 0; i < net->n; i++) {
        if (is_wide_layer(net, i)) {
            return 0;
        }
    }
    return 1;
}

static size_t n_passing; /* layers seen that are not held from hop to hop */

typedef struct slide {
    const nvm_program *program;
    nvm_stream *stream;
    nvm_session *dense;
    int8_t *window;
    uint32_t frames;
    uint64_t seed;
} slide;

/* Layers that differ from those of a dense run, and outputs. */
static uint32_t count_wrong(const slide *s)
{
    uint32_t wrong = 0;
    const int8_t *found, *wanted;
    size_t n;
    for (uint32_t i = 0; i < s->program->n_layers; i++) {
        nvm_layer_view view, other;
        CHECK(nvm_stream_layer(s->stream, i, &view) == NVM_OK);
        CHECK(nvm_session_layer(s->dense, i, &other) == NVM_OK);
        wrong += view.n != other.n || memcmp(view.codes, other.codes, view.n) != 0;
    }
    CHECK(nvm_stream_output(s->stream, UINT32_MAX, &found, &n, NULL) == NVM_OK);
    CHECK(nvm_session_output(s->dense, UINT32_MAX, &wanted, &n, NULL) == NVM_OK);
    return wrong + (memcmp(found, wanted, n) != 0);
}

/* The window moves on, told so or found out. */
static void move_on(slide *s, uint32_t moved, int is_told)
{
    size_t n = s->program->codes_in, row = n / s->frames;
    int8_t *new = malloc(moved * row);
    random_codes(&s->seed, new, moved * row);
    size_t gone = moved < s->frames ? moved : s->frames;
    memmove(s->window, s->window + gone * row, n - gone * row);
    memcpy(s->window + n - gone * row, new + (moved - gone) * row, gone * row);
    if (is_told) {
        CHECK(nvm_stream_push(s->stream, new, moved * row) == NVM_OK);
    } else {
        CHECK(nvm_stream_step(s->stream, s->window, n, NULL) == NVM_OK);
    }
    CHECK(nvm_session_step(s->dense, s->window, n) == NVM_OK);
    free(new);
}

static size_t slide_all(const nvm_program *program, uint32_t frames, uint32_t hop, uint64_t seed)
{
    size_t size = 0, kept = 0, n = program->codes_in;
    nvm_flow *flows = malloc(program->n_layers * sizeof *flows);
    slide s = {.program = program, .frames = frames, .seed = seed};
    CHECK(nvm_stream_plan(program, frames, hop, flows, &size) == NVM_OK);
    void *mem = aligned_alloc(NVM_ALIGN, size);
    CHECK(nvm_stream_init(mem, size - 1, program, frames, hop, NULL, &s.stream) == NVM_E_SIZE);
    CHECK(nvm_stream_init(mem, 64, program, frames, hop, NULL, &s.stream) == NVM_E_SIZE);
    CHECK(nvm_stream_init(mem, size, program, frames, hop, NULL, &s.stream) == NVM_OK);
    s.dense = session_new(program, NULL);
    CHECK(nvm_session_force(s.dense, UINT32_MAX, NVM_DENSE_WAY) == NVM_OK);
    s.window = malloc(n);
    memset(s.window, program->layers[0].zero_out, n);
    CHECK(count_wrong(&s) == 0);
    for (uint32_t i = 0; i < 14; i++) {
        uint32_t irregular = (uint32_t)random_in(&s.seed, 1, (int32_t)frames + 1);
        move_on(&s, i % 5 == 3 ? irregular : hop, i % 3 != 1);
        CHECK(count_wrong(&s) == 0);
    }
    for (uint32_t i = 0; i < program->n_layers; i++) {
        kept += i != 0 && flows[i].is_kept;
        n_passing += flows[i].is_passing;
        CHECK(!flows[i].is_passing || (flows[i].is_kept && flows[i].bytes == 0));
        CHECK(flows[i].first <= flows[i].end && flows[i].end <= flows[i].rows);
        CHECK(flows[i].dirty <= flows[i].rows && flows[i].rows <= flows[i].capacity);
    }
    free(s.window);
    free(s.dense);
    free(mem);
    free(flows);
    return kept;
}

static void windows_equal_dense_runs(void)
{
    size_t kept = 0;
    for (uint64_t round = 0; round < 250; round++) {
        network *net = random_net(round);
        nvm_program program;
        uint32_t frames = net->shapes[0].h > 1 ? net->shapes[0].h : net->shapes[0].w;
        if (is_narrow(net) && network_init(net, &program) == NVM_OK && program.n_inputs == 1 &&
            !program.memory) {
            void *pack = aligned_alloc(NVM_ALIGN, nvm_pack_size(&program));
            if (round % 3 != 0) {
                CHECK(nvm_program_pack(&program, pack, nvm_pack_size(&program)) == NVM_OK);
            }
            kept += slide_all(&program, frames, 1 + (uint32_t)(round % 6), round);
            free(pack);
        }
        free(net);
    }
    CHECK(kept > 200); /* layers were not all run densely */
    CHECK(n_passing > 5);
}

static void wrong_arguments(void)
{
    network *net = network_new(5);
    nvm_program program;
    nvm_flow flows[2];
    nvm_stream *stream = NULL;
    size_t size;
    uint32_t moved;
    int8_t codes[8 * 3 * 2];
    (void)add_input(net, (shape){8, 3, 2}, 1);
    (void)add_random(net, NVM_CONV, 0);
    net->layers[1].flags |= NVM_FLAG_OUTPUT;
    CHECK(network_init(net, &program) == NVM_OK);
    memset(codes, 3, sizeof codes);
    CHECK(nvm_stream_frames(&program) == 8 && nvm_stream_frames(NULL) == 0);
    CHECK(nvm_stream_plan(NULL, 8, 1, flows, &size) == NVM_E_ARG);
    CHECK(nvm_stream_plan(&program, 8, 1, NULL, &size) == NVM_E_ARG);
    CHECK(nvm_stream_plan(&program, 8, 0, flows, &size) == NVM_E_ARG);
    CHECK(nvm_stream_plan(&program, 0, 1, flows, &size) == NVM_E_RANGE);
    CHECK(nvm_stream_plan(&program, 1, 1, flows, &size) == NVM_E_RANGE);
    CHECK(nvm_stream_plan(&program, 7, 1, flows, &size) == NVM_E_RANGE);
    CHECK(nvm_stream_plan(&program, 8, UINT32_MAX, flows, NULL) == NVM_OK);
    CHECK(nvm_stream_plan(&program, 8, 1, flows, &size) == NVM_OK);
    void *mem = aligned_alloc(NVM_ALIGN, size + NVM_ALIGN);
    CHECK(nvm_stream_init(NULL, size, &program, 8, 1, NULL, &stream) == NVM_E_ARG);
    CHECK(nvm_stream_init(mem, size, &program, 8, 1, NULL, NULL) == NVM_E_ARG);
    CHECK(nvm_stream_init((char *)mem + 8, size, &program, 8, 1, NULL, &stream) == NVM_E_SIZE);
    CHECK(nvm_stream_init(mem, size, &program, 8, 1, NULL, &stream) == NVM_OK);
    CHECK(nvm_stream_push(NULL, codes, 6) == NVM_E_ARG);
    CHECK(nvm_stream_push(stream, NULL, 6) == NVM_E_ARG);
    CHECK(nvm_stream_push(stream, codes, 0) == NVM_E_ARG);
    CHECK(nvm_stream_push(stream, codes, 7) == NVM_E_ARG);
    CHECK(nvm_stream_push(stream, codes, 6) == NVM_OK);
    CHECK(nvm_stream_step(stream, codes, 47, &moved) == NVM_E_ARG);
    CHECK(nvm_stream_step(NULL, codes, 48, &moved) == NVM_E_ARG);
    CHECK(nvm_stream_step(stream, NULL, 48, &moved) == NVM_E_ARG);
    CHECK(nvm_stream_step(stream, codes, 48, &moved) == NVM_OK && moved == 7);
    CHECK(nvm_stream_step(stream, codes, 48, &moved) == NVM_OK && moved == 1); /* all frames are equal */
    codes[0] = 4;
    CHECK(nvm_stream_step(stream, codes, 48, &moved) == NVM_OK && moved == UINT32_MAX);
    CHECK(nvm_stream_layer(stream, 2, &(nvm_layer_view){0}) == NVM_E_ARG);
    CHECK(nvm_stream_layer(NULL, 0, &(nvm_layer_view){0}) == NVM_E_ARG);
    CHECK(nvm_stream_output(NULL, 0, NULL, NULL, NULL) == NVM_E_ARG);
    CHECK(nvm_stream_reset(NULL) == NVM_E_ARG);
    net->layers[0].flags |= NVM_FLAG_PLANES;
    net->layers[1].flags |= NVM_FLAG_PLANES;
    if (network_init(net, &program) == NVM_OK) {
        CHECK(nvm_stream_plan(&program, 8, 1, flows, &size) == NVM_E_UNSUPPORTED);
    }
    free(mem);
    free(net);
}

int main(void)
{
    EACH_SET {
        RUN(windows_equal_dense_runs);
    }
    RUN(wrong_arguments);
    return REPORT();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls around a step: quantising, top-k, updates, ports, counters, wrong arguments.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "nvm_test.h"

static void quantises_like_the_equation(void)
{
    uint64_t seed = 99;
    for (int k = 0; k < 200000; k++) {
        float scale = (float)random_in(&seed, 1, 400) / 1024.0f;
        int32_t zero = random_in(&seed, -128, 127);
        float x = scale * (float)random_in(&seed, -700, 700) / 2.0f; /* halves are common */
        int8_t even, away;
        double e = nearbyint((double)(x * (1.0f / scale))) + zero,
               a = round((double)(x / scale)) + zero;
        CHECK(nvm_quantize_f32(&x, 1, scale, zero, NVM_ROUND_EVEN_RECIPROCAL, &even) == NVM_OK);
        CHECK(nvm_quantize_f32(&x, 1, scale, zero, NVM_ROUND_AWAY_DIVIDE, &away) == NVM_OK);
        CHECK(even == fmax(-128, fmin(127, e)) && away == fmax(-128, fmin(127, a)));
    }
}

static void quantising_edges(void)
{
    float x[] = {INFINITY, -INFINITY, 3e38f, -3e38f, -0.0f, 0.49999997f, 0.5f, -0.5f, 1.5f, 2.5f};
    const int8_t even[] = {127, -128, 127, -128, 0, 0, 0, 0, 2, 2};
    const int8_t away[] = {127, -128, 127, -128, 0, 0, 1, -1, 2, 3};
    float nan = NAN;
    int8_t codes[10];
    CHECK(nvm_quantize_f32(x, 10, 1.0f, 0, NVM_ROUND_EVEN_RECIPROCAL, codes) == NVM_OK);
    CHECK(memcmp(codes, even, 10) == 0);
    CHECK(nvm_quantize_f32(x, 10, 1.0f, 0, NVM_ROUND_AWAY_DIVIDE, codes) == NVM_OK);
    CHECK(memcmp(codes, away, 10) == 0);
    CHECK(nvm_quantize_f32(&nan, 1, 1.0f, 0, NVM_ROUND_AWAY_DIVIDE, codes) == NVM_E_RANGE);
    CHECK(nvm_quantize_f32(x, 1, 0.0f, 0, NVM_ROUND_AWAY_DIVIDE, codes) == NVM_E_RANGE);
    CHECK(nvm_quantize_f32(x, 1, nan, 0, NVM_ROUND_AWAY_DIVIDE, codes) == NVM_E_RANGE);
    CHECK(nvm_quantize_f32(x, 1, INFINITY, 0, NVM_ROUND_AWAY_DIVIDE, codes) == NVM_E_RANGE);
    CHECK(nvm_quantize_f32(x, 1, 1.0f, 128, NVM_ROUND_AWAY_DIVIDE, codes) == NVM_E_RANGE);
    CHECK(nvm_quantize_f32(NULL, 1, 1.0f, 0, NVM_ROUND_AWAY_DIVIDE, codes) == NVM_E_ARG);
    CHECK(nvm_quantize_f32(NULL, 0, 1.0f, 0, NVM_ROUND_AWAY_DIVIDE, NULL) == NVM_OK);
}

static void quantises_to_int16(void)
{
    uint64_t seed = 98;
    int16_t code = 0;
    float edge[] = {INFINITY, -INFINITY}, nan = NAN;
    int16_t ends[2];
    for (int k = 0; k < 100000; k++) {
        float scale = (float)random_in(&seed, 1, 400) / 1048576.0f;
        int32_t zero = k % 2 ? random_in(&seed, -32768, 32767) : 0;
        float x = scale * (float)random_in(&seed, -70000, 70000) / 2.0f;
        double e = nearbyint((double)(x * (1.0f / scale))) + zero,
               a = round((double)(x / scale)) + zero;
        CHECK(nvm_quantize_f32s16(&x, 1, scale, zero, NVM_ROUND_EVEN_RECIPROCAL, &code) == NVM_OK);
        CHECK(code == fmax(-32768, fmin(32767, e)));
        CHECK(nvm_quantize_f32s16(&x, 1, scale, zero, NVM_ROUND_AWAY_DIVIDE, &code) == NVM_OK);
        CHECK(code == fmax(-32768, fmin(32767, a)));
        CHECK(nvm_dequantize_s16(&code, 1, scale, zero, &x) == NVM_OK);
        CHECK(x == (float)(code - zero) * scale);
    }
    CHECK(nvm_quantize_f32s16(edge, 2, 1.0f, 0, NVM_ROUND_AWAY_DIVIDE, ends) == NVM_OK);
    CHECK(ends[0] == 32767 && ends[1] == -32768);
    CHECK(nvm_quantize_f32s16(&nan, 1, 1.0f, 0, NVM_ROUND_AWAY_DIVIDE, ends) == NVM_E_RANGE);
    CHECK(nvm_quantize_f32s16(edge, 1, 0.0f, 0, NVM_ROUND_AWAY_DIVIDE, ends) == NVM_E_RANGE);
    CHECK(nvm_quantize_f32s16(edge, 1, 1.0f, 32768, NVM_ROUND_AWAY_DIVIDE, ends) == NVM_E_RANGE);
    CHECK(nvm_quantize_f32s16(NULL, 1, 1.0f, 0, NVM_ROUND_AWAY_DIVIDE, ends) == NVM_E_ARG);
    CHECK(nvm_dequantize_s16(ends, 1, -0.1f, 0, NULL) == NVM_E_ARG);
}

static void counts_thresholds(void)
{
    float steps[255], x[] = {-INFINITY, -1.0f, -0.0f, 0.5f, 126.9f, INFINITY}, nan = NAN;
    const int8_t wanted[] = {-128, -128, -127, -127, -1, 126};
    int8_t codes[6];
    for (int k = 0; k < 255; k++) {
        steps[k] = k < 254 ? (float)k : NAN; /* no value has the highest code */
    }
    CHECK(nvm_quantize_steps_f32(x, 6, steps, codes) == NVM_OK);
    CHECK(memcmp(codes, wanted, 6) == 0);
    uint64_t seed = 3;
    for (int k = 0; k < 2000; k++) {
        float v = (float)random_in(&seed, -10, 3000) / 10.0f;
        int reached = 0;
        for (int i = 0; i < 255; i++) {
            reached += v >= steps[i];
        }
        CHECK(nvm_quantize_steps_f32(&v, 1, steps, codes) == NVM_OK && codes[0] == reached - 128);
    }
    CHECK(nvm_quantize_steps_f32(&nan, 1, steps, codes) == NVM_E_RANGE);
    CHECK(nvm_quantize_steps_f32(x, 1, NULL, codes) == NVM_E_ARG);
    CHECK(nvm_quantize_steps_f32(NULL, 0, NULL, NULL) == NVM_OK);
}

static void dequantises(void)
{
    int8_t code = -128;
    for (int k = 0; k < 256; k++, code++) {
        float x;
        CHECK(nvm_dequantize_s8(&code, 1, 0.1f, -7, &x) == NVM_OK);
        CHECK(x == (float)(code + 7) * 0.1f);
    }
    CHECK(nvm_dequantize_s8(&code, 1, -0.1f, 0, NULL) == NVM_E_ARG);
}

static void top_k_sorts(void)
{
    uint64_t seed = 5;
    for (size_t n = 0; n < 40; n++) {
        int8_t codes[40];
        int16_t wide[40];
        uint32_t index[40], wide_index[40];
        for (size_t i = 0; i < n; i++) {
            codes[i] = (int8_t)(n % 3 ? random_in(&seed, -3, 3) : random_in(&seed, -128, 127));
            wide[i] = (int16_t)(codes[i] * 256 - (codes[i] == 127)); /* of the same order */
        }
        for (size_t k = 0; k <= n; k++) {
            CHECK(nvm_top_k_s8(codes, n, k, index) == NVM_OK);
            CHECK(nvm_top_k_s16(wide, n, k, wide_index) == NVM_OK);
            CHECK(k == 0 || memcmp(index, wide_index, k * sizeof *index) == 0);
            for (size_t r = 0; r < k; r++) {
                size_t before = 0; /* how many must come before it */
                for (size_t i = 0; i < n; i++) {
                    before +=
                        codes[i] > codes[index[r]] || (codes[i] == codes[index[r]] && i < index[r]);
                }
                CHECK(before == r);
            }
        }
        CHECK(nvm_top_k_s8(codes, n, n + 1, index) == NVM_E_ARG);
        CHECK(nvm_top_k_s16(wide, n, n + 1, index) == NVM_E_ARG);
    }
}

/* Two inputs and two ports, so that ports and offsets are told apart. */
static network *two_by_two(void)
{
    network *net = network_new(11);
    (void)add_input(net, (shape){1, 1, 5}, -3);
    (void)add_input(net, (shape){1, 1, 7}, 9);
    (void)add_random(net, NVM_TABLE, 0);
    (void)add_random(net, NVM_TABLE, 1);
    for (uint32_t i = 2; i < 4; i++) { /* one table: y = q */
        int8_t identity[256];
        for (int q = 0; q < 256; q++) {
            identity[q] = (int8_t)(q - 128);
        }
        net->layers[i].aux[0] = 1;
        net->layers[i].off_table0 = network_put(net, identity, 256);
        net->layers[i].flags = NVM_FLAG_OUTPUT;
    }
    return net;
}

static void ports_and_updates(void)
{
    network *net = two_by_two();
    nvm_program program;
    const int8_t *all, *second;
    size_t n;
    int changed;
    CHECK(network_init(net, &program) == NVM_OK);
    CHECK(program.n_inputs == 2 && program.n_outputs == 2 && program.codes_in == 12 &&
          program.codes_out == 12);
    nvm_session *session = session_new(&program, NULL);
    CHECK(nvm_session_output(session, UINT32_MAX, &all, &n, &changed) == NVM_OK && n == 12 &&
          !changed);
    CHECK(nvm_session_output(session, 1, &second, &n, &changed) == NVM_OK && n == 7 &&
          second == all + 5);
    CHECK(all[0] == -3 && all[4] == -3 && all[5] == 9 && all[11] == 9);

    const uint32_t index[] = {6, 0, 6};
    const int8_t code[] = {1, 2, 3};
    CHECK(nvm_session_update(session, index, code, 3) == NVM_OK);
    CHECK(all[0] == 2 && all[6] == 3); /* the later entry wins */
    CHECK(nvm_session_output(session, 0, NULL, NULL, &changed) == NVM_OK && changed);
    CHECK(nvm_session_update(session, index + 2, code + 2, 1) == NVM_OK); /* it is 3 already */
    CHECK(nvm_session_output(session, UINT32_MAX, NULL, NULL, &changed) == NVM_OK && !changed);

    const uint32_t beyond[] = {1, 12};
    CHECK(nvm_session_update(session, beyond, code, 2) == NVM_E_RANGE);
    CHECK(all[1] == -3); /* nothing happened */
    CHECK(nvm_session_update(session, NULL, NULL, 0) == NVM_OK);
    CHECK(nvm_session_step(session, code, 3) == NVM_E_ARG);
    CHECK(nvm_session_output(session, 2, &all, &n, &changed) == NVM_E_ARG);
    CHECK(nvm_session_reset(session) == NVM_OK && second[1] == 9);
    free(session);
    free(net);
}

static void counters_count(void)
{
    network *net = two_by_two();
    nvm_program program;
    nvm_counters counters = {.steps = 100};
    nvm_layer_view view;
    const uint32_t index[] = {0, 11};
    const int8_t code[] = {1, 2};
    CHECK(network_init(net, &program) == NVM_OK);
    nvm_session *session = session_new(&program, &counters);
    CHECK(counters.steps == 100 && counters.events_in == 0); /* priming is not counted */
    CHECK(nvm_session_update(session, index, code, 2) == NVM_OK);
    CHECK(nvm_session_update(session, index, code, 2) == NVM_OK);
    CHECK(counters.steps == 102 && counters.events_in == 2 && counters.events_out == 2 &&
          counters.sops == 0);
    CHECK(nvm_session_reset(session) == NVM_OK && counters.steps == 102);
    CHECK(nvm_session_layer(session, 3, &view) == NVM_OK && view.events == 1 && view.acc == NULL);
    free(session);
    free(net);
}

/* Of long short-term memory whose cells rest, only the times are computed anew whose inputs changed. */
static void resting_cells(void)
{
    network *net = network_new(7);
    nvm_program program;
    nvm_counters counters;
    uint32_t last = 14;
    int8_t code = 100;
    (void)add_input(net, (shape){1, 5, 3}, 0);
    nvm_layer *layer = &net->layers[add_random(net, NVM_LSTM, 0)];
    layer->flags |= NVM_FLAG_OUTPUT;
    memset(net->arena + layer->off_table0, 0, 3 * 65536 * sizeof(int16_t)); /* no gate opens */
    CHECK(network_init(net, &program) == NVM_OK);
    nvm_session *session = session_new(&program, &counters);
    CHECK(nvm_session_force(session, UINT32_MAX, NVM_EVENTS) == NVM_OK);
    for (int step = 0; step < 3; step++) {
        CHECK(nvm_session_update(session, NULL, NULL, 0) == NVM_OK);
    }
    uint64_t before = counters.sops;
    CHECK(nvm_session_update(session, &last, &code, 1) == NVM_OK);
    CHECK(counters.sops == before + 4 * layer->out_c);
    CHECK(nvm_session_update(session, NULL, NULL, 0) == NVM_OK);
    CHECK(counters.sops == before + 4 * layer->out_c);
    free(session);
    free(net);
}

static void wrong_arguments(void)
{
    network *net = two_by_two();
    nvm_program program;
    nvm_session *session = NULL;
    nvm_layer_view view;
    CHECK(network_init(net, &program) == NVM_OK);
    size_t size = nvm_session_size(&program);
    uint8_t *mem = aligned_alloc(64, size + 64);
    CHECK(nvm_session_init(mem + 8, size, &program, NULL, &session) == NVM_E_SIZE);
    CHECK(nvm_session_init(mem, size - 1, &program, NULL, &session) == NVM_E_SIZE);
    CHECK(nvm_session_init(NULL, size, &program, NULL, &session) == NVM_E_ARG);
    CHECK(nvm_session_init(mem, size, NULL, NULL, &session) == NVM_E_ARG);
    CHECK(nvm_session_init(mem, size, &program, NULL, &session) == NVM_OK);
    CHECK(nvm_session_force(session, 4, NVM_EVENTS) == NVM_E_ARG);
    CHECK(nvm_session_force(session, 0, NVM_ZEROSKIP) == NVM_E_UNSUPPORTED);
    CHECK(nvm_session_force(session, 0, (nvm_way)77) == NVM_E_ARG);
    CHECK(nvm_session_layer(session, 4, &view) == NVM_E_ARG);
    size_t small = nvm_session_size_by(&program, NVM_DENSE_WAY);
    CHECK(small < size && nvm_session_size_by(&program, NVM_EVENTS) == size);
    CHECK(nvm_session_size_by(NULL, NVM_DENSE_WAY) == 0);
    CHECK(nvm_session_init_by(mem, small - 1, &program, NVM_DENSE_WAY, NULL, &session) == NVM_E_SIZE);
    CHECK(nvm_session_init_by(mem, size, &program, NVM_ZEROSKIP, NULL, &session) == NVM_E_UNSUPPORTED);
    CHECK(nvm_session_init_by(mem, size, &program, (nvm_way)77, NULL, &session) == NVM_E_ARG);
    CHECK(nvm_session_init_by(mem, small, &program, NVM_DENSE_WAY, NULL, &session) == NVM_OK);
    CHECK(nvm_session_force(session, UINT32_MAX, NVM_EVENTS) == NVM_E_STATE);
    CHECK(nvm_session_force(session, 1, NVM_AUTO) == NVM_E_STATE);
    CHECK(nvm_session_force(session, 1, NVM_DENSE_WAY) == NVM_OK);
    CHECK(nvm_session_layer(session, 1, &view) == NVM_OK && view.acc == NULL);
    CHECK(nvm_predict(&program, mem, nvm_predict_size(&program) - 1, NULL, NULL, 0) == NVM_E_SIZE);
    CHECK(nvm_pack_size(NULL) == 0 && nvm_pack_size(&program) > 0);
    CHECK(nvm_program_pack(&program, NULL, 1 << 20) == NVM_E_ARG);
    CHECK(nvm_program_pack(NULL, mem, size) == NVM_E_ARG);
    CHECK(nvm_program_pack(&program, mem, nvm_pack_size(&program) - 1) == NVM_E_SIZE);
    CHECK(nvm_program_pack(&program, mem + 8, nvm_pack_size(&program)) == NVM_E_SIZE);
    CHECK(program.pack == NULL);
    CHECK(nvm_predict(NULL, mem, size, NULL, NULL, 0) == NVM_E_ARG);
    CHECK(nvm_session_size(NULL) == 0 && nvm_predict_size(NULL) == 0);
    for (int status = NVM_OK; status <= NVM_E_STATE + 1; status++) {
        CHECK(nvm_status_text((nvm_status)status)[0] != '\0');
    }
    CHECK(nvm_version() == NVM_VERSION);
    free(mem);
    free(net);
}

/* Any set may be forced that is there, and the best one is chosen. */
static void instruction_sets(void)
{
    uint32_t count = 0;
    const char *best = NULL;
    CHECK(strcmp(nvm_isa_name(0), "scalar") == 0 && nvm_isa_available(0));
    for (; nvm_isa_name(count) != NULL; count++) {
        const char *name = nvm_isa_name(count), *before = nvm_isa_chosen();
        int there = nvm_isa_available(count);
        CHECK(nvm_isa_force(name) == (there ? NVM_OK : NVM_E_UNSUPPORTED));
        CHECK(strcmp(nvm_isa_chosen(), there ? name : before) == 0);
        best = there ? name : best;
    }
    CHECK(!nvm_isa_available(count) && !nvm_isa_available(UINT32_MAX));
    CHECK(nvm_isa_name(UINT32_MAX) == NULL);
    CHECK(nvm_isa_force("no such set") == NVM_E_ARG && nvm_isa_force("") == NVM_E_ARG);
    CHECK(nvm_isa_force(NULL) == NVM_OK && strcmp(nvm_isa_chosen(), best) == 0);
}

int main(void)
{
    RUN(instruction_sets);
    EACH_SET {
        RUN(quantises_like_the_equation);
        RUN(quantising_edges);
        RUN(counts_thresholds);
        RUN(quantises_to_int16);
        RUN(dequantises);
        RUN(top_k_sorts);
        RUN(ports_and_updates);
        RUN(counters_count);
        RUN(resting_cells);
        RUN(wrong_arguments);
    }
    return REPORT();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * IF, LIF and SIF networks against their equation, step by step: codes, potentials, spikes.
 */
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "nvm_test.h"

typedef struct trial {
    network *net;
    nvm_program program;
    nvm_session *sessions[2]; /* events, dense */
    int16_t *codes[MAX_LAYERS];
    int64_t *u[MAX_LAYERS], *sent[MAX_LAYERS];
} trial;

/* Of the last layers of all random networks: neither silent nor always firing. */
static unsigned long output_spikes, output_chances;

static int64_t saturate(int64_t x)
{
    return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : x;
}

static int64_t floor_shift16(int64_t x)
{
    return x >= 0 ? x / 65536 : -((-x + 65535) / 65536);
}

static void naive_step(trial *t, uint32_t index)
{
    const nvm_layer *layer = &t->net->layers[index];
    const int32_t *bias = (const int32_t *)(const void *)(t->net->arena + layer->off_bias);
    int64_t *drive = malloc(layer->n * sizeof *drive);
    naive_drive(t->net, index, t->codes, drive);
    for (uint32_t i = 0; i < layer->n; i++) {
        int64_t u = t->u[index][i];
        if (layer->neuron == NVM_LIF) {
            u = floor_shift16(u * layer->leak_q16 + 32768);
        }
        u = saturate(u + bias[i % layer->out_c] + drive[i]);
        if (layer->neuron == NVM_SIF) { /* what was sent before counts */
            int64_t up = 2 * u >= layer->theta && t->sent[index][i] < layer->aux[0];
            int64_t down = 2 * u < -(int64_t)layer->theta && t->sent[index][i] > layer->reset_value;
            t->codes[index][i] = (int16_t)(up - down);
            t->sent[index][i] += up - down;
            t->u[index][i] = saturate(u - (up - down) * layer->theta);
            continue;
        }
        t->codes[index][i] = u >= layer->theta;
        if (u >= layer->theta) {
            u = layer->reset == NVM_RESET_ZERO    ? 0
                : layer->reset == NVM_RESET_VALUE ? layer->reset_value
                                                  : saturate(u - layer->theta);
        }
        t->u[index][i] = u;
    }
    free(drive);
}

static void compare(trial *t)
{
    for (int s = 0; s < 2; s++) {
        int any = 0, changed;
        for (uint32_t i = 0; i < t->net->n; i++) {
            nvm_layer_view view;
            uint32_t spikes = 0;
            CHECK(nvm_session_layer(t->sessions[s], i, &view) == NVM_OK);
            for (size_t k = 0; k < view.n; k++) {
                CHECK(view.codes[k] == t->codes[i][k]);
                spikes += t->codes[i][k] != 0;
                CHECK(view.acc == NULL || view.acc[k] == t->u[i][k]);
            }
            CHECK(view.last_events == spikes);
            any |= (t->net->layers[i].flags & NVM_FLAG_OUTPUT) && spikes != 0;
        }
        CHECK(nvm_session_output(t->sessions[s], UINT32_MAX, NULL, NULL, &changed) == NVM_OK);
        CHECK(changed == any);
    }
}

static void run_trial(network *net, int steps)
{
    trial t = {.net = net};
    CHECK(network_init(net, &t.program) == NVM_OK);
    for (uint32_t i = 0; i < net->n; i++) {
        t.codes[i] = calloc(net->layers[i].n, sizeof *t.codes[i]);
        t.u[i] = calloc(net->layers[i].n, sizeof *t.u[i]);
        t.sent[i] = calloc(net->layers[i].n, sizeof *t.sent[i]);
    }
    for (int s = 0; s < 2; s++) {
        t.sessions[s] = session_new(&t.program, NULL);
        CHECK(nvm_session_force(t.sessions[s], UINT32_MAX, s == 0 ? NVM_EVENTS : NVM_DENSE_WAY) ==
              NVM_OK);
    }
    compare(&t);
    for (int step = 0; step < steps; step++) {
        uint32_t n = net->layers[0].n, count = 0;
        uint32_t *index = malloc(n * sizeof *index);
        int8_t *code = malloc(n), *whole = calloc(n, 1);
        int quiet = random_in(&net->seed, 0, 3) == 0;
        for (uint32_t i = 0; i < n; i++) {
            t.codes[0][i] = 0;
            if (!quiet && random_in(&net->seed, 0, 3) == 0) {
                index[count] = i;
                whole[i] = random_in(&net->seed, 0, 9) ? 1 : -3; /* graded too */
                code[count++] = whole[i];
                t.codes[0][i] = whole[i];
            }
        }
        for (uint32_t i = 1; i < net->n; i++) {
            naive_step(&t, i);
        }
        CHECK(nvm_session_step(t.sessions[step % 2], whole, n) == NVM_OK);
        CHECK(nvm_session_update(t.sessions[1 - step % 2], index, code, count) == NVM_OK);
        compare(&t);
        for (uint32_t i = 0; i < net->layers[net->n - 1].n; i++) {
            output_spikes += (unsigned long)(t.codes[net->n - 1][i] != 0);
            output_chances++;
        }
        free(index);
        free(code);
        free(whole);
    }
    for (int s = 0; s < 2; s++) {
        free(t.sessions[s]);
    }
    for (uint32_t i = 0; i < net->n; i++) {
        free(t.codes[i]);
        free(t.u[i]);
        free(t.sent[i]);
    }
    free(net);
}

static void random_spiking_networks(void)
{
    for (uint64_t round = 0; round < 120; round++) {
        network *net = network_new(31 * round + 7);
        uint32_t depth = 2 + (uint32_t)(round % 4);
        (void)add_input(net, (shape){1 + (uint32_t)(round % 5), 4, 1 + (uint32_t)(round % 9)}, 0);
        net->layers[0].flags = NVM_FLAG_SPIKES;
        while (net->n < depth) {
            nvm_kind kind = (nvm_kind)random_in(&net->seed, NVM_DENSE, NVM_DWCONV);
            (void)add_spiking(net, kind, (nvm_neuron)random_in(&net->seed, NVM_IF, NVM_SIF),
                              net->n - 1);
        }
        net->layers[net->n - 1].flags = NVM_FLAG_OUTPUT;
        run_trial(net, 30);
    }
    CHECK(output_spikes > output_chances / 20 && output_spikes < output_chances * 19 / 20);
}

/* One neuron with weight `w` and bias `b`, driven by a spike each step. */
static network *single(int8_t w, int32_t b, int32_t theta)
{
    network *net = network_new(1);
    (void)add_input(net, (shape){1, 1, 1}, 0);
    net->layers[0].flags = NVM_FLAG_SPIKES;
    nvm_layer *layer = network_add(net, NVM_DENSE, (shape){1, 1, 1});
    layer->n_in = layer->in_c = layer->out_c = 1;
    layer->neuron = NVM_IF;
    layer->leak_q16 = 65536;
    layer->theta = theta;
    layer->flags = NVM_FLAG_OUTPUT;
    layer->off_weights = network_put(net, &w, 1);
    layer->off_bias = network_put(net, &b, sizeof b);
    return net;
}

static void potential_saturates(void)
{
    for (int sign = -1; sign <= 1; sign += 2) {
        network *net = single(1, sign > 0 ? INT32_MAX : INT32_MIN, INT32_MAX);
        net->layers[1].reset = NVM_RESET_SUBTRACT;
        nvm_program program;
        nvm_layer_view view;
        const int8_t spike = 1;
        CHECK(network_init(net, &program) == NVM_OK);
        nvm_session *session = session_new(&program, NULL);
        for (int step = 0; step < 3; step++) {
            CHECK(nvm_session_step(session, &spike, 1) == NVM_OK);
        }
        CHECK(nvm_session_layer(session, 1, &view) == NVM_OK);
        CHECK(view.acc[0] == (sign > 0 ? 0 : INT32_MIN)); /* at INT32_MAX = theta it fires */
        CHECK(view.codes[0] == (sign > 0));
        free(session);
        free(net);
    }
}

static void fires_every_third_step(void)
{
    network *net = single(10, 0, 30);
    nvm_program program;
    const int8_t spike = 1, *out;
    CHECK(network_init(net, &program) == NVM_OK);
    nvm_session *session = session_new(&program, NULL);
    CHECK(nvm_session_output(session, 0, &out, NULL, NULL) == NVM_OK);
    for (int step = 1; step <= 9; step++) {
        CHECK(nvm_session_step(session, &spike, 1) == NVM_OK);
        CHECK(out[0] == (step % 3 == 0));
    }
    CHECK(nvm_session_reset(session) == NVM_OK);
    CHECK(nvm_session_step(session, &spike, 1) == NVM_OK);
    CHECK(out[0] == 0);
    free(session);
    free(net);
}

int main(void)
{
    EACH_SET {
        RUN(random_spiking_networks);
        RUN(potential_saturates);
        RUN(fires_every_third_step);
    }
    return REPORT();
}

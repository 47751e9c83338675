/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed layers of every width and number of channels around the tiles of all instruction sets, in full
 * runs and by dirty tiles, against the written-out rules.
 */
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "nvm_test.h"

/* Of a network of one input and one layer. */
typedef struct window {
    nvm_kind kind;
    uint16_t k_h, k_w, stride_h, stride_w, dil_h, dil_w;
    int16_t pad_t, pad_l;
    shape in, out;
    int extreme; /* weights and codes at the ends of their range */
} window;

static void fill(network *net, int8_t *codes, size_t n, int extreme)
{
    random_codes(&net->seed, codes, n);
    for (size_t i = 0; extreme && i < n; i++) {
        codes[i] = codes[i] < -100 ? 127 : -128; /* mostly products of one sign */
    }
}

static network *network_of(const window *w, uint64_t seed)
{
    network *net = network_new(seed);
    uint64_t *s = &net->seed;
    (void)add_input(net, w->in, (int8_t)random_in(s, -128, 127));
    nvm_layer *layer = network_add(net, w->kind, w->out);
    size_t fan_in = w->kind == NVM_DWCONV ? 1 : w->in.c;
    layer->n_in = 1;
    layer->in_c = w->in.c, layer->out_c = w->out.c;
    if (w->kind != NVM_DENSE) {
        layer->in_h = w->in.h, layer->in_w = w->in.w;
        layer->out_h = w->out.h, layer->out_w = w->out.w;
        layer->k_h = w->k_h, layer->k_w = w->k_w;
        layer->stride_h = w->stride_h, layer->stride_w = w->stride_w;
        layer->dil_h = w->dil_h, layer->dil_w = w->dil_w;
        layer->pad_t = w->pad_t, layer->pad_l = w->pad_l;
        layer->groups = 1;
        fan_in *= (size_t)w->k_h * w->k_w;
    }
    int8_t *weights = malloc(fan_in * w->out.c);
    fill(net, weights, fan_in * w->out.c, w->extreme);
    layer->off_weights = network_put(net, weights, fan_in * w->out.c);
    layer->off_bias = network_put_words(net, w->out.c, -100000, 100000);
    static const nvm_requant rules[] = {NVM_RQ_FP32, NVM_RQ_FP32, NVM_RQ_AFFINE, NVM_RQ_DOUBLE,
                                        NVM_RQ_SINGLE, NVM_RQ_HALFUP};
    nvm_requant rule = rules[random_in(s, 0, 5)];
    add_requant(net, layer, rule, w->out.c, (w->extreme ? 20000.0 : 5000.0) * (double)fan_in);
    layer->zero_in = net->layers[0].zero_out;
    layer->zero_out = (int8_t)random_in(s, -128, 127);
    layer->lo = (int8_t)(random_in(s, 0, 1) ? -128 : layer->zero_out);
    layer->hi = 127;
    layer->flags |= NVM_FLAG_OUTPUT;
    free(weights);
    return net;
}

static void check_codes(const network *net, nvm_session *session, const int8_t *input, int way)
{
    int16_t *codes[2] = {malloc(net->layers[0].n * sizeof(int16_t)),
                         malloc(net->layers[1].n * sizeof(int16_t))};
    const int8_t *out;
    size_t n, wrong = 0;
    naive_memory memory;
    for (uint32_t i = 0; i < net->layers[0].n; i++) {
        codes[0][i] = input[i];
    }
    naive_memory_new(net, &memory);
    naive_codes(net, 1, codes, &memory);
    naive_memory_free(&memory);
    CHECK(nvm_session_force(session, UINT32_MAX, (nvm_way)way) == NVM_OK);
    CHECK(nvm_session_step(session, input, net->layers[0].n) == NVM_OK);
    CHECK(nvm_session_output(session, 0, &out, &n, NULL) == NVM_OK);
    for (uint32_t i = 0; i < net->layers[1].n; i++) {
        wrong += out[i] != codes[1][i];
    }
    CHECK(wrong == 0);
    if (wrong != 0 && checks_failed < 20) {
        const nvm_layer *l = &net->layers[1];
        printf("  way %d, kind %u, %u x %u x %u to %u x %u x %u, window %u x %u, requantiser %u: %zu wrong\n",
               way, l->kind, l->in_h, l->in_w, l->in_c, l->out_h, l->out_w, l->out_c, l->k_h, l->k_w,
               l->requant, wrong);
    }
    free(codes[0]);
    free(codes[1]);
}

/* A full run, a few dirty tiles, events on the sums that neither kept, a full run again. */
static void run_window(const window *w, uint64_t seed)
{
    static const nvm_way ways[] = {NVM_DENSE_WAY, NVM_TILES, NVM_EVENTS, NVM_DENSE_WAY};
    network *net = network_of(w, seed);
    nvm_program program;
    size_t n = net->layers[0].n;
    int8_t *input = malloc(n), *next = malloc(n);
    nvm_status status = network_init(net, &program);
    CHECK(status == NVM_OK);
    if (status == NVM_OK) {
        size_t size = nvm_pack_size(&program);
        void *pack = aligned_alloc(NVM_ALIGN, size);
        CHECK(nvm_program_pack(&program, pack, size) == NVM_OK);
        nvm_session *session = session_new(&program, NULL);
        fill(net, input, n, w->extreme);
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            size_t some = ways[k] == NVM_DENSE_WAY ? n : 1 + n / 9;
            size_t first = (size_t)random_in(&net->seed, 0, (int32_t)(n - some));
            fill(net, next, n, w->extreme);
            memcpy(input + first, next, some);
            check_codes(net, session, input, ways[k]);
        }
        free(session);
        free(pack);
    }
    free(input);
    free(next);
    free(net);
}

static const uint8_t channels[] = {1, 7, 8, 9, 15, 16, 17, 24, 31, 33, 48, 50, 64, 65};
enum { CHANNELS = sizeof channels };

/* Three columns, one after the other: what pairs of pixels take, too, where there are enough of them. */
static void every_tile(void)
{
    static const uint8_t fan_in[] = {8, 9, 16, 17, 3};
    for (uint64_t c = 0; c < CHANNELS; c++) {
        for (uint16_t width = 1; width <= 26; width++) {
            uint16_t height = (uint16_t)(c % 3 == 0 ? 32 / width + 1 : 1 + width % 3);
            window w = {.kind = NVM_CONV, .k_h = (uint16_t)(1 + (c + width) % 3), .k_w = 3,
                        .stride_h = 1, .stride_w = 1, .dil_h = (uint16_t)(1 + width % 2), .dil_w = 1,
                        .pad_t = 1, .pad_l = (int16_t)(width % 3),
                        .in = {height, width, fan_in[(c + width) % 5]},
                        .out = {height, width, channels[c]}, .extreme = width % 5 == 0};
            run_window(&w, 100 * c + width);
        }
    }
}

static void every_window(void)
{
    for (uint64_t round = 0; round < 300; round++) {
        uint64_t s = round * 7919 + 3;
        window w = {.kind = round % 3 == 0 ? NVM_DWCONV : NVM_CONV,
                    .k_h = (uint16_t)random_in(&s, 1, 4), .k_w = (uint16_t)random_in(&s, 1, 5),
                    .stride_h = (uint16_t)random_in(&s, 1, 2), .stride_w = (uint16_t)random_in(&s, 1, 3),
                    .dil_h = (uint16_t)random_in(&s, 1, 2), .dil_w = (uint16_t)random_in(&s, 1, 2),
                    .pad_t = (int16_t)random_in(&s, -1, 3), .pad_l = (int16_t)random_in(&s, -1, 3),
                    .extreme = random_in(&s, 0, 4) == 0};
        w.in = (shape){(uint32_t)random_in(&s, 1, 9), (uint32_t)random_in(&s, 1, 20),
                       (uint32_t)random_in(&s, 1, 20)};
        w.out = (shape){(w.in.h + 1) / w.stride_h + 1, (w.in.w + 1) / w.stride_w + 1, channels[round % CHANNELS]};
        if (w.kind == NVM_DWCONV) {
            w.in.c = w.out.c;
        }
        run_window(&w, 5000 + round);
    }
}

/* One pixel, or many of one window each. */
static void every_matrix(void)
{
    for (uint64_t c = 0; c < CHANNELS; c++) {
        for (uint32_t in = 1; in < 40; in += 3) {
            window w = {.kind = NVM_DENSE, .in = {1, 1, in}, .out = {1, 1, channels[c]}};
            w.extreme = in % 2 == 0;
            run_window(&w, 9000 + 100 * c + in);
            w = (window){.kind = NVM_CONV, .k_h = 1, .k_w = 1, .stride_h = 1, .stride_w = 1, .dil_h = 1,
                         .dil_w = 1, .in = {5, in, 1 + in % 18}, .out = {5, in, channels[c]}};
            run_window(&w, 9050 + 100 * c + in);
        }
    }
}

int main(void)
{
    EACH_SET {
        RUN(every_tile);
        RUN(every_window);
        RUN(every_matrix);
    }
    return REPORT();
}

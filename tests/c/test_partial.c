/* SPDX-License-Identifier: Apache-2.0
 *
 * What a small change costs, by counters: two convolutions in a row, one pixel of the input changed.
 */
#include <stdlib.h>
#include <string.h>

#include "../../core_c/src/nvm_internal.h"
#include "network.h"
#include "nvm_test.h"

enum { SIDE = 16, CHANNELS = 16, TAPS = 9, PIXELS = SIDE * SIDE };

static void add_conv(network *net, uint32_t in, uint16_t stride)
{
    uint32_t side = (uint32_t)SIDE / stride;
    nvm_layer *layer = network_add(net, NVM_CONV, (shape){side, side, CHANNELS});
    layer->n_in = 1;
    layer->in[0] = in;
    layer->in_h = layer->in_w = SIDE;
    layer->out_h = layer->out_w = side;
    layer->in_c = layer->out_c = CHANNELS;
    layer->k_h = layer->k_w = 3;
    layer->stride_h = layer->stride_w = stride;
    layer->dil_h = layer->dil_w = 1;
    layer->pad_t = layer->pad_l = 1;
    layer->groups = 1;
    layer->off_weights = network_put_codes(net, TAPS * CHANNELS * CHANNELS);
    layer->off_bias = network_put_words(net, CHANNELS, -5000, 5000);
    add_requant(net, layer, NVM_RQ_FP32, CHANNELS, 60000.0);
    layer->lo = -128;
    layer->hi = 127;
}

/* Weights applied in a step that changes all codes of one inner pixel by `delta`, layer by layer. */
static void change_pixel(nvm_session *session, int8_t *codes, int delta, uint64_t sops[3])
{
    nvm_layer_view view;
    int8_t *pixel = codes + (SIDE / 2 * SIDE + SIDE / 2) * CHANNELS;
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(nvm_session_layer(session, i, &view) == NVM_OK);
        sops[i] = view.sops;
    }
    for (int c = 0; c < CHANNELS; c++) {
        pixel[c] = (int8_t)(pixel[c] + delta);
    }
    CHECK(nvm_session_step(session, codes, PIXELS * CHANNELS) == NVM_OK);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(nvm_session_layer(session, i, &view) == NVM_OK);
        sops[i] = view.sops - sops[i];
    }
}

static void work_is_that_of_the_change(void)
{
    static const nvm_way ways[] = {NVM_TILES, NVM_EVENTS};
    const uint64_t window = TAPS * CHANNELS * CHANNELS; /* weights of an output pixel */
    network *net = network_new(5);
    nvm_program program;
    uint64_t sops[3];
    (void)add_input(net, (shape){SIDE, SIDE, CHANNELS}, 0);
    add_conv(net, 0, 1);
    add_conv(net, 1, 1);
    net->layers[2].flags = NVM_FLAG_OUTPUT;
    CHECK(network_init(net, &program) == NVM_OK);
    size_t size = nvm_pack_size(&program);
    void *pack = aligned_alloc(64, size);
    CHECK(nvm_program_pack(&program, pack, size) == NVM_OK);
    int is_packed = strcmp(nvm_isa_chosen(), "scalar") != 0;
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        int8_t *codes = calloc(PIXELS, CHANNELS);
        nvm_session *session = session_new(&program, NULL);
        CHECK(nvm_session_force(session, UINT32_MAX, ways[w]) == NVM_OK);
        for (int step = 0; step < 4 && (is_packed || ways[w] == NVM_EVENTS); step++) {
            change_pixel(session, codes, step % 2 ? -90 : 90, sops);
            /* Tiles: 3 x 3 outputs read the pixel, 5 x 5 read those. Events: a ninth of a window for each output,
             * and up to three times that where changes are beyond int8. */
            uint64_t first = ways[w] == NVM_TILES ? 9 : 1, second = ways[w] == NVM_TILES ? 25 : 3 * 9;
            CHECK(sops[1] > 0 && sops[1] <= first * window);
            CHECK(sops[2] > 0 && sops[2] <= second * window);
        }
        free(session);
        free(codes);
    }
    free(pack);
    free(net);
}

/* The first layer looks for tiles, and then runs in full after all, so that events can follow. What it found is
 * nothing to the second one, of a sixteenth of its pixels. */
static void looks_are_a_layers_own(void)
{
    /* Weights of the first layer, whose windows reach beyond the border by 2 of 48 rows and columns, and of the
     * outputs of the second one that can read what changed. */
    const uint64_t most = (uint64_t)(3 * SIDE - 2) * (3 * SIDE - 2) * CHANNELS * CHANNELS +
                          (uint64_t)4 * TAPS * CHANNELS * CHANNELS;
    network *net = network_new(6);
    nvm_program program;
    nvm_counters counters = {0};
    (void)add_input(net, (shape){SIDE, SIDE, CHANNELS}, 0);
    add_conv(net, 0, 1);
    add_conv(net, 1, 4);
    net->layers[2].flags = NVM_FLAG_OUTPUT;
    CHECK(network_init(net, &program) == NVM_OK);
    size_t size = nvm_pack_size(&program);
    void *pack = aligned_alloc(64, size);
    CHECK(nvm_program_pack(&program, pack, size) == NVM_OK);
    void *costs = costs_blank(&program);
    nvm_layer_costs *layers =
        (nvm_layer_costs *)(void *)((uint8_t *)costs + nvm_costs_size(&program)) - net->n;
    for (int i = 1; i < 3; i++) { /* events are cheaper than tiles; and those, than full runs */
        layers[i] = (nvm_layer_costs){.full_ns = 1e6f, .keep_ns = 1.01e6f, .scattered = 1e-3f,
                                      .neighbours = 1e-3f, .tile_share = i == 1 ? 1.0f : 1e-6f};
    }
    CHECK(nvm_program_costs(&program, costs, nvm_costs_size(&program)) == NVM_OK);
    int8_t *codes = calloc(PIXELS, CHANNELS);
    nvm_session *session = session_new(&program, &counters), *dense = session_new(&program, NULL);
    CHECK(nvm_session_force(dense, UINT32_MAX, NVM_DENSE_WAY) == NVM_OK);
    for (int step = 0; step < 60; step++) {
        const int8_t *out, *wanted;
        if (step % 20 == 0) {
            random_codes(&net->seed, codes, (size_t)PIXELS * CHANNELS);
        }
        codes[(SIDE / 2 * SIDE + SIDE / 2) * CHANNELS] ^= 16;
        uint64_t before = counters.sops;
        CHECK(nvm_session_force(session, UINT32_MAX, step % 20 == 0 ? NVM_DENSE_WAY : NVM_AUTO) == NVM_OK);
        CHECK(nvm_session_step(session, codes, (size_t)PIXELS * CHANNELS) == NVM_OK);
        CHECK(step % 20 == 0 || counters.sops - before <= most);
        CHECK(nvm_session_step(dense, codes, (size_t)PIXELS * CHANNELS) == NVM_OK);
        CHECK(nvm_session_output(session, UINT32_MAX, &out, NULL, NULL) == NVM_OK);
        CHECK(nvm_session_output(dense, UINT32_MAX, &wanted, NULL, NULL) == NVM_OK);
        CHECK(memcmp(out, wanted, program.bytes_out) == 0);
    }
    free(session);
    free(dense);
    free(codes);
    free(costs);
    free(pack);
    free(net);
}

/* All lengths: what was there, what is there, and how much of it differs, beside bytes one by one. */
static void codes_are_taken(void)
{
    enum { MOST = 333, MARGIN = 64 };
    uint64_t seed = 9;
    int8_t codes[MOST + MARGIN], wanted[MOST + MARGIN], old[MOST + MARGIN], left[MOST + MARGIN];
    for (size_t n = 0; n <= MOST; n++) {
        int wide = n % 2 == 0 && n % 3 == 0;
        uint32_t differ = 0, every = n % 5 == 0 ? 1 : 4;
        random_codes(&seed, codes, sizeof codes);
        random_codes(&seed, old, sizeof old);
        memcpy(wanted, codes, sizeof codes);
        memcpy(left, old, sizeof old);
        for (size_t i = n % every; i < sizeof wanted; i += every) {
            wanted[i] = (int8_t)(wanted[i] ^ 5);
        }
        for (size_t i = 0; i < n; i += wide ? 2 : 1) {
            differ += codes[i] != wanted[i] || (wide && codes[i + 1] != wanted[i + 1]);
            left[i] = codes[i];
            left[i + (wide ? 1 : 0)] = codes[i + (wide ? 1 : 0)];
        }
        const nvm_isa *isa = nvm_isa_current();
        CHECK(isa->count_changes((const uint8_t *)codes, (const uint8_t *)wanted, n, wide) == differ);
        int8_t beyond = codes[n];
        CHECK(isa->take_codes((uint8_t *)old, (uint8_t *)codes, (const uint8_t *)wanted, n, wide) == differ);
        CHECK(memcmp(old, left, sizeof old) == 0);
        CHECK(memcmp(codes, wanted, n) == 0 && codes[n] == beyond);
    }
}

/* Pixels of all usual sizes, any part of which changed. */
static void pixels_are_found(void)
{
    enum { MOST = 2048 };
    static const size_t sizes[] = {1, 2, 3, 4, 8, 16, 32, 64, 128};
    nvm_differing_pixels_fn *differing = nvm_isa_current()->differing_pixels;
    uint64_t seed = 4;
    int8_t old[MOST], now[MOST];
    uint32_t list[MOST + 1];
    for (size_t s = 0; differing != NULL && s < sizeof sizes / sizeof *sizes; s++) {
        size_t bytes = sizes[s], all = MOST / bytes;
        for (size_t round = 0; round < 40; round++) {
            uint32_t first = (uint32_t)(round % 5), end = (uint32_t)(all - round % 7), found = 0;
            random_codes(&seed, old, MOST);
            random_codes(&seed, now, MOST);
            for (size_t p = 0; p < all; p++) { /* the same, but for one byte of some */
                int8_t one = now[p * bytes];
                size_t at = p * bytes + (size_t)(uint8_t)one % bytes;
                int differs = (size_t)(uint8_t)one % 8 < round % 9;
                memcpy(now + p * bytes, old + p * bytes, bytes);
                now[at] = (int8_t)(now[at] ^ (differs ? 64 : 0));
            }
            memset(list, 255, sizeof list);
            size_t n = differing((const uint8_t *)old, (const uint8_t *)now, first, end, bytes, list);
            for (uint32_t p = first; p < end; p++) {
                if (memcmp(old + p * bytes, now + p * bytes, bytes) != 0) {
                    CHECK(list[found] == p);
                    found++;
                }
            }
            CHECK(n == found && list[n] == UINT32_MAX);
            CHECK(differing((const uint8_t *)old, (const uint8_t *)now, first, end, bytes, NULL) == n);
        }
    }
}

int main(void)
{
    EACH_SET
    {
        RUN(pixels_are_found);
        RUN(codes_are_taken);
        RUN(work_is_that_of_the_change);
        RUN(looks_are_a_layers_own);
    }
    return REPORT();
}

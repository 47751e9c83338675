/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts that programs are made of.
 */
#include "network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

network *network_new(uint64_t seed)
{
    network *net = aligned_alloc(64, (sizeof *net + 63) / 64 * 64);
    if (net == NULL) {
        abort();
    }
    memset(net, 0, sizeof *net);
    net->seed = seed * 0x9E3779B97F4A7C15u + 1;
    return net;
}

uint64_t random_u64(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed * 0x2545F4914F6CDD1Du;
}

int32_t random_in(uint64_t *seed, int32_t low, int32_t high)
{
    return low + (int32_t)((random_u64(seed) >> 11) % (uint64_t)(high - low + 1));
}

void random_codes(uint64_t *seed, int8_t *codes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        codes[i] = (int8_t)random_in(seed, -128, 127);
    }
}

uint32_t network_put(network *net, const void *data, size_t bytes)
{
    uint32_t offset = (uint32_t)net->len;
    if (net->len + bytes > ARENA_BYTES) {
        abort();
    }
    memcpy(net->arena + offset, data, bytes);
    net->len = (net->len + bytes + 63) / 64 * 64;
    return offset;
}

nvm_layer *network_add(network *net, nvm_kind kind, shape out)
{
    if (net->n == MAX_LAYERS) {
        abort();
    }
    nvm_layer *layer = &net->layers[net->n];
    net->shapes[net->n++] = out;
    layer->kind = (uint8_t)kind;
    layer->n = out.h * out.w * out.c;
    return layer;
}

uint32_t add_input(network *net, shape out, int8_t zero)
{
    network_add(net, NVM_INPUT, out)->zero_out = zero;
    return net->n - 1;
}

uint32_t add_wide_input(network *net, shape out, int16_t zero)
{
    nvm_layer *layer = network_add(net, NVM_INPUT, out);
    layer->flags = NVM_FLAG_WIDE;
    layer->zero_out_s16 = zero;
    return net->n - 1;
}

int is_wide_layer(const network *net, uint32_t index)
{
    return (net->layers[index].flags & NVM_FLAG_WIDE) != 0;
}

uint32_t network_put_codes(network *net, size_t n)
{
    int8_t *codes = malloc(n);
    random_codes(&net->seed, codes, n);
    uint32_t offset = network_put(net, codes, n);
    free(codes);
    return offset;
}

uint32_t network_put_words(network *net, size_t n, int32_t low, int32_t high)
{
    int32_t *words = malloc(n * sizeof *words);
    for (size_t i = 0; i < n; i++) {
        words[i] = random_in(&net->seed, low, high);
    }
    uint32_t offset = network_put(net, words, n * sizeof *words);
    free(words);
    return offset;
}

uint32_t add_const(network *net, shape out)
{
    nvm_layer *layer = network_add(net, NVM_CONST, out);
    layer->off_table0 = network_put_codes(net, layer->n);
    return net->n - 1;
}

static void put_multipliers(network *net, nvm_layer *layer, uint32_t channels, double magnitude)
{
    int32_t *m = malloc(channels * sizeof *m), *e = malloc(channels * sizeof *e);
    for (uint32_t c = 0; c < channels; c++) {
        double real = (layer->flags & NVM_FLAG_WIDE ? 30000.0 : 150.0) / magnitude * (0.5 + random_in(&net->seed, 0, 1000) / 1000.0);
        int exponent;
        double mantissa = frexp(real, &exponent);
        m[c] = (int32_t)fmin(round(mantissa * 2147483648.0), 2147483647.0);
        e[c] = exponent < -31 ? -31 : exponent;
        if (layer->requant == NVM_RQ_HALF16 && e[c] > 14) {
            e[c] = 14;
        }
    }
    layer->off_scale = network_put(net, m, channels * sizeof *m);
    layer->off_shift = network_put(net, e, channels * sizeof *e);
    free(m);
    free(e);
}

void add_requant(network *net, nvm_layer *layer, nvm_requant requant, uint32_t channels,
                 double magnitude)
{
    float *scale = malloc(channels * sizeof *scale), offset;
    double *wide = malloc(channels * sizeof *wide);
    layer->requant = (uint8_t)requant;
    if (layer->flags & NVM_FLAG_WIDE) {
        layer->zero_out_s16 = (int16_t)random_in(&net->seed, -300, 300);
    } else {
        layer->zero_out = (int8_t)random_in(&net->seed, -128, 127);
    }
    switch (requant) {
    case NVM_RQ_FP32:
    case NVM_RQ_AWAY32:
        for (uint32_t c = 0; c < channels; c++) {
            scale[c] = (float)(150.0 / magnitude * (0.5 + random_in(&net->seed, 0, 1000) / 1000.0));
        }
        layer->off_scale = network_put(net, scale, channels * sizeof *scale);
        break;
    case NVM_RQ_AWAY64:
        for (uint32_t c = 0; c < channels; c++) {
            wide[c] = 150.0 / magnitude * (0.5 + random_in(&net->seed, 0, 1000) / 1000.0);
        }
        layer->off_scale = network_put(net, wide, channels * sizeof *wide);
        break;
    case NVM_RQ_AFFINE:
        scale[0] = (float)(150.0 / magnitude);
        offset = (float)random_in(&net->seed, -1000, 1000) / 8.0f; /* halves happen */
        layer->off_scale = network_put(net, scale, sizeof *scale);
        layer->off_shift = network_put(net, &offset, sizeof offset);
        break;
    case NVM_RQ_SHIFT:
        layer->aux[0] = (uint32_t)fmax(1.0, floor(log2(magnitude / 100.0)));
        break;
    default:
        put_multipliers(net, layer, channels, magnitude);
        break;
    }
    free(scale);
    free(wide);
}

nvm_status network_init(const network *net, nvm_program *program)
{
    return nvm_program_init(program, net->layers, net->n, net->arena, net->len, NULL);
}

nvm_session *session_new(const nvm_program *program, nvm_counters *counters)
{
    return session_new_by(program, NVM_AUTO, counters);
}

nvm_session *session_new_by(const nvm_program *program, nvm_way way, nvm_counters *counters)
{
    nvm_session *session = NULL;
    size_t size = nvm_session_size_by(program, way);
    void *mem = aligned_alloc(64, size);
    memset(mem, 0xA5, size); /* nothing may depend on what was there before */
    if (nvm_session_init_by(mem, size, program, way, counters, &session) != NVM_OK) {
        abort();
    }
    return session; /* the session is the start of its block: free it */
}

static uint64_t stopped_clock(void)
{
    return 7;
}

void *costs_blank(nvm_program *program)
{
    size_t size = nvm_costs_size(program), room = nvm_calibration_size(program);
    void *costs = aligned_alloc(64, (size + 63) / 64 * 64), *scratch = aligned_alloc(64, room);
    if (nvm_program_calibrate(program, costs, size, scratch, room, 1000, stopped_clock) != NVM_OK) {
        abort();
    }
    free(scratch);
    return costs;
}

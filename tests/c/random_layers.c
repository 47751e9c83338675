/* SPDX-License-Identifier: Apache-2.0
 *
 * Random layers of every kind. Sizes are drawn from {1, odd, powers of two and their neighbours}.
 */
#include <math.h>
#include <stdlib.h>

#include "network.h"

static void random_clamp(network *net, nvm_layer *layer)
{
    int32_t a = random_in(&net->seed, -128, 127), b = random_in(&net->seed, -128, 127);
    int whole = random_in(&net->seed, 0, 3) != 0;
    if (layer->flags & NVM_FLAG_WIDE) {
        layer->lo_s16 = (int16_t)(whole ? INT16_MIN : 256 * (a < b ? a : b));
        layer->hi_s16 = (int16_t)(whole ? INT16_MAX : 256 * (a < b ? b : a));
        return;
    }
    layer->lo = (int8_t)(whole ? -128 : a < b ? a : b);
    layer->hi = (int8_t)(whole ? 127 : a < b ? b : a);
}

static uint32_t random_channels(network *net)
{
    static const uint8_t sizes[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 40};
    return net->wide ? 300 : sizes[random_in(&net->seed, 0, (int32_t)sizeof sizes - 1)];
}

/* A window over `in`; the output keeps at least one row and column. */
static shape random_window(network *net, nvm_layer *layer, shape in, int pool)
{
    uint64_t *seed = &net->seed;
    layer->k_h = (uint16_t)random_in(seed, 1, 4);
    layer->k_w = (uint16_t)random_in(seed, 1, 4);
    layer->stride_h = (uint16_t)random_in(seed, 1, 3);
    layer->stride_w = (uint16_t)random_in(seed, 1, 3);
    layer->dil_h = (uint16_t)(random_in(seed, 0, 2) == 0 ? 2 : 1);
    layer->dil_w = (uint16_t)(random_in(seed, 0, 2) == 0 ? 3 : 1);
    if (pool) { /* windows must read something: pads below the window, no dilation beyond the map */
        layer->dil_h = layer->dil_w = 1;
        layer->pad_t = (int16_t)random_in(seed, 0, layer->k_h - 1);
        layer->pad_l = (int16_t)random_in(seed, 0, layer->k_w - 1);
    } else {
        layer->pad_t = (int16_t)random_in(seed, -2, 5);
        layer->pad_l = (int16_t)random_in(seed, -2, 5);
    }
    shape out = {.c = in.c};
    uint32_t pad_t = pool ? (uint32_t)layer->pad_t : 2, pad_l = pool ? (uint32_t)layer->pad_l : 2;
    out.h = (in.h - 1 + pad_t) / layer->stride_h + 1;
    out.w = (in.w - 1 + pad_l) / layer->stride_w + 1;
    return out;
}

static void set_window(nvm_layer *layer, shape in, shape out)
{
    layer->in_h = in.h;
    layer->in_w = in.w;
    layer->in_c = in.c;
    layer->out_h = out.h;
    layer->out_w = out.w;
    layer->out_c = out.c;
    layer->n = out.h * out.w * out.c;
}

/* DENSE, CONV, DWCONV: everything but the neuron. The number of weights that meet one output. */
static double add_synapses(network *net, nvm_kind kind, uint32_t in)
{
    shape from = net->shapes[in], out = {1, 1, random_channels(net)};
    nvm_layer *layer = network_add(net, kind, out);
    size_t weights;
    double fan_in;
    layer->n_in = 1;
    layer->in[0] = in;
    layer->flags = net->layers[in].flags & NVM_FLAG_WIDE;
    if (layer->flags != 0 && random_in(&net->seed, 0, 1)) {
        layer->flags |= NVM_FLAG_LONG;
    }
    if (kind == NVM_DENSE) {
        layer->in_c = net->layers[in].n;
        layer->out_c = out.c;
        weights = (size_t)layer->in_c * out.c;
        fan_in = layer->in_c;
    } else {
        uint32_t channels = out.c;
        out = random_window(net, layer, from, 0);
        layer->groups = (uint32_t)random_in(&net->seed, 1, 3);
        if (kind == NVM_CONV) {
            layer->groups = from.c % layer->groups == 0 ? layer->groups : 1;
            out.c = channels < 9 ? channels * layer->groups : 8 * layer->groups;
            fan_in = (double)layer->k_h * layer->k_w * from.c / layer->groups;
            weights = (size_t)layer->k_h * layer->k_w * (from.c / layer->groups) * out.c;
        } else {
            layer->groups = from.c > 20 ? 1 : layer->groups;
            out.c = from.c * layer->groups;
            fan_in = (double)layer->k_h * layer->k_w;
            weights = (size_t)layer->k_h * layer->k_w * out.c;
        }
        set_window(layer, from, out);
        net->shapes[net->n - 1] = out;
    }
    layer->off_weights = network_put_codes(net, weights);
    return fan_in;
}

static void add_map(network *net, uint32_t in)
{
    uint32_t other = (uint32_t)random_in(&net->seed, 0, (int32_t)net->n - 1);
    int two = random_in(&net->seed, 0, 1) && is_wide_layer(net, other) == is_wide_layer(net, in);
    uint32_t total = net->layers[in].n + (two ? net->layers[other].n : 0);
    shape out = {.h = 1 + (uint32_t)random_in(&net->seed, 0, 4), .w = 3};
    out.c = random_channels(net);
    nvm_layer *layer = network_add(net, NVM_MAP, out);
    int32_t *source = malloc(layer->n * sizeof *source);
    uint32_t *offsets = calloc(total + 1, sizeof *offsets),
             *targets = calloc(layer->n + 1, sizeof *targets);
    uint32_t filled = 0;
    layer->n_in = two ? 2 : 1;
    layer->in[0] = in;
    layer->in[1] = two ? other : 0;
    layer->flags = net->layers[in].flags & NVM_FLAG_WIDE;
    if (layer->flags != 0) {
        layer->zero_out_s16 = (int16_t)random_in(&net->seed, INT16_MIN, INT16_MAX);
    } else {
        layer->zero_out = (int8_t)random_in(&net->seed, -128, 127);
    }
    int in_runs = random_in(&net->seed, 0, 1);
    for (uint32_t i = 0; i < layer->n; i++) {
        int goes_on = in_runs && i > 0 && random_in(&net->seed, 0, 15) != 0;
        source[i] = random_in(&net->seed, -3, (int32_t)total - 1);
        if (goes_on && source[i - 1] + 1 < (int32_t)total) {
            source[i] = source[i - 1] < 0 ? source[i - 1] : source[i - 1] + 1;
        }
    }
    for (uint32_t j = 0; j < total; j++) {
        for (uint32_t i = 0; i < layer->n; i++) {
            if (source[i] == (int32_t)j) {
                targets[filled++] = i;
            }
        }
        offsets[j + 1] = filled;
    }
    layer->off_table0 = network_put(net, source, layer->n * sizeof *source);
    layer->off_table1 = network_put(net, offsets, (total + 1) * sizeof *offsets);
    layer->off_weights = network_put(net, targets, filled * sizeof *targets);
    free(source);
    free(offsets);
    free(targets);
}

static nvm_layer *add_unary(network *net, nvm_kind kind, shape out, uint32_t in)
{
    nvm_layer *layer = network_add(net, kind, out);
    layer->n_in = 1;
    layer->in[0] = in;
    layer->flags = net->layers[in].flags & NVM_FLAG_WIDE;
    return layer;
}

/* Layers of int8 codes whose own may be int16. */
static void random_width(network *net, nvm_layer *layer)
{
    if (random_in(&net->seed, 0, 1)) {
        layer->flags |= NVM_FLAG_WIDE;
        layer->zero_out_s16 = (int16_t)random_in(&net->seed, INT16_MIN, 0);
    } else {
        layer->zero_out = (int8_t)random_in(&net->seed, -128, 0);
    }
}

static void add_softmax(network *net, uint32_t in)
{
    shape from = net->shapes[in];
    nvm_layer *layer = add_unary(net, NVM_SOFTMAX, from, in);
    float t[256], scale = random_in(&net->seed, 0, 1) ? 1.0f / 256 : 0.01f;
    double step = random_in(&net->seed, 1, 100) / 500.0;
    for (int d = 0; d < 256; d++) {
        t[d] = (float)exp(-step * d);
    }
    layer->out_h = from.h * from.w;
    layer->out_c = from.c;
    random_width(net, layer);
    layer->off_table0 = network_put(net, t, sizeof t);
    layer->off_scale = network_put(net, &scale, sizeof scale);
    random_clamp(net, layer);
}

/* From int16 to int16 codes; the exponentials are one a network, because they are large. */
static void add_wide_softmax(network *net, uint32_t in)
{
    shape from = net->shapes[in];
    nvm_layer *layer = add_unary(net, NVM_SOFTMAX, from, in);
    int16_t r[513];
    if (net->exponentials == 0) {
        int16_t *t = malloc(65536 * sizeof *t);
        for (int d = 0; d < 65536; d++) {
            t[d] = (int16_t)(32767.0 * exp(-d / 9000.0));
        }
        net->exponentials = network_put(net, t, 65536 * sizeof *t);
        free(t);
    }
    for (int k = 0; k < 513; k++) {
        r[k] = (int16_t)fmin(32767.0, 32768.0 / (1 + k / 512.0));
    }
    layer->out_h = from.h * from.w;
    layer->out_c = from.c;
    layer->off_table0 = net->exponentials;
    layer->off_table1 = network_put(net, r, sizeof r);
    random_clamp(net, layer);
}

static void add_softmaxq(network *net, uint32_t in)
{
    shape from = net->shapes[in];
    nvm_layer *layer = add_unary(net, NVM_SOFTMAXQ, from, in);
    int32_t t[256];
    double step = random_in(&net->seed, 1, 100) / 500.0;
    for (int d = 0; d < 256; d++) {
        t[d] = (int32_t)(exp(-step * d) * INT32_MAX);
    }
    layer->out_h = from.h * from.w;
    layer->out_c = from.c;
    random_width(net, layer);
    layer->off_table0 = network_put(net, t, sizeof t);
    random_clamp(net, layer);
}

static void add_logsoftmaxq(network *net, uint32_t in)
{
    shape from = net->shapes[in];
    nvm_layer *layer = add_unary(net, NVM_LOGSOFTMAXQ, from, in);
    int32_t t[256], u[256];
    double step = random_in(&net->seed, 1, 100) / 500.0;
    for (int d = 0; d < 256; d++) {
        t[d] = (int32_t)(exp(-step * d) * INT32_MAX);
        u[d] = step * d < 31.0 ? (int32_t)(-step * d * (1 << 26)) : INT32_MIN;
    }
    layer->out_h = from.h * from.w;
    layer->out_c = from.c;
    layer->zero_out = 127;
    layer->off_table0 = network_put(net, t, sizeof t);
    layer->off_table1 = network_put(net, u, sizeof u);
    random_clamp(net, layer);
}

static void add_l2norm(network *net, uint32_t in)
{
    shape from = net->shapes[in];
    nvm_layer *layer = add_unary(net, NVM_L2NORM, from, in);
    int32_t t[256], zero = random_in(&net->seed, -128, 127);
    for (int32_t k = 0; k < 256; k++) {
        t[k] = k - 128 - zero;
    }
    layer->out_h = from.h * from.w;
    layer->out_c = from.c;
    layer->off_table0 = network_put(net, t, sizeof t);
    random_clamp(net, layer);
}

static void add_logsoftmax(network *net, uint32_t in)
{
    shape from = net->shapes[in];
    nvm_layer *layer = add_unary(net, NVM_LOGSOFTMAX, from, in);
    float t[256], scale[2] = {(float)random_in(&net->seed, 1, 100) / 500.0f, 1.0f / 16};
    for (int d = 0; d < 256; d++) {
        t[d] = (float)exp((double)-scale[0] * d);
    }
    layer->out_h = from.h * from.w;
    layer->out_c = from.c;
    layer->zero_out = 127;
    layer->off_table0 = network_put(net, t, sizeof t);
    layer->off_scale = network_put(net, scale, sizeof scale);
    random_clamp(net, layer);
}

static void add_lerp(network *net, uint32_t in)
{
    uint32_t n_in = net->layers[in].n, filled = 0;
    shape out = {2, 3, random_channels(net)};
    nvm_layer *layer = network_add(net, NVM_LERP, out);
    int32_t *source = malloc(4 * layer->n * sizeof *source);
    uint32_t *offsets = calloc(n_in + 1, sizeof *offsets);
    uint32_t *targets = calloc(4 * layer->n, sizeof *targets);
    layer->n_in = 1;
    layer->in[0] = in;
    layer->flags = net->layers[in].flags & NVM_FLAG_WIDE;
    layer->aux[0] = 22;
    layer->aux[1] = (uint32_t)random_in(&net->seed, 0, 1);
    for (uint32_t i = 0; i < 4 * layer->n; i++) {
        source[i] = random_in(&net->seed, 0, (int32_t)n_in - 1);
    }
    for (uint32_t j = 0; j < n_in; j++) {
        for (uint32_t i = 0; i < 4 * layer->n; i++) {
            if (source[i] == (int32_t)j) {
                targets[filled++] = i / 4;
            }
        }
        offsets[j + 1] = filled;
    }
    layer->off_table0 = network_put(net, source, 4 * layer->n * sizeof *source);
    layer->off_scale = network_put_words(net, 4 * layer->n, -(1 << 20), 1 << 21);
    layer->off_table1 = network_put(net, offsets, (n_in + 1) * sizeof *offsets);
    layer->off_weights = network_put(net, targets, 4 * layer->n * sizeof *targets);
    random_clamp(net, layer);
    free(source);
    free(offsets);
    free(targets);
}

/* An earlier layer with as many codes, or the same one twice. */
static uint32_t same_size(network *net, uint32_t in)
{
    uint32_t other = (uint32_t)random_in(&net->seed, 0, (int32_t)net->n - 1);
    int same = net->layers[other].n == net->layers[in].n &&
               is_wide_layer(net, other) == is_wide_layer(net, in);
    return same ? other : in;
}

static nvm_requant random_rule(network *net)
{
    static const uint8_t rules[] = {NVM_RQ_FP32,   NVM_RQ_FP32,  NVM_RQ_DOUBLE, NVM_RQ_SINGLE,
                                    NVM_RQ_HALFUP, NVM_RQ_SHIFT, NVM_RQ_AFFINE};
    return (nvm_requant)rules[random_in(&net->seed, 0, (int32_t)sizeof rules - 1)];
}

/* The same for a layer of the width and accumulators it has. */
static nvm_requant fitting_rule(network *net, const nvm_layer *layer)
{
    static const uint8_t rules[] = {NVM_RQ_HALF16, NVM_RQ_AWAY64, NVM_RQ_AWAY32, NVM_RQ_DOUBLE,
                                    NVM_RQ_HALFUP};
    if (!(layer->flags & NVM_FLAG_WIDE)) {
        return random_rule(net);
    }
    return (nvm_requant)rules[random_in(&net->seed, 0, layer->flags & NVM_FLAG_LONG ? 2 : 4)];
}

/* Any int64, small ones too. */
static uint32_t put_long_bias(network *net, size_t n)
{
    int64_t bias[512];
    for (size_t i = 0; i < n && i < 512; i++) {
        bias[i] = (int64_t)random_u64(&net->seed) >> random_in(&net->seed, 0, 63);
    }
    return network_put(net, bias, n * sizeof *bias);
}

static void add_weighted(network *net, nvm_kind kind, uint32_t in)
{
    nvm_layer *layer = &net->layers[net->n];
    double fan_in = add_synapses(net, kind, in), magnitude = 8000.0 * sqrt(fan_in);
    if (layer->flags & NVM_FLAG_WIDE) {
        magnitude *= 256.0;
    } else {
        layer->zero_in = (int8_t)random_in(&net->seed, -128, 127);
    }
    layer->off_bias = layer->flags & NVM_FLAG_LONG
                          ? put_long_bias(net, layer->out_c)
                          : network_put_words(net, layer->out_c, -5000, 5000);
    add_requant(net, layer, fitting_rule(net, layer), layer->out_c, magnitude);
    random_clamp(net, layer);
}

/* How a wide ADD takes one input: sizes and signs of all kinds, left shifts rarely. */
static uint32_t put_term(network *net)
{
    int32_t terms[2][4];
    for (int half = 0; half < 2; half++) {
        terms[half][0] = random_in(&net->seed, 0, 15);
        terms[half][1] = random_in(&net->seed, 0, INT32_MAX - 1);
        terms[half][2] = random_in(&net->seed, -4, 1);
        terms[half][3] = random_in(&net->seed, 0, 1) ? 1 : -1;
    }
    return network_put(net, terms, sizeof terms);
}

/* A line of all int8 codes modulo 2^32, or any words. */
static uint32_t put_sum_table(network *net)
{
    if (random_in(&net->seed, 0, 1)) {
        return network_put_words(net, 256, -1048576, 1048576);
    }
    uint32_t words[256], slope = (uint32_t)random_u64(&net->seed) >> random_in(&net->seed, 0, 20);
    words[0] = (uint32_t)random_u64(&net->seed) >> random_in(&net->seed, 0, 20);
    for (int q = 1; q < 256; q++) {
        words[q] = words[q - 1] + slope;
    }
    if (random_in(&net->seed, 0, 3) == 0) {
        words[random_in(&net->seed, 0, 255)] ^= 1; /* bent at one code */
    }
    return network_put(net, words, sizeof words);
}

/* Tables, rule and bounds of an ADD whose second input is `other`. */
static void finish_sum(network *net, nvm_layer *layer, uint32_t other)
{
    layer->n_in = 2;
    layer->in[1] = other;
    if (layer->flags & NVM_FLAG_WIDE) {
        layer->off_table0 = put_term(net);
        layer->off_table1 = put_term(net);
        layer->aux[1] = (uint32_t)random_in(&net->seed, 0, (int32_t)layer->n);
    } else {
        layer->off_table0 = put_sum_table(net);
        layer->off_table1 = put_sum_table(net);
    }
    add_requant(net, layer, fitting_rule(net, layer), 1,
                layer->flags & NVM_FLAG_WIDE ? 1 << 29 : 1 << 20);
    random_clamp(net, layer);
}

static void add_sum(network *net, uint32_t in)
{
    uint32_t other = same_size(net, in);
    nvm_layer *layer = add_unary(net, NVM_ADD, net->shapes[in], in);
    finish_sum(net, layer, other);
}

static void add_pair(network *net, uint32_t in)
{
    uint32_t other = same_size(net, in);
    nvm_layer *layer = add_unary(net, NVM_PAIR, net->shapes[in], in);
    layer->n_in = 2;
    layer->in[1] = other;
    layer->aux[0] = (uint32_t)random_in(&net->seed, 0, 2);
    if (layer->aux[0] == 0) {
        add_requant(net, layer, fitting_rule(net, layer), 1, 1 << 28);
    }
    random_clamp(net, layer);
}

static void add_pool(network *net, nvm_kind kind, uint32_t in)
{
    shape from = net->shapes[in];
    nvm_layer *layer = add_unary(net, kind, from, in);
    shape out = random_window(net, layer, from, 1);
    set_window(layer, from, out);
    net->shapes[net->n - 1] = out;
    layer->aux[0] = kind == NVM_AVGPOOL && !(layer->flags & NVM_FLAG_WIDE)
                        ? (uint32_t)random_in(&net->seed, 0, 1)
                        : 0;
    random_clamp(net, layer);
}

static void add_mean(network *net, uint32_t in)
{
    uint32_t n = net->layers[in].n;
    nvm_layer *layer = add_unary(net, NVM_MEAN, (shape){1, 1, random_channels(net)}, in);
    layer->off_table0 = network_put_words(net, n, 0, (int32_t)layer->n - 1);
    double magnitude = (layer->flags & NVM_FLAG_WIDE ? 20000.0 : 100.0) * sqrt(n);
    add_requant(net, layer, fitting_rule(net, layer), 1, magnitude);
    random_clamp(net, layer);
}

/* One or several tables; those of all int16 codes are one a network, because they are large. */
static void add_table_to(network *net, uint32_t in, int to_wide)
{
    int from_wide = is_wide_layer(net, in);
    nvm_layer *layer = add_unary(net, NVM_TABLE, net->shapes[in], in);
    layer->flags = to_wide ? NVM_FLAG_WIDE : 0;
    layer->aux[0] = (uint32_t)random_in(&net->seed, 1, from_wide ? 2 : 3);
    layer->aux[1] = (uint32_t)random_in(&net->seed, 1, 5);
    if (from_wide && net->large == 0) {
        net->large = network_put_codes(net, 2 * 65536 * sizeof(int16_t));
    }
    layer->off_table0 =
        from_wide ? net->large : network_put_codes(net, layer->aux[0] * 256 * (to_wide ? 2 : 1));
}

static void add_table(network *net, uint32_t in)
{
    add_table_to(net, in, random_in(&net->seed, 0, 3) == 0);
}

/* The table is one a network, because it is large. */
static void add_table2(network *net, uint32_t in)
{
    uint32_t other = same_size(net, in), shared = 0;
    for (uint32_t i = 0; i < net->n; i++) {
        shared = net->layers[i].kind == NVM_TABLE2 ? net->layers[i].off_table0 : shared;
    }
    nvm_layer *layer = add_unary(net, NVM_TABLE2, net->shapes[in], in);
    layer->n_in = 2;
    layer->in[1] = other;
    layer->off_table0 = shared != 0 ? shared : network_put_codes(net, 256 * 256);
}

/* An earlier layer that can be the right factor of one group, or the left one itself. */
static uint32_t same_inner(network *net, uint32_t in, uint32_t inner)
{
    uint32_t other = (uint32_t)random_in(&net->seed, 0, (int32_t)net->n - 1);
    int fits = net->layers[other].n % inner == 0 &&
               is_wide_layer(net, other) == is_wide_layer(net, in);
    return fits ? other : in;
}

/* The left factor as one group of rows, or (both of one size) as many groups of one row. */
static void add_matmul(network *net, uint32_t in)
{
    uint32_t n = net->layers[in].n, inner = net->shapes[in].c, rows = n / inner;
    uint32_t other = random_in(&net->seed, 0, 1) ? same_inner(net, in, inner) : same_size(net, in);
    uint32_t groups = net->layers[other].n == n ? rows : 1;
    uint32_t cols = net->layers[other].n / inner / groups;
    shape out = {1, n / inner, cols};
    nvm_layer *layer = add_unary(net, NVM_MATMUL, out, in);
    layer->n_in = 2;
    layer->in[1] = other;
    layer->in_c = inner;
    layer->out_h = rows / groups;
    layer->out_c = cols;
    layer->zero_in = (int8_t)random_in(&net->seed, -128, 127);
    add_requant(net, layer, random_rule(net), 1, 8000.0 * sqrt(inner));
    layer->aux[1] = (uint32_t)random_in(&net->seed, 0, 255);
    random_clamp(net, layer);
}

static void add_argmax(network *net, uint32_t in)
{
    shape from = net->shapes[in];
    nvm_layer *layer = add_unary(net, NVM_ARGMAX, (shape){from.h, from.w, 1}, in);
    layer->out_h = layer->n;
    layer->out_c = from.c;
    layer->aux[0] = (uint32_t)(random_in(&net->seed, 0, 3) == 0);
    layer->lo = -128;
    layer->hi = 127;
}

/* The tables are one pair a network, because they are large. Of every other network they are steps of few
 * heights, so that cells come to rest. */
static void put_curves(network *net, nvm_layer *layer)
{
    static const int16_t heights[] = {0, 0, 0, 32767, 32767, -32768, 9000};
    for (uint32_t i = 0; i + 1 < net->n; i++) {
        if (net->layers[i].kind == NVM_LSTM) {
            layer->off_table0 = net->layers[i].off_table0;
            layer->off_table1 = net->layers[i].off_table1;
            return;
        }
    }
    enum { ENTRIES = 65536, STEP = 8192 };
    layer->off_table0 = network_put_codes(net, 3 * ENTRIES * sizeof(int16_t));
    layer->off_table1 = layer->off_table0 + ENTRIES * (uint32_t)sizeof(int16_t);
    int16_t *curves = (int16_t *)(void *)(net->arena + layer->off_table0);
    int in_steps = random_in(&net->seed, 0, 1);
    for (size_t i = 0; in_steps && i < 3 * ENTRIES; i++) {
        curves[i] = i % STEP == 0 ? heights[random_in(&net->seed, 0, 6)] : curves[i - 1];
    }
}

static void add_lstm(network *net, uint32_t in)
{
    shape from = net->shapes[in];
    uint32_t units = random_channels(net), width, m[9], e[9];
    int extreme = random_in(&net->seed, 0, 3) == 0;
    units = units > 9 && (net->wide || random_in(&net->seed, 0, 2)) ? 9 : units;
    nvm_layer *layer = add_unary(net, NVM_LSTM, (shape){from.h, from.w, units}, in);
    width = 4 * units;
    layer->in_c = from.c;
    layer->out_h = from.h;
    layer->out_w = from.w;
    layer->out_c = units;
    layer->zero_in = (int8_t)random_in(&net->seed, -128, 127);
    layer->zero_out = (int8_t)random_in(&net->seed, -128, 127);
    layer->off_weights = network_put_codes(net, (size_t)(from.c + units) * width);
    layer->off_bias = network_put_words(net, width, -5000, 5000);
    layer->requant = NVM_RQ_DOUBLE;
    for (int k = 0; k < 9; k++) {
        m[k] = (uint32_t)random_in(&net->seed, 1 << 30, INT32_MAX);
        e[k] = (uint32_t)(k == 8 ? -random_in(&net->seed, 20, 24) : random_in(&net->seed, -3, 4));
        if (extreme) {
            m[k] = (uint32_t)random_in(&net->seed, 1, INT32_MAX);
            e[k] = (uint32_t)random_in(&net->seed, -31, 30);
        }
    }
    layer->off_scale = network_put(net, m, sizeof m);
    layer->off_shift = network_put(net, e, sizeof e);
    put_curves(net, layer);
    layer->aux[0] = (uint32_t)random_in(&net->seed, 15, 21);
    layer->aux[0] += random_in(&net->seed, 0, 1) ? 256 : 0;
    layer->aux[1] = random_in(&net->seed, 0, 1) ? (uint32_t)random_in(&net->seed, 1, 30000) : 0;
    random_clamp(net, layer);
}

static void add_svdf(network *net, uint32_t in)
{
    shape from = net->shapes[in];
    uint32_t units = random_channels(net), rank = (uint32_t)random_in(&net->seed, 1, 3);
    uint32_t batches = from.h * from.w, steps = (uint32_t)random_in(&net->seed, 1, 5);
    units = units > 9 ? 9 : units;
    int32_t m[2], e[2];
    nvm_layer *layer = add_unary(net, NVM_SVDF, (shape){from.h, from.w, units}, in);
    layer->in_c = from.c;
    layer->out_h = batches;
    layer->out_w = steps;
    layer->out_c = units;
    layer->aux[0] = rank;
    layer->aux[1] = random_in(&net->seed, 0, 1) ? (uint32_t)random_in(&net->seed, 1, 256) : 0;
    layer->zero_in = (int8_t)random_in(&net->seed, -128, 127);
    layer->zero_out = (int8_t)random_in(&net->seed, -128, 127);
    layer->off_weights = network_put_codes(net, (size_t)from.c * units * rank);
    layer->off_table0 = network_put_codes(net, (size_t)units * rank * steps * 2);
    layer->off_bias = network_put_words(net, units, -1000000, 1000000);
    layer->requant = NVM_RQ_DOUBLE;
    for (int k = 0; k < 2; k++) {
        m[k] = random_in(&net->seed, 1 << 30, INT32_MAX);
        e[k] = k == 0 ? (layer->aux[1] != 0 ? -random_in(&net->seed, 5, 9)
                                            : random_in(&net->seed, -4, 1))
                      : (layer->aux[1] != 0 ? -random_in(&net->seed, 12, 18)
                                            : -random_in(&net->seed, 19, 25));
    }
    layer->off_scale = network_put(net, m, sizeof m);
    layer->off_shift = network_put(net, e, sizeof e);
    random_clamp(net, layer);
}

static void add_state(network *net, uint32_t in)
{
    nvm_layer *layer = network_add(net, NVM_STATE, net->shapes[in]);
    layer->flags = net->layers[in].flags & NVM_FLAG_WIDE;
    layer->off_table0 = network_put_codes(net, layer->n * (layer->flags != 0 ? 2 : 1));
    layer->aux[0] = in;
}

uint32_t add_feedback(network *net, uint32_t in)
{
    add_state(net, in);
    uint32_t state = net->n - 1;
    nvm_layer *layer = add_unary(net, NVM_ADD, net->shapes[in], in);
    finish_sum(net, layer, state);
    net->layers[state].aux[0] = net->n - 1;
    return net->n - 1;
}

/* The layer itself, or a table that turns its codes into those of the width a kind reads. */
static uint32_t of_width(network *net, nvm_kind kind, uint32_t in)
{
    int only_narrow = kind == NVM_TABLE2 || kind == NVM_SOFTMAXQ ||
                      kind == NVM_L2NORM || kind == NVM_LOGSOFTMAX || kind == NVM_MATMUL ||
                      kind == NVM_ARGMAX || kind == NVM_LSTM || kind == NVM_SVDF ||
                      kind == NVM_LOGSOFTMAXQ;
    if (is_wide_layer(net, in) ? only_narrow : kind == NVM_PAIR) {
        add_table_to(net, in, kind == NVM_PAIR);
        return net->n - 1;
    }
    return in;
}

uint32_t add_random(network *net, nvm_kind kind, uint32_t in)
{
    in = of_width(net, kind, in);
    switch (kind) {
    case NVM_DENSE:
    case NVM_CONV:
    case NVM_DWCONV:
        add_weighted(net, kind, in);
        break;
    case NVM_ADD:
        add_sum(net, in);
        break;
    case NVM_AVGPOOL:
    case NVM_MAXPOOL:
        add_pool(net, kind, in);
        break;
    case NVM_MEAN:
        add_mean(net, in);
        break;
    case NVM_MAP:
        add_map(net, in);
        break;
    case NVM_TABLE:
        add_table(net, in);
        break;
    case NVM_SOFTMAX:
        if (is_wide_layer(net, in)) {
            add_wide_softmax(net, in);
        } else {
            add_softmax(net, in);
        }
        break;
    case NVM_TABLE2:
        add_table2(net, in);
        break;
    case NVM_SOFTMAXQ:
        add_softmaxq(net, in);
        break;
    case NVM_LERP:
        add_lerp(net, in);
        break;
    case NVM_L2NORM:
        add_l2norm(net, in);
        break;
    case NVM_LOGSOFTMAX:
        add_logsoftmax(net, in);
        break;
    case NVM_LOGSOFTMAXQ:
        add_logsoftmaxq(net, in);
        break;
    case NVM_MATMUL:
        add_matmul(net, in);
        break;
    case NVM_ARGMAX:
        add_argmax(net, in);
        break;
    case NVM_STATE:
        add_state(net, in);
        break;
    case NVM_PAIR:
        add_pair(net, in);
        break;
    case NVM_SVDF:
        add_svdf(net, in);
        break;
    case NVM_LSTM:
        add_lstm(net, in);
        break;
    default:
        abort();
    }
    return net->n - 1;
}

uint32_t add_spiking(network *net, nvm_kind kind, nvm_neuron neuron, uint32_t in)
{
    nvm_layer *layer = &net->layers[net->n];
    (void)add_synapses(net, kind, in);
    layer->neuron = (uint8_t)neuron;
    layer->off_bias = network_put_words(net, layer->out_c, -20, 30);
    layer->theta = random_in(&net->seed, 1, 300);
    layer->reset = (uint32_t)random_in(&net->seed, 0, 2);
    layer->reset_value = layer->reset == NVM_RESET_VALUE ? random_in(&net->seed, -100, 50) : 0;
    layer->leak_q16 = neuron == NVM_LIF ? (uint32_t)random_in(&net->seed, 0, 65536) : 65536;
    if (neuron == NVM_SIF) {
        layer->reset = NVM_RESET_SUBTRACT;
        layer->reset_value = -random_in(&net->seed, 0, 9);
        layer->aux[0] = (uint32_t)random_in(&net->seed, 0, 9);
    }
    return net->n - 1;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs that must be refused, each one change away from a good one.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "nvm_test.h"

/* INPUT, then one layer of the kind; NULL-terminated changes are made to that layer. */
static network *two_layers(nvm_kind kind)
{
    network *net = network_new(kind + 40u);
    (void)add_input(net, (shape){4, 5, 6}, 1);
    (void)add_random(net, kind, 0);
    net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
    return net;
}

/* The same on int16 codes. */
static network *two_wide_layers(nvm_kind kind)
{
    network *net = network_new(kind + 80u);
    (void)add_wide_input(net, (shape){4, 5, 6}, 1);
    (void)add_random(net, kind, 0);
    net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
    return net;
}

static nvm_status init_status(const network *net, uint32_t *bad)
{
    nvm_program program;
    return nvm_program_init(&program, net->layers, net->n, net->arena, net->len, bad);
}

#define REFUSED(kind, wanted, change)      REFUSED_OF(two_layers, kind, wanted, change)
#define WIDE_REFUSED(kind, wanted, change) REFUSED_OF(two_wide_layers, kind, wanted, change)

/* The program after `change` is refused with `wanted`, naming the layer; before, it was good. */
#define REFUSED_OF(make, kind, wanted, change)                                                     \
    do {                                                                                           \
        uint32_t bad_ = 9;                                                                         \
        network *net = make(kind);                                                                 \
        nvm_layer *layer = &net->layers[net->n - 1];                                               \
        CHECK(init_status(net, NULL) == NVM_OK);                                                   \
        (void)layer;                                                                               \
        change;                                                                                    \
        CHECK(init_status(net, &bad_) == (wanted));                                                \
        CHECK(bad_ == net->n - 1);                                                                 \
        free(net);                                                                                 \
    } while (0)

static void fields_of_every_kind(void)
{
    for (uint32_t k = NVM_DENSE; k < NVM_KIND_COUNT; k++) {
        nvm_kind kind = (nvm_kind)k;
        REFUSED(kind, NVM_E_ARG, layer->kind = NVM_KIND_COUNT);
        REFUSED(kind, NVM_E_ARG, layer->requant = NVM_RQ_COUNT);
        REFUSED(kind, NVM_E_FORMAT, layer->neuron = NVM_NEURON_COUNT);
        REFUSED(kind, NVM_E_FORMAT, layer->neuron = NVM_LIF); /* with an SD layer's fields */
        REFUSED(kind, NVM_E_FORMAT, layer->flags |= 32);
        REFUSED(kind, NVM_E_FORMAT, layer->flags |= NVM_FLAG_SPIKES);
        REFUSED(kind, NVM_E_FORMAT, layer->in[0] = net->n - 1); /* itself */
        REFUSED(kind, NVM_E_FORMAT, layer->in[0] = 7);
        REFUSED(kind, NVM_E_FORMAT, layer->n_in = kind == NVM_STATE ? 1 : 0);
        REFUSED(kind, NVM_E_FORMAT, layer->n_in = 3);
        REFUSED(kind, NVM_E_RANGE, layer->n = 0);
        REFUSED(kind, NVM_E_RANGE, layer->n = NVM_MAX_NEURONS + 1);
        REFUSED(kind, NVM_E_FORMAT, (layer->lo = 5, layer->hi = 4));
        REFUSED(kind, NVM_E_FORMAT, (layer->lo_s16 = 5, layer->hi_s16 = 4));
        REFUSED(kind, NVM_E_FORMAT, layer->reserved[0] = 1);
        REFUSED(kind, NVM_E_FORMAT, layer->reserved_s16 = 1);
        REFUSED(kind, NVM_E_FORMAT, layer->theta = 1);
        REFUSED(kind, NVM_E_FORMAT, layer->leak_q16 = 65536);
        if (kind != NVM_PAIR) { /* which has a table before it */
            REFUSED(kind, NVM_E_FORMAT,
                    net->layers[0].flags = NVM_FLAG_SPIKES); /* read by an SD layer */
        }
    }
}

static void shapes(void)
{
    REFUSED(NVM_DENSE, NVM_E_FORMAT, layer->in_c++);
    REFUSED(NVM_DENSE, NVM_E_FORMAT, layer->out_c++);
    REFUSED(NVM_DENSE, NVM_E_FORMAT, layer->k_h = 1);
    for (int k = 0; k < 4; k++) {
        nvm_kind kind = k == 0   ? NVM_CONV
                        : k == 1 ? NVM_DWCONV
                        : k == 2 ? NVM_AVGPOOL
                                 : NVM_MAXPOOL;
        REFUSED(kind, NVM_E_FORMAT, layer->in_h++);
        REFUSED(kind, NVM_E_FORMAT, layer->out_w++);
        REFUSED(kind, NVM_E_FORMAT, layer->n--);
        REFUSED(kind, NVM_E_FORMAT, layer->k_h = 0);
        REFUSED(kind, NVM_E_FORMAT, layer->stride_w = 0);
        REFUSED(kind, NVM_E_FORMAT, layer->dil_h = 0);
        REFUSED(kind, NVM_E_FORMAT,
                (layer->in_h = 0x80000000u, layer->in_w = 2)); /* 2^32 wraps to 0 */
    }
    REFUSED(NVM_CONV, NVM_E_FORMAT, layer->groups = 0);
    REFUSED(NVM_CONV, NVM_E_FORMAT, layer->groups = 5);
    REFUSED(NVM_DWCONV, NVM_E_FORMAT, layer->groups = 0);
    REFUSED(NVM_CONV, NVM_E_SIZE,
            (layer->k_h = 65535, layer->k_w = 65535)); /* weights beyond the arena */
    REFUSED(NVM_CONV, NVM_E_RANGE, (layer->k_h = 65535, layer->dil_h = 65535));
    REFUSED(NVM_MAXPOOL, NVM_E_FORMAT, layer->pad_t = INT16_MAX); /* windows that read nothing */
    REFUSED(NVM_AVGPOOL, NVM_E_FORMAT, layer->pad_l = INT16_MIN);
    REFUSED(NVM_AVGPOOL, NVM_E_FORMAT, layer->aux[0] = 2);
    REFUSED(NVM_AVGPOOL, NVM_E_FORMAT, layer->aux[1] = 1);
    REFUSED(NVM_MAXPOOL, NVM_E_FORMAT, layer->aux[0] = 1);
    REFUSED(NVM_SOFTMAX, NVM_E_FORMAT, layer->out_h++);
    REFUSED(NVM_SOFTMAX, NVM_E_FORMAT, layer->out_c = 0);
    REFUSED(NVM_SOFTMAXQ, NVM_E_FORMAT, layer->out_h++);
    REFUSED(NVM_L2NORM, NVM_E_FORMAT, layer->out_h++);
    REFUSED(NVM_LOGSOFTMAX, NVM_E_FORMAT, layer->out_c = 0);
    REFUSED(NVM_LOGSOFTMAXQ, NVM_E_FORMAT, layer->out_c = 0);
    REFUSED(NVM_LOGSOFTMAXQ, NVM_E_SIZE, layer->off_table1 = (uint32_t)net->len);
    REFUSED(NVM_LOGSOFTMAX, NVM_E_RANGE, layer->aux[0] = 1);
    REFUSED(NVM_LERP, NVM_E_RANGE, layer->aux[0] = 31);
    REFUSED(NVM_LERP, NVM_E_RANGE, layer->aux[1] = 2);
    REFUSED(NVM_LERP, NVM_E_SIZE, layer->off_scale = (uint32_t)net->len);
    REFUSED(NVM_SOFTMAXQ, NVM_E_FORMAT, layer->out_c = 0);
    REFUSED(NVM_MATMUL, NVM_E_FORMAT, layer->in_c++);
    REFUSED(NVM_MATMUL, NVM_E_FORMAT, layer->in_c = 0);
    REFUSED(NVM_MATMUL, NVM_E_FORMAT, layer->out_h = 0);
    REFUSED(NVM_MATMUL, NVM_E_FORMAT, layer->out_c = UINT32_MAX);
    REFUSED(NVM_MATMUL, NVM_E_RANGE, layer->aux[1] = 256);
    REFUSED(NVM_MATMUL, NVM_E_FORMAT, layer->off_bias = 64);
    REFUSED(NVM_ARGMAX, NVM_E_FORMAT, layer->out_h++);
    REFUSED(NVM_ARGMAX, NVM_E_FORMAT, layer->out_c++);
    REFUSED(NVM_ARGMAX, NVM_E_FORMAT, layer->zero_in = 1);
    REFUSED(NVM_ARGMAX, NVM_E_RANGE, layer->aux[0] = 4);
    REFUSED(NVM_TABLE, NVM_E_RANGE, layer->aux[0] = 0);
    REFUSED(NVM_TABLE, NVM_E_RANGE, layer->aux[1] = 0);
    REFUSED(NVM_TABLE, NVM_E_SIZE, layer->aux[0] = UINT32_MAX);
    REFUSED(NVM_SVDF, NVM_E_FORMAT, layer->in_c++);
    REFUSED(NVM_SVDF, NVM_E_FORMAT, layer->out_c++);
    REFUSED(NVM_SVDF, NVM_E_FORMAT, layer->out_h++);
    REFUSED(NVM_SVDF, NVM_E_FORMAT, layer->out_w = 0);
    REFUSED(NVM_SVDF, NVM_E_FORMAT, layer->requant = NVM_RQ_FP32);
    REFUSED(NVM_SVDF, NVM_E_RANGE, layer->aux[0] = 0);
    REFUSED(NVM_SVDF, NVM_E_RANGE, layer->aux[0] = UINT32_MAX);
    REFUSED(NVM_SVDF, NVM_E_RANGE, layer->out_w = UINT32_MAX); /* it would carry too much */
    REFUSED(NVM_SVDF, NVM_E_RANGE, layer->aux[1] = 257);
    REFUSED(NVM_LSTM, NVM_E_FORMAT, layer->in_c++);
    REFUSED(NVM_LSTM, NVM_E_FORMAT, layer->out_c++);
    REFUSED(NVM_LSTM, NVM_E_FORMAT, layer->out_h = 0);
    REFUSED(NVM_LSTM, NVM_E_FORMAT, layer->out_w++);
    REFUSED(NVM_LSTM, NVM_E_FORMAT, layer->requant = NVM_RQ_SINGLE);
    REFUSED(NVM_LSTM, NVM_E_RANGE, layer->aux[0] = 14);
    REFUSED(NVM_LSTM, NVM_E_RANGE, layer->aux[0] = 22);
    REFUSED(NVM_LSTM, NVM_E_RANGE, layer->aux[0] += 512);
    REFUSED(NVM_LSTM, NVM_E_RANGE, layer->aux[1] = 32768);
    REFUSED(NVM_STATE, NVM_E_FORMAT, layer->aux[0] = 2); /* no such layer */
    REFUSED(NVM_STATE, NVM_E_FORMAT, layer->aux[1] = 1);
    REFUSED(NVM_STATE, NVM_E_FORMAT, layer->n--); /* its source has another number of codes */
    REFUSED(NVM_ADD, NVM_E_FORMAT, layer->n--);
    REFUSED(NVM_TABLE2, NVM_E_FORMAT, layer->n--);
}

static void offsets(void)
{
    REFUSED(NVM_DENSE, NVM_E_SIZE, layer->off_weights += 1);
    REFUSED(NVM_DENSE, NVM_E_SIZE, layer->off_weights = 0xFFFFFFC0u);
    REFUSED(NVM_DENSE, NVM_E_SIZE, layer->off_bias = (uint32_t)net->len);
    REFUSED(NVM_DENSE, NVM_E_SIZE, net->len -= 64);
    REFUSED(NVM_DENSE, NVM_E_FORMAT, layer->off_table0 = 64); /* a field it does not name */
    REFUSED(NVM_ADD, NVM_E_SIZE, layer->off_table1 = (uint32_t)net->len - 64);
    REFUSED(NVM_TABLE2, NVM_E_SIZE, layer->off_table0 = (uint32_t)net->len - 65472);
    REFUSED(NVM_MEAN, NVM_E_SIZE, layer->off_table0 = (uint32_t)net->len - 64);
    REFUSED(NVM_SOFTMAXQ, NVM_E_SIZE, layer->off_table0 = (uint32_t)net->len - 64);
    REFUSED(NVM_SOFTMAX, NVM_E_SIZE, layer->off_table0 = (uint32_t)net->len - 64);
    REFUSED(NVM_MAP, NVM_E_SIZE, layer->off_table1 = (uint32_t)net->len - 64);
    REFUSED(NVM_LSTM, NVM_E_SIZE, layer->off_table0 = (uint32_t)net->len - 64);
    REFUSED(NVM_LSTM, NVM_E_SIZE, layer->off_table1 = (uint32_t)net->len - 65536);
    REFUSED(NVM_LSTM, NVM_E_SIZE, layer->off_weights = (uint32_t)net->len);
    REFUSED(NVM_LSTM, NVM_E_SIZE, layer->off_bias = (uint32_t)net->len);
    REFUSED(NVM_SVDF, NVM_E_SIZE, layer->off_table0 = (uint32_t)net->len);
    REFUSED(NVM_SVDF, NVM_E_SIZE, layer->off_weights = (uint32_t)net->len);
    REFUSED(NVM_SVDF, NVM_E_SIZE, layer->off_bias = (uint32_t)net->len);
    REFUSED(NVM_SVDF, NVM_E_SIZE, layer->off_shift = (uint32_t)net->len);
    REFUSED(NVM_LSTM, NVM_E_SIZE, layer->off_scale = (uint32_t)net->len);
    REFUSED(NVM_STATE, NVM_E_SIZE, layer->off_table0 = (uint32_t)net->len - 64);
}

static void set_float(network *net, uint32_t offset, float value)
{
    memcpy(net->arena + offset, &value, sizeof value);
}

static void set_word(network *net, uint32_t offset, uint32_t value)
{
    memcpy(net->arena + offset, &value, sizeof value);
}

static void give_rule(network *net, nvm_requant rule)
{
    net->layers[1].aux[0] = net->layers[1].off_scale = net->layers[1].off_shift = 0;
    add_requant(net, &net->layers[1], rule, net->layers[1].out_c, 1000.0);
    CHECK(init_status(net, NULL) == NVM_OK);
}

static void contents(void)
{
    const float wrong[] = {0.0f, -1.0f, NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 5; k++) {
        REFUSED(NVM_DENSE, NVM_E_RANGE,
                (give_rule(net, NVM_RQ_FP32), set_float(net, layer->off_scale, wrong[k])));
        REFUSED(NVM_SOFTMAX, NVM_E_RANGE, set_float(net, layer->off_scale, wrong[k]));
        REFUSED(NVM_SOFTMAX, NVM_E_RANGE, set_float(net, layer->off_table0, wrong[k]));
    }
    REFUSED(NVM_DENSE, NVM_E_RANGE,
            (give_rule(net, NVM_RQ_AFFINE), set_float(net, layer->off_shift, NAN)));
    REFUSED(NVM_DENSE, NVM_E_RANGE,
            (give_rule(net, NVM_RQ_DOUBLE), set_word(net, layer->off_scale, 0x80000000u)));
    REFUSED(NVM_DENSE, NVM_E_RANGE,
            (give_rule(net, NVM_RQ_SINGLE), set_word(net, layer->off_shift, 31)));
    REFUSED(NVM_DENSE, NVM_E_RANGE,
            (give_rule(net, NVM_RQ_HALFUP), set_word(net, layer->off_shift, (uint32_t)-32)));
    REFUSED(NVM_DENSE, NVM_E_RANGE, (give_rule(net, NVM_RQ_SHIFT), layer->aux[0] = 32));
    REFUSED(NVM_DENSE, NVM_E_RANGE, (give_rule(net, NVM_RQ_SHIFT), layer->aux[0] = 0));
    for (nvm_requant rule = NVM_RQ_FP32; rule <= NVM_RQ_HALFUP; rule++) {
        REFUSED(NVM_DENSE, NVM_E_SIZE,
                (give_rule(net, rule), layer->off_scale = (uint32_t)net->len));
    }
    REFUSED(NVM_DENSE, NVM_E_FORMAT, layer->requant = NVM_RQ_NONE);
    REFUSED(NVM_TABLE, NVM_E_FORMAT, layer->requant = NVM_RQ_FP32);
    REFUSED(NVM_MEAN, NVM_E_RANGE, set_word(net, layer->off_table0, layer->n));
    REFUSED(NVM_MAP, NVM_E_RANGE, set_word(net, layer->off_table0, 100000));
    REFUSED(NVM_MAP, NVM_E_FORMAT, set_word(net, layer->off_table1, 1));
    REFUSED(NVM_MAP, NVM_E_FORMAT,
            set_word(net, layer->off_table1 + 4, 0x7FFFFFFF)); /* falls after it */
    REFUSED(NVM_MAP, NVM_E_FORMAT, set_word(net, layer->off_weights, layer->n));
    REFUSED(NVM_SOFTMAXQ, NVM_E_RANGE, set_word(net, layer->off_table0, 0x3FFFFFFFu));
    REFUSED(NVM_SOFTMAXQ, NVM_E_RANGE, set_word(net, layer->off_table0 + 4, 0x80000000u));
    REFUSED(NVM_L2NORM, NVM_E_RANGE, set_word(net, layer->off_table0, 256));
    REFUSED(NVM_LOGSOFTMAX, NVM_E_RANGE, set_float(net, layer->off_table0, 0.5f));
    REFUSED(NVM_LOGSOFTMAX, NVM_E_RANGE, set_float(net, layer->off_scale, NAN));
    REFUSED(NVM_LOGSOFTMAXQ, NVM_E_RANGE, set_word(net, layer->off_table0, 1));
    REFUSED(NVM_LOGSOFTMAXQ, NVM_E_RANGE, set_word(net, layer->off_table1, 1));
    REFUSED(NVM_LERP, NVM_E_RANGE, set_word(net, layer->off_table0, net->layers[0].n));
    REFUSED(NVM_LERP, NVM_E_FORMAT, set_word(net, layer->off_table1, 1));
    REFUSED(NVM_LERP, NVM_E_FORMAT, set_word(net, layer->off_weights, layer->n));
}

/* A multiply-accumulate layer with int32 or int64 accumulators and a rule that fits it. */
static void give_wide_rule(network *net, nvm_requant rule, int is_long)
{
    nvm_layer *layer = &net->layers[1];
    layer->flags = (uint8_t)(NVM_FLAG_OUTPUT | NVM_FLAG_WIDE | (is_long ? NVM_FLAG_LONG : 0));
    layer->off_bias = network_put_words(net, 2 * layer->out_c, -9, 9);
    add_requant(net, layer, rule, layer->out_c, 1e6);
    CHECK(init_status(net, NULL) == NVM_OK);
}

static void wide_layers(void)
{
    for (uint32_t k = NVM_DENSE; k < NVM_KIND_COUNT; k++) {
        nvm_kind kind = (nvm_kind)k;
        WIDE_REFUSED(kind, NVM_E_FORMAT, layer->flags ^= NVM_FLAG_WIDE | NVM_FLAG_UNIT);
        WIDE_REFUSED(kind, NVM_E_FORMAT, layer->flags |= NVM_FLAG_SPIKES);
        WIDE_REFUSED(kind, NVM_E_FORMAT, (layer->lo_s16 = 5, layer->hi_s16 = 4));
        WIDE_REFUSED(kind, NVM_E_FORMAT, (layer->lo = -1, layer->hi = 1, layer->lo_s16 = 2));
        if (kind != NVM_DENSE && kind != NVM_CONV && kind != NVM_DWCONV) {
            WIDE_REFUSED(kind, NVM_E_FORMAT, layer->flags |= NVM_FLAG_LONG);
        }
        if (kind != NVM_TABLE && kind != NVM_SOFTMAX && kind != NVM_SOFTMAXQ) {
            /* inputs of one width, output of another */
            WIDE_REFUSED(kind, NVM_E_FORMAT,
                         (layer->flags ^= NVM_FLAG_WIDE, layer->lo = layer->hi = 0,
                          layer->zero_out_s16 = layer->lo_s16 = layer->hi_s16 = 0));
        }
    }
    WIDE_REFUSED(NVM_DENSE, NVM_E_FORMAT, layer->zero_in = 1);
    WIDE_REFUSED(NVM_DENSE, NVM_E_FORMAT, layer->zero_out = 1);
    WIDE_REFUSED(NVM_DENSE, NVM_E_FORMAT,
                 (give_wide_rule(net, NVM_RQ_DOUBLE, 0), layer->flags |= NVM_FLAG_LONG));
    WIDE_REFUSED(NVM_DENSE, NVM_E_FORMAT,
                 (give_wide_rule(net, NVM_RQ_HALFUP, 0), layer->flags |= NVM_FLAG_LONG));
    for (nvm_requant rule = NVM_RQ_NONE; rule < NVM_RQ_COUNT; rule++) {
        if (rule < NVM_RQ_DOUBLE || rule == NVM_RQ_SINGLE || rule == NVM_RQ_SHIFT ||
            rule == NVM_RQ_AFFINE) {
            WIDE_REFUSED(NVM_DENSE, NVM_E_FORMAT,
                         (give_wide_rule(net, NVM_RQ_HALF16, 0), layer->requant = (uint8_t)rule));
        }
    }
    REFUSED(NVM_DENSE, NVM_E_FORMAT,
            (give_rule(net, NVM_RQ_DOUBLE), layer->requant = NVM_RQ_HALF16));
    REFUSED(NVM_DENSE, NVM_E_FORMAT,
            (give_rule(net, NVM_RQ_DOUBLE), layer->requant = NVM_RQ_AWAY64));
    REFUSED(NVM_DENSE, NVM_E_FORMAT,
            (give_rule(net, NVM_RQ_FP32), layer->requant = NVM_RQ_AWAY32));
    WIDE_REFUSED(NVM_DENSE, NVM_E_RANGE,
                 (give_wide_rule(net, NVM_RQ_AWAY32, 0), set_word(net, layer->off_scale, 0x7F800000u)));
    WIDE_REFUSED(NVM_DENSE, NVM_E_RANGE,
                 (give_wide_rule(net, NVM_RQ_HALF16, 1), set_word(net, layer->off_shift, 15)));
    WIDE_REFUSED(NVM_DENSE, NVM_E_RANGE,
                 (give_wide_rule(net, NVM_RQ_AWAY64, 1),
                  set_word(net, layer->off_scale + 4, 0x7FF00000u)));
    WIDE_REFUSED(NVM_DENSE, NVM_E_SIZE,
                 (give_wide_rule(net, NVM_RQ_AWAY64, 1),
                  layer->off_bias = (uint32_t)(net->len - (layer->out_c * 8 - 1) / 64 * 64)));
    WIDE_REFUSED(NVM_ADD, NVM_E_RANGE, set_word(net, layer->off_table0, 16));
    WIDE_REFUSED(NVM_ADD, NVM_E_RANGE, set_word(net, layer->off_table1 + 4, 0x80000000u));
    WIDE_REFUSED(NVM_ADD, NVM_E_RANGE, set_word(net, layer->off_table0 + 8, 31));
    WIDE_REFUSED(NVM_ADD, NVM_E_RANGE, set_word(net, layer->off_table1 + 12, 0));
    WIDE_REFUSED(NVM_ADD, NVM_E_SIZE, layer->off_table1 = (uint32_t)net->len);
    WIDE_REFUSED(NVM_ADD, NVM_E_RANGE, set_word(net, layer->off_table0 + 16, 16));
    WIDE_REFUSED(NVM_SOFTMAX, NVM_E_RANGE, set_word(net, layer->off_table0, 0x3FFF));
    WIDE_REFUSED(NVM_SOFTMAX, NVM_E_RANGE, set_word(net, layer->off_table0 + 4, 0x8000));
    WIDE_REFUSED(NVM_SOFTMAX, NVM_E_RANGE, set_word(net, layer->off_table1 + 1024, 0xFFFF));
    WIDE_REFUSED(NVM_SOFTMAX, NVM_E_RANGE, layer->zero_out_s16 = 1);
    WIDE_REFUSED(NVM_SOFTMAX, NVM_E_SIZE, layer->off_table1 = (uint32_t)net->len);
    REFUSED(NVM_SOFTMAX, NVM_E_FORMAT, layer->off_table1 = 64);
    REFUSED(NVM_ADD, NVM_E_FORMAT, layer->aux[1] = 1);
    WIDE_REFUSED(NVM_PAIR, NVM_E_FORMAT, layer->aux[0] = 3);
    WIDE_REFUSED(NVM_PAIR, NVM_E_FORMAT, (layer->aux[0] = 1, layer->requant = NVM_RQ_DOUBLE));
    WIDE_REFUSED(NVM_PAIR, NVM_E_FORMAT, layer->n--);
    WIDE_REFUSED(NVM_AVGPOOL, NVM_E_FORMAT, layer->aux[0] = 1);
    WIDE_REFUSED(NVM_TABLE, NVM_E_SIZE, layer->off_table0 = (uint32_t)net->len - 65472);
    REFUSED(NVM_TABLE, NVM_E_SIZE,
            (layer->flags = NVM_FLAG_OUTPUT | NVM_FLAG_WIDE, layer->aux[0] = 3,
             layer->off_table0 = (uint32_t)net->len - 1536 + 64));
}

static void whole_programs(void)
{
    network *net = two_layers(NVM_DENSE);
    nvm_program program;
    uint32_t bad;
    CHECK(nvm_program_init(NULL, net->layers, net->n, net->arena, net->len, &bad) == NVM_E_ARG);
    CHECK(nvm_program_init(&program, NULL, net->n, net->arena, net->len, &bad) == NVM_E_ARG);
    CHECK(nvm_program_init(&program, net->layers, net->n, NULL, net->len, &bad) == NVM_E_ARG);
    CHECK(nvm_program_init(&program, net->layers, 0, net->arena, net->len, &bad) == NVM_E_RANGE);
    CHECK(nvm_program_init(&program, net->layers, NVM_MAX_LAYERS + 1, net->arena, net->len, &bad) ==
          NVM_E_RANGE);
    CHECK(nvm_program_init(&program, net->layers, net->n, net->arena + 32, net->len, &bad) ==
          NVM_E_SIZE);
    CHECK(bad == UINT32_MAX && program.n_layers == 0);
    CHECK(nvm_session_init(net->arena, net->len, &program, NULL, NULL) == NVM_E_ARG);
    net->layers[1].flags = 0; /* no output */
    CHECK(init_status(net, &bad) == NVM_E_FORMAT && bad == UINT32_MAX);
    net->layers[1].flags = NVM_FLAG_OUTPUT;
    net->layers[0].kind = NVM_CONST; /* no input */
    net->layers[0].zero_out = 0;
    CHECK(init_status(net, &bad) == NVM_E_FORMAT && bad == UINT32_MAX);
    free(net);
}

/* Layers together, and the work of a pass, are bounded. */
static void totals(void)
{
    network *net = network_new(3);
    for (int k = 0; k < 2; k++) {
        (void)add_input(net, (shape){1, 1, NVM_MAX_NEURONS / 2 + 1}, 0);
        net->layers[k].flags = NVM_FLAG_OUTPUT;
    }
    uint32_t bad;
    CHECK(init_status(net, &bad) == NVM_E_RANGE && bad == 1);
    free(net);
    net = network_new(4);
    (void)add_input(net, (shape){4096, 4096, 1}, 0);
    nvm_layer *pool = network_add(net, NVM_MAXPOOL, (shape){4096, 4096, 1});
    *pool = (nvm_layer){.kind = NVM_MAXPOOL,
                        .flags = NVM_FLAG_OUTPUT,
                        .n_in = 1,
                        .n = 4096 * 4096,
                        .in_h = 4096,
                        .in_w = 4096,
                        .in_c = 1,
                        .out_h = 4096,
                        .out_w = 4096,
                        .out_c = 1,
                        .k_h = 2000,
                        .k_w = 2000,
                        .stride_h = 1,
                        .stride_w = 1,
                        .dil_h = 1,
                        .dil_w = 1};
    CHECK(init_status(net, &bad) == NVM_E_RANGE && bad == 1);
    free(net);
}

int main(void)
{
    RUN(fields_of_every_kind);
    RUN(shapes);
    RUN(offsets);
    RUN(contents);
    RUN(wide_layers);
    RUN(whole_programs);
    RUN(totals);
    return REPORT();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_layers.c: nanoseconds a step, dense and by events, of single layers and of two networks of
 * the usual shapes, beside a plain loop. The constants in nvm_prices.h and nvm_cost*.c come from here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plain.h"

/* Changes are neighbours, as in a moving patch, or lie anywhere. */
static int in_runs;

static uint32_t add_weighted(network *net, nvm_kind kind, uint32_t in, uint32_t out_c, uint16_t k,
                             uint16_t stride)
{
    shape from = net->shapes[in], out = {1, 1, out_c};
    size_t weights;
    if (kind != NVM_DENSE) {
        out = (shape){(from.h + stride - 1u) / stride, (from.w + stride - 1u) / stride, out_c};
    }
    nvm_layer *layer = network_add(net, kind, out);
    layer->n_in = 1;
    layer->in[0] = in;
    if (kind == NVM_DENSE) {
        layer->in_c = net->layers[in].n;
        layer->out_c = out_c;
        weights = (size_t)layer->in_c * out_c;
    } else {
        layer->in_h = from.h, layer->in_w = from.w, layer->in_c = from.c;
        layer->out_h = out.h, layer->out_w = out.w, layer->out_c = out.c;
        layer->k_h = layer->k_w = k;
        layer->stride_h = layer->stride_w = stride;
        layer->dil_h = layer->dil_w = 1;
        layer->pad_t = layer->pad_l = (int16_t)((k - 1) / 2);
        layer->groups = 1;
        weights = (size_t)k * k * (kind == NVM_CONV ? from.c : 1) * out_c;
    }
    int8_t *w = malloc(weights);
    int32_t *bias = calloc(out_c, sizeof *bias);
    random_codes(&net->seed, w, weights);
    layer->off_weights = network_put(net, w, weights);
    layer->off_bias = network_put(net, bias, out_c * sizeof *bias);
    add_requant(net, layer, NVM_RQ_FP32, out_c, 3e4 * (double)(weights / out_c));
    layer->zero_out = -128;
    layer->lo = -128;
    layer->hi = 127;
    free(w);
    free(bias);
    return net->n - 1;
}

static uint32_t add_sum(network *net, uint32_t a, uint32_t b)
{
    int32_t table[256];
    for (int q = 0; q < 256; q++) {
        table[q] = (q - 128) * 4096;
    }
    nvm_layer *layer = network_add(net, NVM_ADD, net->shapes[a]);
    layer->n_in = 2;
    layer->in[0] = a;
    layer->in[1] = b;
    layer->off_table0 = layer->off_table1 = network_put(net, table, sizeof table);
    layer->requant = NVM_RQ_SHIFT;
    layer->aux[0] = 13;
    layer->lo = -128;
    layer->hi = 127;
    return net->n - 1;
}

static uint32_t add_pool(network *net, nvm_kind kind, uint32_t in, uint16_t k)
{
    shape from = net->shapes[in], out = {from.h / k, from.w / k, from.c};
    nvm_layer *layer = network_add(net, kind, out);
    layer->n_in = 1;
    layer->in[0] = in;
    layer->in_h = from.h, layer->in_w = from.w, layer->in_c = from.c;
    layer->out_h = out.h, layer->out_w = out.w, layer->out_c = out.c;
    layer->k_h = layer->k_w = layer->stride_h = layer->stride_w = k;
    layer->dil_h = layer->dil_w = 1;
    layer->lo = -128;
    layer->hi = 127;
    return net->n - 1;
}

/* MLPerf Tiny's anomaly detector: 640, 4 x 128, 8, 4 x 128, 640. */
static network *ad01(void)
{
    network *net = network_new(1);
    (void)add_input(net, (shape){1, 1, 640}, 0);
    static const uint16_t widths[] = {128, 128, 128, 128, 8, 128, 128, 128, 128, 640};
    for (int i = 0; i < 10; i++) {
        (void)add_weighted(net, NVM_DENSE, net->n - 1, widths[i], 1, 1);
    }
    return net;
}

/* ResNet-8 for 32 x 32 images: three residual blocks of 16, 32 and 64 channels. */
static network *resnet8(void)
{
    network *net = network_new(2);
    (void)add_input(net, (shape){32, 32, 3}, 0);
    uint32_t x = add_weighted(net, NVM_CONV, 0, 16, 3, 1);
    for (uint16_t channels = 16, stride = 1; channels <= 64;
         channels = (uint16_t)(channels * 2), stride = 2) {
        uint32_t y = add_weighted(net, NVM_CONV, x, channels, 3, stride);
        y = add_weighted(net, NVM_CONV, y, channels, 3, 1);
        x = add_sum(net, y, stride == 1 ? x : add_weighted(net, NVM_CONV, x, channels, 1, stride));
    }
    x = add_pool(net, NVM_AVGPOOL, x, 8);
    (void)add_weighted(net, NVM_DENSE, x, 10, 1, 1);
    return net;
}

/* DS-CNN's body: 25 x 5 x 64, depthwise and pointwise. */
static network *dscnn(void)
{
    network *net = network_new(3);
    (void)add_input(net, (shape){25, 5, 64}, 0);
    for (int i = 0; i < 4; i++) {
        (void)add_weighted(net, NVM_DWCONV, net->n - 1, 64, 3, 1);
        (void)add_weighted(net, NVM_CONV, net->n - 1, 64, 1, 1);
    }
    return net;
}

/* Each step changes `share` of the inputs. For every step the least of several rounds, then the mean. */
static double step_ns(const network *net, nvm_way way, double share, double *events, nvm_way *taken)
{
    nvm_layer_view view;
    nvm_program program;
    nvm_counters counters = {0};
    uint64_t seed = 5;
    if (network_init(net, &program) != NVM_OK) {
        abort();
    }
    void *pack = aligned_alloc(NVM_ALIGN, nvm_pack_size(&program)); /* as neurovm.load does */
    if (pack == NULL || nvm_program_pack(&program, pack, nvm_pack_size(&program)) != NVM_OK) {
        abort();
    }
    nvm_session *session = session_new(&program, &counters);
    size_t n = program.codes_in, changes = (size_t)((double)n * share + 0.5);
    enum { SETS = 16 };
    uint32_t *index = malloc(SETS * n * sizeof *index);
    int8_t *code = malloc(2 * SETS * n); /* two rounds, so that the same index changes every time */
    int8_t *input = calloc(n, 1);
    double best[SETS], total = 0;
    for (size_t k = 0; k < SETS * n; k++) {
        index[k] =
            (uint32_t)((k + k / n * n / SETS) % n); /* a run that starts elsewhere each time */
        code[k] = (int8_t)random_in(&seed, -128, 127);
        code[k + SETS * n] = (int8_t)random_in(&seed, -128, 127);
    }
    for (size_t k = 0; !in_runs && share < 1 && k < SETS * n;
         k++) { /* different indices in random order */
        size_t first = k / n * n, other = k + random_u64(&seed) % (first + n - k);
        uint32_t held = index[k];
        index[k] = index[other];
        index[other] = held;
    }
    (void)nvm_session_force(session, UINT32_MAX, way);
    for (int run = 0; run < 30; run++) {
        for (int k = 0; k < SETS; k++) {
            const int8_t *round = code + (size_t)(run % 2) * SETS * n + (size_t)k * n;
            for (size_t i = 0; i < changes; i++) {
                input[index[(size_t)k * n + i]] = round[i];
            }
            double start = now_ns();
            (void)nvm_session_step(session, input, n);
            double ns = now_ns() - start;
            best[k] = run == 0 || ns < best[k] ? ns : best[k];
        }
    }
    for (int k = 0; k < SETS; k++) {
        total += best[k] / SETS;
    }
    (void)nvm_session_layer(session, net->n - 1, &view);
    *taken = view.way;
    *events = (double)(counters.events_in + counters.events_out) / (double)counters.steps;
    free(session);
    free(pack);
    free(index);
    free(code);
    free(input);
    return total;
}

static void report(const char *name, network *net)
{
    static const double shares[] = {0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0};
    nvm_program program;
    double events;
    nvm_way taken;
    net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
    if (network_init(net, &program) != NVM_OK) {
        abort();
    }
    printf("%s: %.3g MMAC, session %zu KiB, plain loop %.1f us\n", name, (double)program.macs / 1e6,
           nvm_session_size(&program) / 1024, plain_ns(net) / 1e3);
    printf("  %9s %10s %10s %10s %10s\n", "changed", "events", "events us", "dense us", "auto us");
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        double by_events = step_ns(net, NVM_EVENTS, shares[i], &events, &taken);
        double dense = step_ns(net, NVM_DENSE_WAY, shares[i], &events, &taken);
        double automatic = step_ns(net, NVM_AUTO, shares[i], &events, &taken);
        printf("  %8.0f%% %10.0f %10.2f %10.2f %10.2f\n", shares[i] * 100, events, by_events / 1e3,
               dense / 1e3, automatic / 1e3);
    }
    free(net);
}

/* The share of changes where the kernel leaves events, and where they begin to cost more. */
static void break_even(const char *name, network *net)
{
    double predicted = 1, measured = 1, events, share;
    nvm_way taken;
    net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
    for (share = 0.01; share < 1 && predicted == 1; share *= 1.05) {
        (void)step_ns(net, NVM_AUTO, share, &events, &taken);
        predicted = taken == NVM_DENSE_WAY ? share : 1;
    }
    for (share = 0.01; share < 1 && measured == 1; share *= 1.05) {
        double by_events = step_ns(net, NVM_EVENTS, share, &events, &taken);
        measured = by_events > step_ns(net, NVM_DENSE_WAY, share, &events, &taken) ? share : 1;
    }
    printf("  %-26s %.2f %.2f\n", name, predicted, measured);
    free(net);
}

static network *single(nvm_kind kind, shape in, uint32_t out_c, uint16_t k)
{
    network *net = network_new(9);
    (void)add_input(net, in, 0);
    (void)add_weighted(net, kind, 0, out_c, k, 1);
    return net;
}

typedef void layer_report(const char *name, network *net);

static network *single_sum(void)
{
    network *net = network_new(9);
    (void)add_input(net, (shape){32, 32, 16}, 0);
    (void)add_input(net, (shape){32, 32, 16}, 0);
    (void)add_sum(net, 0, 1);
    return net;
}

static network *single_pool(nvm_kind kind)
{
    network *net = network_new(9);
    (void)add_input(net, (shape){32, 32, 16}, 0);
    (void)add_pool(net, kind, 0, 2);
    return net;
}

static network *single_random(nvm_kind kind)
{
    network *net = network_new(9);
    (void)add_input(net, (shape){8, 8, 64}, 0);
    (void)add_random(net, kind, 0);
    return net;
}

static void each_layer(layer_report *one)
{
    one("DENSE 512 to 512", single(NVM_DENSE, (shape){1, 1, 512}, 512, 1));
    one("DENSE 64 to 10", single(NVM_DENSE, (shape){1, 1, 64}, 10, 1));
    one("CONV 3x3, 32x32x16 to 16", single(NVM_CONV, (shape){32, 32, 16}, 16, 3));
    one("CONV 3x3, 8x8x64 to 64", single(NVM_CONV, (shape){8, 8, 64}, 64, 3));
    one("CONV 1x1, 25x5x64 to 64", single(NVM_CONV, (shape){25, 5, 64}, 64, 1));
    one("DWCONV 3x3, 25x5x64", single(NVM_DWCONV, (shape){25, 5, 64}, 64, 3));
    one("ADD, 32x32x16", single_sum());
    one("AVGPOOL 2x2, 32x32x16", single_pool(NVM_AVGPOOL));
    one("MAXPOOL 2x2, 32x32x16", single_pool(NVM_MAXPOOL));
    one("MEAN, 8x8x64", single_random(NVM_MEAN));
    one("MAP, 8x8x64", single_random(NVM_MAP));
    one("TABLE, 8x8x64", single_random(NVM_TABLE));
    one("SOFTMAX, 64 rows of 64", single_random(NVM_SOFTMAX));
}

/* bench [SET] [layers | break-even [runs]] */
int main(int argc, char **argv)
{
    if (argc > 1 && nvm_isa_force(argv[1]) == NVM_OK) {
        argc--;
        argv++;
    }
    printf("instruction set %s\n", nvm_isa_chosen());
    in_runs = argc > 2 && strcmp(argv[2], "runs") == 0;
    if (argc > 1 && strcmp(argv[1], "layers") == 0) {
        each_layer(report);
    } else if (argc > 1 && strcmp(argv[1], "break-even") == 0) {
        each_layer(break_even);
    } else {
        report("AD01", ad01());
        report("ResNet-8", resnet8());
        report("DS-CNN body", dscnn());
    }
    return 0;
}

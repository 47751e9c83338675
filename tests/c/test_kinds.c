/* SPDX-License-Identifier: Apache-2.0
 *
 * Random networks after every step of random changes, every way, against the written-out rules.
 */
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "nvm_test.h"

static const char *const kind_names[] = {"input", "const",   "dense",   "conv", "dwconv",
                                         "add",   "avgpool", "maxpool", "mean", "map",
                                         "table", "softmax", "table2", "softmaxq", "lerp",
                                         "l2norm", "logsoftmax", "matmul", "argmax", "state", "pair",
                                         "lstm", "svdf", "logsoftmaxq"};

typedef struct trial {
    network *net;
    nvm_program program, packed, priced;
    void *pack, *costs;
    /* auto, events, dense, mixed; mixed without packed weights; auto by absurd costs; made for dense runs alone,
     * with packed weights and without */
    nvm_session *sessions[8];
    nvm_counters counters[8];
    int16_t *codes[MAX_LAYERS]; /* by definition */
    int16_t *inputs;            /* concatenated */
    naive_memory memory;
} trial;

enum { SESSIONS = 8, PLAIN = 4, PRICED = 5, SMALL = 6, PLAIN_SMALL = 7 };

/* Costs that no machine has: each 0, tiny or huge, so that layers go over to any way at any step. */
static void price_absurdly(trial *t)
{
    size_t size = nvm_costs_size(&t->packed), records = t->net->n * sizeof(nvm_layer_costs);
    t->priced = t->packed;
    t->costs = costs_blank(&t->priced);
    uint8_t *at = (uint8_t *)t->costs + size - records;
    for (uint32_t i = 0; i < t->net->n; i++, at += sizeof(nvm_layer_costs)) {
        float value[7];
        for (int k = 0; k < 7; k++) {
            static const float sizes[] = {0.0f, 1e-30f, 0.5f, 1.0f, 40.0f, 1e3f, 1e12f};
            value[k] = sizes[random_in(&t->net->seed, 0, 6)];
        }
        nvm_layer_costs costs = {value[0], value[0] > value[1] ? value[0] : value[1], value[2],
                                 value[3], value[4], value[5], value[6], 0.0f};
        memcpy(at, &costs, sizeof costs);
    }
    CHECK(nvm_program_costs(&t->priced, t->costs, size) == NVM_OK);
}

static void rest_inputs(trial *t)
{
    for (uint32_t i = 0, at = 0; i < t->net->n; i++) {
        const nvm_layer *layer = &t->net->layers[i];
        for (uint32_t k = 0; layer->kind == NVM_INPUT && k < layer->n; k++) {
            t->inputs[at++] = is_wide_layer(t->net, i) ? layer->zero_out_s16 : layer->zero_out;
        }
    }
}

static void begin_again(trial *t)
{
    for (int s = 0; s < SESSIONS; s++) {
        CHECK(nvm_session_reset(t->sessions[s]) == NVM_OK);
    }
    rest_inputs(t);
    naive_memory_free(&t->memory);
    naive_memory_new(t->net, &t->memory);
}

static void open_trial(trial *t, network *net)
{
    memset(t, 0, sizeof *t);
    t->net = net;
    nvm_status status = network_init(net, &t->program);
    CHECK(status == NVM_OK);
    if (status != NVM_OK) {
        printf("status %s\n", nvm_status_text(status));
        abort();
    }
    t->inputs = calloc(t->program.codes_in, sizeof *t->inputs);
    for (uint32_t i = 0; i < net->n; i++) {
        t->codes[i] = calloc(net->layers[i].n, sizeof *t->codes[i]);
    }
    rest_inputs(t);
    naive_memory_new(net, &t->memory);
    t->packed = t->program;
    t->pack = aligned_alloc(64, nvm_pack_size(&t->program));
    CHECK(nvm_program_pack(&t->packed, t->pack, nvm_pack_size(&t->program)) == NVM_OK);
    price_absurdly(t);
    for (int s = 0; s < SESSIONS; s++) {
        const nvm_program *program = s == PLAIN || s == PLAIN_SMALL ? &t->program
                                     : s == PRICED                  ? &t->priced
                                                                    : &t->packed;
        nvm_way way = s >= SMALL ? NVM_DENSE_WAY : NVM_AUTO;
        t->sessions[s] = session_new_by(program, way, &t->counters[s]);
    }
    CHECK(nvm_session_force(t->sessions[1], UINT32_MAX, NVM_EVENTS) == NVM_OK);
    CHECK(nvm_session_force(t->sessions[2], UINT32_MAX, NVM_DENSE_WAY) == NVM_OK);
}

static void close_trial(trial *t)
{
    for (uint32_t i = 0; i < t->net->n; i++) {
        free(t->codes[i]);
    }
    for (int s = 0; s < SESSIONS; s++) {
        free(t->sessions[s]);
    }
    naive_memory_free(&t->memory);
    free(t->pack);
    free(t->costs);
    free(t->inputs);
    free(t->net);
}

static void evaluate(trial *t)
{
    for (uint32_t i = 0, at = 0; i < t->net->n; i++) {
        if (t->net->layers[i].kind == NVM_INPUT) {
            memcpy(t->codes[i], t->inputs + at, t->net->layers[i].n * sizeof *t->inputs);
            at += t->net->layers[i].n;
        } else {
            naive_codes(t->net, i, t->codes, &t->memory);
        }
    }
}

/* Codes of one layer as its memory has them; the bytes. */
static size_t pack(const network *net, uint32_t layer, const int16_t *codes, uint8_t *to)
{
    size_t n = net->layers[layer].n;
    if (is_wide_layer(net, layer)) {
        memcpy(to, codes, n * sizeof *codes);
        return n * sizeof *codes;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = (uint8_t)codes[i];
    }
    return n;
}

/* All inputs as bytes; free them. */
static uint8_t *packed_inputs(const trial *t, const int16_t *codes)
{
    uint8_t *bytes = malloc(t->program.bytes_in);
    size_t at = 0;
    for (uint32_t i = 0; i < t->net->n; i++) {
        if (t->net->layers[i].kind == NVM_INPUT) {
            at += pack(t->net, i, codes, bytes + at);
            codes += t->net->layers[i].n;
        }
    }
    CHECK(at == t->program.bytes_in);
    return bytes;
}

/* Every layer of every session holds the codes by definition, and the ports show them. Looking at a layer
 * brings its accumulators up to date, so not all are looked at every time. */
static void compare(trial *t)
{
    for (int s = 0; s < SESSIONS; s++) {
        uint32_t port = 0;
        for (uint32_t i = 0; i < t->net->n; i++) {
            nvm_layer_view view;
            const int8_t *codes;
            size_t n;
            uint8_t *wanted = malloc(2 * t->net->layers[i].n);
            size_t bytes = pack(t->net, i, t->codes[i], wanted);
            if (random_in(&t->net->seed, 0, 1)) {
                CHECK(nvm_session_layer(t->sessions[s], i, &view) == NVM_OK);
                int same = view.n == t->net->layers[i].n && view.n * view.code_bytes == bytes &&
                           memcmp(view.codes, wanted, bytes) == 0;
                CHECK(same);
                if (!same && checks_failed < 20) {
                    printf("  session %d, layer %u (%s)\n", s, i,
                           kind_names[t->net->layers[i].kind]);
                }
            }
            if (t->net->layers[i].flags & NVM_FLAG_OUTPUT) {
                CHECK(nvm_session_output(t->sessions[s], port++, &codes, &n, NULL) == NVM_OK);
                CHECK(n == bytes && memcmp(codes, wanted, n) == 0);
            }
            free(wanted);
        }
    }
}

/* Whether element i of the concatenated inputs is wide. */
static int wide_input(const network *net, uint32_t i)
{
    for (uint32_t l = 0; l < net->n; l++) {
        if (net->layers[l].kind == NVM_INPUT) {
            if (i < net->layers[l].n) {
                return is_wide_layer(net, l);
            }
            i -= net->layers[l].n;
        }
    }
    return 0;
}

/* Changes 0 (how: 0), 1, some or all (4) inputs; by update where `index` is used. */
static void change_and_step(trial *t, int how)
{
    uint64_t *seed = &t->net->seed;
    size_t n = t->program.codes_in, count = 0;
    uint32_t *index = malloc(2 * n * sizeof *index);
    int16_t *code = malloc(2 * n * sizeof *code);
    int8_t *narrow = malloc(2 * n);
    int all_narrow = t->program.bytes_in == n;
    size_t changes = how == 0 ? 0 : how == 1 ? 1 : how == 2 ? 1 + n / 10 : how == 3 ? n / 2 : 2 * n;
    for (; count < changes; count++) {
        index[count] = (uint32_t)random_in(seed, 0, (int32_t)n - 1);
        code[count] = (int16_t)(wide_input(t->net, index[count])
                                    ? random_in(seed, INT16_MIN, INT16_MAX)
                                    : random_in(seed, -128, 127));
        if (random_in(seed, 0, 3) == 0) { /* small steps too: many codes stay as they are */
            code[count] = t->inputs[index[count]] / 2;
        }
        narrow[count] = (int8_t)code[count];
        t->inputs[index[count]] = code[count];
    }
    for (uint32_t i = 0; i < t->net->n; i++) {
        static const nvm_way ways[] = {NVM_EVENTS, NVM_EVENTS, NVM_DENSE_WAY, NVM_TILES, NVM_TILES};
        nvm_way way = ways[random_in(seed, 0, 4)];
        CHECK(nvm_session_force(t->sessions[3], i, way) == NVM_OK);
        CHECK(nvm_session_force(t->sessions[PLAIN], i, way) == NVM_OK);
    }
    uint8_t *bytes = packed_inputs(t, t->inputs);
    for (int s = 0; s < SESSIONS; s++) {
        nvm_status status;
        if (random_in(seed, 0, 1)) {
            status = nvm_session_step(t->sessions[s], bytes, t->program.bytes_in);
        } else if (all_narrow && random_in(seed, 0, 1)) {
            status = nvm_session_update(t->sessions[s], index, narrow, count);
        } else {
            status = nvm_session_update_s16(t->sessions[s], index, code, count);
        }
        CHECK(status == NVM_OK);
    }
    free(bytes);
    free(index);
    free(narrow);
    free(code);
}

static void compare_predict(trial *t)
{
    size_t rows = t->program.macs < 4096 ? 70 : 2; /* more than go at a time */
    size_t size = nvm_predict_size(&t->program), n_in = t->program.bytes_in,
           n_out = t->program.bytes_out;
    void *scratch = aligned_alloc(64, size);
    int8_t *in = malloc(rows * n_in), *out = malloc(rows * n_out);
    const int8_t *codes;
    nvm_session *fresh = session_new(&t->packed, NULL);
    random_codes(&t->net->seed, in, rows * n_in);
    uint8_t *last = packed_inputs(t, t->inputs);
    memcpy(in + n_in, last, n_in);
    CHECK(nvm_predict(&t->packed, scratch, size, in, out, rows) == NVM_OK);
    CHECK(nvm_session_output(t->sessions[0], UINT32_MAX, &codes, NULL, NULL) == NVM_OK);
    CHECK(t->program.memory || memcmp(out + n_out, codes, n_out) == 0);
    for (size_t row = 0; row < rows; row++) { /* each is a first step */
        CHECK(nvm_session_reset(fresh) == NVM_OK);
        CHECK(nvm_session_step(fresh, in + row * n_in, n_in) == NVM_OK);
        CHECK(nvm_session_output(fresh, UINT32_MAX, &codes, NULL, NULL) == NVM_OK);
        CHECK(memcmp(out + row * n_out, codes, n_out) == 0);
    }
    free(fresh);
    free(last);
    free(scratch);
    free(in);
    free(out);
}

static void compare_counters(trial *t, uint64_t steps)
{
    for (int s = 0; s < SESSIONS; s++) {
        const nvm_counters *c = &t->counters[s];
        CHECK(c->steps == steps);
        CHECK(c->dense_macs == steps * t->program.macs);
        CHECK(c->events_in == t->counters[0].events_in); /* the same spikes whatever the way */
        CHECK(c->events_out == t->counters[0].events_out);
    }
    for (int s = 0; s < SESSIONS; s++) {
        int dense = s == 2 || s >= SMALL;
        CHECK(!dense || t->program.unit || t->counters[s].sops == steps * t->program.macs);
    }
}

static void step_and_compare(trial *t, int how)
{
    change_and_step(t, how);
    evaluate(t);
    compare(t);
    naive_commit(t->net, t->codes, &t->memory);
}

static void run_trial(network *net, int steps)
{
    trial t;
    open_trial(&t, net);
    evaluate(&t);
    compare(&t);
    for (int step = 0; step < steps; step++) {
        step_and_compare(&t, random_in(&net->seed, 0, 4));
    }
    compare_predict(&t);
    compare_counters(&t, (uint64_t)steps);
    CHECK(nvm_session_reset(t.sessions[0]) == NVM_OK);
    close_trial(&t);
}

static shape random_shape(uint64_t *seed)
{
    static const uint8_t sides[] = {1, 2, 3, 5, 8}, channels[] = {1, 2, 3, 4, 6, 8, 9, 16, 17};
    uint32_t h = sides[random_in(seed, 0, 4)], w = sides[random_in(seed, 0, 4)];
    return (shape){h, w, channels[random_in(seed, 0, 8)]};
}

static void set_flags(network *net, int unit)
{
    net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
    for (uint32_t i = 0; i < net->n; i++) {
        net->layers[i].flags |= unit && !is_wide_layer(net, i) ? NVM_FLAG_UNIT : 0;
    }
}

static void each_kind_alone(void)
{
    for (uint32_t kind = NVM_DENSE; kind < NVM_KIND_COUNT; kind++) {
        int before = checks_failed;
        for (uint64_t round = 0; round < ROUNDS(100); round++) {
            network *net = network_new(1000 * kind + round);
            shape size = random_shape(&net->seed);
            if (round % 2) {
                (void)add_wide_input(net, size, (int16_t)random_in(&net->seed, -999, 999));
                (void)add_wide_input(net, size, 0); /* ADD and MAP read it too, at times */
            } else {
                (void)add_input(net, size, (int8_t)random_in(&net->seed, -128, 127));
                (void)add_input(net, size, 0);
            }
            (void)(kind == NVM_STATE && round % 4 < 2 ? add_feedback(net, 0)
                                                      : add_random(net, (nvm_kind)kind, 0));
            set_flags(net, 0);
            run_trial(net, 12);
        }
        printf("  %s %s\n", kind_names[kind], checks_failed == before ? "ok" : "FAIL");
    }
}

static void wide_layers(void)
{
    for (uint32_t kind = NVM_DENSE; kind < NVM_KIND_COUNT; kind++) {
        for (uint64_t round = 0; round < 4; round++) {
            network *net = network_new(90000 + 100 * kind + round);
            net->wide = 1;
            if (round == 1) {
                (void)add_wide_input(net, (shape){2, 2, 300}, -5);
            } else {
                (void)add_input(net, (shape){2, 2, 300}, -5);
            }
            (void)add_random(net, (nvm_kind)kind, 0);
            set_flags(net, round == 3);
            run_trial(net, round == 3 ? 2 : 8);
        }
    }
}

/* Every rule on accumulators of the whole int32 range, which wrap, and with multipliers of any size. */
static void extreme_accumulators(void)
{
    for (uint64_t round = 0; round < ROUNDS(140); round++) {
        network *net = network_new(60000 + round);
        int32_t table[2][256];
        (void)add_input(net, (shape){1, 1, 300}, -5);
        nvm_layer *layer = &net->layers[add_random(net, NVM_ADD, 0)];
        nvm_requant rule = (nvm_requant)(NVM_RQ_FP32 + round % 6);
        for (int i = 0; i < 512; i++) {
            int size = random_in(&net->seed, 0, 31);
            table[i / 256][i % 256] = (int32_t)((int64_t)random_u64(&net->seed) >> (32 + size));
        }
        table[0][0] = table[1][1] = INT32_MIN;
        table[0][1] = table[1][0] = INT32_MAX;
        layer->off_table0 = network_put(net, table[0], sizeof table[0]);
        layer->off_table1 = network_put(net, table[1], sizeof table[1]);
        layer->aux[0] = 0;
        add_requant(net, layer, rule, 1, (double)(UINT64_C(1) << random_in(&net->seed, 1, 40)));
        if (layer->aux[0] > 31) {
            layer->aux[0] = 31;
        }
        layer->off_scale = rule == NVM_RQ_SHIFT ? 0 : layer->off_scale;
        set_flags(net, 0);
        run_trial(net, 4);
    }
    for (nvm_kind kind = NVM_DENSE; kind <= NVM_DWCONV; kind++) {
        network *net = network_new(61000 + kind);
        (void)add_input(net, (shape){2, 3, 8}, -5);
        nvm_layer *layer = &net->layers[add_random(net, kind, 0)];
        int32_t bias[64];
        for (int c = 0; c < 64; c++) {
            bias[c] = c % 2 ? INT32_MAX - c : INT32_MIN + c;
        }
        CHECK(layer->out_c <= 64);
        layer->off_bias = network_put(net, bias, sizeof bias);
        set_flags(net, 0);
        run_trial(net, 30);
    }
}

/* Sums whose tables are straight lines modulo 2^32, of lengths around those of registers and parts. */
static void straight_sums(void)
{
    static const uint16_t lengths[] = {1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 600};
    for (uint64_t round = 0; round < ROUNDS(66); round++) {
        network *net = network_new(64000 + round);
        int32_t table[256];
        (void)add_input(net, (shape){1, 1, lengths[round % 11]}, -5);
        nvm_layer *layer = &net->layers[add_random(net, NVM_ADD, 0)];
        nvm_requant rule = (nvm_requant)(NVM_RQ_FP32 + round % 6);
        for (int t = 0; t < 2; t++) {
            uint32_t slope = (uint32_t)(random_u64(&net->seed) >> (32 + 4 * (round % 8)));
            for (uint32_t q = 0; q < 256; q++) {
                table[q] = (int32_t)(77u + q * slope);
            }
            table[255] += t == 1 && round % 5 == 4; /* not quite straight */
            *(t == 0 ? &layer->off_table0 : &layer->off_table1) =
                network_put(net, table, sizeof table);
        }
        layer->aux[0] = 0;
        add_requant(net, layer, rule, 1, 1e3 * (double)(1 + round));
        layer->off_scale = rule == NVM_RQ_SHIFT ? 0 : layer->off_scale;
        set_flags(net, 0);
        run_trial(net, 4);
    }
}

/* Every rule of wide layers on sums of the whole int64 or int32 range. */
static void extreme_wide_accumulators(void)
{
    for (uint64_t round = 0; round < ROUNDS(120); round++) {
        nvm_kind kind = (nvm_kind)(NVM_DENSE + round % 3);
        network *net = network_new(62000 + round);
        (void)add_wide_input(net, (shape){2, 3, 8}, 0);
        nvm_layer *layer = &net->layers[add_random(net, kind, 0)];
        int32_t *e = (int32_t *)(void *)(net->arena + layer->off_shift);
        int most = layer->requant == NVM_RQ_HALF16 ? 14 : 30;
        for (uint32_t c = 0; c < layer->out_c; c++) {
            e[c] = random_in(&net->seed, -31, round % 2 ? most : 0);
        }
        if (!(layer->flags & NVM_FLAG_LONG)) {
            layer->off_bias = network_put_words(net, layer->out_c, -2147483646, 0);
        }
        set_flags(net, 0);
        run_trial(net, 6);
    }
}

static network *random_network(uint64_t round, uint32_t depth)
{
    network *net = network_new(77777 + round);
    shape size = random_shape(&net->seed);
    (void)add_input(net, size, (int8_t)random_in(&net->seed, -128, 127));
    if (random_in(&net->seed, 0, 1)) {
        (void)add_input(net, random_shape(&net->seed), 3);
    }
    if (random_in(&net->seed, 0, 1)) {
        (void)add_const(net, random_shape(&net->seed));
    }
    while (net->n < depth) {
        if (random_in(&net->seed, 0, 5) == 0) { /* inputs may stand anywhere; all send first */
            shape other = random_shape(&net->seed);
            (void)(random_in(&net->seed, 0, 1) ? add_wide_input(net, other, 77)
                                               : add_input(net, other, -1));
            continue;
        }
        nvm_kind kind = (nvm_kind)random_in(&net->seed, NVM_DENSE, NVM_KIND_COUNT - 1);
        uint32_t in = random_in(&net->seed, 0, 2)
                          ? net->n - 1
                          : (uint32_t)random_in(&net->seed, 0, (int32_t)net->n - 1);
        uint32_t made =
            kind == NVM_STATE && round % 3 ? add_feedback(net, in) : add_random(net, kind, in);
        if (random_in(&net->seed, 0, 3) == 0) {
            net->layers[made].flags |= NVM_FLAG_OUTPUT;
        }
    }
    return net;
}

static void random_networks(void)
{
    for (uint64_t round = 0; round < ROUNDS(150); round++) {
        network *net = random_network(round, (uint32_t)(4 + round % 9));
        set_flags(net, 0);
        run_trial(net, 10);
    }
}

/* Inputs that are held until memory rests, at times, and change again; then from the beginning. */
static void memory_at_rest(void)
{
    static const nvm_kind kinds[] = {NVM_STATE, NVM_STATE, NVM_LSTM, NVM_SVDF};
    for (uint64_t round = 0; round < ROUNDS(80); round++) {
        network *net = random_network(11000 + round, (uint32_t)(2 + round % 4));
        nvm_kind kind = kinds[round % 4];
        uint32_t made = round % 8 == 0 ? add_feedback(net, net->n - 1)
                                       : add_random(net, kind, net->n - 1);
        (void)add_random(net, NVM_MAP, made);
        set_flags(net, 0);
        trial t;
        open_trial(&t, net);
        for (int begun = 0; begun < 2; begun++) {
            for (int phase = 0; phase < 4; phase++) {
                int held = random_in(&net->seed, 0, 20);
                for (int step = 0; step <= held; step++) {
                    step_and_compare(&t, step == 0 && phase != 0 ? random_in(&net->seed, 1, 4) : 0);
                }
            }
            begin_again(&t);
        }
        close_trial(&t);
    }
}

/* Drained to rest, unit spikes leave the codes that graded ones do. */
static void unit_spikes_at_rest(void)
{
    for (uint64_t round = 0; round < ROUNDS(60); round++) {
        network *net = random_network(5000 + round, (uint32_t)(3 + round % 5));
        set_flags(net, 1);
        run_trial(net, 4);
    }
}

/* Planes and times leave the codes that graded events do, in every kind of layer. */
static void coded_spikes(void)
{
    int run = 0;
    for (uint64_t round = 0; round < ROUNDS(400); round++) {
        network *net = random_network(7000 + round, (uint32_t)(3 + round % 7));
        int narrow = 1;
        for (uint32_t i = 0; i < net->n; i++) {
            narrow &= !is_wide_layer(net, i);
        }
        if (!narrow) {
            free(net);
            continue;
        }
        set_flags(net, 0);
        for (uint32_t i = 0; i < net->n; i++) {
            net->layers[i].flags |= round % 2 ? NVM_FLAG_PLANES : NVM_FLAG_TIMES;
        }
        run_trial(net, 6);
        run++;
    }
    CHECK(run > ROUNDS(100));
}

int main(void)
{
    EACH_SET {
        RUN(each_kind_alone);
        RUN(wide_layers);
        RUN(extreme_accumulators);
        RUN(straight_sums);
        RUN(extreme_wide_accumulators);
        RUN(random_networks);
        RUN(memory_at_rest);
        RUN(unit_spikes_at_rest);
        RUN(coded_spikes);
    }
    return REPORT();
}

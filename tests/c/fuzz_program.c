/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_program.c: hostile programs. The input is either a program as it stands, or the seed of a
 * valid random one with patches, which reaches deeper. What nvm_program_init accepts is then run:
 * nothing may go out of bounds, whatever the bytes are.
 */
#include <stdlib.h>
#include <string.h>

#include "network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy that ends where the memory does, so that the sanitizer sees every byte beyond it. */
static void *exact_copy(const void *source, size_t bytes)
{
    void *copy = NULL;
    if (posix_memalign(&copy, NVM_ALIGN, bytes == 0 ? 1 : bytes) != 0) {
        abort();
    }
    memcpy(copy, source, bytes);
    return copy;
}

/* An upper bound of what one dense pass does; a fuzzer has no time for large ones. */
static double pass_work(const nvm_layer *layers, uint32_t n)
{
    double work = 0;
    for (uint32_t i = 0; i < n; i++) {
        const nvm_layer *layer = &layers[i];
        double taps = (layer->k_h < layer->in_h ? layer->k_h : layer->in_h) + 1.0;
        taps *= (layer->k_w < layer->in_w ? layer->k_w : layer->in_w) + 1.0;
        work += layer->n * taps * (layer->kind == NVM_CONV ? layer->in_c : 1.0);
        work += layer->kind == NVM_DENSE ? (double)layer->n * layer->in_c : 0.0;
        work += layer->kind == NVM_MATMUL ? (double)layer->n * layer->in_c : 0.0;
        work += layer->kind == NVM_LSTM ? 4.0 * layer->n * ((double)layer->in_c + layer->out_c) : 0.0;
        work += layer->kind == NVM_SVDF
                    ? (double)layer->n * layer->aux[0] * ((double)layer->in_c + layer->out_w)
                    : 0.0;
    }
    return work;
}

/* Fewer planes, and what the outputs can still be; a bound below another's is no bound. */
static void try_planes(nvm_session *session, const nvm_program *program, uint64_t *seed)
{
    size_t size = (nvm_bounds_size(program) + NVM_ALIGN - 1) / NVM_ALIGN * NVM_ALIGN;
    size_t n = program->codes_out;
    if (size >= 1 << 22) {
        return;
    }
    void *scratch = aligned_alloc(NVM_ALIGN, size);
    int8_t *low = malloc(n), *high = malloc(n);
    if (nvm_session_bounds(session, scratch, size, low, high) == NVM_OK) {
        for (size_t i = 0; i < n; i++) {
            if (low[i] > high[i]) {
                abort();
            }
        }
    }
    (void)nvm_session_planes(session, (uint32_t)random_in(seed, 0, 9));
    free(scratch);
    free(low);
    free(high);
}

static void run(const nvm_program *program, uint64_t seed)
{
    nvm_way by = seed % 4 == 0 ? NVM_DENSE_WAY : NVM_AUTO; /* then in the smallest memory */
    size_t n = program->codes_in, size = nvm_session_size_by(program, by);
    int8_t *codes = malloc(program->bytes_in), *out = malloc(program->bytes_out);
    int16_t values[3];
    uint32_t index[3];
    void *mem = aligned_alloc(NVM_ALIGN, size);
    nvm_session *session = NULL;
    nvm_counters counters = {0};
    if (nvm_session_init_by(mem, size, program, by, &counters, &session) != NVM_OK) {
        abort();
    }
    for (int step = 0; step < 6; step++) {
        nvm_way way = step % 3 == 0 ? NVM_AUTO : step % 3 == 1 ? NVM_EVENTS : NVM_DENSE_WAY;
        (void)nvm_session_force(session, UINT32_MAX, way);
        random_codes(&seed, codes, program->bytes_in);
        for (int k = 0; k < 3; k++) {
            index[k] = (uint32_t)random_in(&seed, 0, (int32_t)n);
            values[k] = (int16_t)random_in(&seed, INT16_MIN, INT16_MAX);
        }
        if (nvm_session_step(session, codes, program->bytes_in) != NVM_OK) {
            abort();
        }
        (void)nvm_session_update(session, index, codes, n < 3 ? n : 3);
        (void)nvm_session_update_s16(session, index, values, n < 3 ? n : 3);
        try_planes(session, program, &seed);
    }
    for (uint32_t i = 0; i < program->n_layers; i++) {
        nvm_layer_view view;
        (void)nvm_session_layer(session, i, &view);
    }
    (void)nvm_predict(program, mem, size, codes, out, 1);
    free(mem);
    free(codes);
    free(out);
}

/* A window that slides over random frames; after the last of them it holds what a dense run of it gives. */
static void slide(const nvm_program *program, uint64_t seed)
{
    uint32_t own = nvm_stream_frames(program), frames = own != 0 ? own : 2 + (uint32_t)(seed % 7);
    uint32_t hop = 1 + (uint32_t)(seed % 5);
    size_t n = program->codes_in, size = 0, moved = 0, length;
    nvm_flow *flows = malloc(program->n_layers * sizeof *flows);
    if (nvm_stream_plan(program, frames, hop, flows, &size) == NVM_OK && size < 1 << 22) {
        int8_t *codes = malloc(3 * n), *wanted = malloc(program->bytes_out);
        void *mem = aligned_alloc(NVM_ALIGN, size), *scratch = aligned_alloc(NVM_ALIGN, nvm_predict_size(program));
        nvm_stream *stream = NULL;
        const int8_t *found = NULL;
        random_codes(&seed, codes, 3 * n);
        if (nvm_stream_init(mem, size, program, frames, hop, NULL, &stream) != NVM_OK) {
            abort();
        }
        while (moved + n < 3 * n) {
            size_t left = (3 * n - moved) / (n / frames);
            size_t next = (size_t)random_in(&seed, 1, 1 + (int32_t)frames / 2);
            next = (next < left ? next : left) * (n / frames);
            if (nvm_stream_push(stream, codes + moved, next) != NVM_OK) {
                abort();
            }
            moved += next;
        }
        if (nvm_predict(program, scratch, nvm_predict_size(program), codes + moved - n, wanted, 1) != NVM_OK ||
            nvm_stream_output(stream, UINT32_MAX, &found, &length, NULL) != NVM_OK ||
            memcmp(found, wanted, length) != 0) {
            abort();
        }
        free(mem);
        free(scratch);
        free(codes);
        free(wanted);
    }
    free(flows);
}

/* One of the sets that build and machine have. */
static void choose_set(uint64_t seed)
{
    uint32_t sets = 0, wanted;
    while (nvm_isa_name(sets) != NULL) {
        sets++;
    }
    wanted = (uint32_t)(seed % sets);
    while (nvm_isa_force(nvm_isa_name(wanted)) != NVM_OK) { /* the first is plain C */
        wanted--;
    }
}

static void try_program(const void *records, uint32_t n, const uint8_t *bytes, size_t len,
                        uint64_t seed)
{
    nvm_program program;
    uint32_t bad;
    nvm_layer *layers = exact_copy(records, n * sizeof *layers);
    uint8_t *arena = exact_copy(bytes, len);
    choose_set(seed);
    nvm_status status = nvm_program_init(&program, layers, n, arena, len, &bad);
    double sweeps = status == NVM_OK && program.unit ? 255.0 : 1.0;
    if (status == NVM_OK && nvm_session_size(&program) < 1 << 20 &&
        pass_work(layers, n) * sweeps < 1e6) {
        size_t size = nvm_pack_size(&program);
        void *pack = aligned_alloc(NVM_ALIGN, size);
        if (size > 1 << 25 || nvm_program_pack(&program, pack, size) != NVM_OK) {
            abort(); /* the arena has at most a megabyte */
        }
        run(&program, seed);
        slide(&program, seed);
        free(pack);
    }
    free(layers);
    free(arena);
}

static network *patched_network(const uint8_t *data, size_t size)
{
    uint64_t seed = 1;
    memcpy(&seed, data, size < 4 ? size : 4);
    network *net = network_new(seed);
    uint32_t depth = 2 + (uint32_t)(seed % 5);
    int spiking = seed % 7 == 0;
    shape size_in = {1 + seed % 4, 1 + seed / 4 % 5, 1 + seed / 20 % 9};
    uint8_t coding = spiking          ? 0
                     : seed % 11 == 0 ? NVM_FLAG_UNIT
                     : seed % 11 == 1 ? NVM_FLAG_PLANES
                     : seed % 11 == 2 ? NVM_FLAG_TIMES
                                      : 0;
    if (!spiking && coding == 0 && seed % 3 == 0) {
        (void)add_wide_input(net, size_in, 5);
    } else {
        (void)add_input(net, size_in, 5);
        net->layers[0].flags = spiking ? NVM_FLAG_SPIKES : coding;
    }
    while (net->n < depth) {
        if (!spiking && random_in(&net->seed, 0, 3) == 0) {
            net->layers[add_input(net, (shape){2, 2, 1 + seed % 7}, 0)].flags |= coding;
            continue;
        }
        nvm_kind kind =
            (nvm_kind)random_in(&net->seed, NVM_DENSE, spiking ? NVM_DWCONV : NVM_KIND_COUNT - 1);
        uint32_t made = spiking ? add_spiking(net, kind, seed % 2 ? NVM_LIF : NVM_SIF, net->n - 1)
                                : add_random(net, kind, net->n - 1);
        net->layers[made].flags |= NVM_FLAG_OUTPUT | coding;
    }
    /* Patches: where (bit 15: arena), what. */
    for (size_t k = 4; k + 3 <= size; k += 3) {
        size_t where = (size_t)(data[k] | (data[k + 1] & 127) << 8);
        uint8_t *target = data[k + 1] & 128 ? net->arena : (uint8_t *)net->layers;
        size_t length = data[k + 1] & 128 ? net->len : net->n * sizeof(nvm_layer);
        if (length != 0) {
            target[where % length] = data[k + 2];
        }
    }
    return net;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    if (data[0] & 1) {
        uint32_t n = data[1] % 8u;
        size_t records = n * sizeof(nvm_layer);
        if (size >= 2 + records) {
            try_program(data + 2, n, data + 2 + records, size - 2 - records, size);
        }
        return 0;
    }
    network *net = patched_network(data + 1, size - 1);
    try_program(net->layers, net->n, net->arena, net->len, size);
    free(net);
    return 0;
}

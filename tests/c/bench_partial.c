/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_partial.c: where the time of a step goes when few inputs change.
 *
 *     bench_partial MODEL.nvm block|random COUNT [SET]
 *
 * COUNT inputs are replaced in every step, neighbours in the middle or any. Of each layer: codes, pixels and
 * groups of four channels of its first input that changed, the share of its multiplications that those
 * codes, and those groups, ask for, the ways it took, and the least nanoseconds of each step,
 * on average, as chosen and in full.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../core_c/src/nvm_internal.h"

enum { STEPS = 64, TURNS = 2 * STEPS - 2, ROUNDS = 40 }; /* there and back again */

typedef struct tally {
    double changed, pixels, groups, exact, grouped, macs;
    uint32_t ways[NVM_DENSE_WAY + 1];
    double least[2][TURNS]; /* ns, as chosen and in full */
} tally;

static double now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *aligned(size_t bytes)
{
    void *mem = aligned_alloc(NVM_ALIGN, (bytes / NVM_ALIGN + 1) * NVM_ALIGN);
    if (mem == NULL) {
        fail("out of memory");
    }
    return mem;
}

/* A tensor of the file, in memory of its own. */
static void *tensor(FILE *file, const char *header, size_t data, const char *name, size_t *bytes)
{
    unsigned long long first = 0, end = 0;
    const char *entry = strstr(header, name);
    entry = entry == NULL ? NULL : strstr(entry, "\"data_offsets\":[");
    if (entry == NULL || sscanf(entry, "\"data_offsets\":[%llu,%llu]", &first, &end) != 2 || end < first) {
        fail("no such tensor");
    }
    *bytes = (size_t)(end - first);
    void *mem = aligned(*bytes);
    if (fseek(file, (long)(data + first), SEEK_SET) != 0 || fread(mem, 1, *bytes, file) != *bytes) {
        fail("the file is cut");
    }
    return mem;
}

static void load(const char *path, nvm_program *program)
{
    FILE *file = fopen(path, "rb");
    uint64_t length;
    size_t n_layers, n_arena;
    uint32_t bad;
    if (file == NULL || fread(&length, sizeof length, 1, file) != 1 || length > 1 << 24) {
        fail("no .nvm file");
    }
    char *header = calloc(1, (size_t)length + 1);
    if (header == NULL || fread(header, 1, (size_t)length, file) != length) {
        fail("the file is cut");
    }
    void *layers = tensor(file, header, (size_t)length + 8, "\"layers\":{", &n_layers);
    void *arena = tensor(file, header, (size_t)length + 8, "\"arena\":{", &n_arena);
    if (nvm_program_init(program, layers, (uint32_t)(n_layers / sizeof(nvm_layer)), arena, n_arena, &bad) !=
        NVM_OK) {
        fail("no program");
    }
    size_t size = nvm_pack_size(program);
    if (nvm_program_pack(program, aligned(size), size) != NVM_OK) {
        fail("no packed weights");
    }
    free(header);
    (void)fclose(file);
}

static nvm_session *open_session(const nvm_program *program, nvm_way way)
{
    nvm_session *session;
    size_t size = nvm_session_size(program);
    if (nvm_session_init(aligned(size), size, program, NULL, &session) != NVM_OK ||
        nvm_session_force(session, UINT32_MAX, way) != NVM_OK) {
        fail("no session");
    }
    return session;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static int8_t *make_stream(size_t n, int is_block, size_t count)
{
    uint32_t state = 1;
    int8_t *codes = malloc(STEPS * n);
    if (codes == NULL) {
        fail("out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        codes[i] = (int8_t)next_random(&state);
    }
    for (size_t step = 1; step < STEPS; step++) {
        int8_t *to = codes + step * n;
        memcpy(to, to - n, n);
        for (size_t k = 0; k < count; k++) {
            to[is_block ? (n / 2 + k) % n : next_random(&state) % n] = (int8_t)next_random(&state);
        }
    }
    return codes;
}

/* Taps of an axis that read position r. */
static uint32_t taps_at(const nvm_axis *axis, int32_t r)
{
    int32_t y, end;
    uint32_t taps = 0;
    nvm_axis_outputs(axis, r, &y, &end);
    for (; y < end; y++) {
        taps += nvm_axis_tap(axis, y, r) >= 0;
    }
    return taps;
}

/* Weights that code i of a layer's first input meets. */
static double weights_of(const nvm_node *node, uint32_t i)
{
    const nvm_layer *layer = node->layer;
    if (layer->kind == NVM_DENSE) {
        return layer->out_c;
    }
    if (layer->kind != NVM_CONV && layer->kind != NVM_DWCONV) {
        return 0.0;
    }
    int32_t pixel = (int32_t)(i / layer->in_c), width = (int32_t)layer->in_w;
    double taps = (double)taps_at(&node->rows, pixel / width) * taps_at(&node->cols, pixel % width);
    return taps * (layer->kind == NVM_CONV ? layer->out_c / layer->groups : layer->groups);
}

static void count(const nvm_node *node, const int8_t *old, tally *t)
{
    const nvm_layer *layer = node->layer;
    const int8_t *now = node->in[0]->codes;
    uint32_t n = node->in[0]->layer->n, channels = layer->in_c != 0 ? layer->in_c : n;
    uint32_t pixel = UINT32_MAX, group = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        if (now[i] == old[i]) {
            continue;
        }
        uint32_t in_pixel = i % channels / 4 * 4, left = channels - in_pixel;
        t->changed++;
        t->exact += weights_of(node, i);
        if (i / channels != pixel) {
            pixel = i / channels;
            t->pixels++;
        }
        if (i - i % channels + in_pixel != group) {
            group = i - i % channels + in_pixel;
            t->groups++;
            t->grouped += weights_of(node, i) * (left < 4 ? left : 4);
        }
    }
    t->macs += (double)node->macs;
}

/* A step as nvm_session_step makes it, layer by layer by the clock. */
static void timed_step(nvm_session *session, const int8_t *codes, tally *tallies, int full, size_t turn)
{
    for (uint32_t i = 0; i < session->program->n_layers; i++) {
        nvm_node *node = &session->nodes[i];
        double start = now_ns();
        if (node->layer->kind == NVM_CONST) {
            continue;
        }
        nvm_clear_events(node);
        if (node->layer->kind == NVM_INPUT) {
            memcpy(node->wanted, codes, node->layer->n);
            codes += node->layer->n;
        }
        if (node->wanted != NULL) {
            nvm_send_all(node, node->wanted);
        } else {
            nvm_run_node(session, node);
        }
        double ns = now_ns() - start, *least = &tallies[i].least[full][turn];
        *least = *least == 0.0 || ns < *least ? ns : *least;
    }
    nvm_memory_commit(session);
}

static void count_step(nvm_session *session, const int8_t *codes, int8_t **old, tally *tallies)
{
    uint32_t n = session->program->n_layers;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(old[i], session->nodes[i].codes, session->nodes[i].layer->n);
    }
    if (nvm_session_step(session, codes, session->program->bytes_in) != NVM_OK) {
        fail("no step");
    }
    for (uint32_t i = 0; i < n; i++) {
        const nvm_node *node = &session->nodes[i];
        if (node->layer->n_in != 0) {
            count(node, old[node->layer->in[0]], &tallies[i]);
            tallies[i].ways[node->way]++;
        }
    }
}

/* The last step is the first one again. */
static size_t step_of(size_t turn)
{
    turn %= TURNS;
    return turn < STEPS ? turn : TURNS - turn;
}

static double mean(const double *ns)
{
    double sum = 0.0;
    for (size_t turn = 0; turn < TURNS; turn++) {
        sum += ns[turn];
    }
    return sum / TURNS;
}

static void print(const nvm_program *program, const tally *tallies)
{
    static const char letters[] = "?ETZD";
    tally all = {0};
    double chosen = 0.0, full = 0.0;
    (void)printf("layer kind   codes  pixels  groups   exact grouped  ways      ns    full\n");
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const tally *t = &tallies[i];
        char ways[8] = "";
        for (int way = 0, k = 0; way <= NVM_DENSE_WAY; way++) {
            if (t->ways[way] != 0) {
                ways[k++] = letters[way];
            }
        }
        double macs = t->macs > 0.0 ? t->macs : 1.0;
        (void)printf("%5u %4u %7.1f %7.1f %7.1f %7.4f %7.4f %5s %7.0f %7.0f\n", i, program->layers[i].kind,
                     t->changed / TURNS, t->pixels / TURNS, t->groups / TURNS, t->exact / macs,
                     t->grouped / macs, ways, mean(t->least[0]), mean(t->least[1]));
        all.exact += t->exact;
        all.grouped += t->grouped;
        all.macs += t->macs;
        chosen += mean(t->least[0]);
        full += mean(t->least[1]);
    }
    (void)printf("exact %.4f, grouped %.4f; %.0f of %.0f ns: %.3f\n", all.exact / all.macs,
                 all.grouped / all.macs, chosen, full, chosen / full);
}

int main(int argc, char **argv)
{
    nvm_program program;
    if (argc < 4 || (strcmp(argv[2], "block") != 0 && strcmp(argv[2], "random") != 0) ||
        (argc > 4 && nvm_isa_force(argv[4]) != NVM_OK)) {
        fail("bench_partial MODEL.nvm block|random COUNT [SET]");
    }
    load(argv[1], &program);
    for (uint32_t i = 0; i < program.n_layers; i++) {
        if (nvm_is_wide(&program.layers[i]) || nvm_is_spiking(&program.layers[i])) {
            fail("only layers of int8 codes are counted");
        }
    }
    nvm_session *chosen = open_session(&program, NVM_AUTO), *full = open_session(&program, NVM_DENSE_WAY);
    size_t n = program.codes_in;
    int8_t *stream = make_stream(n, strcmp(argv[2], "block") == 0, (size_t)atoi(argv[3]));
    int8_t *old[NVM_MAX_LAYERS];
    tally *tallies = calloc(program.n_layers, sizeof *tallies);
    for (uint32_t i = 0; i < program.n_layers; i++) {
        old[i] = malloc(program.layers[i].n);
    }
    if (tallies == NULL || nvm_session_step(chosen, stream, n) != NVM_OK) {
        fail("no step");
    }
    for (size_t turn = 1; turn <= TURNS; turn++) {
        count_step(chosen, stream + step_of(turn) * n, old, tallies);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t turn = 1; turn <= TURNS; turn++) {
            timed_step(chosen, stream + step_of(turn) * n, tallies, 0, turn - 1);
        }
        for (size_t turn = 1; turn <= TURNS; turn++) {
            timed_step(full, stream + step_of(turn) * n, tallies, 1, turn - 1);
        }
    }
    print(&program, tallies);
    return 0;
}

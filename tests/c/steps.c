/* SPDX-License-Identifier: Apache-2.0
 *
 * steps.c: a program from files, stepped over rows from a file, again and again.
 *
 *     steps SET WAY LAYERS ARENA ROWS COUNT
 *
 * SET: an instruction set, or - for the best; WAY: auto, events, tiles or dense. LAYERS and ARENA are the
 * tensors of a bundle, ROWS is a whole number of rows of its inputs' bytes. One round over the rows is
 * not measured; then come COUNT steps, in measured_steps, so that a profiler can tell them. Prints
 * nanoseconds a step (by the clock, and of the processor), weights applied a step and a checksum of the
 * outputs.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nvm.h"

typedef struct bytes {
    uint8_t *data;
    size_t n;
} bytes;

static void give_up(const char *what, const char *why)
{
    (void)fprintf(stderr, "steps: %s: %s\n", what, why);
    exit(2);
}

static void *aligned(size_t n)
{
    void *memory = aligned_alloc(NVM_ALIGN, (n / NVM_ALIGN + 1) * NVM_ALIGN);
    if (memory == NULL) {
        give_up("memory", "there is not enough");
    }
    return memory;
}

static bytes read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    long n = -1;
    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (n = ftell(file)) <= 0) {
        give_up(path, "cannot be read, or is empty");
    }
    rewind(file);
    bytes found = {aligned((size_t)n), (size_t)n};
    if (fread(found.data, 1, found.n, file) != found.n) {
        give_up(path, "ends too soon");
    }
    (void)fclose(file);
    return found;
}

static void check(nvm_status status, const char *what)
{
    if (status != NVM_OK) {
        give_up(what, nvm_status_text(status));
    }
}

static nvm_way way_of(const char *name)
{
    if (strcmp(name, "auto") == 0) {
        return NVM_AUTO;
    }
    if (strcmp(name, "events") == 0) {
        return NVM_EVENTS;
    }
    if (strcmp(name, "tiles") == 0) {
        return NVM_TILES;
    }
    if (strcmp(name, "dense") != 0) {
        give_up(name, "auto, events, tiles or dense is wanted");
    }
    return NVM_DENSE_WAY;
}

static void run(nvm_session *session, bytes rows, size_t row, uint64_t count)
{
    size_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        check(nvm_session_step(session, rows.data + at, row), "step");
        at = at + row < rows.n ? at + row : 0;
    }
}

/* By itself, so that `--toggle-collect=measured_steps` counts this and nothing else. */
__attribute__((noinline)) void measured_steps(nvm_session *session, bytes rows, size_t row,
                                              uint64_t count);

void measured_steps(nvm_session *session, bytes rows, size_t row, uint64_t count)
{
    run(session, rows, row, count);
}

static double ns_of(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint32_t checksum(const nvm_session *session)
{
    const int8_t *codes = NULL;
    size_t n = 0;
    check(nvm_session_output(session, UINT32_MAX, &codes, &n, NULL), "output");
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < n; i++) {
        sum = (sum ^ (uint8_t)codes[i]) * 16777619u;
    }
    return sum;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        give_up("arguments", "SET WAY LAYERS ARENA ROWS COUNT are wanted");
    }
    if (strcmp(argv[1], "-") != 0) {
        check(nvm_isa_force(argv[1]), argv[1]);
    }
    bytes layers = read_file(argv[3]), arena = read_file(argv[4]), rows = read_file(argv[5]);
    uint64_t count = strtoull(argv[6], NULL, 10);
    nvm_program program;
    check(nvm_program_init(&program, layers.data, (uint32_t)(layers.n / sizeof(nvm_layer)), arena.data,
                           arena.n, NULL), argv[3]);
    size_t packed = nvm_pack_size(&program), size = nvm_session_size(&program);
    void *pack = aligned(packed), *memory = aligned(size);
    check(nvm_program_pack(&program, pack, packed), "pack");
    nvm_counters counters = {0};
    nvm_session *session = NULL;
    check(nvm_session_init(memory, size, &program, &counters, &session), "session");
    check(nvm_session_force(session, UINT32_MAX, way_of(argv[2])), argv[2]);
    if (rows.n % program.bytes_in != 0 || count == 0) {
        give_up(argv[5], "whole rows, and a COUNT of at least 1, are wanted");
    }
    run(session, rows, program.bytes_in, rows.n / program.bytes_in);
    uint64_t sops = counters.sops;
    double begun_ns = ns_of(CLOCK_MONOTONIC), used_ns = ns_of(CLOCK_PROCESS_CPUTIME_ID);
    measured_steps(session, rows, program.bytes_in, count);
    used_ns = ns_of(CLOCK_PROCESS_CPUTIME_ID) - used_ns;
    double spent_ns = ns_of(CLOCK_MONOTONIC) - begun_ns, steps = (double)count;
    (void)printf("%.1f ns, %.1f of the processor, %.1f weights a step, outputs %08" PRIx32 ", %s\n",
                 spent_ns / steps, used_ns / steps, (double)(counters.sops - sops) / steps,
                 checksum(session), nvm_isa_chosen());
    free(memory);
    free(pack);
    free(rows.data);
    free(arena.data);
    free(layers.data);
    return 0;
}

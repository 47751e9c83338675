/* SPDX-License-Identifier: Apache-2.0
 *
 * steps.c: the steps of one program between the marks of count_plugin.c.
 *
 *     steps LAYERS ARENA ROWS OUTPUTS [WAY]      ROWS: input codes of whole steps; OUTPUTS is written
 *
 * All rows but the first are counted; the first one brings every layer into the state of being stepped. WAY:
 * auto, events, tiles or dense, of all layers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "nvm.h"

#define MARK 0x6E766D

static void fail(const char *what)
{
    fprintf(stderr, "steps: %s\n", what);
    exit(1);
}

static void *aligned(size_t bytes)
{
    void *block = NULL;
    if (posix_memalign(&block, NVM_ALIGN, bytes + NVM_ALIGN) != 0) {
        fail("no memory");
    }
    return block;
}

static void *read_file(const char *path, size_t *bytes)
{
    FILE *from = fopen(path, "rb");
    if (from == NULL || fseek(from, 0, SEEK_END) != 0) {
        fail(path);
    }
    *bytes = (size_t)ftell(from);
    rewind(from);
    void *data = aligned(*bytes);
    if (fread(data, 1, *bytes, from) != *bytes) {
        fail(path);
    }
    fclose(from);
    return data;
}

enum { WRITE = 0, BEGIN = 1, PAUSE = 2 };

static void mark(int what)
{
    (void)getpriority(MARK, (id_t)what);
}

static nvm_way way_of(const char *name)
{
    static const char *const names[] = {"auto", "events", "tiles", "dense"};
    static const nvm_way ways[] = {NVM_AUTO, NVM_EVENTS, NVM_TILES, NVM_DENSE_WAY};
    for (int k = 0; k < 4; k++) {
        if (strcmp(names[k], name) == 0) {
            return ways[k];
        }
    }
    fail("WAY: auto, events, tiles or dense");
    return NVM_AUTO;
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6) {
        fail("LAYERS ARENA ROWS OUTPUTS [WAY]");
    }
    size_t layer_bytes, arena_bytes, row_bytes, n;
    void *layers = read_file(argv[1], &layer_bytes), *arena = read_file(argv[2], &arena_bytes);
    const uint8_t *rows = read_file(argv[3], &row_bytes);
    const int8_t *codes;
    nvm_program program = {0};
    nvm_session *session;
    if (nvm_program_init(&program, layers, (uint32_t)(layer_bytes / 128), arena, arena_bytes,
                         NULL) != NVM_OK) {
        fail("not a program");
    }
    size_t size = nvm_pack_size(&program);
    if (nvm_program_pack(&program, aligned(size), size) != NVM_OK) {
        fail("not packed");
    }
    size = nvm_session_size(&program);
    if (nvm_session_init(aligned(size), size, &program, NULL, &session) != NVM_OK ||
        nvm_session_output(session, UINT32_MAX, &codes, &n, NULL) != NVM_OK) {
        fail("no session");
    }
    if (argc == 6 && nvm_session_force(session, UINT32_MAX, way_of(argv[5])) != NVM_OK) {
        fail(argv[5]);
    }
    size_t n_rows = row_bytes / program.bytes_in;
    uint8_t *outputs = aligned(n * n_rows);
    for (size_t i = 0; i < n_rows; i++) {
        if (i == 1) {
            mark(BEGIN);
        }
        if (nvm_session_step(session, rows + i * program.bytes_in, program.bytes_in) != NVM_OK) {
            fail("a step was refused");
        }
        memcpy(outputs + i * n, codes, n);
    }
    mark(PAUSE);
    mark(WRITE);
    FILE *to = fopen(argv[4], "wb");
    if (to == NULL || fwrite(outputs, 1, n * n_rows, to) != n * n_rows || fclose(to) != 0) {
        fail(argv[4]);
    }
    printf("%s\n", nvm_isa_chosen());
    return 0;
}

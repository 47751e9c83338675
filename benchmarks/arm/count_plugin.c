/* SPDX-License-Identifier: Apache-2.0
 *
 * count_plugin.c: a plugin for qemu-user (QEMU 6 to 8, plugin interface 1) that counts the instructions a
 * program executes between marks, by where they lie.
 *
 *     qemu-aarch64 -plugin count_plugin.so,counts=PATH PROGRAM
 *
 * A mark is the system call getpriority(MARK, n): with n = 1 counting begins, with 2 it pauses, and with 0
 * what was counted is written to PATH, one line a translated block: address, executions, instructions. The
 * kernel refuses the call (there is no such `which`), so that the program goes on as without the plugin.
 *
 * A block that is left half-way by a signal counts whole. What the plugin needs of QEMU's interface is
 * declared here from its documentation; it is built where it runs, and is not part of any package.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the interface ------------------------------------------------------------------------ */

typedef uint64_t plugin_id;
struct tb;

#define VISIBLE __attribute__((visibility("default")))

enum { INLINE_ADD_U64 = 0 };

size_t qemu_plugin_tb_n_insns(const struct tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct tb *tb);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*call)(plugin_id, struct tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct tb *tb, int op, void *to, uint64_t amount);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id id,
                                          void (*call)(plugin_id, unsigned cpu, int64_t number,
                                                       uint64_t a1, uint64_t a2, uint64_t a3,
                                                       uint64_t a4, uint64_t a5, uint64_t a6,
                                                       uint64_t a7, uint64_t a8));

VISIBLE int qemu_plugin_version = 1;
VISIBLE int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

/* ---- the counts --------------------------------------------------------------------------- */

#define MARK        0x6E766Du
#define GETPRIORITY 141 /* of aarch64 */
#define MAX_BLOCKS  (1u << 20)

typedef struct block {
    uint64_t address, executions, instructions;
    uint64_t before, counted; /* executions when counting began; what was counted until it paused */
} block;

static block *blocks;
static uint32_t n_blocks;
static char file[4096];

static void translated(plugin_id id, struct tb *tb)
{
    (void)id;
    uint32_t i = __atomic_fetch_add(&n_blocks, 1, __ATOMIC_RELAXED);
    if (i >= MAX_BLOCKS) {
        fputs("count_plugin: more blocks than it has room for\n", stderr);
        abort();
    }
    blocks[i] = (block){.address = qemu_plugin_tb_vaddr(tb), .instructions = qemu_plugin_tb_n_insns(tb)};
    qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &blocks[i].executions, 1);
}

static void write_counts(void)
{
    FILE *to = fopen(file, "w");
    if (to == NULL) {
        perror(file);
        abort();
    }
    for (uint32_t i = 0; i < n_blocks; i++) {
        if (blocks[i].counted != 0) {
            fprintf(to, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n", blocks[i].address,
                    blocks[i].counted, blocks[i].instructions);
        }
    }
    fclose(to);
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2,
                   uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != GETPRIORITY || (uint32_t)a1 != MARK) {
        return;
    }
    for (uint32_t i = 0; i < n_blocks; i++) {
        if (a2 == 1) {
            blocks[i].before = blocks[i].executions;
        } else if (a2 == 2) {
            blocks[i].counted += blocks[i].executions - blocks[i].before;
        }
    }
    if (a2 == 0) {
        write_counts();
    }
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "counts=", 7) == 0) {
            snprintf(file, sizeof file, "%s", argv[i] + 7);
        }
    }
    blocks = calloc(MAX_BLOCKS, sizeof *blocks);
    if (file[0] == '\0' || blocks == NULL) {
        fputs("count_plugin: say counts=PATH\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}

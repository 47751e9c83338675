/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads: the same bits for any number of them, shared crews, forks, sleep and wrong arguments. Also
 * run under ThreadSanitizer (make tsan).
 */
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "network.h"
#include "nvm_test.h"

enum { MOST = 4, STEPS = 3, CALLS = 12 };

typedef struct crew {
    void *memory;
    nvm_threads *threads;
} crew;

static crew crew_new(uint32_t n, uint32_t least_ns)
{
    crew c = {.memory = aligned_alloc(64, (nvm_threads_size(n) + 63) / 64 * 64)};
    CHECK(nvm_threads_open(c.memory, nvm_threads_size(n), n, least_ns, &c.threads) == NVM_OK);
    return c;
}

static void crew_free(crew *c)
{
    nvm_threads_close(c->threads);
    free(c->memory);
}

/* A packed network of a layer or two that are cut into pixels or into channels. */
static network *some_network(uint64_t seed)
{
    static const nvm_kind kinds[] = {NVM_CONV, NVM_DENSE, NVM_DWCONV};
    nvm_kind kind = kinds[seed % 3];
    network *net = network_new(70 + seed);
    net->wide = kind == NVM_DENSE; /* channels for more than one group */
    (void)add_input(net, (shape){10, 11, kind == NVM_DENSE ? 3 : 17}, -3);
    (void)add_random(net, kind, 0);
    if (kind != NVM_DENSE) {
        (void)add_random(net, NVM_CONV, 1);
    }
    net->layers[net->n - 1].flags |= NVM_FLAG_OUTPUT;
    return net;
}

/* A program with packed weights, which the caller frees. */
static void *packed_program(const network *net, nvm_program *program)
{
    CHECK(network_init(net, program) == NVM_OK);
    size_t size = nvm_pack_size(program);
    void *pack = aligned_alloc(64, size);
    CHECK(nvm_program_pack(program, pack, size) == NVM_OK);
    return pack;
}

static void same_bits(void)
{
    crew crews[MOST + 1];
    for (uint32_t n = 2; n <= MOST; n++) {
        crews[n] = crew_new(n, n == 3 ? 2 : NVM_THREADS_ALWAYS);
    }
    for (uint64_t seed = 0; seed < 12; seed++) {
        network *net = some_network(seed);
        nvm_program alone, shared[MOST + 1];
        void *pack = packed_program(net, &alone);
        nvm_session *wanted = session_new(&alone, NULL), *found[MOST + 1];
        CHECK(nvm_session_force(wanted, UINT32_MAX, NVM_DENSE_WAY) == NVM_OK);
        for (uint32_t n = 2; n <= MOST; n++) {
            shared[n] = alone;
            CHECK(nvm_program_threads(&shared[n], crews[n].threads) == NVM_OK);
            found[n] = session_new(&shared[n], NULL);
            CHECK(nvm_session_force(found[n], UINT32_MAX,
                                    seed % 2 ? NVM_DENSE_WAY : NVM_AUTO) == NVM_OK);
        }
        size_t n_in = alone.bytes_in, n_out = alone.bytes_out, size = nvm_predict_size(&alone);
        int8_t *codes = malloc(STEPS * n_in), *rows = malloc(STEPS * n_out);
        int8_t *rows_alone = malloc(STEPS * n_out);
        void *scratch = aligned_alloc(64, size);
        random_codes(&net->seed, codes, STEPS * n_in);
        for (size_t step = 0; step < STEPS; step++) {
            const int8_t *a, *b;
            CHECK(nvm_session_step(wanted, codes + step * n_in, n_in) == NVM_OK);
            CHECK(nvm_session_output(wanted, UINT32_MAX, &a, NULL, NULL) == NVM_OK);
            for (uint32_t n = 2; n <= MOST; n++) {
                CHECK(nvm_session_step(found[n], codes + step * n_in, n_in) == NVM_OK);
                CHECK(nvm_session_output(found[n], UINT32_MAX, &b, NULL, NULL) == NVM_OK);
                CHECK(memcmp(a, b, n_out) == 0);
            }
        }
        CHECK(nvm_predict(&alone, scratch, size, codes, rows_alone, STEPS) == NVM_OK);
        CHECK(nvm_predict(&shared[2], scratch, size, codes, rows, STEPS) == NVM_OK);
        CHECK(memcmp(rows, rows_alone, STEPS * n_out) == 0);
        for (uint32_t n = 2; n <= MOST; n++) {
            free(found[n]);
        }
        free(wanted);
        free(codes);
        free(rows);
        free(rows_alone);
        free(scratch);
        free(pack);
        free(net);
    }
    for (uint32_t n = 2; n <= MOST; n++) {
        crew_free(&crews[n]);
    }
}

typedef struct caller {
    const nvm_program *program;
    uint64_t seed;
    int same;
} caller;

/* Steps a session of its own beside one without threads. */
static void *call(void *argument)
{
    caller *c = argument;
    nvm_program alone = *c->program;
    alone.threads = NULL;
    nvm_session *sessions[2] = {session_new(&alone, NULL), session_new(c->program, NULL)};
    size_t n = alone.bytes_in;
    int8_t *codes = malloc(n);
    c->same = 1;
    for (int step = 0; step < CALLS; step++) {
        const int8_t *out[2] = {NULL, NULL};
        random_codes(&c->seed, codes, n);
        for (int s = 0; s < 2; s++) {
            c->same &= nvm_session_step(sessions[s], codes, n) == NVM_OK &&
                       nvm_session_output(sessions[s], UINT32_MAX, &out[s], NULL, NULL) == NVM_OK;
        }
        c->same &= memcmp(out[0], out[1], alone.bytes_out) == 0;
    }
    free(codes);
    free(sessions[0]);
    free(sessions[1]);
    return NULL;
}

static void several_callers(void)
{
    network *net = some_network(3);
    nvm_program program;
    void *pack = packed_program(net, &program);
    crew c = crew_new(3, NVM_THREADS_ALWAYS);
    CHECK(nvm_program_threads(&program, c.threads) == NVM_OK);
    caller callers[2] = {{&program, 1, 0}, {&program, 2, 0}};
    pthread_t other;
    CHECK(pthread_create(&other, NULL, call, &callers[1]) == 0);
    (void)call(&callers[0]);
    CHECK(pthread_join(other, NULL) == 0);
    CHECK(callers[0].same && callers[1].same);
    crew_free(&c);
    free(pack);
    free(net);
}

/* A child has no workers, and neither waits for them nor for the lock of a phase. */
static void forked_child(void)
{
    network *net = some_network(0);
    nvm_program program;
    void *pack = packed_program(net, &program);
    crew c = crew_new(2, NVM_THREADS_ALWAYS);
    CHECK(nvm_program_threads(&program, c.threads) == NVM_OK);
    caller here = {&program, 5, 0};
    (void)call(&here);
    pid_t child = fork();
    if (child == 0) {
        (void)call(&here);
        nvm_threads_close(c.threads);
        _exit(here.same ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)call(&here);
    CHECK(here.same);
    crew_free(&c);
    free(pack);
    free(net);
}

static void open_and_close(void)
{
    for (uint32_t round = 0; round < 50; round++) {
        crew c = crew_new(2 + round % 3, 0);
        crew_free(&c);
    }
}

/* How many of this process's threads sleep. */
static int count_sleeping(void)
{
    int found = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
        char path[300], state = 0;
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/stat", task->d_name);
        FILE *file = task->d_name[0] != '.' ? fopen(path, "r") : NULL;
        found += file != NULL && fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && state == 'S';
        if (file != NULL) {
            (void)fclose(file);
        }
    }
    if (tasks != NULL) {
        (void)closedir(tasks);
    }
    return found;
}

/* Workers with nothing to do sleep, and wake again. */
static void idle_workers(void)
{
    enum { WORKERS = 3, DEADLINE_S = 60 };
    network *net = some_network(0);
    nvm_program program;
    void *pack = packed_program(net, &program);
    crew c = crew_new(WORKERS + 1, NVM_THREADS_ALWAYS);
    CHECK(nvm_program_threads(&program, c.threads) == NVM_OK);
    for (int round = 0; round < 3; round++) {
        caller here = {&program, 5, 0};
        (void)call(&here);
        CHECK(here.same);
        int before = count_sleeping(); /* others may be there: those of a sanitizer */
        for (time_t end = time(NULL) + DEADLINE_S; before < WORKERS && time(NULL) < end;) {
            before = count_sleeping();
        }
        CHECK(before >= WORKERS);
    }
    crew_free(&c);
    free(pack);
    free(net);
}

/* An update's arrays that another thread writes all the time, now and then beyond every bound. */
typedef struct writer {
    uint32_t index[4], end[4];
    int8_t code[4];
    int stop;
} writer;

static void *write_updates(void *argument)
{
    writer *w = argument;
    for (uint32_t n = 0; !__atomic_load_n(&w->stop, __ATOMIC_RELAXED); n++) {
        uint32_t at = n % 4;
        __atomic_store_n(&w->index[at], n % 3 == 0 ? UINT32_MAX - n : n % 5, __ATOMIC_RELAXED);
        __atomic_store_n(&w->code[at], (int8_t)n, __ATOMIC_RELAXED);
        __atomic_store_n(&w->end[at], n % 7 == 0 ? UINT32_MAX - n : at + 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void updates_while_written(void)
{
    nvm_program program;
    network *net = some_network(3);
    void *pack = packed_program(net, &program);
    writer w = {.end = {1, 2, 3, 4}};
    pthread_t thread;
    nvm_session *session = session_new(&program, NULL);
    CHECK(pthread_create(&thread, NULL, write_updates, &w) == 0);
    for (int round = 0; round < ROUNDS(2000); round++) {
        nvm_status one = nvm_session_update(session, w.index, w.code, 4);
        nvm_status many = nvm_session_run_updates(session, w.index, w.code, 4, w.end, 4, NULL);
        CHECK(one == NVM_OK || one == NVM_E_RANGE);
        CHECK(many == NVM_OK || many == NVM_E_RANGE);
    }
    __atomic_store_n(&w.stop, 1, __ATOMIC_RELAXED);
    CHECK(pthread_join(thread, NULL) == 0);
    free(session);
    free(pack);
    free(net);
}

static void wrong_arguments(void)
{
    nvm_threads *threads = NULL;
    nvm_program program;
    _Alignas(64) uint8_t memory[8192];
    size_t size = nvm_threads_size(2);
    memset(&program, 0, sizeof program);
    CHECK(nvm_threads_size(0) == 0 && nvm_threads_size(1) == 0);
    CHECK(nvm_threads_size(NVM_MAX_THREADS) != 0 && nvm_threads_size(NVM_MAX_THREADS + 1) == 0);
    CHECK(size != 0 && size <= sizeof memory - 8);
    CHECK(nvm_threads_open(NULL, size, 2, 0, &threads) == NVM_E_ARG);
    CHECK(nvm_threads_open(memory, size, 2, 0, NULL) == NVM_E_ARG);
    CHECK(nvm_threads_open(memory, size, 1, 0, &threads) == NVM_E_ARG);
    CHECK(nvm_threads_open(memory, size, UINT32_MAX, 0, &threads) == NVM_E_ARG);
    CHECK(nvm_threads_open(memory, size - 1, 2, 0, &threads) == NVM_E_SIZE);
    CHECK(nvm_threads_open(memory + 8, size, 2, 0, &threads) == NVM_E_SIZE);
    CHECK(threads == NULL);
    CHECK(nvm_program_threads(NULL, NULL) == NVM_E_ARG);
    CHECK(nvm_program_threads(&program, NULL) == NVM_E_ARG);
    nvm_threads_close(NULL);
}

int main(void)
{
    EACH_SET {
        RUN(same_bits);
    }
    RUN(several_callers);
    RUN(forked_child);
    RUN(open_and_close);
    RUN(idle_workers);
    RUN(updates_while_written);
    RUN(wrong_arguments);
    return REPORT();
}

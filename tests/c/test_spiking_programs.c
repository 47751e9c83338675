/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs of spiking neurons: every instruction set holds the same bits, and damaged records, arenas
 * and calls do no harm. What they compute is judged against the oracle in tests/kernel.
 */
#include <stdlib.h>
#include <string.h>

#include "nvm_test.h"
#include "spiking.h"

enum { PROGRAMS = 60 };

static nvm_status try_net(const spiking *net, uint64_t seed, uint64_t *digest)
{
    return spiking_try(net->populations, net->n_populations, net->projections, net->n_projections,
                       net->arena, net->len, seed, digest);
}

static void sets_hold_the_same_bits(void)
{
    static uint64_t wanted[PROGRAMS];
    EACH_SET
    {
        for (uint64_t i = 0; i < PROGRAMS; i++) {
            uint64_t digest;
            spiking *net = spiking_random(3 * i + 1);
            CHECK(try_net(net, i, &digest) == NVM_OK);
            CHECK(digest != 0);
            CHECK(wanted[i] == 0 || wanted[i] == digest);
            wanted[i] = digest;
            free(net);
        }
    }
}

/* A byte of a record or of the arena is another one. */
static void damage_does_no_harm(void)
{
    unsigned long refused = 0, accepted = 0;
    for (uint64_t i = 0; i < 1500; i++) {
        spiking *net = spiking_random(i % 97);
        uint64_t seed = i * 7919 + 3;
        for (int patches = random_in(&seed, 1, 3); patches > 0; patches--) {
            uint8_t *at = i % 3 == 0 ? net->arena : i % 3 == 1 ? (uint8_t *)net->populations
                                                               : (uint8_t *)net->projections;
            size_t size = i % 3 == 0   ? net->len
                          : i % 3 == 1 ? net->n_populations * sizeof(nvm_population)
                                       : net->n_projections * sizeof(nvm_projection);
            if (size == 0) {
                continue;
            }
            size_t where = (size_t)random_u64(&seed) % size;
            at[where] = (uint8_t)(random_in(&seed, 0, 2) ? random_in(&seed, 0, 255)
                                                         : (at[where] ^ 1 << random_in(&seed, 0, 7)));
        }
        nvm_status status = try_net(net, i, NULL);
        refused += status != NVM_OK;
        accepted += status == NVM_OK;
        free(net);
    }
    CHECK(refused > 200 && accepted > 200);
}

static void truncation_is_refused(void)
{
    for (uint64_t i = 0; i < 20; i++) {
        spiking *net = spiking_random(i);
        for (size_t len = 0; len < net->len; len += net->len / 7 + 64) {
            nvm_status status =
                spiking_try(net->populations, net->n_populations, net->projections,
                            net->n_projections, net->arena, len / 64 * 64, i, NULL);
            CHECK(status != NVM_OK);
        }
        CHECK(spiking_try(net->populations, 0, net->projections, 0, net->arena, net->len, i, NULL) ==
              NVM_E_RANGE);
        free(net);
    }
}

/* One input, one LIF, one projection, as small as can be. */
static void tiny(spiking *net)
{
    memset(net, 0, sizeof *net);
    uint32_t *words = (uint32_t *)(void *)net->arena;
    for (int k = 0; k < 32; k++) {
        words[16 + k] = UINT32_C(1) << 31; /* leak at 64 */
    }
    words[0] = 1; /* theta, gain: 1 */
    net->arena[256] = 1; /* the weight */
    net->len = 320;
    net->populations[0] = (nvm_population){.n = 1, .group = 1};
    net->populations[1] = (nvm_population){.kind = NVM_CELL_LIF,
                                           .fire = NVM_FIRE_ONE,
                                           .reset = NVM_RESET_VALUE,
                                           .flags = NVM_POPULATION_OUTPUT,
                                           .n = 1,
                                           .group = 1,
                                           .v_min = INT32_MIN,
                                           .param = {0, 192, 64, 0, 192, 192, 0, 0, 0}};
    net->projections[0] = (nvm_projection){.target = 1, .weights = 256};
    net->n_populations = 2;
    net->n_projections = 1;
}

static void every_field_has_limits(void)
{
    spiking *net = malloc(sizeof *net);
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        tiny(net);                                                                                 \
        CHECK(try_net(net, 1, NULL) == NVM_OK);                                                    \
        change;                                                                                    \
        CHECK(try_net(net, 1, NULL) != NVM_OK);                                                    \
    } while (0)
    REFUSED(net->populations[0].kind = NVM_CELL_COUNT);
    REFUSED(net->populations[0].n = 0);
    REFUSED(net->populations[0].n = NVM_MAX_POPULATION + 1);
    REFUSED(net->populations[1].group = 0);
    REFUSED(net->populations[1].group = 2);
    REFUSED(net->populations[1].flags = 2);
    REFUSED(net->populations[1].fire = NVM_FIRE_COUNT);
    REFUSED(net->populations[1].fire = NVM_FIRE_MANY); /* without subtraction */
    REFUSED(net->populations[1].reset = NVM_RESET_ZERO);
    REFUSED(net->populations[1].v_min = 1);
    REFUSED(net->populations[1].arrays = 1u << NVM_PARAM_COUNT);
    REFUSED(net->populations[1].exponent = 1);
    REFUSED(net->populations[1].reserved2[2] = 1);
    REFUSED(net->populations[1].param[NVM_PARAM_LEAK] = 63);
    REFUSED(net->populations[1].param[NVM_PARAM_LEAK] = 256);
    REFUSED(net->populations[1].param[NVM_PARAM_GAIN] = UINT64_MAX - 63);
    REFUSED(net->populations[1].param[NVM_PARAM_COUPLING] = 64);
    REFUSED(net->populations[0].refractory = 1);
    REFUSED(net->arena[64] = 1); /* a leak above 1 */
    REFUSED(net->projections[0].source = 2);
    REFUSED(net->projections[0].target = 2);
    REFUSED(net->projections[0].target = 0); /* an input */
    REFUSED(net->projections[0].source = 1); /* a cycle without delay */
    REFUSED(net->projections[0].kind = NVM_SYNAPSES_COUNT);
    REFUSED(net->projections[0].weights = 320);
    REFUSED(net->projections[0].seed = 1);
    REFUSED(net->projections[0].flags = 1);
    REFUSED(net->n_populations = 1);
#undef REFUSED
    free(net);
}

/* Projections that share their constants make no program whose check does not end. */
static void checking_ends(void)
{
    enum { LINKS = 700, NEURONS = 1 << 20 };
    size_t len = NEURONS * sizeof(int32_t) + 128;
    uint8_t *arena = aligned_alloc(NVM_ALIGN, len);
    nvm_projection *links = calloc(LINKS, sizeof *links);
    nvm_population populations[2] = {{.n = NEURONS, .group = NEURONS}, {.kind = NVM_CELL_TRUENORTH}};
    nvm_spiking_program program;
    uint32_t bad;
    memset(arena, 0, len);
    memset(arena + len - 64, 1, 4); /* theta */
    populations[1].n = populations[1].group = 1;
    populations[1].param[NVM_PARAM_THETA] = len - 64;
    for (int i = 0; i < LINKS; i++) {
        links[i] = (nvm_projection){.kind = NVM_SYNAPSES_WIRES, .target = 1, .weights = len - 128};
    }
    CHECK(nvm_spiking_program_init(&program, populations, 2, links, LINKS, arena, len, &bad) == NVM_E_RANGE);
    CHECK(bad > 2 + 200 && bad < 2 + LINKS);
    CHECK(nvm_spiking_program_init(&program, populations, 2, links, 20, arena, len, &bad) == NVM_OK);
    free(links);
    free(arena);
}

static void calls_are_checked(void)
{
    spiking *net = malloc(sizeof *net);
    nvm_spiking_program program;
    nvm_spiking_session *session = NULL;
    nvm_progress done;
    uint8_t spikes[2] = {1, 128};
    int64_t ticks[2] = {INT64_MAX - 1, 0}, out_tick[1];
    uint32_t address[2] = {0, 1}, out_address[1];
    size_t bad = 0;
    tiny(net);
    CHECK(nvm_spiking_program_init(&program, net->populations, 2, net->projections, 1, net->arena,
                                   net->len, NULL) == NVM_OK);
    void *mem = aligned_alloc(NVM_ALIGN, program.session_size);
    CHECK(nvm_spiking_session_init(mem, program.session_size - 1, &program, NULL, &session) ==
          NVM_E_SIZE);
    CHECK(nvm_spiking_session_init(NULL, 1 << 20, &program, NULL, &session) == NVM_E_ARG);
    CHECK(nvm_spiking_session_init(mem, program.session_size, &program, NULL, &session) == NVM_OK);
    CHECK(nvm_spiking_step(session, spikes, 2) == NVM_E_ARG);
    CHECK(nvm_spiking_step(session, spikes + 1, 1) == NVM_E_RANGE);
    CHECK(nvm_spiking_step(NULL, spikes, 1) == NVM_E_ARG);
    CHECK(nvm_spiking_run(session, spikes, 2, (int8_t *)spikes, NULL) == NVM_E_RANGE);
    CHECK(nvm_spiking_step_events(session, address, 2, &bad) == NVM_E_RANGE && bad == 1);
    CHECK(nvm_spiking_tick(session) == 0);
    CHECK(nvm_spiking_step(session, spikes, 1) == NVM_OK);
    CHECK(nvm_spiking_output(session)[0] == 1);
    CHECK(nvm_spiking_advance(session, ticks, address, 2, INT64_MAX, out_tick, out_address, 1, &done) ==
              NVM_E_RANGE &&
          done.bad == 1);
    CHECK(nvm_spiking_advance(session, ticks, address, 1, INT64_MAX, out_tick, out_address, 0, &done) ==
              NVM_E_RANGE &&
          done.bad == SIZE_MAX);
    CHECK(nvm_spiking_advance(session, ticks, address, 1, INT64_MAX, out_tick, out_address, 1, &done) ==
              NVM_OK &&
          done.events == 1 && done.spikes == 1 && out_tick[0] == INT64_MAX - 1);
    CHECK(nvm_spiking_step(session, spikes, 1) == NVM_E_STATE); /* the end of time */
    CHECK(nvm_spiking_population(session, 2, NULL, NULL, NULL) == NVM_E_RANGE);
    CHECK(nvm_spiking_reset(session) == NVM_OK && nvm_spiking_tick(session) == 0);
    free(mem);
    free(net);
}

int main(void)
{
    RUN(sets_hold_the_same_bits);
    RUN(damage_does_no_harm);
    RUN(truncation_is_refused);
    RUN(every_field_has_limits);
    RUN(checking_ends);
    RUN(calls_are_checked);
    return REPORT();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking_check.c: one record of a spiking program. After it no tick needs to look again.
 * A check that fails returns at once: there is nothing to undo.
 */
#include "nvm_spiking_internal.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return NVM_E_FORMAT;                                                                   \
        }                                                                                          \
    } while (0)
#define REQUIRE_RANGE(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return NVM_E_RANGE;                                                                    \
        }                                                                                          \
    } while (0)

#define BIT(param) (1u << NVM_PARAM_##param)

static const uint16_t named[NVM_CELL_COUNT] = {
    [NVM_CELL_LIF] = BIT(THETA) | BIT(RESET_TO) | BIT(LEAK) | BIT(GAIN) | BIT(BIAS) | BIT(INITIAL),
    [NVM_CELL_CUBA] = BIT(THETA) | BIT(RESET_TO) | BIT(LEAK) | BIT(GAIN) | BIT(BIAS) | BIT(INITIAL) |
                      BIT(LEAK_CURRENT) | BIT(COUPLING),
    [NVM_CELL_LOIHI] = BIT(THETA) | BIT(LEAK) | BIT(BIAS) | BIT(LEAK_CURRENT),
    [NVM_CELL_TRUENORTH] = BIT(THETA) | BIT(RESET_TO) | BIT(LEAK) | BIT(FLOOR),
};

int nvm_spiking_holds(const nvm_spiking_program *program, uint64_t offset, uint64_t bytes)
{
    return offset % NVM_ALIGN == 0 && offset <= program->arena_len &&
           bytes <= program->arena_len - offset;
}

static uint64_t product3(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t ab, abc;
    return __builtin_mul_overflow(a, b, &ab) || __builtin_mul_overflow(ab, c, &abc) ? UINT64_MAX
                                                                                    : abc;
}

/* ---- populations ---------------------------------------------------------------------------- */

static int is_fixed_point(const nvm_population *record)
{
    return record->kind == NVM_CELL_LIF || record->kind == NVM_CELL_CUBA;
}

static int is_leak(const nvm_population *record, nvm_param param)
{
    return is_fixed_point(record) && (param == NVM_PARAM_LEAK || param == NVM_PARAM_LEAK_CURRENT);
}

/* Values lo .. hi. */
static nvm_status check_values(const nvm_spiking_program *program, const nvm_population *record,
                               nvm_param param, int32_t lo, int32_t hi)
{
    const int32_t *value = (const int32_t *)(const void *)(program->arena + record->param[param]);
    size_t count = nvm_param_step(record, param) ? record->n : 1;
    for (size_t i = 0; i < count; i++) {
        REQUIRE_RANGE(value[i] >= lo && value[i] <= hi);
    }
    return NVM_OK;
}

static nvm_status check_leak(const nvm_spiking_program *program, const nvm_population *record,
                             nvm_param param)
{
    const uint32_t *value = (const uint32_t *)(const void *)(program->arena + record->param[param]);
    size_t count = 32 * (size_t)(nvm_param_step(record, param) ? record->n : 1);
    for (size_t i = 0; i < count; i++) {
        REQUIRE_RANGE(value[i] <= UINT32_C(1) << 31);
    }
    return NVM_OK;
}

static nvm_status check_params(const nvm_spiking_program *program, const nvm_population *record)
{
    for (nvm_param p = 0; p < NVM_PARAM_COUNT; p++) {
        if (!(named[record->kind] >> p & 1)) {
            REQUIRE(record->param[p] == 0 && !nvm_param_step(record, p));
            continue;
        }
        uint64_t count = nvm_param_step(record, p) ? record->n : 1;
        uint64_t bytes = count * sizeof(int32_t) * (is_leak(record, p) ? 32 : 1);
        REQUIRE(nvm_spiking_holds(program, record->param[p], bytes));
        if (is_leak(record, p)) {
            nvm_status status = check_leak(program, record, p);
            if (status != NVM_OK) {
                return status;
            }
        }
    }
    return NVM_OK;
}

static nvm_status check_fixed_point(const nvm_spiking_program *program, const nvm_population *record)
{
    REQUIRE(record->fire < NVM_FIRE_COUNT);
    REQUIRE(record->reset == NVM_RESET_VALUE || record->reset == NVM_RESET_SUBTRACT);
    REQUIRE_RANGE(record->v_min <= 0);
    REQUIRE(record->exponent == 0 && record->floor_mode == 0);
    if (record->fire == NVM_FIRE_MANY) {
        REQUIRE(record->reset == NVM_RESET_SUBTRACT);
        return check_values(program, record, NVM_PARAM_RESET_TO, 1, INT32_MAX);
    }
    return NVM_OK;
}

static nvm_status check_loihi(const nvm_spiking_program *program, const nvm_population *record)
{
    nvm_status status = check_values(program, record, NVM_PARAM_LEAK, 0, 4095);
    REQUIRE(record->reset == 0 && record->floor_mode == 0);
    REQUIRE_RANGE(record->exponent >= -8 && record->exponent <= 7);
    if (status == NVM_OK) {
        status = check_values(program, record, NVM_PARAM_LEAK_CURRENT, 0, 4095);
    }
    if (status == NVM_OK) {
        status = check_values(program, record, NVM_PARAM_THETA, 0, (1 << 17) - 1);
    }
    return status;
}

static nvm_status check_truenorth(const nvm_spiking_program *program, const nvm_population *record)
{
    nvm_status status = check_values(program, record, NVM_PARAM_THETA, 1, INT32_MAX);
    REQUIRE(record->reset <= 2 && record->floor_mode <= 1 && record->exponent == 0);
    if (status == NVM_OK) {
        status = check_values(program, record, NVM_PARAM_FLOOR, INT32_MIN, 0);
    }
    return status;
}

nvm_status nvm_spiking_check_population(const nvm_spiking_program *program, uint32_t index)
{
    const nvm_population *record = &program->populations[index];
    REQUIRE(record->kind < NVM_CELL_COUNT && record->flags <= NVM_POPULATION_OUTPUT);
    REQUIRE_RANGE(record->n >= 1 && record->n <= NVM_MAX_POPULATION);
    REQUIRE(record->group >= 1 && record->n % record->group == 0);
    REQUIRE(record->reserved0 == 0 && record->reserved1 == 0 && record->reserved2[0] == 0 &&
            record->reserved2[1] == 0 && record->reserved2[2] == 0);
    REQUIRE(record->arrays < 1u << NVM_PARAM_COUNT);
    nvm_status status = check_params(program, record);
    if (status != NVM_OK) {
        return status;
    }
    if (is_fixed_point(record)) {
        return check_fixed_point(program, record);
    }
    REQUIRE(record->group == record->n && record->fire == 0 && record->v_min == 0 &&
            record->refractory == 0);
    if (record->kind == NVM_CELL_LOIHI) {
        return check_loihi(program, record);
    }
    if (record->kind == NVM_CELL_TRUENORTH) {
        return check_truenorth(program, record);
    }
    REQUIRE(record->reset == 0 && record->floor_mode == 0 && record->exponent == 0);
    return NVM_OK;
}

/* ---- projections ---------------------------------------------------------------------------- */

/* Which fields a kind names; the others must be 0. */
enum {
    WEIGHTS = 1,
    ROWS = 2,
    DELAYS = 4, /* delays, n_delays */
    WINDOW = 8, /* in_h .. out_c, k_h .. pad_l, NVM_PROJECTION_CHW */
    GROUPS = 16,
    LOW = 32,
    HIGH = 64,
    DRAWN = 128 /* fan_out, delay_low, delay_high, seed */
};

static const uint8_t fields[NVM_SYNAPSES_COUNT] = {
    [NVM_SYNAPSES_DENSE_S8] = WEIGHTS,
    [NVM_SYNAPSES_DENSE_S16] = WEIGHTS,
    [NVM_SYNAPSES_SPARSE] = WEIGHTS | ROWS | DELAYS,
    [NVM_SYNAPSES_CONV_S8] = WEIGHTS | WINDOW | GROUPS,
    [NVM_SYNAPSES_CONV_S16] = WEIGHTS | WINDOW | GROUPS,
    [NVM_SYNAPSES_POOL] = WINDOW | LOW,
    [NVM_SYNAPSES_WIRES] = WEIGHTS | ROWS | HIGH,
    [NVM_SYNAPSES_PROCEDURAL] = LOW | HIGH | DRAWN,
};

static int others_are_0(const nvm_projection *record)
{
    unsigned has = fields[record->kind];
    uint64_t bits = record->reserved0 | record->reserved1[0] | record->reserved1[1];
    bits |= has & WEIGHTS ? 0 : record->weights;
    bits |= has & ROWS ? 0 : record->rows;
    bits |= has & DELAYS ? 0 : record->delays | record->n_delays;
    bits |= has & GROUPS ? 0 : record->groups;
    bits |= has & LOW ? 0 : (uint32_t)record->low;
    bits |= has & HIGH ? 0 : (uint32_t)record->high;
    if (!(has & WINDOW)) {
        bits |= record->in_h | record->in_w | record->in_c | record->out_h | record->out_w |
                record->out_c | record->flags;
        bits |= (uint64_t)record->k_h | record->k_w | record->stride_h | record->stride_w |
                record->dil_h | record->dil_w | (uint16_t)record->pad_t | (uint16_t)record->pad_l;
    }
    if (!(has & DRAWN)) {
        bits |= record->fan_out | record->delay_low | record->delay_high | record->seed;
    }
    return bits == 0;
}

/* Every position y stride - pad + i dil fits int32, as nvm_axis asks. */
static int axis_fits(uint32_t in, uint32_t out, uint16_t k, uint16_t stride, uint16_t dil)
{
    return in >= 1 && out >= 1 && k >= 1 && stride >= 1 && dil >= 1 && in <= NVM_MAX_POPULATION &&
           out <= NVM_MAX_POPULATION && (uint64_t)out * stride < UINT64_C(1) << 30 &&
           (uint64_t)k * dil < UINT64_C(1) << 30;
}

static nvm_status check_window(const nvm_spiking_program *program, const nvm_projection *record,
                               uint64_t width)
{
    REQUIRE(record->flags <= NVM_PROJECTION_CHW);
    REQUIRE(axis_fits(record->in_h, record->out_h, record->k_h, record->stride_h, record->dil_h));
    REQUIRE(axis_fits(record->in_w, record->out_w, record->k_w, record->stride_w, record->dil_w));
    REQUIRE(product3(record->in_h, record->in_w, record->in_c) ==
            program->populations[record->source].n);
    REQUIRE(product3(record->out_h, record->out_w, record->out_c) ==
            program->populations[record->target].n);
    if (record->kind == NVM_SYNAPSES_POOL) {
        REQUIRE(record->in_c == record->out_c && record->dil_h == 1 && record->dil_w == 1);
        return NVM_OK;
    }
    REQUIRE(record->groups >= 1 && record->in_c % record->groups == 0 &&
            record->out_c % record->groups == 0);
    uint64_t rows = product3(record->k_h, record->k_w, record->in_c / record->groups);
    REQUIRE(nvm_spiking_holds(program, record->weights, product3(rows, record->out_c, width)));
    return NVM_OK;
}

static nvm_status check_dense(const nvm_spiking_program *program, const nvm_projection *record,
                              uint64_t width)
{
    uint64_t row = (uint64_t)program->populations[record->target].n * width;
    row = (row + NVM_ALIGN - 1) / NVM_ALIGN * NVM_ALIGN;
    uint64_t bytes = row * program->populations[record->source].n;
    REQUIRE(nvm_spiking_holds(program, record->weights, bytes));
    return NVM_OK;
}

static nvm_status check_wires(const nvm_spiking_program *program, const nvm_projection *record)
{
    uint32_t n = program->populations[record->source].n;
    int32_t end = (int32_t)program->populations[record->target].n;
    REQUIRE(record->high == 0 || record->high == 1);
    REQUIRE(nvm_spiking_holds(program, record->rows, (uint64_t)n * sizeof(int32_t)));
    REQUIRE(nvm_spiking_holds(program, record->weights,
                              (record->high ? (uint64_t)n : 1) * sizeof(int16_t)));
    const int32_t *target = (const int32_t *)(const void *)(program->arena + record->rows);
    for (uint32_t j = 0; j < n; j++) {
        REQUIRE_RANGE(target[j] >= -1 && target[j] < end);
    }
    return NVM_OK;
}

static nvm_status check_procedural(const nvm_projection *record)
{
    REQUIRE_RANGE(record->fan_out >= 1 && record->fan_out <= 1u << 24);
    REQUIRE_RANGE(record->low <= record->high && record->low >= -32768 && record->high <= 32768);
    REQUIRE_RANGE(record->delay_low <= record->delay_high);
    return NVM_OK;
}

static nvm_status check_kind(nvm_spiking_program *program, const nvm_projection *record)
{
    switch (record->kind) {
    case NVM_SYNAPSES_DENSE_S8:
        return check_dense(program, record, 1);
    case NVM_SYNAPSES_DENSE_S16:
        return check_dense(program, record, 2);
    case NVM_SYNAPSES_SPARSE:
        return nvm_spiking_check_sparse(program, record);
    case NVM_SYNAPSES_CONV_S8:
    case NVM_SYNAPSES_POOL:
        return check_window(program, record, 1);
    case NVM_SYNAPSES_CONV_S16:
        return check_window(program, record, 2);
    case NVM_SYNAPSES_WIRES:
        return check_wires(program, record);
    default:
        return check_procedural(record);
    }
}

nvm_status nvm_spiking_check_projection(nvm_spiking_program *program, uint32_t index)
{
    const nvm_projection *record = &program->projections[index];
    REQUIRE(record->kind < NVM_SYNAPSES_COUNT && others_are_0(record));
    REQUIRE(record->source < program->n_populations && record->target < program->n_populations);
    REQUIRE(program->populations[record->target].kind != NVM_CELL_INPUT);
    nvm_status status = check_kind(program, record);
    if (status != NVM_OK) {
        return status;
    }
    uint32_t first = record->delay + nvm_spiking_segment_delay(program, record, 0);
    REQUIRE(record->source < record->target || first >= 1);
    return NVM_OK;
}

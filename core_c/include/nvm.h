/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm.h: the whole C API of the neurovm kernel.
 *
 * A program is a flat list of layers in topological order and an arena of constants, both read-only
 * and shared by every session. A session is the state of one stream. The library never allocates,
 * keeps nothing of its own but which instruction set it runs and how often the process forked, and
 * never reads or writes outside the memory it is given: ask a size, give memory, and free it yourself.
 *
 *     nvm_program p;
 *     nvm_program_init(&p, layers, n_layers, arena, arena_len);
 *     void *mem = aligned_alloc(64, nvm_session_size(&p));
 *     nvm_session *s;
 *     nvm_session_init(mem, nvm_session_size(&p), &p, &counters, &s);
 *     nvm_session_step(s, codes, n);
 *     nvm_session_output(s, 0, &out, &n_out, &changed);
 *
 * One neuron. Every unit is the same integer neuron:
 *
 *     u <- leak(u) + b + sum_j W_j s_j;   s <- fire(u);   u <- reset(u, s)
 *
 * SD   no leak, b applied once. y' = clamp(zero_out + R(u), lo, hi) with the layer's requantiser R;
 *      sends the graded spike s = y' - y when it differs from 0 (a ladder of thresholds, reset by
 *      subtraction; the kernel stores the accumulator A = u and the code y in its place).
 * IF   no leak, b applied each step, sends 1 when u >= theta, at most one spike a step.
 * LIF  as IF, and u <- (u * leak_q16 + 2^15) >> 16 (arithmetic, 64-bit product) before the sum.
 * SIF  signed IF: no leak, b applied each step; s = 1 when 2 u >= theta and n < n_hi, -1 when 2 u < -theta and
 *      n > n_lo, else 0; u <- sat32(u - theta s), n <- n + s. n, all it has sent, starts at 0; n_lo is
 *      reset_value, n_hi is aux[0].
 *      The sum over synapses is int32 and wraps; leak(u) + b + sum then saturates once at the int32
 *      limits (IF, LIF and SIF). u starts at 0; time passes once a step.
 *
 * Memory. A STATE layer carries codes from one step to the next, and so do the kinds that keep state
 * of their own. Every call of step or update is one step of time, whether or not an input changed.
 * A session begins with the initial values, and so does every row of nvm_predict.
 *
 * Accumulators of SD neurons are int32 (int64 with NVM_FLAG_LONG) and wrap (two's complement): sums are
 * exact modulo 2^32 (2^64) in any order, so event-driven and dense evaluation hold the same bits for ever.
 *
 * Widths. Codes are int8, or int16 where the layer has NVM_FLAG_WIDE; one program may hold both. Codes go
 * in and out as bytes: a port after the other, two bytes a wide code, little-endian, at any alignment. The
 * formulas below write q + 128 for the place of a code in a table of 256; for a wide code read q + 32768
 * and 65536. All inputs of a layer have one width, and but for TABLE, SOFTMAX and SOFTMAXQ it has theirs.
 *
 * Spikes of a code. An SD layer sends what its codes changed by once all its sums are there, in a window of
 * its own. Graded: one event a change. PLANES: eight phases, bit 7 first; in phase k the neurons whose bit k
 * differs from that of the code sent before send s = +1 or -1, and synapses add s w c_k, c_7 = -128, c_k = 2^k:
 * q = -128 b_7 + sum of 2^k b_k, so that after the window the sums are those of the graded network, modulo
 * 2^32. TIMES: 256 ticks, the highest code first; a changed code q sends once, at tick 127 - q, and synapses
 * add w times the ticks it is earlier than the one before. DENSE, CONV and DWCONV take spikes one by one
 * (where they do not run densely); all other kinds take the codes as they stand after the window. What is
 * sent is counted in spikes, and a weight that a spike meets in sops.
 *
 * With PLANES a session may stop after k < 8 phases of every window (nvm_session_planes). A layer then sends
 * the multiple of g = 2^(8 - k) nearest to its code, min(q + g/2, 127) & -g; only output ports are read whole.
 * nvm_session_bounds says what the answer to all planes can still be.
 *
 * Thread safety: a program may be used by any number of threads; a session by one at a time.
 * Byte order: little-endian hosts only (checked by nvm_program_init).
 */
#ifndef NVM_H
#define NVM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NVM_VERSION 0x000100u  /* major << 16 | minor << 8 | patch */
#define NVM_ALIGN 64u          /* alignment of arena, session memory and every arena offset */
#define NVM_MAX_INPUTS 2u      /* inputs of one layer */
#define NVM_MAX_NEURONS 0x08000000u /* of one layer, and of all layers together: 2^27 */
#define NVM_MAX_LAYERS 4096u
#define NVM_MAX_THREADS 64u
#define NVM_MAX_WORK 0x10000000000u /* multiply-adds and pooled codes of one dense pass: 2^40 */

typedef enum nvm_status {
    NVM_OK = 0,
    NVM_E_ARG,         /* null pointer, wrong count, unknown enumerator */
    NVM_E_FORMAT,      /* the layer list or arena contradicts itself */
    NVM_E_RANGE,       /* an index or value outside its range; NaN */
    NVM_E_SIZE,        /* memory or arena too small, or misaligned */
    NVM_E_UNSUPPORTED, /* known, but not in this build */
    NVM_E_STATE        /* called out of order */
} nvm_status;

typedef enum nvm_kind {
    NVM_INPUT = 0, /* one network input; n codes */
    NVM_CONST,     /* n constant codes: table0 = int8[n], wide int16[n] */
    NVM_DENSE,     /* u[o] = bias[o] + sum_i w[i][o] (q[i] - zero_in); weights int8[in_c][out_c]; n = out_c */
    NVM_CONV,      /* weights int8[k_h][k_w][in_c / groups][out_c]; output HWC, n = out_h out_w out_c */
    NVM_DWCONV,    /* weights int8[k_h][k_w][out_c]; out_c = in_c * multiplier, output c reads input
                      c / multiplier */
    NVM_ADD,       /* u = table0[q0 + 128] + table1[q1 + 128] (int32[256] each), both inputs n codes. Wide:
                      u = D(q0, table0) + D(q1, table1); a table is int32[2][4] of {b, m, e, sign}, b in [0, 15],
                      sign 1 or -1, the first for elements below aux[1], the second for the others:
                      D(q) = sign * RDBPOT(SRDHM(q 2^b 2^l, m), r), m and e as in the requantisers */
    NVM_AVGPOOL,   /* S = sum of the valid codes of the window, m their number;
                      y = clamp(S > 0 ? (S + m/2) / m : (S - m/2) / m, lo, hi), C division; with
                      aux[0] = 1 (else 0) floor((S + m/2) / m), as for codes of uint8
                      (pools: in_c = out_c; every window reads at least one code, AVGPOOL at most 2^23, wide 2^15) */
    NVM_MAXPOOL,   /* y = clamp(max of the valid codes, lo, hi) */
    NVM_MEAN,      /* S[o] = sum of codes of inputs i with map[i] = o; table0 = uint32 map[n of in[0]];
                      requantised from S; any axes */
    NVM_MAP,       /* y[i] = source[i] < 0 ? zero_out : q[source[i]]; table0 = int32 source[n]. The inputs
                      count on: source index n(in[0]) is the first code of in[1]. The inverse stands in
                      table1 = uint32 offsets[total + 1] and weights = uint32 targets[offsets[total]]:
                      targets[offsets[j] .. offsets[j+1]) are the ascending i with source[i] = j */
    NVM_TABLE,     /* y[i] = table0[(i / run) % tables][q[i] + 128]; table0 = codes of the layer [tables][256];
                      aux[0] = tables >= 1, aux[1] = run >= 1 */
    NVM_SOFTMAX,   /* rows = out_h, length = out_c, n = rows * length; table0 = float t[256]: t[d] >= 0 for
                      d = row maximum - q, t[0] > 0. Sigma = ((t[d_0] + t[d_1]) + ...) in float, in order;
                      inv = 1.0f / (Sigma * scale[0]);
                      y = clamp(round_half_away(t[d] * inv) + zero_out, lo, hi). From wide to wide instead:
                      length < 2^16, table0 = int16 t[65536], t[d] >= 0, t[0] >= 2^14, table1 = int16 r[513], r >= 0.
                      With Sigma the sum of t[d], z its leading zeros, v = ((Sigma 2^(z - 1) + 2^13) >> 14) - 2^16 in
                      [0, 2^16), clamped, k = v >> 7, s = r[k] + (((r[k + 1] - r[k]) (v & 127) + 64) >> 7):
                      y = clamp((t[d] s + 2^(30 - z)) >> (31 - z), lo, hi) */
    NVM_TABLE2,    /* y[i] = table0[q0[i] + 128][q1[i] + 128]; table0 = int8[256][256], both inputs n codes */
    NVM_SOFTMAXQ,  /* rows = out_h, length = out_c < 4096, n = rows * length; table0 = int32 t[256], exp in Q0.31:
                      t[d] >= 0 for d = row maximum - q, t[0] >= 2^30. Sigma = sum of (t[d] + 2^11) >> 12 in
                      Q12.19; with z its leading zeros, r = gemmlowp's one_over_one_plus_x(Sigma 2^z - 2^31):
                      y = clamp(((SRDHM(r, t[d]) + 2^(34 - z)) >> (35 - z)) + zero_out, lo, hi), 0 if 35 - z > 31 */
    NVM_LERP,      /* S = sum of w[i][k] q[source[i][k]], k = 0 .. 3, in 64 bits; y[i] = clamp((S + 2^(b - 1)) >> b,
                      lo, hi), b = aux[0] in [1, 30]; with aux[1] = 1 (else 0) halves go away from zero.
                      table0 = int32 source[n][4], scale = int32 w[n][4]. The inverse stands in table1 = uint32
                      offsets[n of in[0] + 1] and weights = uint32 targets[4 n]: targets[offsets[j] .. offsets[j+1])
                      ascends and holds i once for each source[i][k] = j */
    NVM_L2NORM,    /* rows = out_h, length = out_c <= 2^15, n = rows * length; table0 = int32 t[256], |t| <= 255.
                      x = t[q + 128]; m 2^(e - 31) = gemmlowp's 1 / sqrt(sum of x^2 of the row), with d = e + 7:
                      y = clamp(RDBPOT(SRDHM(x << max(d, 0), m), max(-d, 0)) + zero_out, lo, hi) */
    NVM_LOGSOFTMAX, /* as SOFTMAX, t[0] >= 1; scale = float[2] of input and output: with L = (float)ln Sigma,
                      y = clamp(rint_even(s q - (scale[0] max + L) / scale[1]) + zero_out, lo, hi), s = scale[0] /
                      scale[1], every operation in float */
    NVM_MATMUL,    /* u[g][r][c] = sum_k (q0[g][r][k] - zero_in) (q1[g][k][c] - (aux[1] - 128)); r < out_h, k < in_c,
                      c < out_c, aux[1] <= 255; n = g out_h out_c, n(in[0]) = g out_h in_c, n(in[1]) = g in_c out_c */
    NVM_ARGMAX,    /* rows = n = out_h, length = out_c, n(in[0]) = n out_c: y[r] = byte aux[0] in [0, 3] (0: the
                      lowest) of the index of the first largest code of the row, - 128 */
    NVM_STATE,     /* n codes of the step before: those that layer aux[0] (any one of n codes of this width, earlier
                      or later, not spiking) held at its end, and table0 = codes[n] in the first step */
    NVM_PAIR,      /* wide only, both inputs n codes. aux[0] = 0: u = q0 * q1, requantised; 1, 2: y = clamp(the
                      smaller, the larger code, lo, hi), not requantised */
    NVM_LSTM,      /* batches = out_h, time steps = out_w, units = out_c = u, inputs = in_c < 2^23; n = out_h out_w u. Of
                      every batch at every time, one after the other, with gates k = 0 .. 3 (i, f, g, o) of u units:
                        a_k = bias_k + sum_j w_jk (x_j - zero_in)      weights int8[in_c + u][4 u], bias int32[4 u]
                        b_k = sum_j w_(in_c + j)k (h_j - zero_out)
                        s_k = sat16(sat16(R_k(a_k)) + R_(4 + k)(b_k))  scale = int32 m[9], shift = int32 e[9] of RQ_DOUBLE
                        c   = sat16(D(L(s_f) c, 15) + D(L(s_i) T(s_g), s)), |c| <= aux[1] where that is above 0
                        h   = clamp(R_8(L(s_o) C(c)) + zero_out, lo, hi) = y
                      D(x, r) = RDBPOT(x, r), s = aux[0] & 255 in [15, 21]. With aux[0] >> 8 = 1 (else 0) R_(4 + k)(b_k)
                      saturates to int16 too and D(x, r) = RDBPOT((x + 1) >> 1, r - 1). L = table0 = int16[65536], T = table1
                      = int16[65536], both of s + 2^15; C = T where s = 18, else it follows T. First h = zero_out, c = 0;
                      both go on from step to step */
    NVM_SVDF,      /* batches = out_h, units = out_c, filters F = out_c r, r = aux[0] >= 1, steps of time T = out_w, inputs
                      = in_c; n = out_h out_c. v_f = sat16(R_0(sum_j w_jf (x_j - zero_in))), weights int8[in_c][F];
                        u = bias_o + sum of t_fm s_fm, f = o r .. o r + r - 1, m < T;   table0 = int16 t[F][T]
                        y = clamp(R_1(u) + zero_out, lo, hi);   scale = int32 m[2], shift = int32 e[2] of RQ_DOUBLE
                      s_fm is v_f of T - 1 - m steps ago, at first 0. With z = aux[1] - 129 where aux[1] is in [1, 256] (else
                      0): v_f = (int8)(sat8(R_0(..)) + z) - z. out_h r out_c out_w <= NVM_MAX_NEURONS */
    NVM_LOGSOFTMAXQ, /* rows, length and table0 as SOFTMAXQ; table1 = int32 u[256] <= 0 in Q5.26. With L = ln Sigma in
                      Q5.26 (gemmlowp's log_x_for_x_greater_than_or_equal_to_1, whose constants and roundings count):
                      y = clamp(RDBPOT(u[d] - L, 22) + zero_out, lo, hi) in 64 bits */
    NVM_KIND_COUNT
} nvm_kind;

typedef enum nvm_neuron { NVM_SD = 0, NVM_IF, NVM_LIF, NVM_SIF, NVM_NEURON_COUNT } nvm_neuron;

/* R(A), then clamp(zero_out + R(A), lo, hi). Arrays have one entry an output channel (out_c) for
 * DENSE, CONV and DWCONV, one entry in all for ADD, MEAN, MATMUL and PAIR. Narrow layers take FP32 to
 * AFFINE, wide ones DOUBLE, HALFUP, HALF16, AWAY64 and AWAY32, int64 accumulators the last three.
 *   SRDHM(a, m) = floor((a m + 2^30) / 2^31), a wraps to int32 before
 *   m in [0, 2^31 - 1]; e = shift[c] in [-31, 30] (positive: left), l = max(e, 0), r = max(-e, 0)   */
typedef enum nvm_requant {
    NVM_RQ_NONE = 0,
    NVM_RQ_FP32,   /* rint_even((float)A * scale[c]); scale = float[c] > 0, finite */
    NVM_RQ_DOUBLE, /* RDBPOT(SRDHM(A << l, m), r), RDBPOT(x, r) = floor(x / 2^r + 1/2), for x < 0
                      ceil(x / 2^r - 1/2): half away from zero; scale = int32 m[c], shift = int32 e[c] */
    NVM_RQ_SINGLE, /* floor((A m + 2^(30 - e)) / 2^(31 - e)); as above */
    NVM_RQ_HALFUP, /* (SRDHM(A << l, m) + (r ? 2^(r - 1) : 0)) >> r */
    NVM_RQ_SHIFT,  /* (A + 2^(aux[0] - 1)) >> aux[0]; aux[0] in [1, 31] */
    NVM_RQ_AFFINE, /* rint_even((float)A * scale[0] + shift[0]), both float and finite, two roundings; zero_out
                      is 0 (the zero point is in shift), or -128 where codes stand for uint8 */
    NVM_RQ_HALF16, /* floor((A m' + 2^(14 - e)) / 2^(15 - e)), e <= 14, m' = 32767 where m >= 0x7FFF0000, else
                      floor((m + 2^15) / 2^16); A m' + 2^(14 - e) modulo 2^64 */
    NVM_RQ_AWAY64, /* v = (double)A * scale[c] to the nearest integer, halves away from zero; scale = double[c]
                      >= 0, finite */
    NVM_RQ_AWAY32, /* the same in float */
    NVM_RQ_COUNT
} nvm_requant;

typedef enum nvm_reset { NVM_RESET_ZERO = 0, NVM_RESET_VALUE, NVM_RESET_SUBTRACT } nvm_reset;

enum {
    NVM_FLAG_OUTPUT = 1, /* the layer is a network output; ports are numbered in layer order */
    NVM_FLAG_SPIKES = 2, /* INPUT only: codes are this step's spikes (any int8; 0: none), not values to be
                            differenced; elements that an update does not name do not spike.
                            A spiking value is such an input, or an IF, LIF or SIF layer. Those layers read
                            spiking values only, all others none */
    NVM_FLAG_UNIT = 4,   /* SD layers and inputs: at most one unit spike (+1 or -1) a neuron and sweep;
                            a step then sweeps the layers until nothing is left to send (spiking layers
                            step in the first sweep alone). Not wide */
    NVM_FLAG_WIDE = 8,   /* codes are int16; SD layers and inputs */
    NVM_FLAG_LONG = 16,  /* wide DENSE, CONV and DWCONV: accumulators and bias are int64 */
    NVM_FLAG_PLANES = 32, /* coding bitplane: a changed code is sent as its bit planes, most significant first */
    NVM_FLAG_TIMES = 64   /* coding ttfs: a changed code is sent as one spike, whose tick is 127 - code */
    /* A program has one of the last two flags on all of its layers or on none; such layers are SD, not wide
       and not UNIT. See "Spikes of a code". */
};

/* 128 bytes, little-endian. Fields a kind does not name must be 0, but for lo and hi: lo <= hi. Offsets
 * are bytes into the arena, multiples of NVM_ALIGN; what they point at must lie wholly inside. */
typedef struct nvm_layer {
    uint8_t kind, neuron, requant, flags;
    uint32_t n_in;               /* 0 .. NVM_MAX_INPUTS */
    uint32_t in[NVM_MAX_INPUTS]; /* indices of earlier layers */
    uint32_t n;                  /* neurons = output codes, 1 .. NVM_MAX_NEURONS */
    uint32_t in_h, in_w, in_c;   /* CONV, DWCONV, pools: n of in[0] = in_h in_w in_c. DENSE: in_c only */
    uint32_t out_h, out_w, out_c;
    uint16_t k_h, k_w, stride_h, stride_w, dil_h, dil_w; /* all >= 1 where used */
    int16_t pad_t, pad_l;        /* output (y, x), tap (i, j) reads row y stride_h - pad_t + i dil_h (columns
                                    alike); taps outside are skipped */
    uint32_t groups;             /* CONV: divides in_c and out_c; DWCONV: the multiplier; pools: 0 or 1 */
    int8_t zero_in, zero_out, lo, hi; /* zero_in: DENSE, CONV, DWCONV, MATMUL; 0 for IF and LIF, all 0 for
                                         wide */
    uint32_t off_weights, off_bias, off_scale, off_shift, off_table0, off_table1; /* bias: int32[out_c]
                                                                                       (LONG: int64) */
    int32_t theta;               /* IF, LIF: threshold; SIF: the same, 1 .. 2^30 */
    int32_t reset_value;         /* SIF: n_lo, -2^30 .. 0, with aux[0], n_hi, 0 .. 2^30 */
    uint32_t reset;              /* nvm_reset */
    uint32_t leak_q16;           /* LIF: Q0.16, 0 .. 65536; IF, SIF: 65536; SD: 0 */
    uint32_t aux[2];
    int16_t zero_out_s16, lo_s16, hi_s16; /* of wide layers instead; 0 for others. Wide zero_in is 0 */
    uint16_t reserved_s16;
    uint32_t reserved[1];
} nvm_layer;

typedef struct nvm_isa nvm_isa;
typedef struct nvm_threads nvm_threads;

typedef struct nvm_program {
    const nvm_layer *layers;
    const uint8_t *arena;
    size_t arena_len;
    uint32_t n_layers, n_inputs, n_outputs; /* INPUT layers, output ports */
    size_t codes_in, codes_out;             /* codes of all inputs, of all outputs, each in layer order */
    size_t bytes_in, bytes_out;             /* their bytes: codes_in, codes_out where none is wide */
    size_t session_size, predict_size;      /* bytes */
    uint64_t macs;                          /* weights applied by one dense pass */
    int unit;                               /* some layer has NVM_FLAG_UNIT */
    int memory;                             /* some layer carries state from step to step */
    const nvm_isa *isa;                     /* what its sessions run: the choice when it was taken into use */
    uint32_t coding;                        /* NVM_FLAG_PLANES or NVM_FLAG_TIMES of its layers; 0: neither */
    const void *pack;                       /* of nvm_program_pack; NULL: none */
    nvm_threads *threads;                   /* of nvm_program_threads; NULL: none */
    const void *costs;                      /* of nvm_program_costs; NULL: the defaults */
} nvm_program;

typedef struct nvm_session nvm_session;

/* Written by the session's thread only; may be read by anybody (8-byte aligned words). Never reset. */
typedef struct nvm_counters {
    uint64_t steps;      /* step and update calls that were accepted */
    uint64_t events_in;  /* events sent by input layers */
    uint64_t events_out; /* events sent by all other layers */
    uint64_t sops;       /* weights applied, by events or densely (DENSE, CONV, DWCONV, MATMUL); vector
                          * kernels may take events in groups of four channels, and count them whole */
    uint64_t dense_macs; /* weights a dense run would have applied: macs of the program a step */
} nvm_counters;

typedef enum nvm_way { NVM_AUTO = 0, NVM_EVENTS, NVM_TILES, NVM_ZEROSKIP, NVM_DENSE_WAY } nvm_way;

typedef enum nvm_rounding {
    NVM_ROUND_EVEN_RECIPROCAL = 0, /* clamp(rint_even(x * (1.0f / scale)) + zero) : xnnpack */
    NVM_ROUND_AWAY_DIVIDE          /* clamp(round_half_away(x / scale) + zero)    : tflm */
} nvm_rounding;

typedef struct nvm_event {
    uint32_t index;
    int32_t delta;
} nvm_event;

typedef struct nvm_layer_view {
    const int8_t *codes;  /* n codes, wide int16_t; spikes of the last step for IF and LIF */
    const int32_t *acc;   /* n accumulators (LONG: int64_t) or membrane potentials; NULL where the kind
                             keeps none */
    size_t n;
    uint32_t code_bytes, acc_bytes; /* of one code, of one accumulator */
    uint64_t events, sops; /* since it was opened */
    nvm_way way;           /* of the last step */
    uint32_t last_events;  /* sent in the last step (all sweeps) */
} nvm_layer_view;

uint32_t nvm_version(void);
/* One short English phrase; never NULL. */
const char *nvm_status_text(nvm_status status);

/* Instruction sets. Every one gives the same bits; "scalar" is plain C. The best that this build and this
 * machine have is chosen when it is first asked for. Programs keep the set that was chosen when
 * nvm_program_init took them into use. Any thread may call these at any time.
 *
 * Name of set i of this build, lowest first; NULL beyond the last. */
const char *nvm_isa_name(uint32_t i);
int nvm_isa_available(uint32_t i); /* whether this machine has set i */
const char *nvm_isa_chosen(void);
/* For programs to come; NULL: the best again. A name this build does not know: NVM_E_ARG; one that this
 * machine lacks: NVM_E_UNSUPPORTED. */
nvm_status nvm_isa_force(const char *name);

/* Checks every field of every layer and everything reachable in the arena (maps, offsets, requantiser
 * parameters), so that no later call can read or write out of bounds whatever the bytes were; time
 * O(n_layers bytes). layers: 1 .. NVM_MAX_LAYERS records, 8-byte aligned; arena: NVM_ALIGN-aligned.
 * Both must outlive the program. On failure *bad_layer (may be NULL) is the layer at fault or UINT32_MAX. */
nvm_status nvm_program_init(nvm_program *program, const void *layers, uint32_t n_layers,
                            const uint8_t *arena, size_t len, uint32_t *bad_layer);

/* Weights once more, in the order in which dense runs read them fastest, for all sessions of the program:
 * mem is NVM_ALIGN-aligned, len >= nvm_pack_size, and outlives them. Without, or on a machine with no use
 * for it, everything is the same but slower. Sessions that are there before go on without. */
size_t nvm_pack_size(const nvm_program *program);
nvm_status nvm_program_pack(nvm_program *program, void *mem, size_t len);

/* What the exact ways of a layer take on this machine, as the choice between them goes by. Whatever stands
 * here, answers have the same bits; only times differ. */
typedef struct nvm_layer_costs {
    float full_ns;    /* a full run; 0: the layer was not measured, and the kernel's estimates count */
    float keep_ns;    /* a full run that leaves sums for events behind; beside packed weights alone another */
    float event_ns;   /* a run by events, before the first one */
    float scattered;  /* what changes anywhere take, as a multiple of the kernel's estimate */
    float neighbours; /* the same of changes next to each other */
    float tile_ns;    /* a run by tiles, before the first pixel; both 0: it has none */
    float tile_share; /* what pixels take, as a multiple of the estimate */
    float reserved;   /* 0 */
} nvm_layer_costs;

/* Costs of all layers, one block: a header that names the instruction set, the layers and whether they are
 * packed, then nvm_layer_costs[n_layers]. Plain bytes: they may be kept in a file and be given back. */
size_t nvm_costs_size(const nvm_program *program);

/* Takes costs into use for sessions to come; they are looked at as bytes of anybody's: another length is
 * NVM_E_SIZE, another program's, set's or version's NVM_E_FORMAT, a value that is not finite, below 0 or above 10^12
 * NVM_E_RANGE, and nothing has changed then. costs is 4-byte aligned and outlives the program; NULL: the
 * kernel's estimates again. */
nvm_status nvm_program_costs(nvm_program *program, const void *costs, size_t len);

/* Nanoseconds since any moment. */
typedef uint64_t nvm_clock(void);

/* Measures them with that clock, in about budget_ns and at most a few times as long, and takes them into use:
 * costs as above; scratch is NVM_ALIGN-aligned, scratch_len >= nvm_calibration_size, needed no longer afterwards.
 * Every way of every layer runs on made-up codes, in turns; of several times the least counts. Layers that
 * the budget leaves no time for, all layers of a program that is not of graded codes, and all where the
 * clock does not go on, keep the kernel's estimates. Where, by those, a session and one run of all its layers
 * would take more than the budget, none is opened and nothing runs. nvm_program_cost tells which layers were
 * measured. */
size_t nvm_calibration_size(const nvm_program *program);
nvm_status nvm_program_calibrate(nvm_program *program, void *costs, size_t len, void *scratch,
                                 size_t scratch_len, uint64_t budget_ns, nvm_clock *now_ns);

/* What the choice of one layer goes by, in nanoseconds. */
typedef struct nvm_cost_view {
    float full_ns, keep_ns; /* as above; 0: nothing to choose */
    float one_ns;           /* one change, by events */
    float even;             /* of its first input's codes, how many must change anywhere for a full run to be
                               the cheaper; 0: all do not */
    int measured;           /* 0: the kernel's estimates */
} nvm_cost_view;

nvm_status nvm_program_cost(const nvm_program *program, uint32_t layer, nvm_cost_view *view);

/* The same of a pack that was made before for this very program and instruction set, in memory that may be read-only
 * and whose bytes need not be trusted: NVM_E_FORMAT where what leads to an address is not what nvm_program_pack
 * writes. Weights are taken as they are. */
nvm_status nvm_program_adopt(nvm_program *program, const void *mem, size_t len);

/* Threads: n - 1 workers beside whoever calls, 2 <= n <= NVM_MAX_THREADS, for the long phases of packed layers: dense
 * runs of at least least_ns (0: 1000) by one thread are cut into pieces, and pixels or channels go to whoever is
 * free, the caller among them; the bits are those of one thread. A worker without work spins for 50 us and then sleeps;
 * sleeping ones are woken when phases worth 100 least_ns came within a millisecond, and until they are there the caller
 * does all by itself. Phases are timed: for what workers lose, as on a machine that is busy elsewhere, the caller goes
 * on alone 50 times as long. One caller at a time is helped, others go on alone; so does a forked child.
 * NVM_THREADS_ALWAYS for least_ns: every phase, whatever it takes.
 * mem: NVM_ALIGN-aligned, >= nvm_threads_size (0: n is refused), until close, which ends the workers and waits for them.
 * Signals are masked in them. NVM_E_UNSUPPORTED: not on Linux, or no thread could be started. */
#define NVM_THREADS_ALWAYS 1u
size_t nvm_threads_size(uint32_t n);
nvm_status nvm_threads_open(void *mem, size_t len, uint32_t n, uint32_t least_ns, nvm_threads **out);
void nvm_threads_close(nvm_threads *threads);

/* For sessions opened and rows predicted from now on, which it outlives; NULL: none. */
nvm_status nvm_program_threads(nvm_program *program, nvm_threads *threads);

size_t nvm_session_size(const nvm_program *program);

/* What nvm_session_size and nvm_predict_size would be with another instruction set (of nvm_isa_name; this
 * machine need not have it). NVM_E_ARG: no such set. */
nvm_status nvm_program_sizes(const nvm_program *program, const char *isa, size_t *session,
                             size_t *predict);

/* mem: NVM_ALIGN-aligned, len >= nvm_session_size. counters may be NULL (then the session's own are
 * used), are 8-byte aligned and must outlive the session. Every input starts at its zero point (zero_out
 * of the INPUT layer; 0 for spikes), primed by one dense pass that is not counted. */
nvm_status nvm_session_init(void *mem, size_t len, const nvm_program *program,
                            nvm_counters *counters, nvm_session **out);

/* A session whose layers are all forced to one way from the beginning, as by nvm_session_force. One of
 * NVM_DENSE_WAY of graded codes is smaller: it keeps no accumulators and lists no events, counts as others do,
 * shows no accumulators in its layers, and takes no other way later (NVM_E_STATE). All others, and dense ones
 * of unit spikes, of spiking layers and of the codings, are as large as nvm_session_size says. nvm_session_size_by
 * holds while the program's pack stays as it is, or is taken into use. */
size_t nvm_session_size_by(const nvm_program *program, nvm_way way);
nvm_status nvm_session_init_by(void *mem, size_t len, const nvm_program *program, nvm_way way,
                               nvm_counters *counters, nvm_session **out);

/* Back to the state after nvm_session_init; counters are kept. */
nvm_status nvm_session_reset(nvm_session *session);

/* All inputs, concatenated in layer order; n must be program->bytes_in. */
nvm_status nvm_session_step(nvm_session *session, const void *codes, size_t n);

/* Absolute codes for some elements of the concatenated inputs, any order, a later entry wins. Every
 * index is checked before any effect. n may be 0 (a step in which nothing changed). */
nvm_status nvm_session_update(nvm_session *session, const uint32_t *index, const int8_t *code,
                              size_t n);

/* As nvm_session_update, with codes of any width: one that does not fit its element is NVM_E_RANGE. */
nvm_status nvm_session_update_s16(nvm_session *session, const uint32_t *index, const int16_t *code,
                                  size_t n);

/* Many steps with one call. out: bytes_out bytes a step, or NULL; it overlaps neither codes nor a session.
 * Rows are steps of one session, one after the other, and bytes_in bytes each. */
nvm_status nvm_session_run(nvm_session *session, const void *codes, size_t rows, void *out);

/* One step of each of n sessions of one program (another one among them, or NULL: NVM_E_ARG), in this order; codes:
 * a row a session. */
nvm_status nvm_sessions_step(nvm_session *const *sessions, size_t n, const void *codes, void *out);

/* Step k is an update by the codes from end[k - 1] (first 0) up to end[k]. Ends do not descend and the last is n,
 * else NVM_E_RANGE, as for an index; everything is checked before any effect. */
nvm_status nvm_session_run_updates(nvm_session *session, const uint32_t *index, const int8_t *code,
                                   size_t n, const uint32_t *end, size_t steps, void *out);
nvm_status nvm_session_run_updates_s16(nvm_session *session, const uint32_t *index,
                                       const int16_t *code, size_t n, const uint32_t *end,
                                       size_t steps, void *out);

/* Port 0 .. n_outputs - 1, or UINT32_MAX for all outputs concatenated; *n counts bytes. *codes stays valid
 * and is rewritten by the next call. *changed: whether any of these codes differs from before the last step
 * (spiking outputs: whether any spiked). Pointers may be NULL. */
nvm_status nvm_session_output(const nvm_session *session, uint32_t port, const int8_t **codes,
                              size_t *n, int *changed);

nvm_status nvm_session_layer(const nvm_session *session, uint32_t layer, nvm_layer_view *view);

/* layer = UINT32_MAX: all. TILES: the output pixels whose windows hold a change are computed anew, dense in all
 * layers but packed CONV and DWCONV. ZEROSKIP: NVM_E_UNSUPPORTED, as it would not pay
 * (docs/partial.md). NVM_E_STATE: a session that was
 * made for another way alone (nvm_session_init_by). */
nvm_status nvm_session_force(nvm_session *session, uint32_t layer, nvm_way way);

/* From the next step on the layers of a PLANES program send so many of their 8 planes, 1 .. 8. The first step
 * after a change looks at every neuron, so what is sent depends on nothing but the inputs. Other programs,
 * and programs with memory: NVM_E_UNSUPPORTED, but for 8. */
nvm_status nvm_session_planes(nvm_session *session, uint32_t planes);

/* How many were sent in the last step; 8 before the first. */
uint32_t nvm_session_sent_planes(const nvm_session *session);

/* What the output codes can be once all planes are sent, from the planes of the inputs that were sent in the
 * last step alone: low[i] <= final code <= high[i] for all codes_out codes. Intervals go from layer to layer: sums
 * by the signs of the weights, requantisers (non-decreasing) at both ends, tables over the range; a kind without
 * a rule (or sums that may wrap) gives all its codes, unless its inputs are certain. Takes two dense passes, which
 * are not counted. scratch: NVM_ALIGN-aligned, >= nvm_bounds_size. Programs without PLANES: NVM_E_UNSUPPORTED. */
size_t nvm_bounds_size(const nvm_program *program);
nvm_status nvm_session_bounds(const nvm_session *session, void *scratch, size_t len, int8_t *low,
                              int8_t *high);

/* Rows of independent dense runs, from bytes_in to bytes_out bytes each, every one a first step; no state is
 * kept. A predictor is memory made ready for that, for as many calls as one likes, one thread at a time; it
 * outlives neither its program nor mem (NVM_ALIGN-aligned, len >= nvm_predict_size, which holds with and without
 * packed weights). Some rows go at a time, whatever their number; in and out may not overlap. Programs with
 * spiking layers: NVM_E_UNSUPPORTED. */
typedef struct nvm_predictor nvm_predictor;
size_t nvm_predict_size(const nvm_program *program);
nvm_status nvm_predictor_init(void *mem, size_t len, const nvm_program *program,
                              nvm_predictor **out);
nvm_status nvm_predictor_run(nvm_predictor *predictor, const void *in, void *out, size_t rows);

/* Both at once, in memory that is free again afterwards. */
nvm_status nvm_predict(const nvm_program *program, void *scratch, size_t len, const void *in,
                       void *out, size_t rows);

/* Where the codes of each of n_layers lie while one row is predicted: bytes from the first (0 for CONST and STATE,
 * which are read where the arena of constants holds them), and how many. Layers that are needed at the same time
 * share none. Returns the bytes of all together; arrays may be NULL. */
size_t nvm_predict_plan(const nvm_program *program, size_t *offset, size_t *bytes);

/* NaN: NVM_E_RANGE, nothing promised about codes. scale finite and > 0; zero in [-128, 127].
 * Infinities saturate. */
nvm_status nvm_quantize_f32(const float *x, size_t n, float scale, int32_t zero,
                            nvm_rounding rounding, int8_t *codes);

/* codes[i] = -128 + how many of the 255 thresholds are <= x[i] (none that is NaN); ascending ones are meant,
 * and any are safe. NaN among x: NVM_E_RANGE. */
nvm_status nvm_quantize_steps_f32(const float *x, size_t n, const float *thresholds, int8_t *codes);

/* As nvm_quantize_f32 to int16 codes; zero in [-32768, 32767]. */
nvm_status nvm_quantize_f32s16(const float *x, size_t n, float scale, int32_t zero,
                               nvm_rounding rounding, int16_t *codes);

/* x = (float)(code - zero) * scale */
nvm_status nvm_dequantize_s8(const int8_t *codes, size_t n, float scale, int32_t zero, float *x);
nvm_status nvm_dequantize_s16(const int16_t *codes, size_t n, float scale, int32_t zero, float *x);

/* Indices of the k largest codes, largest first, lower index first among equals; k <= n. */
nvm_status nvm_top_k_s8(const int8_t *codes, size_t n, size_t k, uint32_t *index);
nvm_status nvm_top_k_s16(const int16_t *codes, size_t n, size_t k, uint32_t *index);

#ifdef __cplusplus
}
#endif

#include "nvm_spiking.h" /* networks of spiking neurons */
#include "nvm_stream.h"  /* windows that slide over a stream */

#endif

# SPDX-License-Identifier: Apache-2.0
"""Declarations of include/nvm.h, nothing else."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "nvm.h" nogil:
    enum: NVM_ALIGN
    enum: NVM_MAX_LAYERS
    enum: NVM_MAX_THREADS

    ctypedef struct nvm_threads:
        pass

    ctypedef enum nvm_status:
        NVM_OK
        NVM_E_ARG
        NVM_E_FORMAT
        NVM_E_RANGE
        NVM_E_SIZE
        NVM_E_UNSUPPORTED
        NVM_E_STATE

    ctypedef enum nvm_kind:
        NVM_INPUT
        NVM_CONST
        NVM_DENSE
        NVM_CONV
        NVM_DWCONV
        NVM_ADD
        NVM_AVGPOOL
        NVM_MAXPOOL
        NVM_MEAN
        NVM_MAP
        NVM_TABLE
        NVM_SOFTMAX
        NVM_TABLE2
        NVM_SOFTMAXQ
        NVM_LERP
        NVM_L2NORM
        NVM_LOGSOFTMAX
        NVM_MATMUL
        NVM_ARGMAX
        NVM_STATE
        NVM_PAIR
        NVM_LSTM
        NVM_SVDF
        NVM_LOGSOFTMAXQ

    ctypedef enum nvm_neuron:
        NVM_SD
        NVM_IF
        NVM_LIF
        NVM_SIF

    ctypedef enum nvm_requant:
        NVM_RQ_NONE
        NVM_RQ_FP32
        NVM_RQ_DOUBLE
        NVM_RQ_SINGLE
        NVM_RQ_HALFUP
        NVM_RQ_SHIFT
        NVM_RQ_AFFINE
        NVM_RQ_HALF16
        NVM_RQ_AWAY64
        NVM_RQ_AWAY32

    ctypedef enum nvm_reset:
        NVM_RESET_ZERO
        NVM_RESET_VALUE
        NVM_RESET_SUBTRACT

    enum:
        NVM_FLAG_OUTPUT
        NVM_FLAG_SPIKES
        NVM_FLAG_UNIT
        NVM_FLAG_WIDE
        NVM_FLAG_LONG
        NVM_FLAG_PLANES
        NVM_FLAG_TIMES

    ctypedef enum nvm_way:
        NVM_AUTO
        NVM_EVENTS
        NVM_TILES
        NVM_ZEROSKIP
        NVM_DENSE_WAY

    ctypedef enum nvm_rounding:
        NVM_ROUND_EVEN_RECIPROCAL
        NVM_ROUND_AWAY_DIVIDE

    ctypedef struct nvm_layer:
        uint8_t kind

    ctypedef struct nvm_program:
        const nvm_layer *layers
        uint32_t n_layers
        uint32_t n_inputs
        uint32_t n_outputs
        size_t codes_in
        size_t codes_out
        size_t bytes_in
        size_t bytes_out
        size_t session_size
        size_t predict_size
        uint64_t macs
        int unit
        int memory
        uint32_t coding

    ctypedef struct nvm_session:
        pass

    ctypedef struct nvm_predictor:
        pass

    ctypedef struct nvm_counters:
        uint64_t steps
        uint64_t events_in
        uint64_t events_out
        uint64_t sops
        uint64_t dense_macs

    ctypedef struct nvm_layer_view:
        const int8_t *codes
        const int32_t *acc
        size_t n
        uint32_t code_bytes
        uint32_t acc_bytes
        uint64_t events
        uint64_t sops
        nvm_way way
        uint32_t last_events

    uint32_t nvm_version()
    const char *nvm_status_text(nvm_status status)
    const char *nvm_isa_name(uint32_t i)
    int nvm_isa_available(uint32_t i)
    const char *nvm_isa_chosen()
    nvm_status nvm_isa_force(const char *name)
    nvm_status nvm_program_init(
        nvm_program *program, const void *layers, uint32_t n_layers, const uint8_t *arena, size_t len,
        uint32_t *bad_layer)
    ctypedef uint64_t (*nvm_clock)() noexcept nogil

    ctypedef struct nvm_cost_view:
        float full_ns
        float keep_ns
        float one_ns
        float even
        int measured

    size_t nvm_costs_size(const nvm_program *program)
    nvm_status nvm_program_costs(nvm_program *program, const void *costs, size_t len)
    size_t nvm_calibration_size(const nvm_program *program)
    nvm_status nvm_program_calibrate(
        nvm_program *program, void *costs, size_t len, void *scratch, size_t scratch_len,
        uint64_t budget_ns, nvm_clock now_ns)
    nvm_status nvm_program_cost(const nvm_program *program, uint32_t layer, nvm_cost_view *view)
    size_t nvm_pack_size(const nvm_program *program)
    nvm_status nvm_program_pack(nvm_program *program, void *mem, size_t len)
    nvm_status nvm_program_adopt(nvm_program *program, const void *mem, size_t len)
    size_t nvm_threads_size(uint32_t n)
    nvm_status nvm_threads_open(
        void *mem, size_t len, uint32_t n, uint32_t least_ns, nvm_threads **out)
    void nvm_threads_close(nvm_threads *threads)
    nvm_status nvm_program_threads(nvm_program *program, nvm_threads *threads)
    size_t nvm_session_size(const nvm_program *program)
    size_t nvm_session_size_by(const nvm_program *program, nvm_way way)
    nvm_status nvm_session_init_by(
        void *mem, size_t len, const nvm_program *program, nvm_way way, nvm_counters *counters,
        nvm_session **out)
    nvm_status nvm_program_sizes(
        const nvm_program *program, const char *isa, size_t *session, size_t *predict)
    nvm_status nvm_session_init(
        void *mem, size_t len, const nvm_program *program, nvm_counters *counters, nvm_session **out)
    nvm_status nvm_session_reset(nvm_session *session)
    nvm_status nvm_session_step(nvm_session *session, const void *codes, size_t n)
    nvm_status nvm_session_update(
        nvm_session *session, const uint32_t *index, const int8_t *code, size_t n)
    nvm_status nvm_session_update_s16(
        nvm_session *session, const uint32_t *index, const int16_t *code, size_t n)
    nvm_status nvm_session_output(
        const nvm_session *session, uint32_t port, const int8_t **codes, size_t *n, int *changed)
    nvm_status nvm_session_layer(const nvm_session *session, uint32_t layer, nvm_layer_view *view)
    nvm_status nvm_session_force(nvm_session *session, uint32_t layer, nvm_way way)
    nvm_status nvm_session_planes(nvm_session *session, uint32_t planes)
    uint32_t nvm_session_sent_planes(const nvm_session *session)
    size_t nvm_bounds_size(const nvm_program *program)
    nvm_status nvm_session_bounds(
        const nvm_session *session, void *scratch, size_t len, int8_t *low, int8_t *high)
    nvm_status nvm_session_run(
        nvm_session *session, const void *codes, size_t rows, void *out)
    nvm_status nvm_sessions_step(
        nvm_session *const *sessions, size_t n, const void *codes, void *out)
    nvm_status nvm_session_run_updates(
        nvm_session *session, const uint32_t *index, const int8_t *code, size_t n,
        const uint32_t *end, size_t steps, void *out)
    nvm_status nvm_session_run_updates_s16(
        nvm_session *session, const uint32_t *index, const int16_t *code, size_t n,
        const uint32_t *end, size_t steps, void *out)
    size_t nvm_predict_size(const nvm_program *program)
    nvm_status nvm_predictor_init(
        void *mem, size_t len, const nvm_program *program, nvm_predictor **out)
    nvm_status nvm_predictor_run(
        nvm_predictor *predictor, const void *codes, void *out, size_t rows)
    size_t nvm_predict_plan(const nvm_program *program, size_t *offset, size_t *bytes)
    nvm_status nvm_quantize_f32(
        const float *x, size_t n, float scale, int32_t zero, nvm_rounding rounding, int8_t *codes)
    nvm_status nvm_quantize_steps_f32(
        const float *x, size_t n, const float *thresholds, int8_t *codes)
    nvm_status nvm_quantize_f32s16(
        const float *x, size_t n, float scale, int32_t zero, nvm_rounding rounding, int16_t *codes)
    nvm_status nvm_dequantize_s8(
        const int8_t *codes, size_t n, float scale, int32_t zero, float *x)
    nvm_status nvm_dequantize_s16(
        const int16_t *codes, size_t n, float scale, int32_t zero, float *x)
    nvm_status nvm_top_k_s8(const int8_t *codes, size_t n, size_t k, uint32_t *index)
    nvm_status nvm_top_k_s16(const int16_t *codes, size_t n, size_t k, uint32_t *index)


cdef extern from "nvm_spiking.h" nogil:
    enum: NVM_MAX_POPULATIONS
    enum: NVM_MAX_PROJECTIONS
    enum: NVM_CELL_CUBA
    enum: NVM_CELL_LOIHI

    ctypedef struct nvm_population:
        uint8_t kind
        uint32_t n

    ctypedef struct nvm_projection:
        uint8_t kind

    ctypedef struct nvm_spiking_program:
        const nvm_population *populations
        const nvm_projection *projections
        uint32_t n_populations
        uint32_t n_projections
        size_t n_in
        size_t n_out
        size_t most_out
        uint64_t synapses
        size_t session_size

    ctypedef struct nvm_spiking_session:
        pass

    ctypedef struct nvm_progress:
        size_t events
        size_t spikes
        int64_t tick
        size_t bad

    nvm_status nvm_spiking_program_init(
        nvm_spiking_program *program, const void *populations, uint32_t n_populations,
        const void *projections, uint32_t n_projections, const uint8_t *arena, size_t len,
        uint32_t *bad)
    size_t nvm_spiking_session_size(const nvm_spiking_program *program)
    nvm_status nvm_spiking_session_init(
        void *mem, size_t len, const nvm_spiking_program *program, nvm_counters *counters,
        nvm_spiking_session **out)
    nvm_status nvm_spiking_reset(nvm_spiking_session *session)
    int64_t nvm_spiking_tick(const nvm_spiking_session *session)
    nvm_status nvm_spiking_step(nvm_spiking_session *session, const uint8_t *spikes, size_t n)
    nvm_status nvm_spiking_step_events(
        nvm_spiking_session *session, const uint32_t *address, size_t n, size_t *bad)
    const int8_t *nvm_spiking_output(const nvm_spiking_session *session)
    nvm_status nvm_spiking_run(
        nvm_spiking_session *session, const uint8_t *spikes, size_t ticks, int8_t *out,
        int32_t *potentials)
    nvm_status nvm_spiking_advance(
        nvm_spiking_session *session, const int64_t *tick, const uint32_t *address, size_t n,
        int64_t until, int64_t *out_tick, uint32_t *out_address, size_t capacity,
        nvm_progress *progress)
    nvm_status nvm_spiking_potentials(const nvm_spiking_session *session, int32_t *potentials)
    nvm_status nvm_spiking_population(
        const nvm_spiking_session *session, uint32_t population, int8_t *spikes, int32_t *v,
        int32_t *current)


cdef extern from "nvm_stream.h" nogil:
    enum: NVM_TIME_COUNT

    ctypedef struct nvm_flow:
        uint32_t why
        uint32_t rows
        uint32_t step
        uint32_t first
        uint32_t end
        uint32_t dirty
        uint32_t copies
        uint32_t capacity
        uint8_t is_kept
        uint64_t macs
        uint64_t bytes

    ctypedef struct nvm_stream:
        pass

    nvm_status nvm_stream_plan(
        const nvm_program *program, uint32_t frames, uint32_t hop, nvm_flow *flows, size_t *size)
    uint32_t nvm_stream_frames(const nvm_program *program)
    nvm_status nvm_stream_init(
        void *mem, size_t len, const nvm_program *program, uint32_t frames, uint32_t hop,
        nvm_counters *counters, nvm_stream **out)
    nvm_status nvm_stream_reset(nvm_stream *stream)
    nvm_status nvm_stream_push(nvm_stream *stream, const void *frames, size_t n)
    nvm_status nvm_stream_step(
        nvm_stream *stream, const void *window, size_t n, uint32_t *moved)
    nvm_status nvm_stream_output(
        const nvm_stream *stream, uint32_t port, const int8_t **codes, size_t *n, int *changed)
    nvm_status nvm_stream_layer(const nvm_stream *stream, uint32_t layer, nvm_layer_view *view)

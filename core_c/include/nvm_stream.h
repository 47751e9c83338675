/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_stream.h: windows that slide over a stream, at the cost of what is new.
 *
 * The input of a program is taken as `frames` rows of equal length, oldest first. A stream is the state
 * of one window on it: frames are pushed, and after each call every layer holds what a dense run of the
 * window would give, bit for bit.
 *
 *     nvm_stream_plan(&p, frames, hop, flows, &size);
 *     void *mem = aligned_alloc(64, size);
 *     nvm_stream *s;
 *     nvm_stream_init(mem, size, &p, frames, hop, &counters, &s);
 *     nvm_stream_push(s, codes, n);
 *     nvm_stream_output(s, UINT32_MAX, &out, &n_out, &changed);
 *
 * Time in a layer. Its codes are `rows` rows in time, row i of a window that begins at frame p stands for
 * frame p + i step. Rows [first, end), the clean ones, see nothing of the padding at either end of the
 * window: what they hold depends on their place in the stream alone. With p - p' = sigma step
 *
 *     row i of window p = row i + sigma of window p'            first <= i < end - sigma
 *
 * so these are kept where they lie; the others, [0, first) and [end - sigma, rows), are computed. Where a
 * hop is no multiple of step, hop / gcd new rows come with every window, and step / gcd copies of the layer
 * are kept, one for each place of the window modulo step. Where time ends (nvm_time), or too little would
 * be kept, a layer runs densely.
 *
 * Any number of frames may be pushed; `hop` is what memory is laid out for. Thread safety, alignment and
 * byte order as in nvm.h; the library never allocates.
 */
#ifndef NVM_STREAM_H
#define NVM_STREAM_H

#include "nvm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Why a layer has no rows in time. */
typedef enum nvm_time {
    NVM_TIME_RUNS = 0,
    NVM_TIME_CONST,     /* it never changes */
    NVM_TIME_AFTER,     /* time ended before it */
    NVM_TIME_SPANNED,   /* a window, sum or mean over all rows */
    NVM_TIME_FLATTENED, /* every output reads all rows, each with a weight of its own */
    NVM_TIME_ATTENTION, /* a product of two values, or a softmax over rows */
    NVM_TIME_STRIDES,   /* its inputs' rows do not stand for the same frames */
    NVM_TIME_RATIONAL,  /* more rows than its input: a row would stand for a part of a frame */
    NVM_TIME_INNER,     /* time is not the outermost axis of its codes */
    NVM_TIME_PLACE,     /* its constants differ from row to row */
    NVM_TIME_GATHERED,  /* codes are moved in no way that is the same for every row */
    NVM_TIME_CONES,     /* no row is clean */
    NVM_TIME_COUNT
} nvm_time;

typedef struct nvm_flow {
    uint32_t why;              /* nvm_time; rows and what follows are 0 but for RUNS */
    uint32_t rows, step;
    uint32_t first, end;       /* clean rows */
    uint32_t dirty;            /* rows computed in a steady hop; all of them where nothing is kept */
    uint32_t copies;           /* of the layer: 1 .. step; 1 and kept = 0: nothing is kept */
    uint32_t capacity;         /* rows of each copy: some to slide over, so that rows seldom move */
    uint8_t is_kept, is_column; /* is_column: time is the horizontal axis of its windows */
    uint8_t is_passing;        /* its rows are computed as others' are kept, but not held from hop to hop */
    uint8_t reserved[5];
    uint64_t macs;             /* weights applied in a steady hop */
    uint64_t bytes;            /* of its codes in a stream: rows kept, capacity and copies counted */
} nvm_flow;

typedef struct nvm_stream nvm_stream;

/* How time runs through the program, layer by layer, into flows[n_layers], and the bytes of one stream (size may
 * be NULL). frames: divides the codes of the
 * one input, 2 or more; hop: 1 or more. NVM_E_UNSUPPORTED: more than one input, int16 or binary spikes (coding),
 * spiking layers or memory from step to step. */
nvm_status nvm_stream_plan(const nvm_program *program, uint32_t frames, uint32_t hop, nvm_flow *flows,
                           size_t *size);

/* The rows that the first window over the input takes it for; 0: no window reads it. */
uint32_t nvm_stream_frames(const nvm_program *program);

/* mem: NVM_ALIGN-aligned, len >= the size of nvm_stream_plan. counters may be NULL, else as for nvm_session_init. The window
 * is full of the input's zero point, as if it had always been. */
nvm_status nvm_stream_init(void *mem, size_t len, const nvm_program *program, uint32_t frames, uint32_t hop,
                           nvm_counters *counters, nvm_stream **out);
nvm_status nvm_stream_reset(nvm_stream *stream);

/* Whole frames, oldest first, at least one: n bytes. The window moves by so many. */
nvm_status nvm_stream_push(nvm_stream *stream, const void *frames, size_t n);

/* A whole window of n = program->bytes_in bytes. Where it is the one before, moved by a hop, only what is new is
 * computed; that is found by comparing all bytes, so that any window may be given. *moved (may be NULL): the frames
 * it moved by, 0 for an equal one, UINT32_MAX where nothing fits and it was run densely. */
nvm_status nvm_stream_step(nvm_stream *stream, const void *window, size_t n, uint32_t *moved);

/* As nvm_session_output and nvm_session_layer; no accumulators are kept. A layer that is_passing is computed anew for
 * its view, which ends with the next call of any kind. */
nvm_status nvm_stream_output(const nvm_stream *stream, uint32_t port, const int8_t **codes, size_t *n,
                             int *changed);
nvm_status nvm_stream_layer(const nvm_stream *stream, uint32_t layer, nvm_layer_view *view);

#ifdef __cplusplus
}
#endif

#endif

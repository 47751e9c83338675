/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_stream_internal.h: what the files of streams share; not installed.
 */
#ifndef NVM_STREAM_INTERNAL_H
#define NVM_STREAM_INTERNAL_H

#include "nvm_layout.h"
#include "nvm_pack.h"
#include "nvm_stream.h"

/* One copy of a layer's codes: a window of rows [start, start + rows) of its capacity. */
typedef struct nvm_copy {
    uint64_t at;    /* the frame its window begins with */
    uint32_t start;
    uint32_t holds; /* whether that window is there */
} nvm_copy;

/* Some rows of a layer, as a layer of its own. */
typedef struct nvm_part {
    uint32_t first, rows;        /* rows 0: not made yet */
    size_t in[NVM_MAX_INPUTS];   /* bytes between the codes of an input and those it reads */
    const void *table0;
    nvm_axis axis;               /* along time */
    uint8_t is_packed;
    nvm_layer layer;
    nvm_packed packed;
} nvm_part;

/* A layer of a stream. */
typedef struct nvm_course {
    const nvm_flow *flow;
    nvm_copy *copies;
    nvm_part *parts;    /* rows computed in the hop before: at the top, where some are, and at the bottom */
    uint8_t *base;      /* of the first copy */
    size_t copy_bytes;  /* from one to the next */
    size_t row_bytes;
    uint32_t first, end; /* rows that stay, of windows before: the others are computed */
} nvm_course;

struct nvm_stream {
    nvm_session session;
    nvm_course *courses;
    void *sums;       /* accumulators of whichever layer runs */
    uint32_t hop, input; /* input: its layer */
    uint64_t at;      /* the frame the window begins with */
};

/* The parts whose size does not depend on how time runs. */
typedef struct nvm_stream_head {
    nvm_stream *stream;
    nvm_node *nodes;
    nvm_flow *flows;
    nvm_course *courses;
    uint8_t *output;
} nvm_stream_head;

/* NVM_OK where a stream is possible (nvm_stream_plan.c); the first parts of one; and the rest, which returns the
 * bytes of all (h NULL: measures only). */
nvm_status nvm_stream_check(const nvm_program *program, uint32_t frames, uint32_t hop);
nvm_stream_head nvm_take_head(const nvm_program *program, nvm_block *mem);
size_t nvm_stream_layout(const nvm_program *program, nvm_block *mem, const nvm_flow *flows,
                         const nvm_stream_head *h);

/* How time runs through one layer, those before it known (nvm_stream_flow.c). */
nvm_flow nvm_flow_of(const nvm_program *program, const nvm_flow *flows, uint32_t index);

/* Weights applied for rows [first, end) of a layer with time, or for all of one without. */
uint64_t nvm_flow_macs(const nvm_layer *layer, const nvm_flow *flow, uint32_t first, uint32_t end);

/* Rows [first, end) of a layer, from the codes of its inputs' windows; adds to sops (nvm_stream_rows.c). */
void nvm_run_rows(nvm_stream *stream, uint32_t index, uint32_t first, uint32_t end);

static inline uint32_t nvm_gcd(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

#endif

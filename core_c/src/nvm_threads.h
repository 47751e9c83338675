/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_threads.h: the pieces of one phase, spread over workers.
 */
#ifndef NVM_THREADS_H
#define NVM_THREADS_H

#include "nvm_internal.h"

/* Piece 0 .. pieces - 1 of a job; pieces write to different places. */
typedef void nvm_piece_fn(const void *job, uint32_t piece, uint32_t pieces);

/* All pieces, done when this returns. phase: of this job, about the same every time; estimate_ns: about what it takes;
 * most: into how many pieces it can be cut. threads may be NULL. */
void nvm_threads_run(nvm_threads *threads, nvm_piece_fn *run, const void *job, nvm_phase *phase,
                     float estimate_ns, uint32_t most);

#endif

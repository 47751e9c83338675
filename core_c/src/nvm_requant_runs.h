/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_requant_runs.h: the requantisers R of nvm.h by vectors, but for the vectors. The file that includes this
 * defines bounds and bounds_of, parameters, LANES, PATTERN, and
 *
 *     void requant_run(nvm_requant rule, const bounds *to, const int32_t *acc, const parameters *by, size_t n,
 *                      int8_t *codes);
 */
#ifndef NVM_REQUANT_RUNS_H
#define NVM_REQUANT_RUNS_H

/* Runs of `channels` one after the other, beginning at `channel`. */
static inline __attribute__((always_inline)) void
requant_runs(nvm_requant rule, const bounds *to, const int32_t *acc, const parameters *by,
             size_t channels, size_t channel, size_t n, int8_t *codes)
{
    for (size_t part; n != 0; n -= part, acc += part, codes += part, channel = 0) {
        part = channels - channel < n ? channels - channel : n;
        parameters from = {(const int32_t *)by->scale + channel * by->step, by->shift, by->step};
        if (rule != NVM_RQ_FP32) {
            from.shift += channel * by->step;
        }
        requant_run(rule, to, acc, &from, part, codes);
    }
}

/* Parameters of few channels, written out until they fill vectors; the channels they stand for. */
static size_t write_out(parameters *by, int32_t *scale, int32_t *shift, size_t channels,
                        size_t channel, int shifts)
{
    size_t all = PATTERN / channels * channels;
    for (size_t i = 0, c = channel; i < all; i++) {
        scale[i] = ((const int32_t *)by->scale)[c];
        shift[i] = shifts ? by->shift[c] : 0;
        c = c + 1 == channels ? 0 : c + 1;
    }
    by->scale = scale;
    by->shift = shift;
    return all;
}

void NVM_OWN(requant_s32s8)(const nvm_node *node, const int32_t *acc, size_t channel, size_t n,
                            int8_t *codes)
{
    const nvm_layer *layer = node->layer;
    int32_t scale[PATTERN], shift[PATTERN], places = (int32_t)layer->aux[0];
    bounds to = bounds_of(layer);
    parameters by = {node->scale, node->shift, 0};
    size_t channels = n;
    if (layer->requant == NVM_RQ_SHIFT) {
        by = (parameters){&places, &places, 0};
        channel = 0;
    } else if (layer->requant != NVM_RQ_AFFINE &&
               (layer->kind == NVM_DENSE || layer->kind == NVM_CONV || layer->kind == NVM_DWCONV)) {
        by.step = 1;
        channels = layer->out_c;
        if (channels % LANES != 0 && 2 * channels <= PATTERN && n > 2 * channels) {
            channels = write_out(&by, scale, shift, channels, channel,
                                 layer->requant != NVM_RQ_FP32);
            channel = 0;
        }
    } else {
        channel = 0;
    }
    switch (layer->requant) {
    case NVM_RQ_FP32:
        requant_runs(NVM_RQ_FP32, &to, acc, &by, channels, channel, n, codes);
        break;
    case NVM_RQ_AFFINE:
        requant_runs(NVM_RQ_AFFINE, &to, acc, &by, channels, channel, n, codes);
        break;
    case NVM_RQ_SHIFT:
        requant_runs(NVM_RQ_SHIFT, &to, acc, &by, channels, channel, n, codes);
        break;
    case NVM_RQ_DOUBLE:
        requant_runs(NVM_RQ_DOUBLE, &to, acc, &by, channels, channel, n, codes);
        break;
    case NVM_RQ_HALFUP:
        requant_runs(NVM_RQ_HALFUP, &to, acc, &by, channels, channel, n, codes);
        break;
    default:
        requant_runs(NVM_RQ_SINGLE, &to, acc, &by, channels, channel, n, codes);
        break;
    }
}

#endif

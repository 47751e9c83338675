/* SPDX-License-Identifier: Apache-2.0
 *
 * Singular value decomposition filters: features of the input, and what they were in the steps
 * before. The features' sums change by what changed; all of time moves on by one at every step.
 */
#include "nvm_svdf.h"
#include "nvm_rows.h"

/* RQ_DOUBLE; m in [0, 2^31), e in [-31, 30]. */
static inline int32_t rescale(int32_t a, int32_t m, int32_t e)
{
    int32_t x = e > 0 ? (int32_t)((uint32_t)a << e) : a, r = e < 0 ? -e : 0;
    int64_t y = ((int64_t)x * m + (1 << 30)) >> 31;
    return (int32_t)(r == 0 ? y : (y + (INT64_C(1) << (r - 1)) - (y < 0)) >> r);
}

/* Sum over time of one filter, its newest value in place of the oldest. */
static int32_t over_time(const nvm_svdf *s, const int16_t *weights, const int16_t *state,
                         int16_t newest)
{
    uint32_t sum = 0;
    for (size_t m = 1; m < s->length; m++) {
        sum += (uint32_t)((int32_t)weights[m - 1] * state[m]);
    }
    return (int32_t)(sum + (uint32_t)((int32_t)weights[s->length - 1] * newest));
}

static void run(nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    const int16_t *time = node->table0;
    const int32_t *m = node->scale, *e = node->shift, *bias = node->bias;
    nvm_svdf s = nvm_svdf_memory(node);
    int narrow = layer->aux[1] != 0;
    int32_t low = narrow ? INT8_MIN : INT16_MIN, high = narrow ? INT8_MAX : INT16_MAX;
    int32_t zero = (int32_t)layer->aux[1] - 129;
    for (size_t i = 0; i < layer->n; i++) {
        int32_t sum = bias[i % s.units];
        for (size_t f = i * s.rank; f < (i + 1) * s.rank; f++) {
            int32_t feature = rescale(s.features[f], m[0], e[0]);
            feature = feature < low ? low : feature > high ? high : feature;
            if (narrow) { /* as a code, which wraps */
                feature = (int8_t)(uint8_t)(feature + zero) - zero;
            }
            s.newest[f] = (int16_t)feature;
            sum = nvm_add_wrap(sum, over_time(&s, time + f % s.filters * s.length,
                                              s.states + f * s.length, (int16_t)feature));
        }
        int64_t y = (int64_t)rescale(sum, m[1], e[1]) + layer->zero_out;
        y = y < layer->lo ? layer->lo : y;
        int8_t wanted = (int8_t)(y > layer->hi ? layer->hi : y);
        NVM_OWN(neuron_sd_s8)(node, i, &wanted, 1);
    }
    node->sops += (uint64_t)layer->n * s.rank * s.length;
}

void NVM_NAME(svdf_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    nvm_svdf s = nvm_svdf_memory(node);
    (void)scratch;
    for (size_t k = 0, n; k < in->n_events; k += n) {
        size_t batch = in->events[k].index / s.inputs, first = batch * s.inputs;
        for (n = 1; k + n < in->n_events && in->events[k + n].index < first + s.inputs; n++) {
        }
        nvm_rows_events(s.features + batch * s.filters, node->weights, s.filters, in->events + k, n,
                        (uint32_t)first, s.filters);
    }
    node->sops += (uint64_t)in->n_events * s.filters;
    run(node);
}

void NVM_NAME(svdf_full)(nvm_node *node, nvm_scratch *scratch)
{
    const int8_t *codes = node->in[0]->codes;
    nvm_svdf s = nvm_svdf_memory(node);
    (void)scratch;
    memset(s.features, 0, s.batches * s.filters * sizeof *s.features);
    for (size_t b = 0; b < s.batches; b++) {
        nvm_rows_codes(s.features + b * s.filters, node->weights, s.filters, codes + b * s.inputs,
                       s.inputs, node->layer->zero_in, s.filters);
    }
    node->sops += (uint64_t)s.batches * s.inputs * s.filters;
    run(node);
}

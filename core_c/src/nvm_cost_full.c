/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_cost_full.c: what a full run of a layer takes: measured, or else estimated.
 */
#include "nvm_pack.h"
#include "nvm_prices.h"

/* A full run over packed weights: of a depthwise one, and of all else. */
#define PACKED_DW_WEIGHT_NS 0.03f
#define PACKED_NS           30.0f
#define KEEP_NEURON_NS      0.1f  /* beyond: its sum is stored */
#define COPY_NS             0.05f /* MAP: a code of a run */
#define RUN_NS              4.0f

static void estimate_full(nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    float work = (float)nvm_layer_work(layer), n = (float)layer->n;
    float n_in = layer->n_in == 0 ? 1.0f : (float)node->in[0]->layer->n;
    switch (layer->kind) {
    case NVM_DENSE:
        node->taps = 1.0f;
        node->full_ns = work * nvm_weight_ns(node) + n * nvm_neuron_ns(node);
        break;
    case NVM_CONV:
        node->taps = work / (n_in * (float)(layer->out_c / layer->groups));
        node->full_ns = work * nvm_weight_ns(node) + n * nvm_neuron_ns(node);
        break;
    case NVM_DWCONV:
        node->taps = work / (n_in * (float)layer->groups);
        node->full_ns = work * ROW_WEIGHT_NS + n * nvm_neuron_ns(node);
        break;
    case NVM_AVGPOOL:
    case NVM_MAXPOOL:
        node->taps = work / n_in;
        node->full_ns = work * nvm_prices_of(node)->pooled + n * nvm_prices_of(node)->pool;
        break;
    case NVM_MEAN:
        node->full_ns = n_in * 0.6f;
        break;
    case NVM_LSTM: /* its input's part; gates follow either way */
        node->full_ns = n_in * 4.0f * (float)layer->out_c * WEIGHT_NS;
        break;
    case NVM_SVDF: /* as LSTM */
        node->full_ns = n_in * (float)layer->out_c * (float)layer->aux[0] * WEIGHT_NS;
        break;
    case NVM_SOFTMAX:
    case NVM_SOFTMAXQ:
    case NVM_L2NORM:
    case NVM_LOGSOFTMAX:
    case NVM_LOGSOFTMAXQ:
        node->full_ns = n * 3.0f;
        break;
    case NVM_MATMUL:
        node->full_ns = work * WEIGHT_NS + n * NEURON_NS;
        break;
    case NVM_ARGMAX:
        node->full_ns = n_in * 1.0f;
        break;
    case NVM_LERP:
        node->full_ns = n * 5.0f;
        break;
    case NVM_TABLE:
        node->full_ns = n * 1.0f;
        break;
    case NVM_ADD:
        node->full_ns = n * (node->affine ? nvm_prices_of(node)->sum : 1.0f);
        break;
    default: /* MAP */
        node->full_ns = n * 1.0f;
        break;
    }
    if (node->packed != NULL && layer->kind == NVM_MAP) {
        node->full_ns = PACKED_NS + (float)node->packed->n_segments * RUN_NS + n * COPY_NS;
    } else if (node->packed != NULL) {
        const nvm_prices *c = nvm_prices_of(node);
        float each = node->packed->is_depthwise ? PACKED_DW_WEIGHT_NS : c->packed_weight;
        node->full_ns = c->packed + work * each + n * c->packed_neuron;
    }
}

void nvm_estimate_full(nvm_node *node, const nvm_layer_costs *costs)
{
    estimate_full(node);
    if (costs != NULL && costs->full_ns > 0.0f) {
        node->costs = *costs;
        node->full_ns = costs->full_ns;
        return;
    }
    float keep_ns = node->packed == NULL ? 0.0f : (float)node->layer->n * KEEP_NEURON_NS;
    node->costs = (nvm_layer_costs){.keep_ns = node->full_ns + keep_ns,
                                    .scattered = 1.0f,
                                    .neighbours = 1.0f,
                                    .tile_share = 1.0f};
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop everybody writes first.
 */
#include "plain.h"

#include <string.h>
#include <time.h>

double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* One output pixel: tap, input channel, output channel. */
static void plain_pixel(const nvm_layer *layer, const int8_t *w, const int8_t *in, int y, int x,
                        int32_t *acc)
{
    size_t in_c = layer->in_c, out_c = layer->out_c;
    int single = layer->kind == NVM_DWCONV;
    for (int i = 0; i < layer->k_h; i++) {
        for (int j = 0; j < layer->k_w; j++, w += (single ? 1 : in_c) * out_c) {
            int r = y * layer->stride_h + i - layer->pad_t,
                c = x * layer->stride_w + j - layer->pad_l;
            if (r < 0 || c < 0 || r >= (int)layer->in_h || c >= (int)layer->in_w) {
                continue;
            }
            const int8_t *q = in + ((size_t)r * layer->in_w + (size_t)c) * in_c;
            for (size_t p = 0; p < in_c && !single; p++) {
                for (size_t o = 0; o < out_c; o++) {
                    acc[o] += w[p * out_c + o] * (q[p] - layer->zero_in);
                }
            }
            for (size_t o = 0; o < out_c && single; o++) {
                acc[o] += w[o] * (q[o] - layer->zero_in);
            }
        }
    }
}

static int8_t plain_layer(const network *net, const nvm_layer *layer, const int8_t *in, int8_t *out)
{
    static int32_t acc[1024];
    const int8_t *w = (const int8_t *)net->arena + layer->off_weights;
    const float *scale = (const float *)(const void *)(net->arena + layer->off_scale);
    nvm_layer as_conv = *layer;
    if (layer->kind == NVM_DENSE) {
        as_conv.in_h = as_conv.in_w = as_conv.out_h = as_conv.out_w = 1;
        as_conv.k_h = as_conv.k_w = as_conv.stride_h = as_conv.stride_w = 1;
    }
    for (uint32_t pixel = 0; pixel < as_conv.out_h * as_conv.out_w; pixel++) {
        memset(acc, 0, layer->out_c * sizeof *acc);
        plain_pixel(&as_conv, w, in, (int)(pixel / as_conv.out_w), (int)(pixel % as_conv.out_w),
                    acc);
        for (size_t o = 0; o < layer->out_c; o++) {
            float v = (float)acc[o] * scale[o];
            v = v < 0 ? 0 : v > 255 ? 255 : v;
            out[pixel * layer->out_c + o] = (int8_t)((int)(v + 0.5f) - 128);
        }
    }
    return out[0];
}

double plain_ns(const network *net)
{
    static int8_t in[1 << 16], out[1 << 16];
    volatile int8_t sink;
    double best = 1e18;
    for (int run = 0; run < 5; run++) {
        double start = now_ns();
        for (uint32_t l = 0; l < net->n; l++) {
            uint8_t kind = net->layers[l].kind;
            if (kind == NVM_DENSE || kind == NVM_CONV || kind == NVM_DWCONV) {
                sink = plain_layer(net, &net->layers[l], in, out);
            }
        }
        double ns = now_ns() - start;
        best = ns < best ? ns : best;
    }
    (void)sink;
    return best;
}

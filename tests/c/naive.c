/* SPDX-License-Identifier: Apache-2.0
 *
 * Every kind by its definition in nvm.h: one output at a time, nothing shared with the kernel.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

__extension__ typedef __int128 wide;

static int64_t floor_div(wide a, wide b)
{
    wide q = a / b;
    return (int64_t)(q - (a % b != 0 && (a < 0) != (b < 0)));
}

static wide power(int e)
{
    return (wide)1 << e;
}

static int32_t wrap(int64_t a)
{
    return (int32_t)(uint32_t)(uint64_t)a;
}

static int16_t clamp(double y, int lo, int hi)
{
    return (int16_t)(y < lo ? lo : y > hi ? hi : y);
}

static int64_t srdhm(int32_t a, int32_t m, int32_t e)
{
    int32_t x = wrap((int64_t)((uint64_t)(int64_t)a << (e > 0 ? e : 0)));
    return floor_div((wide)x * m + power(30), power(31));
}

static int is_wide(const nvm_layer *layer)
{
    return (layer->flags & NVM_FLAG_WIDE) != 0;
}

static int lowest(const nvm_layer *layer)
{
    return is_wide(layer) ? layer->lo_s16 : layer->lo;
}

static int highest(const nvm_layer *layer)
{
    return is_wide(layer) ? layer->hi_s16 : layer->hi;
}

static int zero_of(const nvm_layer *layer)
{
    return is_wide(layer) ? layer->zero_out_s16 : layer->zero_out;
}

/* The bits of `a` that int64 keeps. */
static int64_t wrap64(wide a)
{
    return (int64_t)(uint64_t)a;
}

static int16_t requantise_away(const network *net, const nvm_layer *layer, int64_t a,
                               uint32_t channel)
{
    const void *scale = net->arena + layer->off_scale;
    float single = layer->requant == NVM_RQ_AWAY32 ? (float)a * ((const float *)scale)[channel] : 0;
    double v = layer->requant == NVM_RQ_AWAY32 ? single : (double)a * ((const double *)scale)[channel];
    return clamp(round(v) + zero_of(layer), lowest(layer), highest(layer));
}

/* The integer rules of wide layers, of sums of 64 bits. */
static int16_t requantise_wide(const network *net, const nvm_layer *layer, int64_t a,
                               uint32_t channel)
{
    const int32_t *m = (const int32_t *)(const void *)(net->arena + layer->off_scale);
    const int32_t *e = (const int32_t *)(const void *)(net->arena + layer->off_shift);
    int32_t factor = m[channel], shift = e[channel], right = shift < 0 ? -shift : 0;
    int32_t half = factor >= 0x7FFF0000 ? 32767 : (int32_t)floor_div(factor + power(15), power(16));
    int64_t x = srdhm(wrap(a), factor, shift);
    double r;
    switch (layer->requant) {
    case NVM_RQ_HALF16:
        r = (double)floor_div(wrap64((wide)a * half + power(14 - shift)), power(15 - shift));
        break;
    case NVM_RQ_HALFUP:
        r = (double)floor_div((wide)x * 2 + power(right), power(right + 1));
        break;
    default:
        r = x < 0 ? -(double)floor_div(-(wide)x * 2 + power(right), power(right + 1))
                  : (double)floor_div((wide)x * 2 + power(right), power(right + 1));
        break;
    }
    return clamp(r + zero_of(layer), lowest(layer), highest(layer));
}

static int16_t requantise(const network *net, const nvm_layer *layer, int64_t sum,
                          uint32_t channel)
{
    int32_t a = wrap(sum);
    if (layer->requant == NVM_RQ_AWAY32 || layer->requant == NVM_RQ_AWAY64) {
        return requantise_away(net, layer, layer->flags & NVM_FLAG_LONG ? sum : a, channel);
    }
    if (is_wide(layer)) {
        return requantise_wide(net, layer, layer->flags & NVM_FLAG_LONG ? sum : a, channel);
    }

    const float *scale = (const float *)(const void *)(net->arena + layer->off_scale);
    const float *offset = (const float *)(const void *)(net->arena + layer->off_shift);
    const int32_t *m = (const int32_t *)(const void *)scale,
                  *e = (const int32_t *)(const void *)offset;
    double zero = layer->zero_out, r = 0;
    float product;
    int64_t x;
    int right;
    switch (layer->requant) {
    case NVM_RQ_FP32:
        product = (float)a * scale[channel];
        r = nearbyint((double)product);
        break;
    case NVM_RQ_AFFINE:
        product = (float)a * scale[0];
        product = product + offset[0];
        r = nearbyint((double)product);
        break;
    case NVM_RQ_DOUBLE:
        x = srdhm(a, m[channel], e[channel]);
        right = e[channel] < 0 ? -e[channel] : 0;
        /* half away from zero */
        r = x < 0 ? -(double)floor_div(-(wide)x * 2 + power(right), power(right + 1))
                  : (double)floor_div((wide)x * 2 + power(right), power(right + 1));
        break;
    case NVM_RQ_SINGLE:
        r = (double)floor_div((wide)a * m[channel] + power(30 - e[channel]),
                              power(31 - e[channel]));
        break;
    case NVM_RQ_HALFUP:
        x = srdhm(a, m[channel], e[channel]);
        right = e[channel] < 0 ? -e[channel] : 0;
        r = (double)floor_div((wide)x * 2 + power(right), power(right + 1));
        break;
    case NVM_RQ_SHIFT:
        r = (double)floor_div((wide)a + power((int)layer->aux[0] - 1), power((int)layer->aux[0]));
        break;
    default:
        abort();
    }
    return clamp(r + zero, layer->lo, layer->hi);
}

/* Whether tap (i, j) of output (y, x) reads inside the input; *pixel is what it reads. */
static int tap_reads(const nvm_layer *layer, uint32_t y, uint32_t x, uint32_t i, uint32_t j,
                     size_t *pixel)
{
    long row = (long)y * layer->stride_h - layer->pad_t + (long)i * layer->dil_h;
    long col = (long)x * layer->stride_w - layer->pad_l + (long)j * layer->dil_w;
    if (row < 0 || col < 0 || row >= (long)layer->in_h || col >= (long)layer->in_w) {
        return 0;
    }
    *pixel = (size_t)row * layer->in_w + (size_t)col;
    return 1;
}

/* Sum of one convolution output; *taps counts the valid ones. */
static int64_t conv_sum(const network *net, const nvm_layer *layer, const int16_t *q, uint32_t y,
                        uint32_t x, uint32_t o)
{
    const int8_t *w = (const int8_t *)(net->arena + layer->off_weights);
    uint32_t per_group = layer->kind == NVM_CONV ? layer->in_c / layer->groups : 1;
    uint32_t first = layer->kind == NVM_CONV ? o / (layer->out_c / layer->groups) * per_group
                                             : o / layer->groups;
    int64_t sum = 0;
    for (uint32_t i = 0; i < layer->k_h; i++) {
        for (uint32_t j = 0; j < layer->k_w; j++) {
            size_t pixel;
            for (uint32_t c = 0; c < per_group && tap_reads(layer, y, x, i, j, &pixel); c++) {
                size_t at = (((size_t)i * layer->k_w + j) * per_group + c) * layer->out_c + o;
                sum += w[at] * (q[pixel * layer->in_c + first + c] - layer->zero_in);
            }
        }
    }
    return sum;
}

void naive_drive(const network *net, uint32_t index, int16_t *const *codes, int64_t *sums)
{
    const nvm_layer *layer = &net->layers[index];
    const int16_t *q = codes[layer->in[0]];
    const int8_t *w = (const int8_t *)(net->arena + layer->off_weights);
    for (uint32_t k = 0; k < layer->n; k++) {
        uint32_t o = k % layer->out_c, pixel = k / layer->out_c;
        sums[k] = 0;
        if (layer->kind != NVM_DENSE) {
            sums[k] = conv_sum(net, layer, q, pixel / layer->out_w, pixel % layer->out_w, o);
            continue;
        }
        for (uint32_t i = 0; i < layer->in_c; i++) {
            sums[k] += w[(size_t)i * layer->out_c + o] * (q[i] - layer->zero_in);
        }
    }
}

static void naive_weighted(const network *net, uint32_t index, int16_t *const *codes)
{
    const nvm_layer *layer = &net->layers[index];
    const int32_t *bias = (const int32_t *)(const void *)(net->arena + layer->off_bias);
    const int64_t *long_bias = (const int64_t *)(const void *)bias;
    int is_long = (layer->flags & NVM_FLAG_LONG) != 0;
    int64_t *sums = malloc(layer->n * sizeof *sums);
    naive_drive(net, index, codes, sums);
    for (uint32_t k = 0; k < layer->n; k++) {
        uint32_t o = k % layer->out_c;
        wide sum = (wide)sums[k] + (is_long ? long_bias[o] : bias[o]);
        codes[index][k] = requantise(net, layer, wrap64(sum), o);
    }
    free(sums);
}

static void naive_pool(const nvm_layer *layer, const int16_t *q, int16_t *out)
{
    for (uint32_t k = 0; k < layer->n; k++) {
        uint32_t c = k % layer->out_c, pixel = k / layer->out_c;
        int32_t sum = 0, m = 0, max = -40000;
        for (uint32_t i = 0; i < layer->k_h; i++) {
            for (uint32_t j = 0; j < layer->k_w; j++) {
                size_t at;
                if (tap_reads(layer, pixel / layer->out_w, pixel % layer->out_w, i, j, &at)) {
                    int32_t code = q[at * layer->in_c + c];
                    sum += code;
                    max = code > max ? code : max;
                    m++;
                }
            }
        }
        int32_t mean = sum > 0 ? (sum + m / 2) / m : (sum - m / 2) / m;
        if (layer->kind == NVM_AVGPOOL && layer->aux[0] != 0) {
            mean = (sum + 128 * m + m / 2) / m - 128;
        }
        out[k] = clamp(layer->kind == NVM_AVGPOOL ? mean : max, lowest(layer), highest(layer));
    }
}

static void naive_lerp(const network *net, const nvm_layer *layer, const int16_t *q, int16_t *out)
{
    const int32_t *source = (const int32_t *)(const void *)(net->arena + layer->off_table0);
    const int32_t *weight = (const int32_t *)(const void *)(net->arena + layer->off_scale);
    for (uint32_t i = 0; i < layer->n; i++) {
        double sum = 0, unit = (double)(1 << layer->aux[0]);
        for (uint32_t k = 4 * i; k < 4 * i + 4; k++) {
            sum += (double)weight[k] * q[source[k]];
        }
        double y = layer->aux[1] != 0 && sum < 0 ? ceil(sum / unit - 0.5) : floor(sum / unit + 0.5);
        out[i] = clamp((int32_t)y, lowest(layer), highest(layer));
    }
}

static int64_t high(int64_t a, int64_t b)
{
    return (a * b + (1LL << 30)) >> 31;
}

static int64_t bounded(int64_t a)
{
    return a > INT32_MAX ? INT32_MAX : a < INT32_MIN ? INT32_MIN : a;
}

static void naive_l2norm(const network *net, const nvm_layer *layer, const int16_t *q, int16_t *out)
{
    const int32_t *t = (const int32_t *)(const void *)(net->arena + layer->off_table0);
    for (uint32_t row = 0; row < layer->out_h; row++, q += layer->out_c, out += layer->out_c) {
        int64_t sum = 0, right = 11, pairs = -1, x = 1 << 28, m = INT32_MAX, d = 7;
        for (uint32_t i = 0; i < layer->out_c; i++) {
            sum += (int64_t)t[q[i] + 128] * t[q[i] + 128];
        }
        for (; sum >= 1 << 29; sum /= 4) {
            right++;
        }
        if (sum > 1) {
            while (sum << (2 * (pairs + 2)) < 1LL << 31) {
                pairs++;
            }
            int64_t value = pairs < 0 ? sum >> 1 : sum << (2 * pairs) >> 1, half = (value + 1) / 2;
            for (int k = 0; k < 5; k++) {
                int64_t cube = bounded(high(high(x, x), x) * 64);
                x = bounded((high(3 << 27, x) - high(half, cube)) * 8);
            }
            m = high(x, 1518500250);
            right -= pairs;
            m = right < 0 ? m << -right : m;
            d = 7 - (right < 0 ? 0 : right);
        }
        for (uint32_t i = 0; i < layer->out_c; i++) {
            int64_t y = high(d > 0 ? (int64_t)t[q[i] + 128] * (1 << d) : t[q[i] + 128], m);
            double shifted = d < 0 ? (double)y / (double)(1LL << -d) : (double)y;
            y = (int64_t)(shifted < 0 ? ceil(shifted - 0.5) : floor(shifted + 0.5));
            out[i] = clamp((int32_t)y + layer->zero_out, lowest(layer), highest(layer));
        }
    }
}

static void naive_logsoftmax(const network *net, const nvm_layer *layer, const int16_t *q, int16_t *out)
{
    const float *t = (const float *)(const void *)(net->arena + layer->off_table0);
    const float *scale = (const float *)(const void *)(net->arena + layer->off_scale);
    for (uint32_t row = 0; row < layer->out_h; row++, q += layer->out_c, out += layer->out_c) {
        int max = -128;
        float sum = 0.0f;
        for (uint32_t i = 0; i < layer->out_c; i++) {
            max = q[i] > max ? q[i] : max;
        }
        for (uint32_t i = 0; i < layer->out_c; i++) {
            sum += t[max - q[i]];
        }
        float offset = scale[0] * (float)max;
        offset = (offset + (float)log((double)sum)) / scale[1];
        for (uint32_t i = 0; i < layer->out_c; i++) {
            float v = scale[0] / scale[1] * (float)q[i];
            v = v - offset;
            v = v < -1000.0f ? -1000.0f : v > 1000.0f ? 1000.0f : v;
            out[i] = clamp((int32_t)nearbyintf(v) + layer->zero_out, lowest(layer), highest(layer));
        }
    }
}

/* x 2^bits / 2^31 or the like: the nearest, half up. */
static int64_t nearest(wide a, int bits)
{
    return floor_div(a + power(bits - 1), power(bits));
}

/* ln of `sum` in Q12.19, as Q5.26: the constants are 2^31 times those of gemmlowp's formula. */
static int64_t naive_log(int64_t sum)
{
    int64_t best_r = INT64_MAX, best_power = INT64_MIN;
    for (int way = 0; way < 2; way++) {
        /* shifted up until the top bit (of it, or of it times 2^(-1/2)) stands at 2^30 */
        int64_t judged = way == 0 ? sum : nearest((wide)sum * 1518500250, 31);
        int up = 0;
        while (judged << up < 1LL << 30) {
            up++;
        }
        int64_t r = way == 0 ? 2 * nearest((wide)(sum << up) * 1518500250, 31) : sum << up;
        int64_t twos = way == 0 ? (11LL - up) * (1 << 25) + (1 << 23)
                                : (12LL - up) * (1 << 25) - (1 << 23);
        best_r = r < best_r ? r : best_r;
        best_power = twos > best_power ? twos : best_power;
    }
    int64_t r = best_r > INT32_MAX ? INT32_MAX : best_r, p = (r + 1805811301 + 1) / 2,
            q = 2 * (r - 1805811301);
    int64_t square = nearest((wide)q * q, 31), cube = nearest((wide)q * square, 31);
    int64_t above = (nearest((wide)q * r, 31) + nearest((wide)cube * 117049297, 31));
    int64_t inner = 1057819769 + q + nearest((wide)127690142 * square, 31);
    int64_t below = (nearest((wide)p * inner, 31) + nearest((wide)638450708 * q, 31));
    int64_t half = (below + (1LL << 31)) / 2, x = 1515870810 + high(half, -1010580540);
    for (int k = 0; k < 3; k++) {
        x = bounded(x + bounded(high(x, (1 << 29) - high(half, x)) * 4));
    }
    int64_t sixth = above < 0 ? -(int64_t)floor_div(-(wide)above + 32, 64)
                              : (int64_t)floor_div((wide)above + 32, 64);
    return 2 * (nearest((wide)best_power * 1488522236, 31) + high(sixth, bounded(2 * x)));
}

static void naive_logsoftmaxq(const network *net, const nvm_layer *layer, const int16_t *q,
                              int16_t *out)
{
    const int32_t *t = (const int32_t *)(const void *)(net->arena + layer->off_table0);
    const int32_t *u = (const int32_t *)(const void *)(net->arena + layer->off_table1);
    for (uint32_t row = 0; row < layer->out_h; row++, q += layer->out_c, out += layer->out_c) {
        int max = -128;
        int64_t sum = 0;
        for (uint32_t i = 0; i < layer->out_c; i++) {
            max = q[i] > max ? q[i] : max;
        }
        for (uint32_t i = 0; i < layer->out_c; i++) {
            sum += ((int64_t)t[max - q[i]] + 2048) >> 12;
        }
        for (uint32_t i = 0; i < layer->out_c; i++) {
            double v = (double)(u[max - q[i]] - naive_log(sum)) / (1 << 22);
            v = v < 0 ? ceil(v - 0.5) : floor(v + 0.5);
            out[i] = clamp(v + layer->zero_out, layer->lo, layer->hi);
        }
    }
}

static void naive_softmaxq(const network *net, const nvm_layer *layer, const int16_t *q, int16_t *out)
{
    const int32_t *t = (const int32_t *)(const void *)(net->arena + layer->off_table0);
    for (uint32_t row = 0; row < layer->out_h; row++, q += layer->out_c, out += layer->out_c) {
        int max = -128, zeros = 0;
        int64_t sum = 0;
        for (uint32_t i = 0; i < layer->out_c; i++) {
            max = q[i] > max ? q[i] : max;
        }
        for (uint32_t i = 0; i < layer->out_c; i++) {
            sum += ((int64_t)t[max - q[i]] + 2048) >> 12;
        }
        while (sum << zeros < 1LL << 31) {
            zeros++;
        }
        int64_t half = sum << zeros >> 1, x = 1515870810 + high(half, -1010580540);
        for (int k = 0; k < 3; k++) {
            x = bounded(x + bounded(high(x, (1 << 29) - high(half, x)) * 4));
        }
        for (uint32_t i = 0; i < layer->out_c; i++) {
            int64_t p = high(bounded(x * 2), t[max - q[i]]), bits = (is_wide(layer) ? 27 : 35) - zeros;
            p = bits > 31 ? 0 : (p + (1LL << (bits - 1))) >> bits;
            out[i] = clamp((int32_t)p + zero_of(layer), lowest(layer), highest(layer));
        }
    }
}

static void naive_softmax(const network *net, const nvm_layer *layer, const int16_t *q, int16_t *out)
{
    const float *t = (const float *)(const void *)(net->arena + layer->off_table0);
    float scale;
    memcpy(&scale, net->arena + layer->off_scale, sizeof scale);
    for (uint32_t row = 0; row < layer->out_h; row++, q += layer->out_c, out += layer->out_c) {
        int max = -128;
        float sum = 0.0f;
        for (uint32_t i = 0; i < layer->out_c; i++) {
            max = q[i] > max ? q[i] : max;
        }
        for (uint32_t i = 0; i < layer->out_c; i++) {
            sum = sum + t[max - q[i]];
        }
        float inverse = 1.0f / (sum * scale);
        for (uint32_t i = 0; i < layer->out_c; i++) {
            float p = t[max - q[i]] * inverse;
            out[i] = clamp((double)roundf(p) + zero_of(layer), lowest(layer), highest(layer));
        }
    }
}

static void naive_wide_softmax(const network *net, const nvm_layer *layer, const int16_t *q,
                               int16_t *out)
{
    const int16_t *t = (const int16_t *)(const void *)(net->arena + layer->off_table0);
    const int16_t *r = (const int16_t *)(const void *)(net->arena + layer->off_table1);
    for (uint32_t row = 0; row < layer->out_h; row++, q += layer->out_c, out += layer->out_c) {
        int max = -32768, zeros = 0;
        int64_t sum = 0;
        for (uint32_t i = 0; i < layer->out_c; i++) {
            max = q[i] > max ? q[i] : max;
        }
        for (uint32_t i = 0; i < layer->out_c; i++) {
            sum += t[max - q[i]];
        }
        while (sum << zeros < 1LL << 31) {
            zeros++;
        }
        int64_t v = floor_div((wide)sum * power(zeros - 1) + power(13), power(14)) - 65536;
        v = v < 0 ? 0 : v > 65535 ? 65535 : v;
        int64_t k = v / 128, s = r[k] + floor_div((wide)(r[k + 1] - r[k]) * (v % 128) + 64, 128);
        for (uint32_t i = 0; i < layer->out_c; i++) {
            wide y = (wide)t[max - q[i]] * s + power(30 - zeros);
            out[i] = clamp((double)floor_div(y, power(31 - zeros)), lowest(layer), highest(layer));
        }
    }
}

static void naive_mean(const network *net, const nvm_layer *layer, const int16_t *q, uint32_t n_in,
                       int16_t *out)
{
    const uint32_t *map = (const uint32_t *)(const void *)(net->arena + layer->off_table0);
    for (uint32_t o = 0; o < layer->n; o++) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < n_in; i++) {
            sum += map[i] == o ? q[i] : 0;
        }
        out[o] = requantise(net, layer, sum, 0);
    }
}

static void naive_matmul(const network *net, const nvm_layer *layer, const int16_t *a,
                         const int16_t *b, int16_t *out)
{
    size_t rows = layer->out_h, inner = layer->in_c, cols = layer->out_c;
    for (size_t i = 0; i < layer->n; i++) {
        size_t c = i % cols, r = i / cols % rows, g = i / cols / rows;
        int64_t sum = 0;
        for (size_t k = 0; k < inner; k++) {
            sum += (a[(g * rows + r) * inner + k] - layer->zero_in) *
                   (b[(g * inner + k) * cols + c] + 128 - (int32_t)layer->aux[1]);
        }
        out[i] = requantise(net, layer, wrap(sum), 0);
    }
}

static void naive_argmax(const nvm_layer *layer, const int16_t *q, int16_t *out)
{
    for (uint32_t r = 0; r < layer->n; r++, q += layer->out_c) {
        uint32_t best = 0;
        for (uint32_t i = layer->out_c; i-- > 0;) {
            best = q[i] >= q[best] ? i : best;
        }
        out[r] = (int16_t)((int)(best / (1u << 8 * layer->aux[0]) % 256) - 128);
    }
}

/* One input of a wide ADD. */
static int32_t naive_term(const nvm_layer *layer, uint32_t i, const int32_t *tables, int16_t q)
{
    const int32_t *table = i < layer->aux[1] ? tables : tables + 4;
    int32_t right = table[2] < 0 ? -table[2] : 0;
    int64_t x = srdhm(q * (1 << table[0]), table[1], table[2]);
    int64_t y = x < 0 ? -floor_div(-(wide)x * 2 + power(right), power(right + 1))
                      : floor_div((wide)x * 2 + power(right), power(right + 1));
    return (int32_t)(table[3] * y);
}

static void naive_pair(const network *net, const nvm_layer *layer, const int16_t *a,
                       const int16_t *b, int16_t *out)
{
    for (uint32_t i = 0; i < layer->n; i++) {
        if (layer->aux[0] == 0) {
            out[i] = requantise(net, layer, a[i] * b[i], 0);
        } else {
            int chosen = (layer->aux[0] == 1) == (a[i] < b[i]) ? a[i] : b[i];
            out[i] = clamp(chosen, lowest(layer), highest(layer));
        }
    }
}

static void naive_add(const network *net, const nvm_layer *layer, const int16_t *q0,
                      const int16_t *q1, int16_t *out)
{
    const int32_t *table0 = (const int32_t *)(const void *)(net->arena + layer->off_table0);
    const int32_t *table1 = (const int32_t *)(const void *)(net->arena + layer->off_table1);
    for (uint32_t i = 0; i < layer->n; i++) {
        int64_t sum = is_wide(layer)
                          ? (int64_t)naive_term(layer, i, table0, q0[i]) +
                                naive_term(layer, i, table1, q1[i])
                          : (int64_t)table0[q0[i] + 128] + table1[q1[i] + 128];
        out[i] = requantise(net, layer, sum, 0);
    }
}

/* Entry k of a table of the layer's own codes. */
static int16_t entry(const network *net, const nvm_layer *layer, size_t k)
{
    const uint8_t *table = net->arena + layer->off_table0;
    return is_wide(layer) ? ((const int16_t *)(const void *)table)[k] : ((const int8_t *)table)[k];
}

static void naive_table(const network *net, const nvm_layer *layer, const int16_t *q, int16_t *out)
{
    int from_wide = is_wide(&net->layers[layer->in[0]]);
    size_t all = from_wide ? 65536 : 256;
    for (uint32_t i = 0; i < layer->n; i++) {
        size_t table = i / layer->aux[1] % layer->aux[0];
        out[i] = entry(net, layer, table * all + (size_t)(q[i] + (from_wide ? 32768 : 128)));
    }
}

/* Bytes that a layer remembers. */
static size_t memory_bytes(const nvm_layer *layer)
{
    size_t units = (size_t)layer->out_h * layer->out_c;
    return layer->kind == NVM_STATE  ? layer->n * sizeof(int16_t)
           : layer->kind == NVM_SVDF ? units * layer->aux[0] * layer->out_w * sizeof(int16_t)
           : layer->kind == NVM_LSTM ? 3 * units
                                     : 0;
}

static int64_t naive_double(int64_t a, int32_t m, int32_t e)
{
    int64_t x = srdhm((int32_t)a, m, e), right = e < 0 ? -e : 0;
    int64_t half = right != 0 ? INT64_C(1) << (right - 1) : 0;
    return x < 0 ? -((-x + half) >> right) : (x + half) >> right;
}

static int64_t short_of(int64_t x)
{
    return x > 32767 ? 32767 : x < -32768 ? -32768 : x;
}

/* x / 2^bits: rounded at once, or by half and by the rest. */
static int64_t naive_scaled(int64_t x, int bits, int stepwise)
{
    if (stepwise) {
        x = floor_div(x + 1, 2);
        bits--;
    }
    return x < 0 ? -((-x + (1LL << (bits - 1))) >> bits) : (x + (1LL << (bits - 1))) >> bits;
}

/* Gate k of unit u from codes x and h. */
static int64_t naive_gate(const network *net, const nvm_layer *layer, const int16_t *x,
                          const int8_t *h, uint32_t k, uint32_t u)
{
    const int8_t *w = (const int8_t *)(net->arena + layer->off_weights);
    const int32_t *bias = (const int32_t *)(const void *)(net->arena + layer->off_bias);
    const int32_t *m = (const int32_t *)(const void *)(net->arena + layer->off_scale);
    const int32_t *e = (const int32_t *)(const void *)(net->arena + layer->off_shift);
    size_t at = (size_t)k * layer->out_c + u, width = 4 * (size_t)layer->out_c;
    int64_t a = bias[at], b = 0;
    for (uint32_t j = 0; j < layer->in_c; j++) {
        a += w[j * width + at] * (x[j] - layer->zero_in);
    }
    for (uint32_t j = 0; j < layer->out_c; j++) {
        b += w[(layer->in_c + j) * width + at] * (h[j] - layer->zero_out);
    }
    b = naive_double(wrap(b), m[4 + k], e[4 + k]);
    b = layer->aux[0] >> 8 ? short_of(b) : b;
    return short_of(short_of(naive_double(wrap(a), m[k], e[k])) + b);
}

/* memory: int16 cells, then int8 hidden codes, of every batch. */
static void naive_lstm(const network *net, const nvm_layer *layer, const int16_t *q,
                       const uint8_t *now, uint8_t *next, int16_t *out)
{
    const int16_t *curve = (const int16_t *)(const void *)(net->arena + layer->off_table0) + 32768;
    const int16_t *tanh_of = (const int16_t *)(const void *)(net->arena + layer->off_table1) + 32768;
    const int32_t *m = (const int32_t *)(const void *)(net->arena + layer->off_scale);
    const int32_t *e = (const int32_t *)(const void *)(net->arena + layer->off_shift);
    uint32_t units = layer->out_c, all = layer->out_h * units;
    int shift = (int)(layer->aux[0] & 255), stepwise = layer->aux[0] >> 8 != 0;
    const int16_t *cell_of = shift == 18 ? tanh_of : tanh_of + 65536;
    int64_t clip = layer->aux[1];
    int8_t *fresh = malloc(units);
    memcpy(next, now, 3 * (size_t)all);
    for (uint32_t i = 0; i < layer->out_h * layer->out_w; i++, q += layer->in_c, out += units) {
        int16_t *cell = (int16_t *)(void *)next + i / layer->out_w * units;
        int8_t *h = (int8_t *)next + 2 * all + i / layer->out_w * units;
        for (uint32_t u = 0; u < units; u++) {
            int64_t gate[4];
            for (uint32_t k = 0; k < 4; k++) {
                gate[k] = naive_gate(net, layer, q, h, k, u);
            }
            int64_t c = naive_scaled((int64_t)curve[gate[1]] * cell[u], 15, stepwise);
            c += naive_scaled((int64_t)curve[gate[0]] * tanh_of[gate[2]], shift, stepwise);
            c = short_of(c);
            c = clip == 0 ? c : c > clip ? clip : c < -clip ? -clip : c;
            cell[u] = (int16_t)c;
            int64_t y = naive_double((int64_t)curve[gate[3]] * cell_of[c], m[8], e[8]);
            fresh[u] = (int8_t)clamp((double)(y + layer->zero_out), layer->lo, layer->hi);
        }
        memcpy(h, fresh, units);
        for (uint32_t u = 0; u < units; u++) {
            out[u] = fresh[u];
        }
    }
    free(fresh);
}

/* memory: int16 features of every filter of every batch, oldest first. */
static void naive_svdf(const network *net, const nvm_layer *layer, const int16_t *q,
                       const uint8_t *now, uint8_t *next, int16_t *out)
{
    const int8_t *w = (const int8_t *)(net->arena + layer->off_weights);
    const int16_t *time = (const int16_t *)(const void *)(net->arena + layer->off_table0);
    const int32_t *bias = (const int32_t *)(const void *)(net->arena + layer->off_bias);
    const int32_t *m = (const int32_t *)(const void *)(net->arena + layer->off_scale);
    const int32_t *e = (const int32_t *)(const void *)(net->arena + layer->off_shift);
    uint32_t rank = layer->aux[0], steps = layer->out_w, filters = layer->out_c * rank;
    const int16_t *before = (const int16_t *)(const void *)now;
    int16_t *after = (int16_t *)(void *)next;
    int zero = (int)layer->aux[1] - 129;
    for (uint32_t i = 0; i < layer->n; i++) {
        int64_t sum = bias[i % layer->out_c];
        for (uint32_t f = i * rank; f < (i + 1) * rank; f++) {
            int64_t v = 0;
            for (uint32_t j = 0; j < layer->in_c; j++) {
                v += w[j * filters + f % filters] *
                     (q[f / filters * layer->in_c + j] - layer->zero_in);
            }
            v = short_of(naive_double(wrap(v), m[0], e[0]));
            if (layer->aux[1] != 0) {
                v = v < -128 ? -128 : v > 127 ? 127 : v;
                v += zero;
                v = (v > 127 ? v - 256 : v < -128 ? v + 256 : v) - zero;
            }
            for (uint32_t t = 0; t < steps; t++) {
                size_t at = (size_t)f * steps + t;
                after[at] = (int16_t)(t + 1 < steps ? before[at + 1] : v);
                sum += (int64_t)time[f % filters * steps + t] * after[at];
            }
        }
        int64_t y = naive_double(wrap(sum), m[1], e[1]) + layer->zero_out;
        out[i] = clamp((double)y, layer->lo, layer->hi);
    }
}

void naive_memory_new(const network *net, naive_memory *memory)
{
    memset(memory, 0, sizeof *memory);
    for (uint32_t i = 0; i < net->n; i++) {
        const nvm_layer *layer = &net->layers[i];
        size_t bytes = memory_bytes(layer);
        if (bytes != 0) {
            memory->now[i] = calloc(bytes, 1);
            memory->next[i] = calloc(bytes, 1);
        }
        if (layer->kind == NVM_STATE) {
            for (uint32_t k = 0; k < layer->n; k++) {
                ((int16_t *)(void *)memory->now[i])[k] = entry(net, layer, k);
            }
        } else if (layer->kind == NVM_LSTM) {
            memset(memory->now[i] + bytes / 3 * 2, layer->zero_out, bytes / 3);
        }
    }
}

void naive_memory_free(naive_memory *memory)
{
    for (uint32_t i = 0; i < MAX_LAYERS; i++) {
        free(memory->now[i]);
        free(memory->next[i]);
    }
}

void naive_commit(const network *net, int16_t *const *codes, naive_memory *memory)
{
    for (uint32_t i = 0; i < net->n; i++) {
        const nvm_layer *layer = &net->layers[i];
        if (layer->kind == NVM_STATE) {
            memcpy(memory->next[i], codes[layer->aux[0]], memory_bytes(layer));
        }
        if (memory->now[i] != NULL) {
            memcpy(memory->now[i], memory->next[i], memory_bytes(layer));
        }
    }
}

void naive_codes(const network *net, uint32_t index, int16_t *const *codes,
                 naive_memory *memory)
{
    const nvm_layer *layer = &net->layers[index];
    const int16_t *q0 = codes[layer->in[0]], *q1 = codes[layer->in[1]];
    const int32_t *table0 = (const int32_t *)(const void *)(net->arena + layer->off_table0);
    const int8_t *bytes = (const int8_t *)(net->arena + layer->off_table0);
    uint32_t n0 = net->layers[layer->in[0]].n;
    int16_t *out = codes[index];
    switch (layer->kind) {
    case NVM_CONST:
        for (uint32_t i = 0; i < layer->n; i++) {
            out[i] = entry(net, layer, i);
        }
        break;
    case NVM_DENSE:
    case NVM_CONV:
    case NVM_DWCONV:
        naive_weighted(net, index, codes);
        break;
    case NVM_ADD:
        naive_add(net, layer, q0, q1, out);
        break;
    case NVM_AVGPOOL:
    case NVM_MAXPOOL:
        naive_pool(layer, q0, out);
        break;
    case NVM_MEAN:
        naive_mean(net, layer, q0, n0, out);
        break;
    case NVM_MAP:
        for (uint32_t i = 0; i < layer->n; i++) {
            int32_t j = table0[i];
            out[i] = j < 0 ? (int16_t)zero_of(layer) : j < (int32_t)n0 ? q0[j] : q1[j - (int32_t)n0];
        }
        break;
    case NVM_TABLE:
        naive_table(net, layer, q0, out);
        break;
    case NVM_TABLE2:
        for (uint32_t i = 0; i < layer->n; i++) {
            out[i] = bytes[(q0[i] + 128) * 256 + q1[i] + 128];
        }
        break;
    case NVM_PAIR:
        naive_pair(net, layer, q0, q1, out);
        break;
    case NVM_LERP:
        naive_lerp(net, layer, q0, out);
        break;
    case NVM_L2NORM:
        naive_l2norm(net, layer, q0, out);
        break;
    case NVM_LOGSOFTMAX:
        naive_logsoftmax(net, layer, q0, out);
        break;
    case NVM_LOGSOFTMAXQ:
        naive_logsoftmaxq(net, layer, q0, out);
        break;
    case NVM_MATMUL:
        naive_matmul(net, layer, q0, q1, out);
        break;
    case NVM_ARGMAX:
        naive_argmax(layer, q0, out);
        break;
    case NVM_SOFTMAXQ:
        naive_softmaxq(net, layer, q0, out);
        break;
    case NVM_SOFTMAX:
        if (is_wide(&net->layers[layer->in[0]])) {
            naive_wide_softmax(net, layer, q0, out);
            break;
        }
        naive_softmax(net, layer, q0, out);
        break;
    case NVM_STATE:
        memcpy(out, memory->now[index], memory_bytes(layer));
        break;
    case NVM_SVDF:
        naive_svdf(net, layer, q0, memory->now[index], memory->next[index], out);
        break;
    case NVM_LSTM:
        naive_lstm(net, layer, q0, memory->now[index], memory->next[index], out);
        break;
    default:
        break;
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Average of the valid codes of a window: S holds their sum, |S| <= 2^7 m with m <= 2^23, wide 2^15 m
 * with m <= 2^15 (checked).
 */
#include "nvm_types.h"

#define NVM_POOL_START         0
#define NVM_POOL_TAKE(sum, q)  ((sum) + (q))
#define NVM_POOL_TAKE_LANES(sum, q)  _mm256_add_epi32(sum, q)
#include "nvm_pool.h"

#define CHUNK 256u

/* (S + m/2) / m or (S - m/2) / m, truncated. A numerator n is an integer, so half a step away from 0
 * changes no quotient and keeps it 1/(2m) >= 2^-24 away from every integer (wide 2^-16): further than
 * the rounding of two double operations, on quotients below 2^8 (wide 2^16), can move it. */
static void average(const nvm_layer *layer, const int32_t *restrict sum, int32_t m, size_t n,
                    nvm_code *restrict codes)
{
    double inverse = 1.0 / m;
    int32_t half = m / 2, lo = NVM_LO(layer), hi = NVM_HI(layer);
    int32_t lift = layer->aux[0] != 0 ? 128 : 0; /* floor: sums of codes + 128, < 2^8 m, are not negative */
    for (size_t i = 0; i < n; i++) {
        int32_t lifted = sum[i] + lift * m;
        int32_t nudged = lifted > 0 || lift != 0 ? lifted + half : lifted - half;
        double away = nudged < 0 ? -0.5 : 0.5;
        int32_t y = (int32_t)(((double)nudged + away) * inverse) - lift;
        y = y > lo ? y : lo;
        codes[i] = (nvm_code)(y < hi ? y : hi);
    }
}

/* Neurons [first, end), whose windows have m taps each. */
static void fire_alike(nvm_node *node, size_t first, size_t end, int32_t m)
{
    const int32_t *acc = node->acc;
    nvm_code wanted[CHUNK];
    for (size_t i = first; i < end; i += CHUNK) {
        size_t part = end - i < CHUNK ? end - i : CHUNK;
        average(node->layer, acc + i, m, part, wanted);
        nvm_neuron_sd(node, i, wanted, part);
    }
}

/* The neurons of the pixels [first, end). */
static void fire_pixels(nvm_node *node, size_t first, size_t end)
{
    size_t channels = node->layer->out_c;
    nvm_window w = nvm_window_before(node, first);
    nvm_window_next(&w);
    int32_t m = nvm_window_taps(&w);
    for (size_t pixel = first + 1; pixel < end; pixel++) {
        nvm_window_next(&w);
        int32_t taps = nvm_window_taps(&w);
        if (taps != m) {
            fire_alike(node, first * channels, pixel * channels, m);
            first = pixel;
            m = taps;
        }
    }
    fire_alike(node, first * channels, end * channels, m);
}

/* A changed pixel: its n events, or (NULL) what its codes differ by from the old ones. */
typedef struct change {
    uint32_t pixel;
    const nvm_event *events;
    size_t n;
} change;

static void add_change(const nvm_node *node, const change *by, int32_t *restrict sum)
{
    const nvm_node *in = node->in[0];
    size_t channels = node->layer->in_c, first = by->pixel * channels;
    if (by->events != NULL) {
        for (size_t k = 0; k < by->n; k++) {
            sum[by->events[k].index - first] += by->events[k].delta;
        }
        return;
    }
    const nvm_code_in *restrict now = (const nvm_code_in *)in->codes + first;
    const nvm_code_in *restrict old = (const nvm_code_in *)in->old + first;
    for (size_t c = 0; c < channels; c++) {
        sum[c] += now[c] - old[c];
    }
}

static void scatter_change(nvm_node *node, nvm_marks *marks, const change *by)
{
    const nvm_layer *layer = node->layer;
    int32_t row = (int32_t)(by->pixel / layer->in_w), col = (int32_t)(by->pixel % layer->in_w);
    int32_t y, y_end, x_first, x_end, *sum = node->acc;
    nvm_axis_outputs(&node->rows, row, &y, &y_end);
    nvm_axis_outputs(&node->cols, col, &x_first, &x_end);
    for (; y < y_end; y++) {
        int32_t i = nvm_axis_tap(&node->rows, y, row);
        for (int32_t x = x_first; i >= 0 && x < x_end; x++) {
            if (nvm_axis_tap(&node->cols, x, col) >= 0) {
                size_t out = (size_t)y * layer->out_w + (size_t)x;
                add_change(node, by, sum + out * layer->out_c);
                nvm_mark(marks, out);
            }
        }
    }
}

/* The input's changes, pixel by pixel. */
static void scatter_all(nvm_node *node, nvm_scratch *scratch)
{
    nvm_node *in = (nvm_node *)node->in[0]; /* nodes and their lists are one session's own */
    uint32_t channels = node->layer->in_c;
    if (in->lazy) {
        size_t n = nvm_changed_pixels(in, channels, scratch->pixels, scratch->most_pixels);
        for (size_t k = 0; k < n; k++) {
            scatter_change(node, &scratch->marks, &(change){.pixel = scratch->pixels[k]});
        }
        return;
    }
    for (size_t k = 0, n; k < in->n_events; k += n) {
        const nvm_event *events = in->events + k;
        uint32_t pixel = events->index / channels, first = pixel * channels;
        for (n = 1; k + n < in->n_events && events[n].index - first < channels;) {
            n++;
        }
        scatter_change(node, &scratch->marks, &(change){pixel, events, n});
    }
}

void NVM_NAME(avgpool_events)(nvm_node *node, nvm_scratch *scratch)
{
    scatter_all(node, scratch);
    if (node->behind) {
        nvm_unmark_all(&scratch->marks);
        fire_pixels(node, 0, node->layer->n / node->layer->out_c);
        return;
    }
    for (size_t first = nvm_unmark_next(&scratch->marks); first != SIZE_MAX;) {
        size_t end = first + 1, next;
        while ((next = nvm_unmark_next(&scratch->marks)) == end) {
            end++;
        }
        fire_pixels(node, first, end);
        first = next;
    }
}

void NVM_NAME(avgpool_full)(nvm_node *node, nvm_scratch *scratch)
{
    size_t pixels = node->layer->n / node->layer->out_c;
    (void)scratch;
    nvm_pool_all(node);
    fire_pixels(node, 0, pixels);
}

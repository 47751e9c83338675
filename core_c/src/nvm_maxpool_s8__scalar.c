/* SPDX-License-Identifier: Apache-2.0
 *
 * Maximum of the valid codes of a window, held in acc. A code that reaches the maximum replaces it;
 * only one that leaves it makes the window be read again.
 */
#include "nvm_types.h"

#define NVM_POOL_START         NVM_IN_MIN
#define NVM_POOL_TAKE(max, q)  ((q) > (max) ? (q) : (max))
#define NVM_POOL_TAKE_LANES(max, q)  _mm256_max_epi32(max, q)
#include "nvm_pool.h"

#define CHUNK 256u

static int32_t window_max(const nvm_node *node, int32_t y, int32_t x, size_t c)
{
    const nvm_layer *layer = node->layer;
    const nvm_code_in *codes = node->in[0]->codes;
    int32_t i, i_end, j_first, j_end, max = NVM_IN_MIN;
    nvm_axis_taps(&node->rows, y, &i, &i_end);
    nvm_axis_taps(&node->cols, x, &j_first, &j_end);
    for (; i < i_end; i++) {
        size_t row = (size_t)(y * node->rows.stride - node->rows.pad + i * node->rows.dil);
        for (int32_t j = j_first; j < j_end; j++) {
            size_t col = (size_t)(x * node->cols.stride - node->cols.pad + j * node->cols.dil);
            int32_t code = codes[(row * layer->in_w + col) * layer->in_c + c];
            max = code > max ? code : max;
        }
    }
    return max;
}

/* Codes of the pixels [first, end). */
static void fire_pixels(nvm_node *node, size_t first, size_t end)
{
    const nvm_layer *layer = node->layer;
    nvm_code wanted[CHUNK];
    const int32_t *acc = node->acc;
    size_t last = end * layer->out_c;
    for (size_t i = first * layer->out_c; i < last; i += CHUNK) {
        size_t part = last - i < CHUNK ? last - i : CHUNK;
        for (size_t k = 0; k < part; k++) {
            int32_t max = acc[i + k];
            max = max > NVM_LO(layer) ? max : NVM_LO(layer);
            wanted[k] = (nvm_code)(max < NVM_HI(layer) ? max : NVM_HI(layer));
        }
        nvm_neuron_sd(node, i, wanted, part);
    }
}

static void scatter_event(nvm_node *node, nvm_marks *marks, nvm_event event)
{
    const nvm_layer *layer = node->layer;
    uint32_t pixel = event.index / layer->in_c, c = event.index % layer->in_c;
    int32_t row = (int32_t)(pixel / layer->in_w), col = (int32_t)(pixel % layer->in_w);
    int32_t *acc = node->acc;
    int32_t code = ((const nvm_code_in *)node->in[0]->codes)[event.index], old = code - event.delta;
    int32_t y, y_end, x_first, x_end;
    nvm_axis_outputs(&node->rows, row, &y, &y_end);
    nvm_axis_outputs(&node->cols, col, &x_first, &x_end);
    for (; y < y_end; y++) {
        int32_t i = nvm_axis_tap(&node->rows, y, row);
        for (int32_t x = x_first; i >= 0 && x < x_end; x++) {
            if (nvm_axis_tap(&node->cols, x, col) < 0) {
                continue;
            }
            size_t out = (size_t)y * layer->out_w + (size_t)x;
            int32_t *held = acc + out * layer->out_c + c;
            if (code >= *held) {
                *held = code;
                nvm_mark(marks, out);
            } else if (old == *held) {
                /* Codes of later events are in place already, so this is the final maximum. */
                *held = window_max(node, y, x, c);
                nvm_mark(marks, out);
            }
        }
    }
}

void NVM_NAME(maxpool_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    for (size_t k = 0; k < in->n_events; k++) {
        scatter_event(node, &scratch->marks, in->events[k]);
    }
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

void NVM_NAME(maxpool_full)(nvm_node *node, nvm_scratch *scratch)
{
    size_t pixels = node->layer->n / node->layer->out_c;
    (void)scratch;
    nvm_pool_all(node);
    fire_pixels(node, 0, pixels);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_packed.c: dense runs over packed weights: the canvas, and the strips of pixels to be computed.
 */
#include "nvm_pack.h"

enum { STRIPS = 64 };

typedef struct plan {
    nvm_product product;
    nvm_product_fn *run;
    nvm_strip strips[STRIPS];
    size_t n;
    uint32_t built; /* canvas rows that are in place */
} plan;

/* n codes of the padding. */
static void fill(const nvm_node *node, uint8_t *to, size_t n)
{
    const nvm_packing *set = node->isa->packing;
    int32_t zero = node->layer->zero_in + set->offset;
    if (set->code_bytes == 1) {
        memset(to, zero, n);
        return;
    }
    int16_t *wide = (int16_t *)(void *)to;
    for (size_t i = 0; i < n; i++) {
        wide[i] = (int16_t)zero;
    }
}

void nvm_canvas_row(const nvm_node *node, const nvm_packed *packed, uint8_t *line, uint32_t r)
{
    const nvm_layer *layer = node->layer;
    const nvm_packing *set = node->isa->packing;
    const int8_t *codes = node->in[0]->codes;
    int64_t row = (int64_t)r - node->rows.pad;
    int64_t before = node->cols.pad, width = packed->width; /* before: columns left of the input */
    size_t in_c = layer->in_c, position = in_c * set->code_bytes;
    if (row < 0 || row >= node->rows.in) {
        fill(node, line, (size_t)width * in_c);
        return;
    }
    int64_t first = before > 0 ? before : 0, end = before + node->cols.in;
    first = first < width ? first : width;
    end = end < width ? end : width;
    end = end > first ? end : first;
    fill(node, line, (size_t)first * in_c);
    if (end > first) {
        set->lift(line + (size_t)first * position,
             codes + ((size_t)row * layer->in_w + (size_t)(first - before)) * in_c,
             (size_t)(end - first) * in_c);
    }
    fill(node, line + (size_t)end * position, (size_t)(width - end) * in_c);
}

/* Rows from `first` on, before `end`, that lie in the canvas as in the input: one right after the other. */
static uint32_t count_seamless(const nvm_node *node, const nvm_packed *packed, uint32_t first, uint32_t end)
{
    int64_t row = (int64_t)first - node->rows.pad, left = node->rows.in - row;
    if (node->cols.pad != 0 || packed->width != node->layer->in_w || row < 0 || left <= 0) {
        return 0;
    }
    return left < end - first ? (uint32_t)left : end - first;
}

/* Canvas rows [built, end). */
static void build_to(plan *p, uint8_t *canvas, uint32_t end)
{
    const nvm_node *node = p->product.node;
    const nvm_packed *packed = p->product.packed;
    if (packed->is_flat) {
        const nvm_packing *set = node->isa->packing;
        set->lift(canvas, node->in[0]->codes, p->built < end ? packed->line / set->code_bytes : 0);
        p->built = end;
        return;
    }
    while (p->built < end) {
        uint8_t *line = canvas + (size_t)p->built * packed->line;
        uint32_t seamless = count_seamless(node, packed, p->built, end);
        if (seamless == 0) {
            nvm_canvas_row(node, packed, line, p->built++);
            continue;
        }
        size_t row = (size_t)packed->width * node->layer->in_c;
        size_t first = (size_t)((int64_t)p->built - node->rows.pad) * row;
        node->isa->packing->lift(line, (const int8_t *)node->in[0]->codes + first, seamless * row);
        p->built += seamless;
    }
}

static void flush(plan *p)
{
    p->run(&p->product, p->strips, p->n);
    p->n = 0;
}

/* Pixels [first, end) of output row y, in strips of about the same length. */
static void add_pixels(plan *p, uint32_t y, uint32_t first, uint32_t end, uint32_t most)
{
    const nvm_packed *packed = p->product.packed;
    uint32_t parts = (end - first + most - 1) / most;
    for (; first < end; parts--) {
        uint32_t n = (end - first + parts - 1) / parts;
        p->strips[p->n++] = (nvm_strip){.in = y * packed->row + first * packed->column,
                                        .out = y * packed->out_w + first,
                                        .n = n};
        first += n;
        if (p->n == STRIPS) {
            flush(p);
        }
    }
}

/* Whether the codes of the input are a canvas as they lie: nothing is added to them or stands around
 * them, and what is read beyond them is memory. */
static int is_canvas(const nvm_node *node, const nvm_scratch *scratch)
{
    const nvm_packing *set = node->isa->packing;
    const nvm_packed *packed = node->packed;
    uintptr_t codes = (uintptr_t)node->in[0]->codes, end = (uintptr_t)scratch->end;
    int is_bare = packed->is_flat ||
                  (node->rows.pad == 0 && node->cols.pad == 0 &&
                   packed->width == (uint32_t)node->cols.in &&
                   packed->height <= (uint32_t)node->rows.in);
    return set->offset == 0 && set->code_bytes == 1 && is_bare &&
           codes >= (uintptr_t)scratch->begin && codes < end &&
           end - codes >= (size_t)packed->height * packed->line + NVM_CANVAS_SLACK;
}

static void begin(plan *p, nvm_node *node, nvm_scratch *scratch, int keeps_acc)
{
    const nvm_packed *packed = node->packed;
    int in_place = is_canvas(node, scratch);
    p->product = (nvm_product){.packed = packed,
                               .pack = node->pack,
                               .canvas = in_place ? node->in[0]->codes : scratch->canvas,
                               .node = node,
                               .codes = node->codes,
                               .acc = keeps_acc ? node->acc : NULL,
                               .channels = node->layer->out_c};
    p->run = packed->is_depthwise ? node->isa->packing->product_dw : node->isa->packing->product;
    p->n = 0;
    p->built = in_place ? packed->height : 0;
}

static void run_all(plan *p, nvm_scratch *scratch)
{
    const nvm_packed *packed = p->product.packed;
    uint32_t most = packed->is_depthwise ? packed->out_w : p->product.node->isa->packing->pixels[packed->group];
    build_to(p, scratch->canvas, packed->height);
    for (uint32_t y = 0; y < packed->out_h; y++) {
        add_pixels(p, y, 0, packed->out_w, most);
    }
    flush(p);
}

void nvm_packed_full(nvm_node *node, nvm_scratch *scratch, int keeps_acc)
{
    plan p;
    if (node->layer->kind == NVM_MAP) {
        nvm_packed_map(node);
        return;
    }
    if (node->packed->pairs != 0) {
        nvm_packed_pairs(node, scratch, node->codes, keeps_acc ? node->acc : NULL);
    } else {
        begin(&p, node, scratch, keeps_acc);
        run_all(&p, scratch);
    }
    node->stale = !keeps_acc;
    node->sops += node->macs;
}

void nvm_packed_refresh(nvm_node *node, nvm_scratch *scratch)
{
    plan p;
    if (node->packed->pairs != 0) {
        nvm_packed_pairs(node, scratch, NULL, node->acc);
    } else {
        begin(&p, node, scratch, 1);
        p.product.codes = NULL;
        run_all(&p, scratch);
    }
    node->stale = 0;
}

const nvm_packed *nvm_packed_of(const nvm_program *program, uint32_t index)
{
    const nvm_pack *pack = program->pack;
    return pack == NULL || !pack->layers[index].is_there ? NULL : &pack->layers[index];
}

/* ---- dirty tiles -------------------------------------------------------------------------- */

int nvm_has_tiles(const nvm_node *node)
{
    uint32_t kind = node->layer->kind;
    return node->packed != NULL && (kind == NVM_CONV || kind == NVM_DWCONV);
}

/* Bits [first, first + n) of a set. */
static void mark_run(nvm_marks *marks, size_t first, size_t n)
{
    for (size_t end = first + n; first < end;) {
        size_t low = first % 64, part = end - first < 64 - low ? end - first : 64 - low;
        nvm_mark(marks, first);
        marks->words[first / 64] |= (UINT64_MAX >> (64 - part)) << low;
        first += part;
    }
}

size_t nvm_packed_mark(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_layer *layer = node->layer;
    nvm_node *in = (nvm_node *)node->in[0]; /* nodes are the session's, and so are their lists */
    nvm_marks *marks = &scratch->marks;
    size_t reached = 0;
    nvm_list_events(in);
    for (uint64_t k = 0, end = 0; k < in->n_events; k++) {
        if (in->events[k].index < end) {
            continue;
        }
        uint32_t pixel = in->events[k].index / layer->in_c;
        int32_t y, y_end, x, x_end;
        end = ((uint64_t)pixel + 1) * layer->in_c;
        nvm_axis_outputs(&node->rows, (int32_t)(pixel / layer->in_w), &y, &y_end);
        nvm_axis_outputs(&node->cols, (int32_t)(pixel % layer->in_w), &x, &x_end);
        for (; y < y_end && x < x_end; y++) {
            mark_run(marks, (size_t)y * layer->out_w + (size_t)x, (size_t)(x_end - x));
        }
    }
    for (size_t w = marks->first; w < marks->end; w++) {
        uint64_t word = marks->words[w]; /* a strip costs about one pixel more than it has */
        reached += (size_t)__builtin_popcountll(word) + (size_t)__builtin_popcountll(word & ~(word << 1));
    }
    return reached;
}

/* Puts what pixels [first, end) of row y read in place, and adds them. */
static void add_dirty(plan *p, nvm_scratch *scratch, uint32_t y, uint32_t first, uint32_t end)
{
    const nvm_node *node = p->product.node;
    const nvm_packed *packed = p->product.packed;
    if (p->product.canvas != scratch->canvas) {
        ; /* in place */
    } else if (packed->is_flat) {
        size_t from = (size_t)first * packed->column, bytes = (size_t)(end - first) * packed->column;
        const nvm_packing *set = node->isa->packing;
        set->lift(scratch->canvas + from,
                  (const int8_t *)node->in[0]->codes + from / set->code_bytes,
                  bytes / set->code_bytes);
    } else {
        uint32_t top = y * (uint32_t)node->rows.stride;
        uint32_t span = (uint32_t)((node->rows.k - 1) * node->rows.dil) + 1;
        p->built = p->built > top ? p->built : top;
        build_to(p, scratch->canvas, top + span);
    }
    add_pixels(p, y, first, end, packed->is_depthwise ? packed->out_w : node->isa->packing->pixels[packed->group]);
}

void nvm_packed_tiles(nvm_node *node, nvm_scratch *scratch)
{
    plan p;
    const nvm_packed *packed = node->packed;
    uint64_t pixels = 0, all = (uint64_t)packed->out_w * packed->out_h;
    begin(&p, node, scratch, !node->stale);
    for (size_t first = nvm_unmark_next(&scratch->marks); first != SIZE_MAX;) {
        size_t end = first + 1, next, row = first / packed->out_w;
        while ((next = nvm_unmark_next(&scratch->marks)) == end && next / packed->out_w == row) {
            end++;
        }
        size_t start = row * packed->out_w;
        add_dirty(&p, scratch, (uint32_t)row, (uint32_t)(first - start), (uint32_t)(end - start));
        pixels += end - first;
        first = next;
    }
    flush(&p);
    node->sops += node->macs / all * pixels + node->macs % all * pixels / all; /* borders on average */
}

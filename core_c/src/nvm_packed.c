/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_packed.c: dense runs over packed weights: the canvas, and the strips of pixels to be computed.
 */
#include "nvm_pack.h"
#include "nvm_threads.h"

enum { STRIPS = 64 };

typedef struct plan {
    nvm_product product;
    nvm_product_fn *run;
    nvm_strip strips[STRIPS];
    size_t n;
    uint32_t built; /* canvas rows that are in place */
    uint32_t left, right; /* positions of them */
    nvm_phase *phase;
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

void nvm_canvas_row(const nvm_node *node, uint8_t *line, uint32_t r, uint32_t from, uint32_t to)
{
    const nvm_layer *layer = node->layer;
    const nvm_packing *set = node->isa->packing;
    const int8_t *codes = node->in[0]->codes;
    int64_t row = (int64_t)r - node->rows.pad;
    int64_t before = node->cols.pad, left = from, right = to; /* before: columns left of the input */
    size_t in_c = layer->in_c, position = in_c * set->code_bytes;
    if (row < 0 || row >= node->rows.in) {
        fill(node, line + (size_t)left * position, (size_t)(right - left) * in_c);
        return;
    }
    int64_t first = before > left ? before : left, end = before + node->cols.in;
    first = first < right ? first : right;
    end = end < right ? end : right;
    end = end > first ? end : first;
    fill(node, line + (size_t)left * position, (size_t)(first - left) * in_c);
    if (end > first) {
        set->lift(line + (size_t)first * position,
             codes + ((size_t)row * layer->in_w + (size_t)(first - before)) * in_c,
             (size_t)(end - first) * in_c);
    }
    fill(node, line + (size_t)end * position, (size_t)(right - end) * in_c);
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
        uint32_t codes = set->code_bytes == 1 ? packed->line : packed->line / set->code_bytes;
        set->lift(canvas, node->in[0]->codes, p->built < end ? codes : 0);
        p->built = end;
        return;
    }
    while (p->built < end) {
        uint8_t *line = canvas + (size_t)p->built * packed->line;
        int is_whole = p->left == 0 && p->right == packed->width;
        uint32_t seamless = is_whole ? count_seamless(node, packed, p->built, end) : 0;
        if (seamless == 0) {
            nvm_canvas_row(node, line, p->built++, p->left, p->right);
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
    p->left = 0;
    p->right = packed->width;
    p->phase = &node->phase;
}

static uint32_t longest_strip(const plan *p)
{
    const nvm_packed *packed = p->product.packed;
    return packed->is_depthwise ? packed->out_w : p->product.node->isa->packing->pixels[packed->group];
}

/* Pixels [first, end) of all. */
static void run_pixels(plan *p, uint32_t first, uint32_t end)
{
    uint32_t width = p->product.packed->out_w, most = longest_strip(p);
    for (uint32_t next; first < end; first = next) {
        uint32_t y = first / width;
        next = (y + 1) * width < end ? (y + 1) * width : end;
        add_pixels(p, y, first - y * width, next - y * width, most);
    }
    flush(p);
}

static uint32_t part(uint32_t n, uint32_t piece, uint32_t pieces)
{
    return (uint32_t)((uint64_t)n * piece / pieces);
}

static void run_some_pixels(const void *job, uint32_t piece, uint32_t pieces)
{
    const plan *all = job;
    const nvm_packed *packed = all->product.packed;
    uint32_t pixels = packed->out_w * packed->out_h; /* < 2^27 */
    plan p;
    p.product = all->product;
    p.run = all->run;
    p.n = 0;
    run_pixels(&p, part(pixels, piece, pieces), part(pixels, piece + 1, pieces));
}

static uint32_t groups_of(const nvm_packed *packed)
{
    return packed->is_depthwise ? 1 : (packed->blocks + packed->group - 1) / packed->group;
}

/* Whether scale and shift have an entry a channel, which the pack does not hold. */
static int has_integers(uint8_t rule)
{
    return rule != NVM_RQ_FP32 && rule != NVM_RQ_AFFINE && rule != NVM_RQ_SHIFT;
}

/* Some groups of channels of the only pixel, as a layer of these channels alone. */
static void run_some_groups(const void *job, uint32_t piece, uint32_t pieces)
{
    const plan *all = job;
    uint32_t groups = groups_of(all->product.packed);
    nvm_packed packed = *all->product.packed;
    nvm_node node = *all->product.node;
    nvm_product product = all->product;
    uint32_t block = part(groups, piece, pieces) * packed.group;
    uint32_t end = part(groups, piece + 1, pieces) * packed.group;
    uint32_t channel = block * packed.lanes, words = packed.n_segments * packed.words;
    end = end < packed.blocks ? end : packed.blocks;
    packed.weights += (uint64_t)block * words * packed.depth * packed.lanes;
    packed.constant += channel * sizeof(int32_t);
    packed.scale += channel * sizeof(float);
    packed.blocks = end - block;
    if (has_integers(node.layer->requant)) { /* such a rule is not the product's own, and looks there */
        node.scale = (const int32_t *)node.scale + channel;
        node.shift = (const int32_t *)node.shift + channel;
    }
    product.packed = &packed;
    product.node = &node;
    product.codes += product.codes == NULL ? 0 : channel;
    product.acc += product.acc == NULL ? 0 : channel;
    product.channels -= channel;
    product.channels = end * packed.lanes - channel < product.channels ? end * packed.lanes - channel
                                                                       : product.channels;
    const nvm_strip strip = {.in = 0, .out = 0, .n = 1};
    all->run(&product, &strip, 1);
}

static void run_all(plan *p, nvm_scratch *scratch)
{
    const nvm_packed *packed = p->product.packed;
    uint32_t pixels = packed->out_w * packed->out_h;
    float ns = p->product.node->full_ns;
    build_to(p, scratch->canvas, packed->height);
    if (scratch->threads == NULL && pixels == 1) {
        const nvm_strip only = {.in = 0, .out = 0, .n = 1};
        p->run(&p->product, &only, 1);
    } else if (scratch->threads == NULL) {
        run_pixels(p, 0, pixels);
    } else if (pixels == 1 && groups_of(packed) > 1) {
        nvm_threads_run(scratch->threads, run_some_groups, p, p->phase, ns, groups_of(packed));
    } else {
        nvm_threads_run(scratch->threads, run_some_pixels, p, p->phase, ns, pixels / longest_strip(p));
    }
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
    return (node->packed != NULL && nvm_has_tiles_of(node->layer->kind)) || nvm_is_elementwise(node);
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

/* The next marked pixels of one row. */
static size_t next_dirty(nvm_marks *marks, uint32_t width, size_t *n)
{
    size_t first = nvm_unmark_run(marks, n);
    if (*n == 0) {
        return SIZE_MAX;
    }
    size_t left = width - first % width;
    if (*n > left) { /* those of the next row come next */
        nvm_mark_run(marks, first + left, *n - left);
        *n = left;
    }
    return first;
}

void nvm_packed_tiles(nvm_node *node, nvm_scratch *scratch)
{
    plan p;
    const nvm_packed *packed = node->packed;
    uint32_t width = packed->out_w;
    uint64_t pixels = 0, all = (uint64_t)width * packed->out_h;
    size_t channels = node->layer->out_c, n;
    begin(&p, node, scratch, !node->stale);
    if (!packed->is_flat && scratch->left < scratch->right) {
        uint32_t span = (uint32_t)((node->cols.k - 1) * node->cols.dil) + 1;
        p.left = scratch->left * (uint32_t)node->cols.stride;
        p.right = (scratch->right - 1) * (uint32_t)node->cols.stride + span;
    }
    for (size_t first; (first = next_dirty(&scratch->marks, width, &n)) != SIZE_MAX;) {
        uint32_t row = (uint32_t)(first / width), x = (uint32_t)(first % width);
        nvm_touch(node, first * channels, (first + n) * channels);
        add_dirty(&p, scratch, row, x, x + (uint32_t)n);
        pixels += n;
    }
    flush(&p);
    node->sops += node->macs / all * pixels + node->macs % all * pixels / all; /* borders on average */
}

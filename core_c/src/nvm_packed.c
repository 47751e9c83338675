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

static void build_row(const nvm_node *node, const nvm_packed *packed, uint8_t *line, uint32_t r)
{
    const nvm_layer *layer = node->layer;
    const int8_t *codes = node->in[0]->codes;
    uint8_t zero = (uint8_t)((uint8_t)layer->zero_in ^ 0x80u);
    int64_t row = (int64_t)r - node->rows.pad;
    int64_t before = node->cols.pad, width = packed->width; /* before: columns left of the input */
    size_t in_c = layer->in_c;
    if (row < 0 || row >= node->rows.in) {
        memset(line, zero, packed->line);
        return;
    }
    int64_t first = before > 0 ? before : 0, end = before + node->cols.in;
    first = first < width ? first : width;
    end = end < width ? end : width;
    end = end > first ? end : first;
    memset(line, zero, (size_t)first * in_c);
    if (end > first) {
        node->isa->packing->lift(line + (size_t)first * in_c,
             codes + ((size_t)row * layer->in_w + (size_t)(first - before)) * in_c,
             (size_t)(end - first) * in_c);
    }
    memset(line + (size_t)end * in_c, zero, (size_t)(width - end) * in_c);
}

/* Canvas rows [built, end). */
static void build_to(plan *p, uint8_t *canvas, uint32_t end)
{
    const nvm_node *node = p->product.node;
    const nvm_packed *packed = p->product.packed;
    if (packed->is_flat) {
        node->isa->packing->lift(canvas, node->in[0]->codes, p->built < end ? packed->line : 0);
        p->built = end;
        return;
    }
    for (; p->built < end; p->built++) {
        build_row(node, packed, canvas + (size_t)p->built * packed->line, p->built);
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

static void begin(plan *p, nvm_node *node, nvm_scratch *scratch, int keeps_acc)
{
    const nvm_packed *packed = node->packed;
    p->product = (nvm_product){.packed = packed,
                               .pack = node->pack,
                               .canvas = scratch->canvas,
                               .node = node,
                               .codes = node->codes,
                               .acc = keeps_acc ? node->acc : NULL,
                               .channels = node->layer->out_c};
    p->run = packed->is_depthwise ? node->isa->packing->product_dw : node->isa->packing->product;
    p->n = 0;
    p->built = 0;
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
    begin(&p, node, scratch, keeps_acc);
    run_all(&p, scratch);
    node->stale = !keeps_acc;
    node->sops += node->macs;
}

void nvm_packed_refresh(nvm_node *node, nvm_scratch *scratch)
{
    plan p;
    begin(&p, node, scratch, 1);
    p.product.codes = NULL;
    run_all(&p, scratch);
    node->stale = 0;
}

const nvm_packed *nvm_packed_of(const nvm_program *program, uint32_t index)
{
    const nvm_pack *pack = program->pack;
    return pack == NULL || !pack->layers[index].is_there ? NULL : &pack->layers[index];
}

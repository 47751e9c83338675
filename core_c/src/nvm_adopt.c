/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_adopt.c: a pack that was made before, by this process or another one.
 *
 * Its bytes come from a file and are not trusted: everything a run takes an address from is what this program's own
 * pack would hold, or the pack is refused. Weights, constants and factors are but numbers; a wrong one gives a
 * wrong code, so who keeps packs keeps a digest of them too.
 */
#include "nvm_pack.h"

/* Field by field: what lies between them is not said. */
static int are_alike(const nvm_packed *a, const nvm_packed *b)
{
    return a->pairs == b->pairs && a->weights == b->weights && a->constant == b->constant && a->scale == b->scale &&
           a->segments == b->segments && a->n_segments == b->n_segments && a->words == b->words &&
           a->blocks == b->blocks && a->group == b->group && a->width == b->width &&
           a->height == b->height && a->row == b->row && a->column == b->column &&
           a->line == b->line && a->out_w == b->out_w && a->out_h == b->out_h &&
           a->is_there == b->is_there && a->is_flat == b->is_flat &&
           a->is_depthwise == b->is_depthwise && a->lanes == b->lanes && a->depth == b->depth &&
           a->is_narrow == b->is_narrow;
}

static int has_segments(const nvm_program *program, uint32_t index, const nvm_packed *p,
                        const uint32_t *segments)
{
    const nvm_layer *layer = &program->layers[index];
    if (layer->kind == NVM_MAP) {
        return nvm_map_has_runs(program, index, segments);
    }
    for (size_t segment = 0; segment < p->n_segments; segment++) {
        if (segments[segment] != nvm_pack_segment(layer, p, program->isa->packing, segment)) {
            return 0;
        }
    }
    return 1;
}

/* The second form, of pairs of pixels. */
static int has_pairs(const nvm_program *program, uint32_t index, const nvm_packed *pairs,
                     const uint8_t *record, const uint8_t *base)
{
    nvm_packed found;
    const uint32_t *segments = (const void *)(base + pairs->segments);
    memcpy(&found, record, sizeof found);
    for (size_t segment = 0; segment < pairs->n_segments; segment++) {
        if (segments[segment] != nvm_pairs_segment(&program->layers[index], pairs, segment)) {
            return 0;
        }
    }
    return are_alike(pairs, &found);
}

/* Whether one layer's record and offsets are those that packing would write. */
static int has_layer(const nvm_program *program, uint32_t index, const uint8_t *base, uint64_t *used)
{
    const nvm_pack *pack = (const void *)base;
    nvm_packed pairs, p = nvm_pack_next(program, index, &pairs, used);
    if (!are_alike(&p, &pack->layers[index])) {
        return 0;
    }
    if (!p.is_there) {
        return 1;
    }
    return has_segments(program, index, &p, (const void *)(base + p.segments)) &&
           (p.pairs == 0 || has_pairs(program, index, &pairs, base + p.pairs, base));
}

nvm_status nvm_program_adopt(nvm_program *program, const void *mem, size_t len)
{
    nvm_status status = NVM_OK;
    const nvm_pack *pack = mem;
    const uint8_t *base = mem;
    if (program == NULL || program->n_layers == 0 || mem == NULL) {
        status = NVM_E_ARG;
        goto done;
    }
    size_t size = nvm_pack_size(program);
    if ((uintptr_t)mem % NVM_ALIGN != 0 || len < size) {
        status = NVM_E_SIZE;
        goto done;
    }
    uint64_t used = nvm_pack_records_end(program);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        if (!has_layer(program, i, base, &used)) {
            status = NVM_E_FORMAT;
            goto done;
        }
    }
    if (pack->bytes != used) {
        status = NVM_E_FORMAT;
        goto done;
    }
    program->pack = pack;
done:
    return status;
}

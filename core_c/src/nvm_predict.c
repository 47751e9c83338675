/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_predict.c: rows that keep no state, densely, some of them at a time and layer by layer: so
 * a layer's weights are read once for all of these, and where they lie a row after the other for
 * one long run. Codes live in an arena that layers share (nvm_plan.c).
 */
#include "nvm_layout.h"
#include "nvm_pack.h"
#include "nvm_plan.h"

/* Of all codes that are there at a time, so that they stay close to the core; and of rows. */
#define BLOCK_BYTES 65536u
#define MOST_ROWS   64u

struct nvm_predictor {
    const nvm_program *program;
    nvm_node *nodes;
    uint8_t **at;      /* codes of a layer's first row */
    uint8_t *together; /* whether a layer takes all rows in one run */
    nvm_scratch scratch;
    uint32_t rows; /* at a time */
};

/* ---- memory ------------------------------------------------------------------------------- */

static int is_supported(const nvm_program *program)
{
    for (uint32_t i = 0; i < program->n_layers; i++) {
        if (nvm_is_spiking(&program->layers[i])) {
            return 0;
        }
    }
    return 1;
}

/* How many rows are worth their memory. */
static uint32_t choose_rows(const nvm_program *program, nvm_places *places)
{
    size_t one = nvm_plan_codes(program, 1, places);
    size_t rows = BLOCK_BYTES / (one + 1);
    return (uint32_t)(rows < 1 ? 1 : rows < MOST_ROWS ? rows : MOST_ROWS);
}

static int reads_anew(const nvm_program *program, const nvm_layer *layer)
{
    for (uint32_t k = 0; k < layer->n_in; k++) {
        if (!nvm_has_place(&program->layers[layer->in[k]])) {
            return 0;
        }
    }
    return 1;
}

/* Whether rows of a layer are like more of its pixels, elements or rows. */
static int goes_together(const nvm_program *program, const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    uint64_t period = (uint64_t)layer->aux[0] * layer->aux[1];
    if (!reads_anew(program, layer)) {
        return 0;
    }
    switch (layer->kind) {
    case NVM_DENSE:
    case NVM_CONV:
        return node->packed != NULL && node->packed->is_flat;
    case NVM_ADD: /* wide ones may go by two tables, told apart by the place */
        return !nvm_is_wide(layer);
    case NVM_TABLE:
        return layer->aux[0] == 1 || layer->n % period == 0;
    case NVM_TABLE2:
    case NVM_PAIR:
    case NVM_SOFTMAX:
    case NVM_SOFTMAXQ:
    case NVM_L2NORM:
    case NVM_LOGSOFTMAX:
    case NVM_LOGSOFTMAXQ:
    case NVM_ARGMAX:
        return 1;
    default:
        return 0;
    }
}

/* What layers use one after the other, bytes. */
typedef struct shared {
    size_t sums, canvas, events; /* events: of h, from time to time, within an LSTM */
} shared;

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static shared find_shared(const nvm_program *program, size_t rows)
{
    shared most = {.sums = 0};
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        if (nvm_layer_keeps_acc(layer)) {
            most.sums = larger(most.sums, layer->n * nvm_acc_bytes(layer));
        }
        if (layer->kind == NVM_LSTM) {
            most.events = larger(most.events, layer->n * sizeof(nvm_event));
        }
        most.canvas = larger(most.canvas, nvm_canvas_bytes(program, i) * rows);
    }
    return most;
}

static size_t lay_out(const nvm_program *program, uint8_t *base, nvm_predictor *predictor)
{
    nvm_block mem = {.base = base};
    nvm_places places;
    uint32_t n = program->n_layers, rows = choose_rows(program, &places);
    size_t codes = nvm_plan_codes(program, rows, &places);
    shared most = find_shared(program, rows);
    (void)nvm_take(&mem, 1, sizeof *predictor);
    nvm_node *nodes = nvm_take(&mem, n, sizeof *nodes);
    uint8_t **at = nvm_take(&mem, n, sizeof *at);
    uint8_t *together = nvm_take(&mem, n, sizeof *together);
    uint8_t *arena = nvm_take(&mem, codes, 1), *canvas = nvm_take(&mem, most.canvas, 1);
    void *acc = nvm_take(&mem, most.sums, 1), *events = nvm_take(&mem, most.events, 1);
    for (uint32_t i = 0; i < n; i++) {
        size_t bytes = nvm_layer_memory_bytes(&program->layers[i]);
        void *memory = bytes != 0 ? nvm_take(&mem, bytes, 1) : NULL;
        if (predictor != NULL) {
            nodes[i] = (nvm_node){.layer = NULL};
            nvm_resolve_node(program, nodes, i);
            at[i] = nvm_has_place(nodes[i].layer) ? arena + (size_t)places.at[i] * NVM_ALIGN
                                                  : (uint8_t *)(uintptr_t)nodes[i].table0;
            nodes[i].codes = at[i];
            nodes[i].acc = nodes[i].sum = acc;
            nodes[i].memory = memory;
            nodes[i].events = events;
            nodes[i].quiet = 1;
            together[i] = (uint8_t)goes_together(program, &nodes[i]);
        }
    }
    if (predictor != NULL) {
        *predictor = (nvm_predictor){.program = program, .nodes = nodes, .at = at, .rows = rows,
                                     .together = together, .scratch = {.canvas = canvas,
                                                 .threads = program->threads}};
    }
    return mem.used;
}

size_t nvm_predictor_layout(const nvm_program *program)
{
    return lay_out(program, NULL, NULL);
}

nvm_status nvm_predictor_init(void *mem, size_t len, const nvm_program *program,
                              nvm_predictor **out)
{
    nvm_status status = NVM_OK;
    nvm_predictor *predictor = mem;
    if (mem == NULL || program == NULL || program->n_layers == 0 || out == NULL) {
        status = NVM_E_ARG;
        goto done;
    }
    if ((uintptr_t)mem % NVM_ALIGN != 0 || len < program->predict_size) {
        status = NVM_E_SIZE;
        goto done;
    }
    if (!is_supported(program)) {
        status = NVM_E_UNSUPPORTED;
        goto done;
    }
    (void)lay_out(program, mem, predictor);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        nvm_node *node = &predictor->nodes[i];
        if (node->memory != NULL) { /* stays as it begins: only the end of a step replaces it */
            nvm_memory_begin(node);
        }
    }
    *out = predictor;
done:
    return status;
}

/* ---- rows --------------------------------------------------------------------------------- */

static size_t row_bytes(const nvm_node *node)
{
    return nvm_has_place(node->layer) ? node->layer->n * nvm_code_bytes(node->layer) : 0;
}

static void run_full(nvm_node *node, nvm_scratch *scratch)
{
    if (node->packed != NULL) {
        nvm_packed_full(node, scratch, 0);
    } else {
        node->kernel->full(node, scratch);
    }
    nvm_clear_events(node);
}

/* As if the layer had the pixels, elements and rows of n layers. */
static void run_together(nvm_node *node, nvm_scratch *scratch, uint32_t n)
{
    const nvm_layer *layer = node->layer;
    const nvm_packed *packed = node->packed;
    nvm_layer longer = *layer;
    nvm_packed wider;
    longer.n *= n;
    longer.out_h *= n;
    node->layer = &longer;
    if (packed != NULL) {
        wider = *packed;
        wider.width *= n;
        wider.line *= n;
        wider.out_w *= n;
        node->packed = &wider;
    }
    run_full(node, scratch);
    node->layer = layer;
    node->packed = packed;
}

static void run_each(nvm_predictor *predictor, uint32_t index, uint32_t n)
{
    nvm_node *nodes = predictor->nodes, *node = &nodes[index];
    const nvm_layer *layer = node->layer;
    uint8_t **at = predictor->at;
    for (uint32_t row = 0; row < n; row++) {
        node->codes = at[index] + row * row_bytes(node);
        for (uint32_t k = 0; k < layer->n_in; k++) {
            uint32_t in = layer->in[k];
            nodes[in].codes = at[in] + row * row_bytes(&nodes[in]);
        }
        run_full(node, &predictor->scratch);
    }
    node->codes = at[index];
    for (uint32_t k = 0; k < layer->n_in; k++) {
        nodes[layer->in[k]].codes = at[layer->in[k]];
    }
}

/* n times so many bytes, from rows so far apart to rows so far apart. */
static void copy_rows(uint8_t *to, size_t to_step, const uint8_t *from, size_t from_step,
                      size_t bytes, uint32_t n)
{
    if (to_step == bytes && from_step == bytes) {
        memcpy(to, from, bytes * n);
        return;
    }
    for (uint32_t row = 0; row < n; row++) {
        memcpy(to + row * to_step, from + row * from_step, bytes);
    }
}

static void run_rows(nvm_predictor *predictor, const uint8_t *in, uint8_t *out, uint32_t n)
{
    const nvm_program *program = predictor->program;
    for (uint32_t i = 0; i < program->n_layers; i++) {
        nvm_node *node = &predictor->nodes[i];
        size_t step = row_bytes(node), bytes = node->layer->n * nvm_code_bytes(node->layer);
        if (node->layer->kind == NVM_INPUT) {
            copy_rows(predictor->at[i], bytes, in, program->bytes_in, bytes, n);
            in += bytes;
        } else if (step != 0 && predictor->together[i]) {
            run_together(node, &predictor->scratch, n);
        } else if (step != 0) {
            run_each(predictor, i, n);
        }
        if (node->layer->flags & NVM_FLAG_OUTPUT) {
            copy_rows(out, program->bytes_out, predictor->at[i], step, bytes, n);
            out += bytes;
        }
    }
}

nvm_status nvm_predictor_run(nvm_predictor *predictor, const void *in, void *out, size_t rows)
{
    nvm_status status = NVM_OK;
    const uint8_t *from = in;
    uint8_t *to = out;
    if (predictor == NULL || (rows != 0 && (in == NULL || out == NULL))) {
        status = NVM_E_ARG;
        goto done;
    }
    while (rows != 0) {
        uint32_t n = rows < predictor->rows ? (uint32_t)rows : predictor->rows;
        run_rows(predictor, from, to, n);
        from += n * predictor->program->bytes_in;
        to += n * predictor->program->bytes_out;
        rows -= n;
    }
done:
    return status;
}

nvm_status nvm_predict(const nvm_program *program, void *scratch, size_t len, const void *in,
                       void *out, size_t rows)
{
    nvm_predictor *predictor;
    nvm_status status = nvm_predictor_init(scratch, len, program, &predictor);
    return status != NVM_OK ? status : nvm_predictor_run(predictor, in, out, rows);
}

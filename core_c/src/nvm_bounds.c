/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_bounds.c: what the codes of a network can still become while planes of its inputs are unsent.
 *
 * Every code is an interval [low, high]; layer by layer the ends of what it reads give its own. Nothing
 * of the session but the codes its inputs sent is read, so a bound holds whatever hidden layers sent.
 */
#include "nvm_internal.h"

typedef struct interval {
    int8_t *low, *high;
} interval;

/* One walk over the layers. */
typedef struct walk {
    const nvm_session *session;
    interval *of;      /* of every layer's codes */
    int32_t *acc;      /* of the largest layer */
    nvm_event *events; /* of the largest layer: what its kernel would send; not read */
    int64_t *sums;     /* two of every channel of the widest layer */
    int32_t *ends;     /* the same, where they fit */
    size_t used;
} walk;

/* ---- memory ------------------------------------------------------------------------------- */

static void *take(uint8_t *base, size_t *used, size_t count, size_t size)
{
    size_t start = *used;
    *used += (count * size + NVM_ALIGN - 1) / NVM_ALIGN * NVM_ALIGN;
    return base == NULL ? NULL : base + start;
}

/* Lays out a walk at base, or measures only (NULL). */
static walk lay_out(const nvm_program *program, uint8_t *base)
{
    walk w = {.session = NULL};
    size_t neurons = 0, channels = 1; /* sums of one element at the least */
    w.of = take(base, &w.used, program->n_layers, sizeof *w.of);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        int8_t *low = take(base, &w.used, layer->n, 1), *high = take(base, &w.used, layer->n, 1);
        neurons = neurons > layer->n ? neurons : layer->n;
        channels = channels > layer->out_c ? channels : layer->out_c;
        if (base != NULL) {
            w.of[i] = (interval){low, high};
        }
    }
    w.acc = take(base, &w.used, neurons, sizeof *w.acc);
    w.events = take(base, &w.used, neurons, sizeof *w.events);
    w.sums = take(base, &w.used, 2 * channels, sizeof *w.sums);
    w.ends = take(base, &w.used, 2 * channels, sizeof *w.ends);
    return w;
}

size_t nvm_bounds_size(const nvm_program *program)
{
    return program == NULL ? 0 : lay_out(program, NULL).used;
}

/* ---- any kind ----------------------------------------------------------------------------- */

/* What the layer's kernel makes of one end of the intervals that it reads. */
static void run_end(walk *w, uint32_t index, int high, int8_t *codes)
{
    const nvm_node *node = &w->session->nodes[index];
    nvm_scratch none = {.marks = {.words = NULL}};
    nvm_node in[NVM_MAX_INPUTS], copy = *node;
    for (uint32_t p = 0; p < node->layer->n_in; p++) {
        const interval *read = &w->of[node->layer->in[p]];
        in[p] = *node->in[p];
        in[p].codes = high ? read->high : read->low;
        copy.in[p] = &in[p];
    }
    copy.codes = codes;
    copy.acc = copy.sum = w->acc;
    copy.events = w->events;
    copy.n_events = 0;
    copy.pending = copy.behind = 0;
    memset(codes, 0, node->layer->n);
    node->kernel->full(&copy, &none);
}

static int is_certain(const walk *w, const nvm_layer *layer)
{
    for (uint32_t p = 0; p < layer->n_in; p++) {
        const interval *read = &w->of[layer->in[p]];
        if (memcmp(read->low, read->high, w->session->program->layers[layer->in[p]].n) != 0) {
            return 0;
        }
    }
    return 1;
}

/* Every int8 code: some kinds do not clamp. */
static void give_up(interval made, size_t first, size_t n)
{
    memset(made.low + first, INT8_MIN, n);
    memset(made.high + first, INT8_MAX, n);
}

/* Non-decreasing (or, a factor below 0 allowing, non-increasing) in every code that it reads. */
static void bound_ends(walk *w, uint32_t index)
{
    interval made = w->of[index];
    run_end(w, index, 0, made.low);
    run_end(w, index, 1, made.high);
    for (size_t i = 0; i < w->session->nodes[index].layer->n; i++) {
        int8_t a = made.low[i], b = made.high[i];
        made.low[i] = a < b ? a : b;
        made.high[i] = a < b ? b : a;
    }
}

/* ---- sums --------------------------------------------------------------------------------- */

/* Requantises `n` sums of channels from 0 on, unless some can leave the range where R is monotone. */
static void bound_codes(walk *w, const nvm_node *node, interval made, size_t first, size_t n)
{
    const nvm_layer *layer = node->layer;
    int per_channel = layer->kind != NVM_ADD;
    int shifts = layer->requant == NVM_RQ_DOUBLE || layer->requant == NVM_RQ_HALFUP;
    const int32_t *e = node->shift;
    for (size_t c = 0; c < n; c++) {
        int32_t left = shifts ? e[per_channel ? c : 0] : 0;
        int64_t most = INT32_MAX >> (left > 0 ? left : 0);
        if (w->sums[2 * c] < -most || w->sums[2 * c + 1] > most) {
            give_up(made, first, n);
            return;
        }
        w->ends[c] = (int32_t)w->sums[2 * c];
        w->ends[n + c] = (int32_t)w->sums[2 * c + 1];
    }
    nvm_requant_s32s8__scalar(node, w->ends, 0, n, made.low + first);
    nvm_requant_s32s8__scalar(node, w->ends + n, 0, n, made.high + first);
    for (size_t i = first; i < first + n; i++) {
        int8_t a = made.low[i], b = made.high[i]; /* AFFINE may have a factor below 0 */
        made.low[i] = a < b ? a : b;
        made.high[i] = a < b ? b : a;
    }
}

/* Adds a row of weights times a code in [low, high]. */
static void add_row(int64_t *sums, const int8_t *weights, size_t n, int32_t low, int32_t high)
{
    for (size_t c = 0; c < n; c++) {
        int32_t a = weights[c] * low, b = weights[c] * high;
        sums[2 * c] += a < b ? a : b;
        sums[2 * c + 1] += a < b ? b : a;
    }
}

/* The codes of one pixel through one tap. */
static void add_tap(walk *w, const nvm_node *node, interval read, size_t pixel, size_t tap)
{
    const nvm_layer *layer = node->layer;
    size_t in_c = layer->in_c, out_c = layer->out_c;
    int is_depthwise = layer->kind == NVM_DWCONV;
    size_t groups = is_depthwise ? in_c : layer->kind == NVM_DENSE ? 1 : layer->groups;
    size_t in_group = in_c / groups, out_group = out_c / groups;
    for (size_t c = 0; c < in_c; c++) {
        size_t row = (tap * in_group + c % in_group) * out_c, first = c / in_group * out_group;
        add_row(w->sums + 2 * first, node->weights + row + first, out_group,
                read.low[pixel * in_c + c] - layer->zero_in,
                read.high[pixel * in_c + c] - layer->zero_in);
    }
}

static void begin_sums(walk *w, const nvm_node *node)
{
    const int32_t *bias = node->bias;
    for (size_t c = 0; c < node->layer->out_c; c++) {
        w->sums[2 * c] = w->sums[2 * c + 1] = bias[c];
    }
}

static void bound_dense(walk *w, uint32_t index)
{
    const nvm_node *node = &w->session->nodes[index];
    begin_sums(w, node);
    add_tap(w, node, w->of[node->layer->in[0]], 0, 0);
    bound_codes(w, node, w->of[index], 0, node->layer->out_c);
}

static void bound_pixel(walk *w, uint32_t index, int32_t y, int32_t x)
{
    const nvm_node *node = &w->session->nodes[index];
    const nvm_layer *layer = node->layer;
    int32_t i, i_end, j_first, j_end;
    nvm_axis_taps(&node->rows, y, &i, &i_end);
    nvm_axis_taps(&node->cols, x, &j_first, &j_end);
    begin_sums(w, node);
    for (; i < i_end; i++) {
        size_t row = (size_t)(y * node->rows.stride - node->rows.pad + i * node->rows.dil);
        for (int32_t j = j_first; j < j_end; j++) {
            size_t col = (size_t)(x * node->cols.stride - node->cols.pad + j * node->cols.dil);
            add_tap(w, node, w->of[layer->in[0]], row * layer->in_w + col,
                    (size_t)i * layer->k_w + (size_t)j);
        }
    }
    bound_codes(w, node, w->of[index],
                ((size_t)y * layer->out_w + (size_t)x) * layer->out_c, layer->out_c);
}

static void bound_windows(walk *w, uint32_t index)
{
    const nvm_node *node = &w->session->nodes[index];
    for (int32_t y = 0; y < node->rows.out; y++) {
        for (int32_t x = 0; x < node->cols.out; x++) {
            bound_pixel(w, index, y, x);
        }
    }
}

/* ---- tables ------------------------------------------------------------------------------- */

static void bound_table(walk *w, uint32_t index)
{
    const nvm_node *node = &w->session->nodes[index];
    interval made = w->of[index], read = w->of[node->layer->in[0]];
    uint32_t count = node->layer->aux[0], run = node->layer->aux[1];
    for (size_t i = 0; i < node->layer->n; i++) {
        const int8_t *table = (const int8_t *)node->table0 + (i / run % count) * 256 + 128;
        int8_t low = INT8_MAX, high = INT8_MIN;
        for (int q = read.low[i]; q <= read.high[i]; q++) {
            low = table[q] < low ? table[q] : low;
            high = table[q] > high ? table[q] : high;
        }
        made.low[i] = low;
        made.high[i] = high;
    }
}

static void range_of(const int32_t *table, int low, int high, int64_t *least, int64_t *most)
{
    *least = INT64_MAX;
    *most = INT64_MIN;
    for (int q = low + 128; q <= high + 128; q++) {
        *least = table[q] < *least ? table[q] : *least;
        *most = table[q] > *most ? table[q] : *most;
    }
}

static void bound_add(walk *w, uint32_t index)
{
    const nvm_node *node = &w->session->nodes[index];
    interval a = w->of[node->layer->in[0]], b = w->of[node->layer->in[1]];
    for (size_t i = 0; i < node->layer->n; i++) {
        int64_t low0, high0, low1, high1;
        range_of(node->table0, a.low[i], a.high[i], &low0, &high0);
        range_of(node->table1, b.low[i], b.high[i], &low1, &high1);
        w->sums[0] = low0 + low1;
        w->sums[1] = high0 + high1;
        bound_codes(w, node, w->of[index], i, 1);
    }
}

/* ---- softmax ------------------------------------------------------------------------------ */

/* As the kernel's rounding of t / sum; monotone in both, for finite p. */
static int8_t softmax_code(const nvm_layer *layer, float p)
{
    float lo = (float)(layer->lo - layer->zero_out), hi = (float)(layer->hi - layer->zero_out);
    p = p > lo ? p : lo;
    p = p < hi ? p : hi;
    int32_t whole = (int32_t)p;
    float rest = p - (float)whole;
    whole += (rest >= 0.5f) - (rest <= -0.5f);
    return (int8_t)(whole + layer->zero_out);
}

/* Codes of a row whose maximum is `max`: sums in the kernel's order, each of the least or the most that
 * its terms can be. Float addition, product and quotient are monotone, so the ends hold to the bit. */
static void widen_row(const nvm_node *node, interval made, interval read, int max)
{
    const float *t = node->table0, scale = *(const float *)node->scale;
    size_t length = node->layer->out_c, reach = 0, at = 0;
    float least = 0.0f, most = 0.0f;
    for (size_t j = 0; j < length; j++) {
        at = read.high[j] >= max ? j : at;
        reach += read.high[j] >= max;
    }
    for (size_t j = 0; j < length; j++) {
        int high = read.high[j] < max ? read.high[j] : max;
        most += t[max - high];
        least += reach == 1 && j == at ? t[0] : t[max - read.low[j]];
    }
    least = least > t[0] ? least : t[0]; /* some code is the maximum */
    float up = 1.0f / (least * scale), down = 1.0f / (most * scale);
    for (size_t j = 0; j < length; j++) {
        int high = read.high[j] < max ? read.high[j] : max;
        float from = reach == 1 && j == at ? t[0] : t[max - read.low[j]];
        int8_t low_code = softmax_code(node->layer, from * down);
        int8_t high_code = softmax_code(node->layer, t[max - high] * up);
        made.low[j] = low_code < made.low[j] ? low_code : made.low[j];
        made.high[j] = high_code > made.high[j] ? high_code : made.high[j];
    }
}

/* t must not rise, and no quotient be infinite. */
static int softmax_is_monotone(const nvm_node *node)
{
    const float *t = node->table0, scale = *(const float *)node->scale;
    for (int d = 1; d < 256; d++) {
        if (t[d] > t[d - 1]) {
            return 0;
        }
    }
    return t[0] * scale >= FLT_MIN && t[0] <= FLT_MAX / 1e10f / (scale > 1.0f ? scale : 1.0f) &&
           1.0f / (t[0] * scale) <= FLT_MAX / 1e10f;
}

static void bound_softmax(walk *w, uint32_t index)
{
    const nvm_node *node = &w->session->nodes[index];
    size_t length = node->layer->out_c;
    interval made = w->of[index], read = w->of[node->layer->in[0]];
    if (!softmax_is_monotone(node)) {
        give_up(made, 0, node->layer->n);
        return;
    }
    memset(made.low, INT8_MAX, node->layer->n);
    memset(made.high, INT8_MIN, node->layer->n);
    for (size_t first = 0; first < node->layer->n; first += length) {
        int least = INT8_MIN, most = INT8_MIN; /* that the maximum can be */
        for (size_t j = first; j < first + length; j++) {
            least = read.low[j] > least ? read.low[j] : least;
            most = read.high[j] > most ? read.high[j] : most;
        }
        for (int max = least; max <= most; max++) {
            widen_row(node, (interval){made.low + first, made.high + first},
                      (interval){read.low + first, read.high + first}, max);
        }
    }
}

/* ---- layers ------------------------------------------------------------------------------- */

/* The codes of which the nearest that was sent is this one. */
static void bound_input(walk *w, uint32_t index)
{
    const nvm_node *node = &w->session->nodes[index];
    const int8_t *sent = node->codes;
    int step = 256 >> w->session->sent_planes;
    for (size_t i = 0; i < node->layer->n; i++) {
        int low = sent[i] - step / 2, high = sent[i] + (step - 1) / 2;
        w->of[index].low[i] = (int8_t)(low > INT8_MIN ? low : INT8_MIN);
        w->of[index].high[i] = (int8_t)(sent[i] + step > INT8_MAX ? INT8_MAX : high);
    }
}

static int has_no_negative(const int32_t *weights, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (weights[i] < 0) {
            return 0;
        }
    }
    return 1;
}

static void bound_layer(walk *w, uint32_t index)
{
    const nvm_node *node = &w->session->nodes[index];
    const nvm_layer *layer = node->layer;
    interval made = w->of[index];
    if (layer->kind == NVM_INPUT) {
        bound_input(w, index);
        return;
    }
    if (layer->kind == NVM_CONST) {
        memcpy(made.low, node->table0, layer->n);
        memcpy(made.high, node->table0, layer->n);
        return;
    }
    if (is_certain(w, layer)) {
        run_end(w, index, 0, made.low);
        memcpy(made.high, made.low, layer->n);
        return;
    }
    switch (layer->kind) {
    case NVM_DENSE:
        bound_dense(w, index);
        break;
    case NVM_CONV:
    case NVM_DWCONV:
        bound_windows(w, index);
        break;
    case NVM_ADD:
        bound_add(w, index);
        break;
    case NVM_TABLE:
        bound_table(w, index);
        break;
    case NVM_SOFTMAX:
        bound_softmax(w, index);
        break;
    case NVM_AVGPOOL:
    case NVM_MAXPOOL:
    case NVM_MAP:
        bound_ends(w, index);
        break;
    case NVM_MEAN: {
        /* So many codes cannot wrap, nor what the requantiser shifts left by. */
        int shifts = layer->requant == NVM_RQ_DOUBLE || layer->requant == NVM_RQ_HALFUP;
        int32_t left = shifts ? *(const int32_t *)node->shift : 0;
        uint64_t most = (uint64_t)INT32_MAX >> (left > 0 ? left : 0);
        if ((uint64_t)node->in[0]->layer->n * 128 <= most) {
            bound_ends(w, index);
        } else {
            give_up(made, 0, layer->n);
        }
        break;
    }
    case NVM_LERP:
        if (has_no_negative(node->scale, 4 * (size_t)layer->n)) {
            bound_ends(w, index);
        } else {
            give_up(made, 0, layer->n);
        }
        break;
    default:
        give_up(made, 0, layer->n);
        break;
    }
}

nvm_status nvm_session_planes(nvm_session *session, uint32_t planes)
{
    nvm_status status = NVM_OK;
    if (session == NULL) {
        status = NVM_E_ARG;
        goto done;
    }
    if (planes < 1 || planes > 8) {
        status = NVM_E_RANGE;
        goto done;
    }
    int coded = session->program->coding == NVM_FLAG_PLANES && !session->program->memory;
    if (planes != 8 && !coded) {
        status = NVM_E_UNSUPPORTED;
        goto done;
    }
    session->behind |= planes != session->planes;
    session->planes = planes;
done:
    return status;
}

uint32_t nvm_session_sent_planes(const nvm_session *session)
{
    return session == NULL ? 8 : session->sent_planes;
}

nvm_status nvm_session_bounds(const nvm_session *session, void *scratch, size_t len, int8_t *low,
                              int8_t *high)
{
    nvm_status status = NVM_OK;
    if (session == NULL || scratch == NULL || low == NULL || high == NULL) {
        status = NVM_E_ARG;
        goto done;
    }
    if ((uintptr_t)scratch % NVM_ALIGN != 0 || len < nvm_bounds_size(session->program)) {
        status = NVM_E_SIZE;
        goto done;
    }
    if (session->program->coding != NVM_FLAG_PLANES || session->program->memory) {
        status = NVM_E_UNSUPPORTED;
        goto done;
    }
    walk w = lay_out(session->program, scratch);
    w.session = session;
    for (uint32_t i = 0; i < session->program->n_layers; i++) {
        const nvm_layer *layer = &session->program->layers[i];
        bound_layer(&w, i);
        if (layer->flags & NVM_FLAG_OUTPUT) {
            memcpy(low, w.of[i].low, layer->n);
            memcpy(high, w.of[i].high, layer->n);
            low += layer->n;
            high += layer->n;
        }
    }
done:
    return status;
}

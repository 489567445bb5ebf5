/* C [m,n] = A [m,k] . B: nine tenths of a network's arithmetic.
 *
 * B comes packed: panels of WIDE vectors of columns (the last may be narrower), each panel k rows
 * one after the other, so that the inner loop reads it straight on; missing columns are zeros. A
 * register tile of rows x vectors of C stays in registers over k: each step loads a row of the
 * panel, and multiplies it by one number of each row of A (Goto & van de Geijn, Anatomy of
 * high-performance matrix multiplication, 2008). A is read in place. Finished tiles pass through
 * a buffer in L1, where bias and activation are applied.
 *
 * A task is a block of rows times a group of panels, both cut by the shapes alone. */
#include "kernels/cpu/gemm.h"

#include "kernels/cpu/activation.h"

enum {
    MAX_ROWS = 14,
    CHUNK = 768,             /* of k: a panel's chunk fits L2 beside A's block */
    BLOCK_BYTES = 320 << 10, /* of A */
    NEAR_BYTES = 24 << 10,   /* of L1, for a few rows of A and C */
    TASKS = 16,              /* to aim at */
    MIN_ROWS = 24,
    /* of a task that packs its panels, which other tasks would do again: at most; and at least, if
     * it turns them */
    PACKED_ROWS = 512,
    TURNED_ROWS = 112,
    LINE = 16,       /* floats of one */
    PACK_AHEAD = 16, /* rows */
    /* Rows of weights that lie 8 KB apart have ways for 128 in L2, and for 12 in L1: where few
     * tiles follow upon one that packs, half of a panel is fetched before it, and it asks for the
     * rest so many rows ahead. */
    FEW_TILES = 12,
    APART = 1024, /* floats, or a multiple */
    PACK_FAR_AHEAD = 96
};
static const int tile_rows[] = FV_TILE_ROWS;

/* --- panels --- */

typedef struct panel {
    size_t vector, vectors; /* its first vector of columns, and how many */
} panel;

static size_t panel_count(size_t n)
{
    return ceil_divide(ceil_divide(n, LANES), WIDE);
}

/* Panels are WIDE, but the last two share a rest of WIDE + 1 evenly: 3 3 2 2 and not 3 3 3 1. */
static panel panel_at(size_t n, size_t i)
{
    size_t vectors = ceil_divide(n, LANES), count = panel_count(n);
    bool even = WIDE == 3 && vectors % 3 == 1 && vectors > 1;
    size_t begin = even && i == count - 1 ? vectors - 2 : i * WIDE;
    size_t end = even && i == count - 2 ? vectors - 2 : min_of(vectors, (i + 1) * WIDE);
    return (panel){begin, end - begin};
}

size_t ISA(packed_count)(size_t n, size_t k)
{
    return ceil_divide(n, LANES) * LANES * k;
}

size_t ISA(packed_place)(size_t n, size_t k, size_t row, size_t vector)
{
    size_t i = min_of(vector / WIDE, panel_count(n) - 1);
    panel p = panel_at(n, i);
    if (vector < p.vector) p = panel_at(n, i - 1);
    if (vector >= p.vector + p.vectors) p = panel_at(n, i + 1);
    return (p.vector * k + row * p.vectors + vector - p.vector) * LANES;
}

typedef struct packing {
    float *to;
    const float *b;
    size_t row_step, column_step, n, k;
} packing;

static void pack_task(void *context, int i)
{
    const packing *job = context;
    panel p = panel_at(job->n, (size_t)i);
    size_t first = p.vector * LANES, width = p.vectors * LANES;
    size_t columns = min_of(width, job->n - first);
    float *to = job->to + first * job->k;
    for (size_t row = 0; row < job->k; row++, to += width) {
        const float *from = job->b + row * job->row_step + first * job->column_step;
        if (job->column_step == 1)
            memcpy(to, from, columns * sizeof *to);
        else
            for (size_t c = 0; c < columns; c++) to[c] = from[c * job->column_step];
        for (size_t c = columns; c < width; c++) to[c] = 0;
    }
}

void ISA(pack)(fv_backend *be, float *to, const float *b, size_t row_step, size_t column_step,
               size_t n, size_t k)
{
    packing job = {to, b, row_step, column_step, n, k};
    fv_parallel(be, (int)panel_count(n), pack_task, &job);
}

/* --- the register tile --- */

/* What a tile fetches into L2 while it computes: a line for every 2^shift steps of k,
 * `step` floats apart. With step 0 it is a line that is in L1 already, so that nothing is fetched.
 */
typedef struct prefetch {
    const float *from;
    size_t step;
    int shift;
    unsigned inverse; /* 2^16 / lines of a row, behind which `jump` numbers are left out; or 0 */
    size_t jump;
} prefetch;

/* out [rows][vectors * LANES] (+)= A's rows . a panel; rows of out lie ldo apart. A tile that packs
 * finds the panel's rows ldb apart, and leaves them one behind the other in `room`. */
typedef struct tile_work {
    const float *a;
    size_t lda;
    const float *b;
    size_t ldb, k;
    float *room;
    bool far; /* a tile that packs fetches PACK_FAR_AHEAD, else PACK_AHEAD */
    prefetch w;
    float *out;
    size_t ldo;
    const float *bias, *plus; /* or NULL; rows of plus lie ldo apart */
    bool add;
} tile_work;

typedef void (*tile_function)(const tile_work *work);

INLINE void tile(const int rows, const int vectors, const bool packs, const tile_work *work)
{
    const float *a = work->a, *b = work->b;
    float *room = work->room;
    size_t lda = work->lda, k = work->k, step = packs ? work->ldb : (size_t)(vectors * LANES);
    prefetch w = work->w;
    vf sum[MAX_ROWS][WIDE];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sum[r][v] = (vf){0};
    for (size_t p = 0; p < k; p++, b += step) {
        vf row[WIDE];
        size_t line = p >> w.shift;
        __builtin_prefetch(w.from + line * w.step + (line * w.inverse >> 16) * w.jump, 0, 2);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) row[v] = v_load(b + v * LANES);
        if (packs) {
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) {
                if (v * LANES % LINE == 0 && !work->far)
                    __builtin_prefetch(b + PACK_AHEAD * step + v * LANES);
                if (v * LANES % LINE == 0 && work->far)
                    __builtin_prefetch(b + PACK_FAR_AHEAD * step + v * LANES, 0, 2);
                v_store(room + v * LANES, row[v]);
            }
            room += vectors * LANES;
        }
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            vf x = v_all(a[(size_t)r * lda + p]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[r][v] = v_fma(x, row[v], sum[r][v]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            float *to = work->out + (size_t)r * work->ldo + v * LANES;
            vf x = sum[r][v];
            if (work->add) x += v_load(to);
            if (work->bias) x += v_load(work->bias + v * LANES);
            if (work->plus) x += v_load(work->plus + (size_t)r * work->ldo + v * LANES);
            v_store(to, x);
        }
}

#define TILE(rows, vectors)                                                                        \
    static void tile_##rows##_##vectors(const tile_work *work)                                     \
    {                                                                                              \
        tile(rows, vectors, false, work);                                                          \
    }
#define PACKS(rows)                                                                                \
    static void packing_tile_##rows(const tile_work *work)                                         \
    {                                                                                              \
        tile(rows, WIDE, true, work);                                                              \
    }
#define TILES_TO_5(v)  TILE(1, v) TILE(2, v) TILE(3, v) TILE(4, v) TILE(5, v)
#define NAMES_TO_5(v)  tile_1_##v, tile_2_##v, tile_3_##v, tile_4_##v, tile_5_##v
#define TILES_TO_8(v)  TILES_TO_5(v) TILE(6, v) TILE(7, v) TILE(8, v)
#define NAMES_TO_8(v)  NAMES_TO_5(v), tile_6_##v, tile_7_##v, tile_8_##v
#define TILES_TO_12(v) TILES_TO_8(v) TILE(9, v) TILE(10, v) TILE(11, v) TILE(12, v)
#define NAMES_TO_12(v) NAMES_TO_8(v), tile_9_##v, tile_10_##v, tile_11_##v, tile_12_##v

#if defined(__AVX512F__)
TILES_TO_12(1)
TILE(13, 1)
TILE(14, 1)
TILES_TO_12(2)
TILES_TO_8(3)
static const tile_function tiles[WIDE][MAX_ROWS] = {
    {NAMES_TO_12(1), tile_13_1, tile_14_1}, {NAMES_TO_12(2)}, {NAMES_TO_8(3)}};
#elif defined(__AVX2__)
TILES_TO_8(1)
TILE(9, 1)
TILE(10, 1)
TILES_TO_5(2)
TILE(6, 2)
static const tile_function tiles[WIDE][MAX_ROWS] = {{NAMES_TO_8(1), tile_9_1, tile_10_1},
                                                    {NAMES_TO_5(2), tile_6_2}};
#else
TILES_TO_8(1)
TILES_TO_5(2)
static const tile_function tiles[WIDE][MAX_ROWS] = {{NAMES_TO_8(1)}, {NAMES_TO_5(2)}};
#endif

PACKS(1)
PACKS(2)
PACKS(3)
PACKS(4)
PACKS(5)
#if defined(__AVX2__)
PACKS(6)
#endif
#if defined(__AVX512F__)
PACKS(7)
PACKS(8)
#endif
static const tile_function packing_tiles[] = {packing_tile_1, packing_tile_2, packing_tile_3,
                                              packing_tile_4, packing_tile_5,
#if defined(__AVX2__)
                                              packing_tile_6,
#endif
#if defined(__AVX512F__)
                                              packing_tile_7, packing_tile_8
#endif
};

/* --- finishing a tile --- */

/* rows x columns numbers of `from` (rows of `width`) into C, from (row, column) on. */
INLINE void finish(const fv_act act, const fv_product *p, const float *from, size_t width,
                   size_t row, size_t rows, size_t column, bool add)
{
    size_t columns = min_of(width, p->n - column);
    for (size_t r = 0; r < rows; r++, from += width) {
        float *c = p->c + (row + r) * p->n + column;
        float *aux = p->aux ? p->aux + (row + r) * p->n + column : NULL;
        const float *bias = p->bias ? p->bias + column : NULL;
        const float *plus = p->plus ? p->plus + (row + r) * p->n + column : NULL;
        for (size_t i = 0; i < columns; i += LANES) {
            size_t lanes = min_of(LANES, columns - i);
            vf x = v_load(from + i);
            if (add) x += load_lanes(c + i, lanes);
            if (bias) x += load_lanes(bias + i, lanes);
            if (plus) x += load_lanes(plus + i, lanes);
            if (aux) store_lanes(aux + i, x, lanes);
            store_lanes(c + i, v_activate(act, x), lanes);
        }
    }
}

static void finish_tile(const fv_product *p, const float *from, size_t width, size_t row,
                        size_t rows, size_t column, bool add)
{
    FV_WITH_ACT(p->act, finish, p, from, width, row, rows, column, add)
}

/* --- tasks --- */

typedef struct cut {
    const fv_product *p;
    size_t rows, groups, group; /* rows of a block; groups of panels, panels in one */
    size_t threads;
} cut;

/* depth rows of a panel, from row `at` on, to `to`. */
static void pack_panel(const fv_product *p, size_t at, size_t depth, panel n, float *to)
{
    size_t column = n.vector * LANES, width = n.vectors * LANES;
    size_t columns = min_of(width, p->n - column);
    const float *from = p->b + at * p->ldb + column;
    for (size_t r = 0; r < depth; r++, from += p->ldb, to += width) {
        size_t c = 0;
        for (; c + LANES <= columns; c += LANES) v_store(to + c, v_load(from + c));
        if (c < columns) v_store(to + c, v_load_part(from + c, columns - c));
    }
}

/* The same as pack_panel where columns of B are rows of W. */
static void turn_panel(const fv_product *p, size_t at, size_t depth, panel n, float *to)
{
    size_t width = n.vectors * LANES;
    for (size_t v = 0; v < n.vectors; v++, to += LANES) {
        size_t column = (n.vector + v) * LANES, outputs = min_of(LANES, p->n - column), r = 0;
        const float *from = p->b + column * p->ldb + at;
        for (; outputs == LANES && r + LANES <= depth; r += LANES)
            v_turn_square(from + r, p->ldb, LANES, LANES, to + r * width, width, LANES);
        for (; r < depth; r += LANES)
            v_turn_square(from + r, p->ldb, outputs, min_of(LANES, depth - r), to + r * width,
                          width, LANES);
    }
}

static float *room_of(const fv_product *p)
{
    return p->rooms + (size_t)fv_thread() * FV_ROOM_FLOATS;
}

/* The panel that a task needs next, line by line: tile t asks for its t-th part. */
typedef struct next {
    prefetch w;
    size_t part, parts;
} next;

static next next_panel(const fv_product *p, size_t origin, size_t at, size_t depth, size_t i)
{
    panel n = panel_at(p->n, i);
    size_t column = n.vector * LANES, lines = ceil_divide(n.vectors * LANES, LINE);
    const float *from = p->b + (column - origin) * p->k + at * n.vectors * LANES;
    return (next){{from, LINE, 0, 0, 0}, depth * LINE, lines};
}

static bool asks_far(const fv_product *p, size_t count)
{
    return count <= FEW_TILES && p->ldb % APART == 0;
}

/* The same for rows of B that lie ldb apart, while `others` tiles run; for half of them if the tile
 * that packs them asks for the rest. */
static next next_rows(const fv_product *p, size_t at, size_t depth, size_t i, size_t others)
{
    enum { PARTS = 4, SHIFT = 2 };
    panel n = panel_at(p->n, i);
    size_t lines = ceil_divide(n.vectors * LANES, LINE);
    const float *from = p->b + at * p->ldb + n.vector * LANES;
    if (lines * PARTS > others)
        return (next){{from, p->ldb, asks_far(p, others + 1), 0, 0}, LINE, lines};
    return (next){{from, p->ldb, SHIFT, 0, 0}, depth / PARTS * p->ldb, PARTS};
}

/* And for rows of W: some rows a tile. */
static next next_turned(const fv_product *p, size_t at, size_t depth, size_t i, size_t others)
{
    panel n = panel_at(p->n, i);
    size_t lines = ceil_divide(depth, LINE), rows = n.vectors * LANES;
    int shift = others >= 2 * n.vectors ? 1 : 0;
    size_t share = max_of(depth / lines >> shift, 1);
    prefetch w = {p->b + n.vector * LANES * p->ldb + at, LINE, shift,
                  (unsigned)ceil_divide(1 << 16, lines), p->ldb - lines * LINE};
    return (next){w, share * p->ldb, ceil_divide(rows, share)};
}

/* Of A the rows row .. end - 1, while `others` tiles run: none if they lie apart. */
static next next_of_a(const fv_product *p, size_t row, size_t end, size_t others)
{
    size_t lines = end > row ? ceil_divide((end - row) * p->k, LINE) : 0;
    int shift = 0;
    if (p->lda != p->k || lines == 0) return (next){{p->b, 0, 0, 0, 0}, 0, 0};
    while (shift < 6 && (p->k >> (shift + 1)) * others >= lines) shift++;
    size_t each = max_of(p->k >> shift, 1);
    prefetch w = {p->a + row * p->k, LINE, shift, 0, 0};
    return (next){w, each * LINE, ceil_divide(lines, each)};
}

static prefetch part_of(next z, size_t t, const float *near)
{
    if (t >= z.parts) return (prefetch){near, 0, 0, 0, 0};
    z.w.from += t * z.part;
    return z.w;
}

static size_t tiles_of(panel n, size_t rows)
{
    return ceil_divide(rows, (size_t)tile_rows[n.vectors - 1]);
}

/* Rows of C that tiles of one panel pass, and the chunk of k that they add. */
typedef struct pass {
    size_t row, rows, at, depth;
} pass;

/* Tile t of n; b: the panel's rows from z.at on, packed, or if there is a room where they lie.
 * Whatever needs no activation goes into C at once, as do the sums so far of all chunks but the
 * last. */
INLINE void run_tile(const fv_product *p, pass z, size_t t, panel n, const float *b, float *room,
                     prefetch w)
{
    bool add = p->add || z.at > 0, whole = z.at + z.depth == p->k;
    size_t width = n.vectors * LANES, column = n.vector * LANES;
    size_t count = tiles_of(n, z.rows), row = z.row + t * z.rows / count;
    size_t height = z.row + (t + 1) * z.rows / count - row;
    const float *to = p->c + (row + height) * p->n + column;
    for (size_t r = 0; r < height; r++, to += p->n)
        for (size_t q = 0; q < n.vectors * LANES; q += LINE) __builtin_prefetch(to + q, 1);
    tile_function f = room ? packing_tiles[height - 1] : tiles[n.vectors - 1][height - 1];
    tile_work work = {.a = p->a + row * p->lda + z.at,
                      .lda = p->lda,
                      .b = b,
                      .ldb = p->ldb,
                      .k = z.depth,
                      .room = room,
                      .far = asks_far(p, count),
                      .w = w};
    if (column + width <= p->n && (!whole || (p->act == FV_ACT_NONE && !p->aux))) {
        work.out = p->c + row * p->n + column;
        work.ldo = p->n;
        work.add = add;
        if (whole && p->bias) work.bias = p->bias + column;
        if (whole && p->plus) work.plus = p->plus + row * p->n + column;
        f(&work);
        return;
    }
    float out[MAX_ROWS * WIDE * LANES] __attribute__((aligned(64)));
    work.out = out;
    work.ldo = width;
    f(&work);
    if (whole)
        finish_tile(p, out, width, row, height, column, add);
    else
        finish(FV_ACT_NONE, &(fv_product){.n = p->n, .c = p->c}, out, width, row, height, column,
               add);
}

/* Some rows of the panels first .. last - 1, all of which stay near: what is fetched are the rows
 * of A up to `end` that come after these. p->b begins with column `origin`. */
static void block_near(const fv_product *p, size_t origin, size_t row, size_t rows, size_t end,
                       size_t first, size_t last)
{
    size_t count = 0, q = 0;
    for (size_t i = first; i < last; i++) count += tiles_of(panel_at(p->n, i), rows);
    next then = next_of_a(p, row + rows, min_of(end, row + 2 * rows), count);
    pass z = {row, rows, 0, p->k};
    for (size_t i = first; i < last; i++) {
        panel n = panel_at(p->n, i);
        const float *b = p->b + (n.vector * LANES - origin) * p->k;
        for (size_t t = 0; t < tiles_of(n, rows); t++, q++)
            run_tile(p, z, t, n, b, NULL, part_of(then, q, b));
    }
}

/* Some rows of the panels first .. last - 1; p->b begins with column `origin`. */
static void block(const fv_product *p, size_t origin, size_t row, size_t rows, size_t first,
                  size_t last)
{
    size_t chunk = ceil_divide(p->k, ceil_divide(p->k, p->chunk ? p->chunk : CHUNK));
    for (size_t at = 0; at < p->k; at += chunk) {
        pass z = {row, rows, at, min_of(chunk, p->k - at)};
        size_t after = at + z.depth;
        for (size_t i = first; i < last; i++) {
            panel n = panel_at(p->n, i);
            const float *b = p->b + (n.vector * LANES - origin) * p->k + at * n.vectors * LANES;
            next then = {{b, 0, 0, 0, 0}, 0, 0};
            if (i + 1 < last)
                then = next_panel(p, origin, at, z.depth, i + 1);
            else if (after < p->k)
                then = next_panel(p, origin, after, min_of(chunk, p->k - after), first);
            for (size_t t = 0; t < tiles_of(n, rows); t++)
                run_tile(p, z, t, n, b, NULL, part_of(then, t, b));
        }
    }
}

static next next_unpacked(const fv_product *p, size_t at, size_t depth, size_t i, size_t others)
{
    return p->turned ? next_turned(p, at, depth, i, others) : next_rows(p, at, depth, i, others);
}

/* The same with rows of B as they are: the first tile of a panel packs it for the others, which
 * fetch what the next one will read. Rows of W are turned before. then_first: the first panel of
 * the task that this thread may well do next, or no panel. */
static void block_packing(const fv_product *p, size_t row, size_t rows, size_t first, size_t last,
                          size_t then_first)
{
    size_t chunk = ceil_divide(p->k, ceil_divide(p->k, p->chunk));
    float *room = room_of(p);
    for (size_t at = 0; at < p->k; at += chunk) {
        pass z = {row, rows, at, min_of(chunk, p->k - at)};
        size_t after = at + z.depth;
        for (size_t i = first; i < last; i++) {
            panel n = panel_at(p->n, i);
            size_t column = n.vector * LANES, count = tiles_of(n, rows), t = 0;
            const float *b = p->b + at * p->ldb + column;
            if (p->turned)
                turn_panel(p, at, z.depth, n, room);
            else if (n.vectors == WIDE && column + WIDE * LANES <= p->n)
                run_tile(p, z, t++, n, b, room, (prefetch){b, 0, 0, 0, 0});
            else
                pack_panel(p, at, z.depth, n, room);
            next then = {{room, 0, 0, 0, 0}, 0, 0};
            if (i + 1 < last)
                then = next_unpacked(p, at, z.depth, i + 1, count - t);
            else if (after < p->k)
                then = next_unpacked(p, after, min_of(chunk, p->k - after), first, count - t);
            else if (then_first < panel_count(p->n))
                then = next_unpacked(p, 0, chunk, then_first, count - t);
            for (size_t q = 0; t < count; t++, q++)
                run_tile(p, z, t, n, room, NULL, part_of(then, q, room));
        }
    }
}

/* The activation's slope goes into A in place: rows of a task that nobody else reads, or pieces. */
static void undo(const fv_product *p, size_t row, size_t rows)
{
    ISA(slope)
    (p->undo_act, p->undo + row * p->k, p->a + row * p->k, p->kept + row * p->k, rows * p->k);
}

static void undo_task(void *context, int i)
{
    const fv_product *p = context;
    size_t row = (size_t)i * p->m / TASKS;
    undo(p, row, ((size_t)i + 1) * p->m / TASKS - row);
}

/* How many rows to take through all panels of a task before the next ones. Panels that stay in
 * L2 are best met by few rows, whose numbers stay in L1: A is read and C
 * written line after line. 0: all rows, panel by panel. */
static size_t rows_at_once(const fv_product *p, size_t rows, size_t columns)
{
    if (columns * p->k > FV_ROOM || (p->ldb && p->k > FV_ROOM_CHUNK)) return 0;
    size_t line = (p->undo ? 2 : 1) * p->k + (p->aux ? 2 : 1) * columns;
    size_t step = NEAR_BYTES / sizeof(float) / line, height = (size_t)tile_rows[WIDE - 1];
    step = step < height ? height : step / height * height;
    return 4 * step <= rows ? step : 0;
}

static void product_task(void *context, int i)
{
    const cut *c = context;
    fv_product p = *c->p;
    size_t row = (size_t)i / c->groups * c->rows, first = (size_t)i % c->groups * c->group;
    size_t rows = min_of(c->rows, p.m - row), last = min_of(first + c->group, panel_count(p.n));
    panel end = panel_at(p.n, last - 1);
    size_t origin = panel_at(p.n, first).vector * LANES;
    size_t step = rows_at_once(&p, rows, (end.vector + end.vectors) * LANES - origin);
    if (p.ldb && step) { /* packs all at once */
        float *room = room_of(&p);
        for (size_t k = first; k < last; k++) {
            panel n = panel_at(p.n, k);
            float *to = room + (n.vector * LANES - origin) * p.k;
            if (p.turned)
                turn_panel(&p, 0, p.k, n, to);
            else
                pack_panel(&p, 0, p.k, n, to);
        }
        p.b = room;
        p.ldb = 0;
    } else {
        origin = 0;
    }
    size_t parts = step ? ceil_divide(rows, step) : 1;
    for (size_t t = 0; t < parts; t++) {
        size_t begin = row + t * rows / parts, count = row + (t + 1) * rows / parts - begin;
        if (p.undo && c->groups == 1) undo(&p, begin, count);
        if (p.ldb)
            block_packing(&p, begin, count, first, last,
                          first + (t + 1 < parts ? 0 : c->threads * c->group));
        else if (step && p.k <= (p.chunk ? p.chunk : CHUNK))
            block_near(&p, origin, begin, count, row + rows, first, last);
        else
            block(&p, origin, begin, count, first, last);
    }
}

void ISA(product_alone)(const fv_product *p)
{
    block(p, 0, 0, p->m, 0, panel_count(p->n));
}

void ISA(product)(fv_backend *be, const fv_product *p)
{
    size_t panels = panel_count(p->n), depth = min_of(p->k, CHUNK);
    size_t rows = BLOCK_BYTES / sizeof(float) / depth;
    rows = min_of(rows, p->m < TASKS * MIN_ROWS ? p->m : ceil_divide(p->m, TASKS));
    if (p->ldb && (p->turned || panels >= TASKS)) {
        rows = ceil_divide(p->m, ceil_divide(TASKS, panels));
        rows = min_of(min_of(p->m, PACKED_ROWS), max_of(rows, TURNED_ROWS));
    }
    size_t blocks = ceil_divide(p->m, rows);
    cut c = {.p = p, .rows = ceil_divide(p->m, blocks), .threads = (size_t)be->threads};
    c.group = ceil_divide(panels, min_of(panels, ceil_divide(TASKS, blocks)));
    size_t work = c.rows * p->k * WIDE * LANES; /* of a panel */
    c.group = min_of(panels, c.group < FV_MIN_WORK / work ? FV_MIN_WORK / work : c.group);
    c.groups = ceil_divide(panels, c.group);
    if (p->undo && c.groups > 1) fv_parallel(be, TASKS, undo_task, (void *)(uintptr_t)p);
    fv_parallel(be, (int)(ceil_divide(p->m, c.rows) * c.groups), product_task, &c);
}

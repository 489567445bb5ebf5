/* clang-format off */
/* Measures one tower of a model: times of a run, of its ops, and of a plain matrix product.
 *
 *   bench CFG [checkpoint=F] [tower=image|text|decode|encode] [batch=N] [size=PIXELS]
 *             [gradient=0|1] [backend=B] [threads=N] [runs=N] [ops=1] [serve=1] [peak=1] [cpu=1]
 *             [step=1] [launches=1] [table=FILE]
 *
 * CFG may be a checkpoint that needs none (a CLIP).
 * decode, encode: of an autoencoder, whose checkpoint stands in the place of CFG; size= of the
 *         picture.
 * runs=N  runs N times after one to warm up, and prints best and median.
 * ops=1   also prints what each kind of op took in the best of all runs, op by op.
 * table=F the same into F as CSV, with what each op computes and moves at least: a roofline's numbers.
 * serve=1 prints one line of facts, then runs once and prints the milliseconds for every line
 *         read: so that another program can take turns with a peer's measurements.
 * cpu=1   takes this process's processor time instead of the clock on the wall: for machines that
 *         others use too, with threads=1.
 * step=1  a run is a whole step, with Adam: one graph, on a backend that captures.
 * launches=1 takes a cuda backend's plan apart: what a step launches, how often, and the memory it
 *         needs, on a device that runs nothing (no GPU is needed).
 * peak=1  prints the GFLOP/s of a product of 1536 x 1536 matrices instead. */
/* clang-format on */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/cuda/cuda.h"
#include "model/nets/brivl.h"

typedef struct settings {
    const char *config, *checkpoint, *tower, *backend, *table;
    int batch, size, threads, runs;
    bool gradient, ops, serve, peak, cpu, step, launches;
} settings;

static clockid_t timer = CLOCK_MONOTONIC;

typedef struct bench {
    settings s;
    fv_backend *be;
    fv_network *network;
    fv_plan *plan;
    fv_ref pixels, embedding;
    fv_text_inputs text;
    float *gradient;
    double *best; /* [2 * ops]: seconds of each op forward, then backward; */
    double *once; /* the same of this run: an op may come by once a picture */
    double mark, load_seconds;
    const fv_op *running; /* backward: the op that the hook has announced */
} bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(timer, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool read_settings(settings *s, int argc, char **argv)
{
    *s = (settings){.config = argv[1],
                    .tower = "image",
                    .backend = "cpu",
                    .batch = 1,
                    .runs = 5,
                    .gradient = 1};
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) return false;
        size_t n = (size_t)(value++ - argv[i]);
        const struct {
            const char *name, **text;
            int *number;
            bool *flag;
        } all[] = {{"checkpoint", &s->checkpoint, NULL, NULL},
                   {"tower", &s->tower, NULL, NULL},
                   {"backend", &s->backend, NULL, NULL},
                   {"table", &s->table, NULL, NULL},
                   {"batch", NULL, &s->batch, NULL},
                   {"size", NULL, &s->size, NULL},
                   {"threads", NULL, &s->threads, NULL},
                   {"runs", NULL, &s->runs, NULL},
                   {"gradient", NULL, NULL, &s->gradient},
                   {"ops", NULL, NULL, &s->ops},
                   {"serve", NULL, NULL, &s->serve},
                   {"peak", NULL, NULL, &s->peak},
                   {"step", NULL, NULL, &s->step},
                   {"launches", NULL, NULL, &s->launches},
                   {"cpu", NULL, NULL, &s->cpu}};
        size_t k = 0, count = sizeof all / sizeof *all;
        while (k < count && (strlen(all[k].name) != n || strncmp(all[k].name, argv[i], n) != 0))
            k++;
        if (k == count) return false;
        if (all[k].text) *all[k].text = value;
        if (all[k].number) *all[k].number = atoi(value);
        if (all[k].flag) *all[k].flag = atoi(value) != 0;
    }
    return s->batch > 0 && s->runs > 0;
}

/* --- the plan --- */

static fv_status build_image(bench *b)
{
    fv_network *n = b->network;
    fv_brivl *brivl = n->kind == &fv_brivl_kind ? (fv_brivl *)(void *)n : NULL;
    if (b->s.size) n->image_size = b->s.size;
    if (brivl) brivl->config.image_size = n->image_size;
    fv_plan *p = b->plan;
    fv_shape shape = {b->s.batch, n->image_size, n->image_size, 3};
    b->pixels = fv_plan_param(p, "pixels", shape);
    fv_plan_push(p, "%s", "");
    b->embedding = fv_network_image(n, p, b->pixels, true).embedding;
    fv_plan_pop(p);
    return FV_OK;
}

static fv_status fill(bench *b)
{
    size_t count = fv_plan_param_count(b->plan);
    float *values = malloc((count ? count : 1) * sizeof *values);
    b->gradient = malloc(fv_count(fv_plan_shape(b->plan, b->embedding)) * sizeof *b->gradient);
    if (!values || !b->gradient) return fv_fail(FV_ERR_MEMORY, "bench: out of memory");
    for (size_t i = 0; i < count; i++) values[i] = (float)(i * 7919 % 1021) / 1021;
    for (size_t i = 0; i < fv_count(fv_plan_shape(b->plan, b->embedding)); i++) b->gradient[i] = 1;
    fv_status s = count ? fv_plan_upload(b->plan, b->pixels, values) : FV_OK;
    free(values);
    return s;
}

static fv_status open_backend(bench *b)
{
    if (!b->s.launches) return fv_backend_open(&b->be, b->s.backend, b->s.threads);
    b->be = calloc(1, sizeof *b->be);
    if (!b->be) return fv_fail(FV_ERR_MEMORY, "bench: out of memory");
    fv_status s = fv_cuda_emulated_open(b->be, b->s.backend);
    if (s >= 0) fv_cuda_emulated_stats(b->be)->dry = true;
    return s;
}

static bool is_autoencoder(const bench *b)
{
    return strcmp(b->s.tower, "decode") == 0 || strcmp(b->s.tower, "encode") == 0;
}

static fv_status open_network(bench *b)
{
    fv_network_files files = {.config = b->s.config, .checkpoint = b->s.checkpoint};
    fv_network_files alone = {.checkpoint = b->s.config};
    const fv_network_kind *kind;
    FV_TRY(fv_network_detect(&kind, &alone));
    return fv_network_open(&b->network, kind ? &alone : &files);
}

static fv_status build_autoencoder(bench *b)
{
    int size = b->s.size ? b->s.size : b->network->image_size;
    fv_shape shape = {b->s.batch, size, size, 3};
    bool decode = strcmp(b->s.tower, "decode") == 0;
    if (decode) FV_TRY(fv_network_latent(b->network, size, size, &shape));
    shape.n = b->s.batch;
    b->pixels = fv_plan_param(b->plan, decode ? "latent" : "pixels", shape);
    b->embedding = decode ? fv_network_decode(b->network, b->plan, b->pixels)
                          : fv_network_encode(b->network, b->plan, b->pixels);
    return FV_OK;
}

static fv_status open_bench(bench *b)
{
    double start = now();
    FV_TRY(open_backend(b));
    FV_TRY(open_network(b));
    FV_TRY(fv_plan_new(&b->plan, b->be));
    if (is_autoencoder(b)) {
        FV_TRY(build_autoencoder(b));
    } else if (strcmp(b->s.tower, "text") == 0) {
        b->s.gradient = false;
        const fv_network *n = b->network;
        fv_builder at = fv_network_builder(n, b->plan);
        b->embedding = n->kind->text(&at, n, n->text_length, &b->text);
    } else {
        FV_TRY(build_image(b));
    }
    fv_plan_output(b->plan, b->embedding);
    FV_TRY(fv_plan_finish(b->plan, b->s.gradient ? FV_PLAN_BACKWARD : FV_PLAN_FORWARD));
    b->load_seconds = now() - start;
    return fill(b);
}

static fv_status run_once(bench *b)
{
    if (b->s.step && b->s.gradient) {
        const float numbers[FV_ADAM_COLUMNS] = {1e-3f, 0.9f, 0.99f, 1e-12f, 0.1f, 0.01f, 0, 1};
        float stats[FV_ADAM_STATS];
        FV_TRY(fv_plan_output_gradient(b->plan, b->embedding, b->gradient));
        return fv_plan_step(b->plan, numbers, stats);
    }
    FV_TRY(fv_plan_forward(b->plan));
    if (!b->s.gradient) return FV_OK;
    FV_TRY(fv_plan_output_gradient(b->plan, b->embedding, b->gradient));
    return fv_plan_backward(b->plan);
}

/* --- op by op --- */

static void note(bench *b, const fv_op *op, bool backward, double seconds)
{
    size_t count = (size_t)fv_plan_op_count(b->plan);
    size_t at = (size_t)(op - fv_plan_op(b->plan, 0)) + (backward ? count : 0);
    b->once[at] += seconds;
}

static void end_run(bench *b)
{
    for (int i = 0; i < 2 * fv_plan_op_count(b->plan); i++) {
        if (b->best[i] == 0 || b->once[i] < b->best[i]) b->best[i] = b->once[i];
        b->once[i] = 0;
    }
}

static fv_status time_op(void *user, fv_plan *p, const fv_op *op, bool backward)
{
    (void)p;
    bench *b = user;
    double t = now();
    if (!backward)
        note(b, op, false, t - b->mark);
    else if (b->running)
        note(b, b->running, true, t - b->mark);
    b->running = backward ? op : NULL;
    b->mark = now();
    return FV_OK;
}

/* On a device that does its work later: by its own time stamps. */
static fv_status measure_by_marks(bench *b)
{
    int count = fv_plan_op_count(b->plan);
    double *ms = calloc(2 * (size_t)count, sizeof *ms);
    if (!ms) return fv_fail(FV_ERR_MEMORY, "bench: out of memory");
    fv_status s = FV_OK;
    for (int i = 0; i < b->s.runs && s >= 0; i++) {
        s = fv_plan_output_gradient(b->plan, b->embedding, b->gradient);
        if (s >= 0) s = fv_plan_profile(b->plan, ms, ms + count);
        for (int k = 0; k < count && s >= 0; k++) {
            note(b, fv_plan_op(b->plan, k), false, 1e-3 * ms[k]);
            note(b, fv_plan_op(b->plan, k), true, 1e-3 * ms[count + k]);
        }
        end_run(b);
    }
    free(ms);
    return s;
}

/* Bytes of these operands, each once. */
static double bytes_of(const fv_backend *be, const fv_tensor *const *all, int count)
{
    double bytes = 0;
    for (int i = 0; i < count; i++)
        if (all[i]) bytes += (double)fv_tensor_bytes(be, all[i]);
    return bytes;
}

static fv_status write_table(const bench *b)
{
    FILE *f = fopen(b->s.table, "w");
    if (!f) return fv_fail(FV_ERR_IO, "bench: cannot write %s", b->s.table);
    int count = fv_plan_op_count(b->plan);
    fprintf(f, "op,name,forward_ms,backward_ms,gflop,forward_mb,backward_mb,n,h,w,c\n");
    for (int i = 0; i < count; i++) {
        const fv_op *op = fv_plan_op(b->plan, i);
        const fv_tensor *forward[] = {op->x, op->x2, op->w, op->b, op->y, op->aux};
        unsigned keeps = fv_ops[op->kind].keeps(op);
        const fv_tensor *backward[] = {op->dy,
                                       op->w,
                                       op->dx,
                                       op->add_dx ? op->dx : NULL,
                                       op->dx2,
                                       op->add_dx2 ? op->dx2 : NULL,
                                       keeps & FV_KEEP_X ? op->x : NULL,
                                       keeps & FV_KEEP_X2 ? op->x2 : NULL,
                                       keeps & FV_KEEP_Y ? op->y : NULL,
                                       keeps & FV_KEEP_AUX ? op->aux : NULL};
        fv_shape y = op->y->shape;
        fprintf(f, "%s,%s,%.5f,%.5f,%.6f,%.4f,%.4f,%d,%d,%d,%d\n", fv_ops[op->kind].name, op->name,
                1e3 * b->best[i], 1e3 * b->best[count + i], 2e-9 * fv_op_macs(op),
                1e-6 * bytes_of(b->be, forward, 6),
                op->dy ? 1e-6 * bytes_of(b->be, backward, 10) : 0, y.n, y.h, y.w, y.c);
    }
    return fclose(f) == 0 ? FV_OK : fv_fail(FV_ERR_IO, "bench: cannot write %s", b->s.table);
}

static void print_ops(const bench *b)
{
    int count = fv_plan_op_count(b->plan);
    double total[FV_OP_COUNT][2] = {{0}}, macs[FV_OP_COUNT] = {0};
    printf("%-11s %9s %9s %8s %8s  %s\n", "op", "forward", "backward", "GFLOP/s", "GFLOP/s", "y");
    for (int i = 0; i < count; i++) {
        const fv_op *op = fv_plan_op(b->plan, i);
        double f = b->best[i], g = b->best[count + i], work = 2e-9 * fv_op_macs(op);
        fv_shape y = op->y->shape;
        printf("%-11s %8.3fms %8.3fms %8.1f %8.1f  {%d,%d,%d,%d} of %d, k %d/%d %s\n",
               fv_ops[op->kind].name, 1e3 * f, 1e3 * g, work / f, g > 0 ? work / g : 0, y.n, y.h,
               y.w, y.c, op->x->shape.c, op->kind <= FV_OP_DWCONV2D ? op->attr.conv.k : 1,
               op->kind <= FV_OP_DWCONV2D ? op->attr.conv.stride : 1, op->name);
        total[op->kind][0] += f;
        total[op->kind][1] += g;
        macs[op->kind] += work;
    }
    for (int k = 0; k < FV_OP_COUNT; k++)
        if (total[k][0] > 0)
            printf("%-11s %8.2fms %8.2fms %8.1f %8.1f  all\n", fv_ops[k].name, 1e3 * total[k][0],
                   1e3 * total[k][1], macs[k] / total[k][0],
                   total[k][1] > 0 ? macs[k] / total[k][1] : 0);
}

static fv_status measure_ops(bench *b)
{
    int count = fv_plan_op_count(b->plan);
    b->best = calloc(4 * (size_t)count, sizeof *b->best);
    if (!b->best) return fv_fail(FV_ERR_MEMORY, "bench: out of memory");
    b->once = b->best + 2 * count;
    if (b->be->mark) FV_TRY(measure_by_marks(b));
    if (!b->be->mark) fv_plan_hook(b->plan, time_op, b);
    for (int i = 0; i < b->s.runs && !b->be->mark; i++) {
        b->running = NULL;
        b->mark = now();
        FV_TRY(run_once(b));
        if (b->running) note(b, b->running, true, now() - b->mark);
        end_run(b);
    }
    fv_plan_hook(b->plan, NULL, NULL);
    print_ops(b);
    return b->s.table ? write_table(b) : FV_OK;
}

/* --- whole runs --- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static fv_status measure(bench *b)
{
    double *times = malloc((size_t)b->s.runs * sizeof *times);
    if (!times) return fv_fail(FV_ERR_MEMORY, "bench: out of memory");
    fv_status s = run_once(b);
    for (int i = 0; s >= 0 && i < b->s.runs; i++) {
        double start = now();
        s = run_once(b);
        times[i] = 1e3 * (now() - start);
    }
    if (s >= 0) {
        qsort(times, (size_t)b->s.runs, sizeof *times, by_size);
        double work = 2e-6 * fv_plan_describe(b->plan).forward_macs * (b->s.gradient ? 2 : 1);
        printf("best %.2f ms, median %.2f ms, %.1f GFLOP/s\n", times[0], times[b->s.runs / 2],
               work / times[0]);
    }
    free(times);
    return s;
}

/* MB that this program had at most: getrusage would also count the one that has started it. */
static double most_memory(void)
{
    char line[128];
    double kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM:", 6) == 0) kilobytes = atof(line + 6);
    if (f) fclose(f);
    return kilobytes * 1024e-6;
}

static void facts(bench *b)
{
    fv_plan_info info = fv_plan_describe(b->plan);
    printf("backend %s threads %d gmac %.4f load_s %.3f arena_mb %.1f scratch_mb %.1f weight_mb "
           "%.1f rss_mb %.1f\n",
           b->be->name, b->be->threads, info.forward_macs * 1e-9, b->load_seconds,
           (double)info.arena_bytes * 1e-6, (double)info.scratch_bytes * 1e-6,
           (double)info.weight_bytes * 1e-6, most_memory());
    fflush(stdout);
}

/* A step's launches: what is counted after it less what preparing took. */
static fv_status count_launches(bench *b)
{
    enum { MOST = 128 };
    struct {
        const char *name;
        long count;
    } before[MOST] = {{0}};
    for (int i = 0; i < MOST; i++)
        if (!(before[i].name = fv_cuda_emulated_launch(b->be, i, &before[i].count))) break;
    b->s.step = true;
    FV_TRY(run_once(b));
    long total = 0, count;
    const char *name;
    for (int i = 0; (name = fv_cuda_emulated_launch(b->be, i, &count)); i++) {
        for (int k = 0; k < MOST && before[k].name; k++)
            if (strcmp(before[k].name, name) == 0) count -= before[k].count;
        if (count) printf("%6ld  %s\n", count, name);
        total += count;
    }
    const fv_emulated_stats *stats = fv_cuda_emulated_stats(b->be);
    printf("%6ld  launches a step, %d ops\n%6.0f  MB on the device, %.0f MB at most\n%s", total,
           fv_plan_op_count(b->plan), (double)stats->allocated / 1e6,
           (double)stats->most_allocated / 1e6, stats->faults);
    return FV_OK;
}

static fv_status serve(bench *b)
{
    FV_TRY(run_once(b));
    facts(b);
    for (char line[64]; fgets(line, sizeof line, stdin);) {
        double start = now();
        FV_TRY(run_once(b));
        printf("%.4f\n", 1e3 * (now() - start));
        fflush(stdout);
    }
    return FV_OK;
}

static fv_status peak(const settings *s)
{
    enum { SIDE = 1536 };
    fv_backend *be;
    fv_plan *p;
    FV_TRY(fv_backend_open(&be, s->backend, s->threads));
    FV_TRY(fv_plan_new(&p, be));
    float *values = calloc((size_t)SIDE * SIDE, sizeof *values);
    if (!values) return fv_fail(FV_ERR_MEMORY, "bench: out of memory");
    fv_ref x = fv_plan_param(p, "x", (fv_shape){1, 1, SIDE, SIDE});
    fv_ref w = fv_plan_weight(p, "w", (fv_shape){1, 1, SIDE, SIDE}, values);
    fv_plan_output(p, fv_linear(p, "y", x, w, FV_NONE, FV_ACT_NONE));
    free(values);
    FV_TRY(fv_plan_finish(p, FV_PLAN_FORWARD));
    double best = 1e9;
    for (int i = 0; i < s->runs + 1; i++) {
        double start = now();
        FV_TRY(fv_plan_forward(p));
        double t = now() - start;
        best = t < best ? t : best;
    }
    printf("%.1f\n", 2e-9 * SIDE * SIDE * SIDE / best);
    fv_plan_free(p);
    fv_backend_close(be);
    return FV_OK;
}

static fv_status run(bench *b)
{
    if (b->s.peak) return peak(&b->s);
    FV_TRY(open_bench(b));
    if (b->s.launches) return count_launches(b);
    if (b->s.serve) return serve(b);
    FV_TRY(measure(b));
    facts(b);
    return b->s.ops || b->s.table ? measure_ops(b) : FV_OK;
}

int main(int argc, char **argv)
{
    bench b = {0};
    bool usable = argc >= 2 && read_settings(&b.s, argc, argv);
    if (b.s.cpu) timer = CLOCK_PROCESS_CPUTIME_ID;
    if (!usable) {
        fprintf(stderr, "usage: bench CFG [name=value ...]; see the head of tests/bench/bench.c\n");
        return 2;
    }
    fv_status s = run(&b);
    if (s < 0) fprintf(stderr, "bench: %s\n", fv_error());
    fv_plan_free(b.plan);
    fv_network_close(b.network);
    fv_backend_close(b.be);
    free(b.gradient);
    free(b.best);
    return s < 0;
}

/* feavis receipt PICTURE.png: one page about a picture that carries its recipe. It is made again,
 * which gives the curve and shows whether it comes out the same; then looked at by the model, by
 * the judge and word by word. Results in a folder: receipt.png, curve.csv. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/grow.h"
#include "app/cli/json.h"
#include "app/cli/many.h"
#include "app/cli/places.h"
#include "feavis/judge.h"
#include "feavis/receipt.h"

enum { FACTS = 17, CHANNELS = 5, TEXTS = 8 };

typedef struct receipt {
    cli *c;
    char *recipe, *folder;
    char *text, *texts[TEXTS]; /* the first, or "", and all that weigh anything, for X-rays */
    char title[512];           /* all of them with their weights */
    int text_count;            /* of texts */
    fv_model *model;
    fv_picture picture, again;
    float *curve;
    int steps, room;
    char values[FACTS][160];
    const char *facts[2 * FACTS];
    int fact_count;
    fv_receipt_bar judged[FV_JUDGE_BEST], fired[CHANNELS];
    int judged_count, fired_count;
    fv_xray xrays[TEXTS]; /* [text_count] */
} receipt;

static void add_fact(receipt *q, const char *name, const char *value)
{
    if (q->fact_count == FACTS) return;
    int i = q->fact_count++;
    snprintf(q->values[i], sizeof q->values[i], "%s", value);
    q->facts[2 * i] = name;
    q->facts[2 * i + 1] = q->values[i];
}

static void add_number(receipt *q, const char *name, float value)
{
    char text[32];
    snprintf(text, sizeof text, "%.3f", (double)value);
    if (!isnan(value)) add_fact(q, name, text);
}

/* --- its texts --- */

/* What is asked for, and texts that have a weight. The cosine and the judge's tick are of the first
 * one. */
static fv_status read_texts(receipt *q)
{
    const fv_options *o = q->c->options;
    char first[160];
    int count = 0, weighed = 0;
    FV_TRY(fv_options_first_text(o, &q->text));
    for (;; count++) {
        char *text;
        float weight;
        FV_TRY(fv_options_text_at(o, count, &text, &weight));
        if (!text) break;
        weighed += weight != 0;
        if (weight != 0 && q->text_count < TEXTS)
            q->texts[q->text_count++] = text;
        else
            free(text);
    }
    if (weighed > TEXTS)
        fprintf(stderr, "feavis: the words of the first %d of %d texts are shown\n", TEXTS,
                weighed);
    snprintf(q->title, sizeof q->title, "%s",
             count > 1  ? fv_options_get(o, "text")
             : *q->text ? q->text
                        : fv_options_get(o, "llp"));
    if (count < 2) return FV_OK;
    snprintf(first, sizeof first, "the first of %d texts, %s", count, q->text);
    add_fact(q, "cosine and ✓ are of", first);
    return FV_OK;
}

/* --- made again --- */

static bool after_step(void *user, fv_session *s, const fv_progress *p)
{
    receipt *q = user;
    (void)s;
    if (q->steps == q->room) {
        int room = q->room ? 2 * q->room : 256;
        float *more = realloc(q->curve, (size_t)room * sizeof *more);
        if (!more) return true; /* the rest of the curve is missing, no more */
        q->curve = more;
        q->room = room;
    }
    q->curve[q->steps++] = isnan(p->cosine) ? p->neuron : p->cosine;
    return true;
}

static fv_status make_again(receipt *q)
{
    fv_session *s;
    FV_TRY(fv_session_open(&s, q->model, q->c->options));
    fv_status status = grow_run_with(s, q->c->quiet, after_step, q);
    if (status == FV_CANCELLED) status = fv_fail(FV_ERR_STOPPED, "receipt: stopped");
    if (status >= 0) status = fv_session_picture(s, &q->again, NULL);
    fv_session_close(s);
    return status;
}

static bool same(const fv_picture *a, const fv_picture *b)
{
    return a->width == b->width && a->height == b->height &&
           memcmp(a->rgb, b->rgb, (size_t)a->width * (size_t)a->height * 3) == 0;
}

/* Whether the file is a JPEG, whatever its name says. */
static bool is_jpeg(const char *path)
{
    unsigned char head[2] = {0};
    FILE *f = fopen(path, "rb");
    bool read = f && fread(head, 1, 2, f) == 2;
    if (f) fclose(f);
    return read && head[0] == 0xff && head[1] == 0xd8;
}

/* A JPEG loses some of what was made: what is compared is what it makes of the picture again. */
static fv_status compress_again(receipt *q)
{
    char *path;
    fv_picture p;
    FV_TRY(many_path(&path, q->folder, "receipt-again.jpg"));
    fv_status s = fv_picture_write(&q->again, path, NULL);
    if (s >= 0) s = fv_picture_read(&p, path);
    remove(path);
    free(path);
    FV_TRY(s);
    fv_picture_free(&q->again);
    q->again = p;
    return FV_OK;
}

/* --- looked at --- */

static fv_status look(receipt *q)
{
    fv_critic *critic;
    fv_robustness r;
    fv_channel channels[CHANNELS];
    int count = CHANNELS;
    FV_TRY(fv_critic_open(&critic, q->model));
    fv_status s = FV_OK;
    if (*q->text) s = fv_critic_robustness(critic, &q->picture, q->text, &r);
    if (s >= 0 && *q->text) {
        add_number(q, "cosine", r.whole);
        add_number(q, "cosine, blurred", r.blurred);
        add_number(q, "cosine, unseen views", r.unseen);
    }
    if (s >= 0) s = fv_critic_channels(critic, &q->picture, channels, &count);
    fv_critic_close(critic);
    for (int i = 0; s >= 0 && i < count; i++) {
        fv_receipt_bar *bar = &q->fired[q->fired_count++];
        snprintf(bar->name, sizeof bar->name, "LLP-%d", channels[i].number);
        bar->value = channels[i].lead;
        bar->share = channels[i].lead / channels[0].lead;
    }
    return s;
}

/* Without the judge's files there is no list of its. */
static void ask_judge(receipt *q)
{
    fv_judge *j;
    fv_verdict v;
    const char *backend = fv_options_get(q->c->options, "backend");
    if (fv_judge_open(&j, NULL, NULL, NULL, backend, 0) < 0) return;
    float *all = calloc((size_t)fv_judge_class_count(j), sizeof *all);
    fv_status s = all ? fv_judge_look(j, &q->picture, all) : FV_ERR_MEMORY;
    if (s >= 0) s = fv_judge_picture(j, NULL, &q->picture, *q->text ? q->text : NULL, &v);
    for (int i = 0; s >= 0 && i < FV_JUDGE_BEST; i++) {
        fv_receipt_bar *bar = &q->judged[q->judged_count++];
        snprintf(bar->name, sizeof bar->name, "%s%s", fv_judge_class_name(j, v.best[i]),
                 v.best[i] == v.wanted ? " ✓" : "");
        bar->value = bar->share = all[v.best[i]];
    }
    free(all);
    fv_judge_close(j);
}

static void add_settings(receipt *q)
{
    static const char *const names[] = {"seed", "size", "param", "steps", "views", "llp", "at"};
    const fv_options *o = q->c->options;
    add_fact(q, "model", fv_model_title(q->model));
    add_fact(q, "weights", fv_model_fingerprint(q->model));
    add_fact(q, "feavis", fv_version());
    add_fact(q, "backend", fv_model_backend(q->model));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (*fv_options_get(o, names[i])) add_fact(q, names[i], fv_options_get(o, names[i]));
    bool good = same(&q->picture, &q->again);
    const char *how =
        is_jpeg(q->c->words) ? "the same, compressed as a JPEG" : "the same, byte for byte";
    add_fact(q, "made again", good ? how : "another picture");
    if (!good && !q->c->quiet) fprintf(stderr, "feavis: made again it is another picture\n");
}

static void print_bars(const char *kind, const fv_receipt_bar *bars, int count)
{
    for (int i = 0; i < count; i++) {
        json_begin(kind);
        json_text("name", bars[i].name);
        json_number("value", (double)bars[i].value);
        json_end();
    }
}

static void print(const receipt *q)
{
    if (json_on()) {
        json_begin("receipt");
        json_text("text", q->title);
        json_whole("steps", q->steps);
        json_flag("same", same(&q->picture, &q->again));
        json_end();
        for (int i = 0; i < q->fact_count; i++) {
            json_begin("fact");
            json_text("name", q->facts[2 * i]);
            json_text("value", q->facts[2 * i + 1]);
            json_end();
        }
        print_bars("judged", q->judged, q->judged_count);
        print_bars("channel", q->fired, q->fired_count);
    }
    many_tell(q->folder, "receipt.png");
    many_tell(q->folder, "curve.csv");
}

static fv_status save(receipt *q)
{
    fv_picture page;
    fv_receipt r = {.picture = &q->picture,
                    .text = q->title,
                    .facts = q->facts,
                    .fact_count = q->fact_count,
                    .curve_title = "mean over a step's views, by step",
                    .curve = q->curve,
                    .curve_count = q->steps,
                    .lists = {{"an independent classifier sees", q->judged, q->judged_count},
                              {"channels furthest above noise", q->fired, q->fired_count}},
                    .xrays = q->xrays,
                    .xray_texts = (const char *const *)q->texts,
                    .xray_count = q->text_count};
    many_file f;
    FV_TRY(fv_receipt_make(&page, &r));
    fv_status s = many_picture(&page, q->folder, "receipt.png");
    fv_picture_free(&page);
    if (s >= 0) s = many_open(&f);
    FV_TRY(s);
    fprintf(f.to, "step,value\n");
    for (int i = 0; i < q->steps; i++) fprintf(f.to, "%d,%.6f\n", i + 1, (double)q->curve[i]);
    FV_TRY(many_save(&f, q->folder, "curve.csv"));
    print(q);
    return FV_OK;
}

static fv_status run(receipt *q)
{
    cli *c = q->c;
    if (!c->words || !*c->words)
        return fv_fail(FV_ERR_ARGUMENT, "receipt needs a PNG file with its recipe");
    static const char *const names[] = {"receipt.png", "curve.csv", "receipt-again.jpg", NULL};
    const char *out = fv_options_get(c->options, "out");
    FV_TRY(place_apart_inside(out, names, c->words, "the picture"));
    FV_TRY(place_check_folder(out));
    FV_TRY(fv_picture_read(&q->picture, c->words));
    FV_TRY(fv_recipe_read(&q->recipe, c->words));
    FV_TRY(fv_recipe_apply(c->options, q->recipe, c->words));
    FV_TRY(cli_apply_flags(c, c->options));
    const char *start = fv_options_get(c->options, "start");
    FV_TRY(place_apart_inside(fv_options_get(c->options, "out"), names, start, "its start"));
    FV_TRY(read_texts(q));
    FV_TRY(fv_model_open(&q->model, c->options));
    FV_TRY(make_again(q));
    FV_TRY(many_folder(&q->folder, c, "receipt"));
    if (is_jpeg(c->words)) FV_TRY(compress_again(q));
    add_settings(q);
    FV_TRY(look(q));
    ask_judge(q);
    for (int i = 0; i < q->text_count; i++)
        FV_TRY(fv_xray_make(&q->xrays[i], q->model, &q->picture, q->texts[i]));
    return save(q);
}

int command_receipt(cli *c)
{
    receipt q = {.c = c};
    grow_catch_interrupts();
    fv_status s = run(&q);
    for (int i = 0; i < q.text_count; i++) {
        fv_xray_clear(&q.xrays[i]);
        free(q.texts[i]);
    }
    fv_picture_free(&q.picture);
    fv_picture_free(&q.again);
    fv_model_close(q.model);
    free(q.curve);
    free(q.recipe);
    free(q.text);
    free(q.folder);
    if (s < 0) return grow_interrupted() ? EXIT_INTERRUPTED : cli_fail();
    return EXIT_SUCCESS;
}

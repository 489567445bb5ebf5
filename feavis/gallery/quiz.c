/* A quiz of a gallery: which of five texts was a picture made of. See feavis/quiz.h.
 *
 * Pictures are sorted by name and then shuffled, so that files' times decide nothing. Questions are
 * about the first of them; the other texts of a question are of pictures behind it: whoever
 * remembers earlier answers can rule nothing out. */
#include "feavis/gallery/quiz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/album.h"
#include "feavis/lists.h"
#include "feavis/option.h"
#include "feavis/preset.h"
#include "feavis/recipe.h"
#include "kernels/rng.h"

enum { OTHERS = FV_QUIZ_CHOICES - 1, PICTURES_STREAM = 16, CHOICES_STREAM, PLACES_STREAM };

/* --- texts --- */

/* In one line. */
static void flatten(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++)
        if (*at < 0x20 || *at == 0x7f) *at = ' ';
}

static bool has_ideographs(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        if (*at >= 0xe3 && *at <= 0xe9) return true;
    return false;
}

/* The first text of a recipe that the picture was to be like; NULL: it has none that can be read.
 * Caller frees. */
static char *text_of(const fv_saved *saved)
{
    fv_options *o;
    char *text = NULL;
    float weight = 0;
    if (fv_options_new(&o) < 0) return NULL;
    bool read = fv_recipe_apply(o, saved->recipe, saved->path) >= 0;
    for (int i = 0; read && weight <= 0; i++) {
        free(text);
        if (fv_options_text_at(o, i, &text, &weight) < 0 || !text) break;
    }
    fv_options_free(o);
    if (text) flatten(text);
    if (text && text[strspn(text, " ")]) return text;
    free(text);
    return NULL;
}

static bool has(const fv_list *l, const char *text)
{
    for (int i = 0; i < l->count; i++)
        if (strcmp(l->at[i], text) == 0) return true;
    return false;
}

/* Texts that pictures are measured by; none where the program's presets are not found. */
static fv_status things(fv_list *out)
{
    fv_preset *p;
    fv_options *o;
    if (fv_preset_open(&p, "things") < 0) return FV_OK;
    fv_status s = fv_options_new(&o);
    for (int i = 0; s >= 0 && i < fv_preset_picture_count(p); i++) {
        char *text = NULL;
        s = fv_preset_picture(p, i, o);
        if (s >= 0) s = fv_options_first_text(o, &text);
        if (s >= 0 && *text && !has(out, text)) s = fv_list_add(out, text);
        free(text);
    }
    fv_options_free(o);
    fv_preset_close(p);
    return s;
}

/* --- pictures --- */

static int by_path(const void *a, const void *b)
{
    return strcmp(((const fv_saved *)a)->path, ((const fv_saved *)b)->path);
}

static uint32_t draw(const fv_quiz *q, uint32_t stream, uint32_t step, uint32_t index)
{
    return fv_philox(q->seed, index, step, 0, stream).v[0];
}

/* One picture a text, in the order of the seed. */
static fv_status take_pictures(fv_quiz *q, fv_saved *saved, int n)
{
    fv_status s = FV_OK;
    if (n) qsort(saved, (size_t)n, sizeof *saved, by_path);
    for (int i = n - 1; i > 0; i--) {
        int j = (int)(draw(q, PICTURES_STREAM, 0, (uint32_t)i) % (uint32_t)(i + 1));
        fv_saved other = saved[i];
        saved[i] = saved[j];
        saved[j] = other;
    }
    for (int i = 0; s >= 0 && i < n; i++) {
        char *text = text_of(&saved[i]);
        if (text && !has(&q->texts, text)) {
            s = fv_list_add(&q->texts, text);
            if (s >= 0) s = fv_list_add(&q->paths, saved[i].path);
        }
        free(text);
    }
    return s;
}

/* --- questions --- */

static bool fits(const quiz_question *to, int count, const char *own, const char *text, bool any)
{
    bool taken = strcmp(text, own) == 0;
    for (int c = 0; c < count; c++) taken = taken || strcmp(to->choices[c], text) == 0;
    return !taken && (any || has_ideographs(text) == has_ideographs(own));
}

/* Adds one of `from`, each as likely, among those of the own text's script or (any) of all. False:
 * there is none that is not there already. */
static bool add_other(const fv_quiz *q, quiz_question *to, int i, int *count, const fv_list *from,
                      int first, bool any)
{
    uint32_t fitting = 0, step = (uint32_t)(i * FV_QUIZ_CHOICES + *count);
    const char *chosen = NULL;
    for (int k = first; k < from->count; k++)
        if (fits(to, *count, q->texts.at[i], from->at[k], any) &&
            draw(q, CHOICES_STREAM, step, (uint32_t)k) % ++fitting == 0)
            chosen = from->at[k];
    if (chosen) to->choices[(*count)++] = chosen;
    return chosen != NULL;
}

/* Choices are what no question before was about. */
static fv_status ask(fv_quiz *q, int i)
{
    quiz_question *to = &q->questions[i];
    int count = 0;
    for (int any = 0; any < 2; any++) {
        while (count < OTHERS && add_other(q, to, i, &count, &q->texts, i + 1, any)) continue;
        while (count < OTHERS && add_other(q, to, i, &count, &q->things, 0, any)) continue;
    }
    if (count < OTHERS)
        return fv_fail(FV_ERR_ARGUMENT, "a quiz needs %d texts, and there are %d", FV_QUIZ_CHOICES,
                       count + 1);
    to->own = (int)(draw(q, PLACES_STREAM, (uint32_t)i, 0) % FV_QUIZ_CHOICES);
    to->choices[OTHERS] = to->choices[to->own];
    to->choices[to->own] = q->texts.at[i];
    return FV_OK;
}

static fv_status fill(fv_quiz *q, const char *folder, int most)
{
    fv_saved *saved;
    int n;
    FV_TRY(fv_gallery_list(&saved, &n, folder));
    fv_status s = take_pictures(q, saved, n);
    fv_gallery_list_free(saved, n);
    FV_TRY(s);
    if (!q->texts.count)
        return fv_fail(FV_ERR_ARGUMENT, "%s holds no PNG files with recipes of texts", folder);
    fv_list all = {0};
    s = things(&all);
    for (int i = 0; s >= 0 && i < all.count; i++) /* a text of the folder is its pictures' */
        if (!has(&q->texts, all.at[i])) s = fv_list_add(&q->things, all.at[i]);
    fv_list_clear(&all);
    FV_TRY(s);
    q->count = most < q->texts.count ? most : q->texts.count;
    q->questions = calloc((size_t)q->count + 1, sizeof *q->questions);
    if (!q->questions) return fv_fail(FV_ERR_MEMORY, "a quiz of %s: out of memory", folder);
    for (int i = 0; i < q->count; i++) FV_TRY(ask(q, i));
    return FV_OK;
}

fv_status fv_quiz_open(fv_quiz **out, const char *folder, uint64_t seed, int most)
{
    fv_quiz *q = calloc(1, sizeof *q);
    if (!q) return fv_fail(FV_ERR_MEMORY, "a quiz of %s: out of memory", folder);
    q->seed = seed;
    fv_status s = fill(q, folder, most);
    if (s < 0)
        fv_quiz_close(q);
    else
        *out = q;
    return s;
}

void fv_quiz_close(fv_quiz *q)
{
    if (!q) return;
    fv_list_clear(&q->texts);
    fv_list_clear(&q->paths);
    fv_list_clear(&q->things);
    free(q->questions);
    free(q);
}

int fv_quiz_count(const fv_quiz *q)
{
    return q->count;
}

fv_status fv_quiz_picture(const fv_quiz *q, int i, fv_picture *out)
{
    return fv_picture_read(out, q->paths.at[i]);
}

const char *fv_quiz_choice(const fv_quiz *q, int i, int k)
{
    return q->questions[i].choices[k];
}

int fv_quiz_own(const fv_quiz *q, int i)
{
    return q->questions[i].own;
}

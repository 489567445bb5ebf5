/* feavis quiz [FOLDER]: which of five texts was this picture made of? The picture is shown as a
 * copy without name and recipe, and on a terminal as coloured half blocks, too; answers are read
 * from standard input, a line each, and added to this machine's study before anything is said of
 * them. --csv FILE: the study as a table, and no questions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/cli/grow.h"
#include "app/cli/json.h"
#include "app/cli/many.h"
#include "app/cli/places.h"
#include "feavis/files.h"
#include "feavis/quiz.h"

enum { QUESTIONS = 10, PREVIEW = 64 /* columns of a terminal */, SKIP = -1, STOP = -2 };

typedef struct quiz {
    cli *c;
    fv_quiz *questions;
    char *folder, *shown; /* of copies; the copy of the question */
    bool terminal;        /* a person reads and types */
    int right, answered;
} quiz;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- a question --- */

static fv_status make_folder(quiz *q)
{
    const char *base = getenv("TMPDIR");
    if (asprintf(&q->folder, "%s/feavis-quiz-XXXXXX", base && *base ? base : "/tmp") < 0) {
        q->folder = NULL;
        return fv_fail(FV_ERR_MEMORY, "a quiz: out of memory");
    }
    if (mkdtemp(q->folder)) return FV_OK;
    fv_status s = fv_fail(FV_ERR_IO, "making the folder %s: it cannot be made", q->folder);
    free(q->folder);
    q->folder = NULL;
    return s;
}

static void remove_copy(quiz *q)
{
    if (q->shown) remove(q->shown);
    free(q->shown);
    q->shown = NULL;
}

/* Two rows of pixels a line: the upper half block in one colour over the other. */
static void draw_preview(const fv_picture *p)
{
    fv_picture small;
    if (fv_picture_thumbnail(&small, p, PREVIEW) < 0) return;
    for (int y = 0; y + 1 < small.height; y += 2) {
        for (int x = 0; x < small.width; x++) {
            const uint8_t *up = small.rgb + ((size_t)y * (size_t)small.width + (size_t)x) * 3,
                          *down = up + (size_t)small.width * 3;
            printf("\033[38;2;%d;%d;%dm\033[48;2;%d;%d;%dm▀", up[0], up[1], up[2], down[0], down[1],
                   down[2]);
        }
        puts("\033[0m");
    }
    fv_picture_free(&small);
}

static void print_question(const quiz *q, int i)
{
    char key[16];
    int of = fv_quiz_count(q->questions);
    if (json_on()) {
        json_begin("question");
        json_whole("question", i + 1);
        json_whole("of", of);
        json_path("picture", q->shown);
    } else {
        printf("%s%d of %d: %s\n", i ? "\n" : "", i + 1, of, q->shown);
    }
    for (int k = 0; k < FV_QUIZ_CHOICES; k++) {
        snprintf(key, sizeof key, "choice_%d", k + 1);
        const char *text = fv_quiz_choice(q->questions, i, k);
        if (json_on())
            json_text(key, text);
        else
            printf("  %d  %s\n", k + 1, cli_shown(text));
    }
    if (json_on()) json_end();
}

static fv_status show(quiz *q, int i)
{
    fv_picture p;
    char name[24];
    snprintf(name, sizeof name, "%d.png", i + 1);
    FV_TRY(fv_quiz_picture(q->questions, i, &p));
    fv_status s = many_path(&q->shown, q->folder, name);
    if (s >= 0) s = fv_picture_write(&p, q->shown, NULL);
    if (s >= 0 && q->terminal && !json_on()) draw_preview(&p);
    fv_picture_free(&p);
    FV_TRY(s);
    print_question(q, i);
    cli_flush();
    return FV_OK;
}

/* A choice from 0, SKIP, or STOP, also at the end of the input and after Ctrl-C. */
static int read_choice(const quiz *q)
{
    char *line = NULL;
    size_t room = 0;
    int choice = STOP;
    for (;;) {
        if (q->terminal) fprintf(stderr, "1 to %d, s: skip, q: stop > ", FV_QUIZ_CHOICES);
        if (getline(&line, &room, stdin) < 0) break;
        char *at = line + strspn(line, " \t"), *end;
        long number = strtol(at, &end, 10);
        size_t rest = strspn(end, " \t\r\n");
        if (end != at && !end[rest] && number >= 1 && number <= FV_QUIZ_CHOICES) {
            choice = (int)number - 1;
            break;
        }
        at[strcspn(at, " \t\r\n")] = 0;
        if (strcmp(at, "s") == 0) choice = SKIP;
        if (choice == SKIP || strcmp(at, "q") == 0) break;
        fprintf(stderr, "feavis: \"%.40s\" is none of 1 to %d, s and q\n", at, FV_QUIZ_CHOICES);
    }
    free(line);
    return choice;
}

static void tell(const quiz *q, int i, int choice, double seconds)
{
    int own = fv_quiz_own(q->questions, i);
    const char *answer = fv_quiz_choice(q->questions, i, choice),
               *text = fv_quiz_choice(q->questions, i, own);
    if (json_on()) {
        json_begin("guess");
        json_whole("question", i + 1);
        json_flag("right", choice == own);
        json_text("answer", answer);
        json_text("text", text);
        json_number("seconds", seconds);
        json_end();
    } else {
        printf(choice == own ? "right: %s\n" : "no, it is: %s\n", cli_shown(text));
    }
    cli_flush();
}

/* False: no more questions. */
static fv_status ask(quiz *q, int i, bool *more)
{
    FV_TRY(show(q, i));
    double begin = now();
    int choice = read_choice(q);
    remove_copy(q);
    *more = choice != STOP && !grow_interrupted();
    if (choice < 0 || grow_interrupted()) return FV_OK;
    double seconds = now() - begin;
    FV_TRY(fv_quiz_answer(q->questions, i, choice, seconds));
    q->answered++;
    q->right += choice == fv_quiz_own(q->questions, i);
    tell(q, i, choice, seconds);
    return FV_OK;
}

/* --- figures --- */

static void print_tally(const char *kind, const char *what, const fv_tally *t)
{
    if (json_on()) {
        json_begin(kind);
        if (*t->text) json_text("text", t->text);
        json_whole("asked", t->asked);
        json_whole("right", t->right);
        json_number("low", t->low);
        json_number("high", t->high);
        json_end();
        return;
    }
    many_pad(stdout, what, 24);
    printf(" %4d of %-4d", t->right, t->asked);
    if (t->asked)
        printf(" %3.0f%%  (%.0f to %.0f)", 100.0 * t->right / t->asked, 100 * t->low,
               100 * t->high);
    putchar('\n');
}

static fv_status print_study(const quiz *q, bool texts)
{
    fv_tally *all;
    int count;
    FV_TRY(fv_study_read(&all, &count));
    if (!json_on()) puts("\nright, with the 95 % interval; guessing gives 20 %");
    if (q->questions) {
        char none[1] = "";
        fv_tally now_only = {.text = none, .asked = q->answered, .right = q->right};
        fv_wilson(q->right, q->answered, &now_only.low, &now_only.high);
        print_tally("round", "now", &now_only);
    }
    print_tally("study", "on this machine", &all[0]);
    for (int i = 1; texts && i < count; i++) print_tally("text", all[i].text, &all[i]);
    fv_study_free(all, count);
    return FV_OK;
}

static fv_status export_study(const quiz *q)
{
    char *csv;
    const char *path = q->c->csv;
    FV_TRY(place_check(path, ""));
    FV_TRY(fv_study_csv(&csv));
    fv_status s = fv_text_save(path, csv, strlen(csv));
    free(csv);
    FV_TRY(s);
    FV_TRY(print_study(q, true));
    if (json_on())
        json_file("file", NULL, path);
    else
        printf("%s\n", path);
    return FV_OK;
}

/* --- all --- */

static fv_status open_questions(quiz *q)
{
    cli *c = q->c;
    const char *gallery = c->words ? c->words : fv_options_get(c->options, "gallery");
    bool named = c->words || cli_has_flag(c, "gallery"); /* without, there may be none yet */
    if (named && access(gallery, F_OK) != 0)
        return fv_fail(FV_ERR_IO, "opening the gallery %s: %s", *gallery ? gallery : "\"\"",
                       strerror(errno));
    if (!cli_has_flag(c, "seed")) FV_TRY(fv_options_set(c->options, "seed", "random"));
    const char *seed = fv_options_get(c->options, "seed");
    FV_TRY(fv_quiz_open(&q->questions, gallery, strtoull(seed, NULL, 10),
                        c->questions ? c->questions : QUESTIONS));
    if (!c->quiet) fprintf(stderr, "feavis: the seed is %s\n", seed);
    return FV_OK;
}

static fv_status run(quiz *q)
{
    bool more = true;
    if (q->c->csv) return export_study(q);
    q->terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    FV_TRY(open_questions(q));
    FV_TRY(fv_study_check()); /* before an answer could be lost */
    FV_TRY(make_folder(q));
    for (int i = 0; more && i < fv_quiz_count(q->questions); i++) FV_TRY(ask(q, i, &more));
    return print_study(q, false);
}

int command_quiz(cli *c)
{
    quiz q = {.c = c};
    grow_catch_interrupts();
    fv_status s = run(&q);
    int status = s < 0 ? cli_fail() : grow_interrupted() ? EXIT_INTERRUPTED : EXIT_SUCCESS;
    remove_copy(&q);
    if (q.folder) rmdir(q.folder);
    free(q.folder);
    fv_quiz_close(q.questions);
    return status;
}

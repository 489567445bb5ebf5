/* What people have answered: one file a machine, a line an answer.
 *
 *   time  seed  question  picture  pixels  right  seconds  answer  text  choice1 ... choice5
 *
 * with tabs between. An answer is added under a lock and synced, so that two programs, or one that
 * is killed, lose none; a line without an end is what a full disk or a crash leaves: the next
 * answer begins on a line of its own, and readers leave the cut one out. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "feavis/files.h"
#include "feavis/gallery/quiz.h"

enum { RIGHT = 5, TEXT = 8, FIELDS = 9 + FV_QUIZ_CHOICES };

static const char heading[] =
    "time\tseed\tquestion\tpicture\tpixels\tright\tseconds\tanswer\ttext\t"
    "choice1\tchoice2\tchoice3\tchoice4\tchoice5\n";

void fv_wilson(int right, int of, double *low, double *high)
{
    const double z = 1.959963984540054;
    *low = 0;
    *high = 1;
    if (of <= 0) return;
    double n = of, p = right / n, d = 1 + z * z / n, middle = (p + z * z / (2 * n)) / d,
           half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d;
    if (right > 0) *low = middle - half;
    if (right < of) *high = middle + half;
}

/* --- where --- */

fv_status fv_study_path(char **out)
{
    const char *own = getenv("FEAVIS_STATE"), *data = getenv("XDG_DATA_HOME"),
               *home = getenv("HOME");
    int n = own && *own     ? asprintf(out, "%s/quiz.tsv", own)
            : data && *data ? asprintf(out, "%s/feavis/quiz.tsv", data)
                            : asprintf(out, "%s/.local/share/feavis/quiz.tsv", home ? home : ".");
    return n < 0 ? fv_fail(FV_ERR_MEMORY, "the study of the quiz: out of memory") : FV_OK;
}

/* --- adding --- */

/* Of the pixels (FNV-1a), so that a picture is known whatever its name. */
static fv_status fingerprint(const fv_quiz *q, int i, uint64_t *out)
{
    fv_picture p;
    FV_TRY(fv_quiz_picture(q, i, &p));
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t k = 0; k < (size_t)p.width * (size_t)p.height * 3; k++)
        h = (h ^ p.rgb[k]) * 0x100000001b3u;
    fv_picture_free(&p);
    *out = h;
    return FV_OK;
}

static void field(FILE *to, const char *text)
{
    for (; *text; text++) fputc((unsigned char)*text < 0x20 ? ' ' : *text, to);
}

static void print_answer(FILE *to, const fv_quiz *q, int i, int k, double seconds, uint64_t pixels)
{
    char when[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    const char *slash = strrchr(q->paths.at[i], '/');
    if (gmtime_r(&now, &utc)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    fprintf(to, "%s\t%" PRIu64 "\t%d\t", when, q->seed, i + 1);
    field(to, slash ? slash + 1 : q->paths.at[i]);
    fprintf(to, "\t%016" PRIx64 "\t%d\t%.1f\t", pixels, k == fv_quiz_own(q, i), seconds);
    field(to, fv_quiz_choice(q, i, k));
    fputc('\t', to);
    field(to, q->texts.at[i]);
    for (int c = 0; c < FV_QUIZ_CHOICES; c++) {
        fputc('\t', to);
        field(to, fv_quiz_choice(q, i, c));
    }
    fputc('\n', to);
}

static fv_status write_all(int fd, const char *path, const char *text, size_t n)
{
    while (n) {
        ssize_t done = write(fd, text, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return fv_fail(FV_ERR_IO, "writing %s: %s", path, strerror(errno));
        text += done;
        n -= (size_t)done;
    }
    return FV_OK;
}

/* The lock is held. */
static fv_status append_locked(int fd, const char *path, const char *line, size_t n)
{
    struct stat st;
    char last = '\n';
    if (fstat(fd, &st) != 0) return fv_fail(FV_ERR_IO, "%s: %s", path, strerror(errno));
    if (st.st_size == 0) FV_TRY(write_all(fd, path, heading, sizeof heading - 1));
    if (st.st_size && pread(fd, &last, 1, st.st_size - 1) != 1)
        return fv_fail(FV_ERR_IO, "reading %s: %s", path, strerror(errno));
    if (last != '\n') FV_TRY(write_all(fd, path, "\n", 1));
    FV_TRY(write_all(fd, path, line, n));
    if (fsync(fd) != 0) return fv_fail(FV_ERR_IO, "writing %s: %s", path, strerror(errno));
    return FV_OK;
}

static fv_status open_study(int *fd, char *path)
{
    char *slash = strrchr(path, '/');
    *slash = 0; /* fv_study_path has put one there */
    fv_status s = fv_folders_make(path);
    *slash = '/';
    FV_TRY(s);
    *fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    return *fd < 0 ? fv_fail(FV_ERR_IO, "opening %s: %s", path, strerror(errno)) : FV_OK;
}

fv_status fv_study_check(void)
{
    char *path;
    int fd;
    FV_TRY(fv_study_path(&path));
    fv_status s = open_study(&fd, path);
    if (s >= 0) close(fd);
    free(path);
    return s;
}

static fv_status append(const char *line, size_t n)
{
    char *path;
    int fd;
    FV_TRY(fv_study_path(&path));
    fv_status s = open_study(&fd, path);
    if (s >= 0) {
        (void)flock(fd, LOCK_EX); /* where it cannot be had, O_APPEND keeps lines apart */
        s = append_locked(fd, path, line, n);
        close(fd);
    }
    free(path);
    return s;
}

fv_status fv_quiz_answer(const fv_quiz *q, int i, int k, double seconds)
{
    uint64_t pixels;
    char *line = NULL;
    size_t n = 0;
    if (i < 0 || i >= q->count || k < 0 || k >= FV_QUIZ_CHOICES)
        return fv_fail(FV_ERR_ARGUMENT, "quiz: there is no question %d with a choice %d", i + 1,
                       k + 1);
    FV_TRY(fingerprint(q, i, &pixels));
    FILE *to = open_memstream(&line, &n);
    if (!to) return fv_fail(FV_ERR_MEMORY, "keeping an answer: out of memory");
    print_answer(to, q, i, k, seconds, pixels);
    bool whole = fclose(to) == 0;
    fv_status s =
        whole ? append(line, n) : fv_fail(FV_ERR_MEMORY, "keeping an answer: out of memory");
    free(line);
    return s;
}

/* --- reading --- */

/* The whole file; NULL: there is none. */
static fv_status read_all(char **out)
{
    char *path;
    struct stat st;
    *out = NULL;
    FV_TRY(fv_study_path(&path));
    bool there = stat(path, &st) == 0 && st.st_size > 0;
    fv_status s = there ? fv_text_read(out, path) : FV_OK;
    free(path);
    return s;
}

/* The next answer at *rest, cut into its fields. False: there is none. */
static bool next_answer(char **rest, char *fields[FIELDS])
{
    for (char *line = *rest, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        int n = 0;
        *end = 0;
        *rest = end + 1;
        for (char *at; n < FIELDS && (at = strsep(&line, "\t"));) fields[n++] = at;
        bool heads = n && strcmp(fields[0], "time") == 0;
        if (n == FIELDS && !line && !heads && strlen(fields[RIGHT]) == 1) return true;
    }
    return false;
}

/* The tally of a text, a new one if need be; NULL: no memory. */
static fv_tally *tally_of(fv_tally **all, int *count, const char *text)
{
    for (int i = 0; i < *count; i++)
        if (strcmp((*all)[i].text, text) == 0) return &(*all)[i];
    fv_tally *more = realloc(*all, ((size_t)*count + 1) * sizeof *more);
    if (!more) return NULL;
    *all = more;
    char *name = strdup(text);
    if (!name) return NULL;
    more[*count] = (fv_tally){.text = name};
    return &more[(*count)++];
}

static int least_right_first(const void *a, const void *b)
{
    const fv_tally *x = a, *y = b;
    double p = (double)x->right / x->asked, q = (double)y->right / y->asked;
    if (p != q) return p < q ? -1 : 1;
    if (x->asked != y->asked) return x->asked > y->asked ? -1 : 1;
    return strcmp(x->text, y->text);
}

static fv_status count_all(char *text, fv_tally **all, int *count)
{
    char *fields[FIELDS];
    bool fine = tally_of(all, count, "") != NULL;
    while (fine && text && next_answer(&text, fields)) {
        bool right = fields[RIGHT][0] == '1';
        fv_tally *t = tally_of(all, count, fields[TEXT]);
        fine = t != NULL;
        if (!fine) break;
        t->asked++;
        t->right += right;
        (*all)[0].asked++;
        (*all)[0].right += right;
    }
    return fine ? FV_OK : fv_fail(FV_ERR_MEMORY, "reading the study: out of memory");
}

fv_status fv_study_read(fv_tally **out, int *count)
{
    char *text;
    fv_tally *all = NULL;
    int n = 0;
    FV_TRY(read_all(&text));
    fv_status s = count_all(text, &all, &n);
    free(text);
    if (s < 0) {
        fv_study_free(all, n);
        return s;
    }
    qsort(all + 1, (size_t)n - 1, sizeof *all, least_right_first);
    for (int i = 0; i < n; i++) fv_wilson(all[i].right, all[i].asked, &all[i].low, &all[i].high);
    *out = all;
    *count = n;
    return FV_OK;
}

void fv_study_free(fv_tally *tallies, int count)
{
    for (int i = 0; tallies && i < count; i++) free(tallies[i].text);
    free(tallies);
}

static void quoted(FILE *to, const char *text)
{
    bool plain = !strpbrk(text, ",\"");
    if (plain) {
        fputs(text, to);
        return;
    }
    fputc('"', to);
    for (; *text; text++) fputs(*text == '"' ? "\"\"" : (const char[]){*text, 0}, to);
    fputc('"', to);
}

fv_status fv_study_csv(char **out)
{
    char *text, *rest, *fields[FIELDS];
    size_t size;
    FV_TRY(read_all(&text));
    FILE *to = open_memstream(out, &size);
    for (const char *at = heading; to && *at; at++) fputc(*at == '\t' ? ',' : *at, to);
    rest = text;
    while (to && rest && next_answer(&rest, fields))
        for (int i = 0; i < FIELDS; i++) {
            quoted(to, fields[i]);
            fputc(i == FIELDS - 1 ? '\n' : ',', to);
        }
    free(text);
    return to && fclose(to) == 0 ? FV_OK
                                 : fv_fail(FV_ERR_MEMORY, "writing the study: out of memory");
}

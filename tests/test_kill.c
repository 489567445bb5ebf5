/* kill -9 at random moments of saving, queueing and making an index: what was finished is there,
 * nothing that is shown is a part, and the next start works.
 *
 *   test_kill [KILLS [SEED]]     of each kind; 12 and 1 if they are not given
 *
 * A child does one thing over and over and tells through a pipe what it has finished; after a
 * random time it is killed. What it left is looked at by another process, as the next start is. */
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "feavis/embed.h"
#include "feavis/feavis.h"
#include "feavis/index.h"
#include "feavis/queue.h"
#include "model/files/files.h"
#include "model/weights/weights.h"
#include "tests/check.h"

enum { PICTURES = 12, SAVE_US = 60000, QUEUE_US = 40000, INDEX_US = 500000, ROUND = 8 };

static int kills = 12;
static uint64_t seed = 1;
static fv_model *model;
static char *pictures[PICTURES + 1];
static float *rows[PICTURES + 1];

static uint64_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void tell(int to, const char *line)
{
    if (write(to, line, strlen(line)) != (ssize_t)strlen(line)) _exit(1);
}

/* Appends what the child tells; false: it is gone. */
static bool hear(int from, char **text, size_t *size)
{
    char part[4096];
    ssize_t n = read(from, part, sizeof part);
    if (n <= 0) return false;
    *text = realloc(*text, *size + (size_t)n + 1);
    assert_non_null(*text);
    memcpy(*text + *size, part, (size_t)n);
    (*text)[ *size += (size_t)n] = 0;
    return true;
}

/* Starts `work`, kills it up to `span` microseconds after it began; what it told, which the caller
 * frees. */
static char *killed(void (*work)(int to, uint64_t turn), uint64_t turn, uint64_t span)
{
    int to[2], status;
    assert_int_equal(pipe(to), 0);
    uint64_t after = draw() % span;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(to[0]);
        tell(to[1], "begins\n");
        work(to[1], turn);
        _exit(1); /* it goes on for ever */
    }
    close(to[1]);
    char *text = calloc(1, 1), begins[7];
    size_t size = 0;
    assert_int_equal(read(to[0], begins, sizeof begins), sizeof begins);
    /* every fourth has finished something, however slow the disk is */
    while (turn % 4 == 0 && !strchr(text, '\n')) assert_true(hear(to[0], &text, &size));
    nanosleep(&(struct timespec){(time_t)(after / 1000000), (long)(after % 1000000) * 1000}, NULL);
    assert_int_equal(kill(child, SIGKILL), 0);
    while (hear(to[0], &text, &size)) {
    }
    close(to[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("the child ended by itself: %d", status);
    return text;
}

/* Runs a check as the next program does. */
static void next_start(void (*check)(const char *told), const char *told)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        check(told);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Of the checks, which run in a child. */
#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, fv_error());               \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static int hidden_in(const char *folder)
{
    int count = 0;
    DIR *d = opendir(folder);
    HOLDS(d);
    for (struct dirent *e; (e = readdir(d));) count += strncmp(e->d_name, ".feavis-", 8) == 0;
    closedir(d);
    return count;
}

static int shown_in(const char *folder)
{
    int count = 0;
    DIR *d = opendir(folder);
    HOLDS(d);
    for (struct dirent *e; (e = readdir(d));) count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void fresh(const char *folder)
{
    remove_tree("made");
    assert_int_equal(mkdir("made", 0777), 0);
    assert_int_equal(mkdir(folder, 0777), 0);
}

static int lines_in(const char *text)
{
    int count = 0;
    for (; *text; text++) count += *text == '\n';
    return count;
}

/* --- saving --- */

static fv_picture noise(int side)
{
    size_t bytes = (size_t)side * (size_t)side * 3;
    fv_picture p = {side, side, malloc(bytes)};
    for (size_t i = 0; p.rgb && i < bytes; i++) p.rgb[i] = (uint8_t)draw();
    return p;
}

enum { SETTINGS = 100000 };

static void save(int to, uint64_t turn)
{
    fv_picture p = noise(48);
    static char text[SETTINGS];
    for (int i = 0;; i++) {
        char *path, line[256];
        if (fv_gallery_add("made/gallery", "moon", turn, &p, "text: \"moon\"\n", &path) < 0) return;
        snprintf(line, sizeof line, "%s\n", path);
        tell(to, line);
        free(path);
        memset(text, 'a' + i % 26, sizeof text);
        if (fv_file_save("made/gallery/settings.yml", text, sizeof text) < 0) return;
    }
}

static void check_saved(const char *told)
{
    char *list = strdup(told), *at = list, *recipe;
    fv_picture p;
    for (char *stop; (stop = strchr(at, '\n')); at = stop + 1) { /* every finished picture */
        *stop = 0;
        HOLDS(fv_picture_read(&p, at) >= 0);
        HOLDS(fv_recipe_read(&recipe, at) >= 0);
        fv_picture_free(&p);
        free(recipe);
    }
    free(list);
    DIR *d = opendir("made/gallery"); /* and nothing is shown that is not whole */
    HOLDS(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[512];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "made/gallery/%s", e->d_name);
        if (strcmp(e->d_name, "settings.yml") == 0) {
            size_t n, same = 1;
            char *text = slurp(path, &n);
            while (same < n && text[same] == text[0]) same++;
            HOLDS(n == SETTINGS && same == n);
            free(text);
            continue;
        }
        HOLDS(fv_picture_read(&p, path) >= 0);
        fv_picture_free(&p);
    }
    closedir(d);
    HOLDS(fv_gallery_prepare("made/gallery") >= 0);
    HOLDS(hidden_in("made/gallery") == 0);
}

static void killed_while_saving(void **state)
{
    int finished = 0, in_the_midst = 0;
    (void)state;
    for (int i = 0; i < kills; i++) {
        if (i % ROUND == 0) fresh("made/gallery");
        char *told = killed(save, (uint64_t)i, SAVE_US);
        finished += lines_in(told);
        in_the_midst += hidden_in("made/gallery") > 0;
        next_start(check_saved, told);
        free(told);
    }
    print_message("%d kills while saving: %d pictures finished, 0 lost; %d in the midst of a "
                  "file\n",
                  kills, finished, in_the_midst);
    assert_true(finished > 0);
}

/* --- queueing --- */

static void work_queue(int to, uint64_t turn)
{
    fv_queue *q;
    fv_options *o;
    if (fv_queue_open(&q, "made/queue") < 0 || fv_options_new(&o) < 0) return;
    if (fv_options_set(o, "text", "moon") < 0) return;
    for (int i = 0;; i++) {
        char number[32], line[64];
        snprintf(number, sizeof number, "%d", (int)turn * 10000 + i);
        if (fv_options_set(o, "seed", number) < 0 || fv_queue_add(q, o) < 0) return;
        snprintf(line, sizeof line, "+%s\n", number);
        tell(to, line);
        int n = fv_queue_count(q);
        if (n > 2 && fv_queue_swap(q, n - 1, n / 2) < 0) return;
        if (n > 1 && fv_queue_set(q, n / 2, "steps", i % 2 ? "7" : "8") < 0) return;
        if (n < 6) continue;
        snprintf(line, sizeof line, "-%s\n", fv_options_get(fv_queue_at(q, 0), "seed"));
        tell(to, line);
        if (fv_queue_remove(q, 0) < 0) return;
    }
}

static void check_queue(const char *told)
{
    fv_queue *q;
    fv_options *o;
    HOLDS(fv_queue_open(&q, "made/queue") >= 0);
    HOLDS(shown_in("made/queue") == fv_queue_count(q)); /* each can be read */
    for (const char *at = told; *at; at = strchr(at, '\n') + 1) {
        char gone[64], number[32];
        int n = (int)(strchr(at, '\n') - at);
        if (*at != '+') continue;
        snprintf(number, sizeof number, "%.*s", n - 1, at + 1);
        snprintf(gone, sizeof gone, "-%s\n", number);
        bool there = strstr(told, gone) != NULL;
        for (int i = 0; !there && i < fv_queue_count(q); i++)
            there = strcmp(fv_options_get(fv_queue_at(q, i), "seed"), number) == 0;
        HOLDS(there);
    }
    HOLDS(fv_options_new(&o) >= 0);
    HOLDS(fv_queue_add(q, o) >= 0);
    HOLDS(hidden_in("made/queue") == 0);
    while (fv_queue_count(q)) HOLDS(fv_queue_remove(q, 0) >= 0);
    fv_options_free(o);
    fv_queue_close(q);
}

static void killed_while_queueing(void **state)
{
    int finished = 0, in_the_midst = 0;
    (void)state;
    fresh("made/queue");
    for (int i = 0; i < kills; i++) {
        char *told = killed(work_queue, (uint64_t)i, QUEUE_US);
        finished += lines_in(told);
        in_the_midst += hidden_in("made/queue") > 0;
        next_start(check_queue, told);
        free(told);
    }
    print_message("%d kills while queueing: %d items added or removed, 0 lost; %d in the midst of "
                  "a file\n",
                  kills, finished, in_the_midst);
    assert_true(finished > 0);
}

/* --- indexing --- */

static fv_status build(int first, int *resumed)
{
    const fv_list l = {.at = pictures + first, .count = PICTURES};
    return fv_index_build("made/index/x.npy", model, &l, 1, false, resumed, NULL, NULL);
}

/* Two lists by turns, which have all but one picture in common. */
static void work_index(int to, uint64_t turn)
{
    for (int i = (int)turn;; i++) {
        if (build(i % 2, NULL) < 0) return;
        tell(to, "made\n");
    }
}

/* Pictures of list 0 that stand in a record; 0 if there is none. */
static int recorded(const char *path)
{
    if (access(path, F_OK) != 0) return 0;
    char *text = slurp(path, NULL);
    int count = 0;
    for (int i = 0; i < PICTURES; i++) {
        char line[64];
        snprintf(line, sizeof line, " %s\n", pictures[i]);
        count += strstr(text, line) != NULL;
    }
    free(text);
    return count;
}

/* The rows of an index are those of its names. 0: it cannot be opened; that it may not be. */
static bool check_rows(bool has_to)
{
    fv_index *x;
    fv_npy *a;
    if (fv_index_open(&x, "made/index/x.npy") < 0) {
        HOLDS(!has_to || strstr(fv_error(), "is being replaced, or that was interrupted"));
        return false;
    }
    size_t dim = (size_t)fv_index_dim(x);
    HOLDS(fv_index_count(x) == PICTURES);
    HOLDS(fv_npy_open(&a, "made/index/x.npy") >= 0);
    const float *found = fv_npy_entry(a)->data;
    int first = strcmp(fv_index_name(x, 0), pictures[0]) == 0 ? 0 : 1;
    for (int i = 0; i < PICTURES; i++) {
        HOLDS(strcmp(fv_index_name(x, i), pictures[first + i]) == 0);
        HOLDS(memcmp(found + (size_t)i * dim, rows[first + i], dim * sizeof *found) == 0);
    }
    fv_npy_close(a);
    fv_index_close(x);
    return true;
}

static void check_index(const char *told)
{
    static const char *const gone[] = {".part", ".part.txt", ".next"};
    bool was_there = *told != 0;
    int finished = recorded("made/index/x.npy.part.txt"), resumed;
    int before = recorded("made/index/x.npy.from");
    bool whole = check_rows(was_there);
    HOLDS(build(0, &resumed) >= 0);
    HOLDS(resumed >= finished); /* no finished row is made again */
    HOLDS(!whole || resumed >= before);
    HOLDS(!was_there || resumed >= PICTURES - 1);
    HOLDS(check_rows(true));
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "made/index/x.npy%s", gone[i]);
        HOLDS(access(path, F_OK) != 0);
    }
    HOLDS(hidden_in("made/index") == 0);
}

static void killed_while_indexing(void **state)
{
    int finished = 0, in_the_midst = 0, half = 0;
    (void)state;
    fresh("made/index");
    for (int i = 0; i <= PICTURES; i++) {
        fv_picture p = noise(16);
        fv_embedder *e;
        bool read;
        assert_true(asprintf(&pictures[i], "made/p%02d.png", i) >= 0);
        MUST(fv_picture_write(&p, pictures[i], NULL));
        rows[i] = malloc((size_t)fv_model_dim(model) * sizeof *rows[i]);
        MUST(fv_embedder_open(&e, model, 1));
        MUST(fv_embed_pictures(e, &pictures[i], 1, rows[i], &read, NULL, NULL));
        fv_embedder_close(e);
        fv_picture_free(&p);
    }
    for (int i = 0; i < kills; i++) {
        if (i % ROUND == 0) {
            remove_tree("made/index");
            assert_int_equal(mkdir("made/index", 0777), 0);
        }
        char *told = killed(work_index, (uint64_t)i, INDEX_US);
        finished += lines_in(told);
        in_the_midst += access("made/index/x.npy.part.txt", F_OK) == 0;
        half += access("made/index/x.npy.next", F_OK) == 0;
        next_start(check_index, told);
        free(told);
    }
    print_message("%d kills while indexing: %d indexes made, no row lost; %d in the midst of one, "
                  "%d while it was put in place\n",
                  kills, finished, in_the_midst, half);
    for (int i = 0; i <= PICTURES; i++) {
        free(pictures[i]);
        free(rows[i]);
    }
}

/* One thread, so that a child of fork has all of the model. */
static int begin(void **state)
{
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    char checkpoint[1024];
    fv_options *o;
    (void)state;
    snprintf(checkpoint, sizeof checkpoint, "%s/lite0.pth", unpacked ? unpacked : ".");
    MUST(fv_options_new(&o));
    MUST(fv_options_set(o, "config", source_file("tests/golden/towers/lite0/cfg.yml")));
    MUST(fv_options_set(o, "checkpoint", checkpoint));
    MUST(fv_options_set(o, "vocab", source_file("tests/golden/text_vocab.txt")));
    MUST(fv_options_set(o, "threads", "1"));
    MUST(fv_model_open(&model, o));
    fv_options_free(o);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fv_model_close(model);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_while_saving),
        cmocka_unit_test(killed_while_queueing),
        cmocka_unit_test(killed_while_indexing),
    };
    if (argc > 1) kills = atoi(argv[1]);
    if (argc > 2) seed = strtoull(argv[2], NULL, 10);
    if (kills < 1 || seed == 0) return 2;
    print_message("%d kills of each kind, seed %llu\n", kills, (unsigned long long)seed);
    return cmocka_run_group_tests_name("kill -9", tests, begin, end);
}

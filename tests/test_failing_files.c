/* Every call that changes a file fails once, for every writer of the library: whichever call it
 * is and however it fails, the folder is as before or as after, and nothing in between.
 *
 * The linker puts the __wrap_ functions below in place of open, write, fsync, ... (CMakeLists.txt),
 * so that whatever writes goes through them; a writer that uses stdio would not be counted, and
 * every_writer_is_seen fails then. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feavis/album.h"
#include "feavis/embed.h"
#include "feavis/feavis.h"
#include "feavis/files.h"
#include "feavis/gif.h"
#include "feavis/index.h"
#include "feavis/queue.h"
#include "feavis/settings.h"
#include "model/files/files.h"
#include "model/weights/weights.h"
#include "tests/toy.h"

/* --- calls that fail when told to --- */

typedef enum fault { FAULT_FULL, FAULT_BROKEN, FAULT_BROKEN_ON, FAULT_SIGNAL, FAULT_SHORT } fault;
enum { FAULTS = 5 };
static const char *const fault_names[FAULTS] = {"disk full", "broken once", "broken from then on",
                                                "a signal", "a short write"};

static struct {
    bool armed;
    fault how;
    int at, calls; /* the call that fails, from 1; calls so far */
    bool no_rename_new, no_link;
    const char *call; /* that failed */
} plan;

/* Whether this call is to fail; sets errno. */
static bool fails(const char *call, bool repeated)
{
    if (!plan.armed) return false;
    plan.calls++;
    bool now =
        plan.calls == plan.at || (plan.how == FAULT_BROKEN_ON && plan.calls > plan.at && repeated);
    if (!now || plan.how == FAULT_SHORT) return false;
    if (!plan.call) plan.call = call;
    errno = plan.how == FAULT_FULL ? ENOSPC : plan.how == FAULT_SIGNAL ? EINTR : EIO;
    return true;
}

int __real_open(const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *data, size_t n);
int __real_close(int fd);
int __real_rename(const char *from, const char *to);
int __real_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __real_link(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_ftruncate(int fd, off_t size);
int __real_fchmod(int fd, mode_t mode);
int __real_mkdir(const char *path, mode_t mode);

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    bool reads = !(flags & (O_WRONLY | O_RDWR | O_DIRECTORY));
    return !reads && fails("open", flags & O_CREAT) ? -1 : __real_open(path, flags, mode);
}

ssize_t __wrap_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n)
{
    if (fails("write", true)) return -1;
    bool some = plan.armed && plan.calls == plan.at && plan.how == FAULT_SHORT && n > 1;
    return __real_write(fd, data, some ? n / 2 : n);
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    (void)fd; /* the machine does not fail in this test, and disks are slow */
    return fails("fsync", true) ? -1 : 0;
}

int __wrap_close(int fd);
int __wrap_close(int fd)
{
    bool failed = fails("close", true);
    int error = errno, result = __real_close(fd);
    if (failed) errno = error;
    return failed ? -1 : result;
}

int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
    return fails("rename", true) ? -1 : __real_rename(from, to);
}

int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    if (fails("renameat2", true)) return -1;
    if (!plan.no_rename_new) return __real_renameat2(a, from, b, to, flags);
    errno = EINVAL;
    return -1;
}

int __wrap_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to)
{
    if (fails("link", true)) return -1;
    if (!plan.no_link) return __real_link(from, to);
    errno = EPERM;
    return -1;
}

/* A folder in which nothing can be removed any more would keep what a failure leaves. */
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path)
{
    return fails("unlink", false) ? -1 : __real_unlink(path);
}

int __wrap_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size)
{
    return fails("ftruncate", true) ? -1 : __real_ftruncate(fd, size);
}

int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode)
{
    return fails("fchmod", true) ? -1 : __real_fchmod(fd, mode);
}

int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode)
{
    return fails("mkdir", true) ? -1 : __real_mkdir(path, mode);
}

/* --- what is in a folder --- */

enum { MAX_FILES = 32 };

typedef struct content {
    int count;
    char *names[MAX_FILES], *bytes[MAX_FILES];
    size_t sizes[MAX_FILES];
} content;

static void content_clear(content *c)
{
    for (int i = 0; i < c->count; i++) {
        free(c->names[i]);
        free(c->bytes[i]);
    }
    *c = (content){0};
}

static void content_add(content *c, const char *folder)
{
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[512];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        assert_int_equal(lstat(path, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            content_add(c, path);
            continue;
        }
        assert_true(c->count < MAX_FILES);
        c->names[c->count] = strdup(path);
        c->bytes[c->count] = slurp(path, &c->sizes[c->count]);
        c->count++;
    }
    closedir(d);
}

static content content_of(const char *folder)
{
    content c = {0};
    content_add(&c, folder);
    return c;
}

static int content_find(const content *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->names[i], name) == 0) return i;
    return -1;
}

/* NULL, or the name of a file that is in one only or differs. */
static const char *difference(const content *a, const content *b)
{
    for (int i = 0; i < a->count; i++) {
        int j = content_find(b, a->names[i]);
        if (j < 0 || a->sizes[i] != b->sizes[j] ||
            memcmp(a->bytes[i], b->bytes[j], a->sizes[i]) != 0)
            return a->names[i];
    }
    for (int j = 0; j < b->count; j++)
        if (content_find(a, b->names[j]) < 0) return b->names[j];
    return NULL;
}

/* --- the writers --- */

enum { SIDE = 160, FRAME = 24, TINY = 2 }; /* noise of SIDE x SIDE is more than one write */

static fv_picture picture, tiny, frames[2];
static fv_queue *queue;
static fv_settings *settings;
static char *removed;

static void fill(fv_picture *p, int side, uint32_t x)
{
    size_t bytes = (size_t)side * (size_t)side * 3;
    *p = (fv_picture){side, side, malloc(bytes)};
    assert_non_null(p->rgb);
    for (size_t i = 0; i < bytes; i++) p->rgb[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
}

static void nothing(void)
{
}

static void an_old_file(void)
{
    spill("made/file", "old", 3);
}

static fv_status save_picture(void)
{
    return fv_picture_write(&picture, "made/file", "text: \"a\"\n");
}

static fv_status save_film(void)
{
    return fv_film_write(frames, 2, 40, "text: \"a\"\n", "made/file");
}

static fv_status save_gif(void)
{
    return fv_gif_write(frames, 2, 40, "a", "made/file");
}

static fv_status save_table(void)
{
    return fv_text_save("made/file", "a,b\n1,2\n", 8);
}

static const int64_t dims[2] = {10, 300};

static fv_status save_array(void)
{
    return fv_array_save("made/file", (const float *)(const void *)picture.rgb, 1,
                         (int64_t[]){19000});
}

static fv_status save_weights(void)
{
    const fv_save_entry entries[] = {
        {"a", FV_FILE_F32, 2, {dims[0], dims[1]}, picture.rgb},
        {"b", FV_FILE_F16, 2, {dims[0], dims[1]}, picture.rgb},
    };
    return fv_weights_save("made/file", entries, 2, NULL);
}

static void two_in_the_gallery(void)
{
    char *path;
    MUST(fv_gallery_add("made", "moon", 1, &tiny, NULL, &path));
    free(path);
    MUST(fv_gallery_add("made", "moon", 1, &tiny, NULL, &path));
    free(path);
}

static fv_status add_to_gallery(void)
{
    char *path;
    fv_status s = fv_gallery_add("made", "moon", 1, &frames[0], NULL, &path);
    if (s >= 0) free(path);
    return s;
}

static fv_status add_film_to_gallery(void)
{
    char *path;
    fv_status s = fv_gallery_add_film("made", "moon", 1, FV_FILM_GIF, frames, 2, 40, NULL, &path);
    if (s >= 0) free(path);
    return s;
}

static fv_status remove_from_gallery(void)
{
    char *undo;
    fv_status s = fv_gallery_remove("made/moon-1.png", &undo);
    if (s >= 0) free(undo);
    return s;
}

static void one_removed(void)
{
    two_in_the_gallery();
    free(removed);
    MUST(fv_gallery_remove("made/moon-1-2.png", &removed));
}

static fv_status restore_to_gallery(void)
{
    char *path;
    fv_status s = fv_gallery_restore(removed, &path);
    if (s >= 0) free(path);
    return s;
}

static void a_queue_of_two(void)
{
    fv_options *o;
    fv_queue_close(queue);
    MUST(fv_queue_open(&queue, "made"));
    MUST(fv_options_new(&o));
    MUST(fv_options_set(o, "text", "moon"));
    MUST(fv_queue_add(queue, o));
    MUST(fv_options_set(o, "text", "lake"));
    MUST(fv_queue_add(queue, o));
    fv_options_free(o);
}

static fv_status add_to_queue(void)
{
    fv_options *o;
    MUST(fv_options_new(&o));
    MUST(fv_options_set(o, "text", "sea"));
    fv_status s = fv_queue_add(queue, o);
    fv_options_free(o);
    return s;
}

static fv_status change_in_queue(void)
{
    return fv_queue_set(queue, 0, "seed", "7");
}

static fv_status remove_from_queue(void)
{
    return fv_queue_remove(queue, 0);
}

static void some_settings(void)
{
    fv_settings_close(settings);
    MUST(fv_settings_open(&settings, "made/file"));
    MUST(fv_settings_set(settings, "text", "moon"));
    MUST(fv_settings_save(settings));
    MUST(fv_settings_set(settings, "text", "lake"));
}

static fv_status save_settings(void)
{
    return fv_settings_save(settings);
}

static const struct writer {
    const char *name;
    void (*prepare)(void);
    fv_status (*act)(void);
    int least; /* calls that change a file: one that writes has open, write, fsync, rename */
} writers[] = {
    {"a new picture", nothing, save_picture, 4},
    {"a picture", an_old_file, save_picture, 4},
    {"a film", an_old_file, save_film, 4},
    {"a GIF", an_old_file, save_gif, 4},
    {"a table", an_old_file, save_table, 4},
    {"a .npy", an_old_file, save_array, 4},
    {"a .safetensors", an_old_file, save_weights, 4},
    {"a picture for the gallery", two_in_the_gallery, add_to_gallery, 4},
    {"a film for the gallery", two_in_the_gallery, add_film_to_gallery, 4},
    {"a picture out of the gallery", two_in_the_gallery, remove_from_gallery, 1},
    {"a picture back to the gallery", one_removed, restore_to_gallery, 1},
    {"a picture asked for", a_queue_of_two, add_to_queue, 4},
    {"a picture asked for, changed", a_queue_of_two, change_in_queue, 4},
    {"a picture asked for, removed", a_queue_of_two, remove_from_queue, 1},
    {"settings", some_settings, save_settings, 4},
};
enum { WRITERS = sizeof writers / sizeof writers[0] };

static void begin(const struct writer *w)
{
    remove_tree("made");
    assert_int_equal(mkdir("made", 0777), 0);
    w->prepare();
}

/* One line that names the folder's file and a reason. */
static void check_message(const char *name)
{
    const char *said = fv_error();
    if (!strstr(said, "made") || (!strstr(said, "No space left") && !strstr(said, "Input/output")))
        fail_msg("%s, %s: said \"%s\"", name, plan.call, said);
}

/* One call fails; the number of calls. */
static int try_one(const struct writer *w, fault how, int at, const content *new)
{
    content old, now;
    begin(w);
    old = content_of("made");
    plan.at = at;
    plan.how = how;
    plan.calls = 0;
    plan.call = NULL;
    plan.armed = true;
    fv_status s = w->act();
    plan.armed = false;
    int calls = plan.calls;
    now = content_of("made");
    bool harmless = how == FAULT_SIGNAL || how == FAULT_SHORT;
    if (s < 0) {
        const char *differs = difference(&old, &now);
        if (differs) fail_msg("%s: after %s %s: %s", w->name, plan.call, fault_names[how], differs);
        if (harmless)
            fail_msg("%s: %s %s: \"%s\"", w->name, plan.call, fault_names[how], fv_error());
        check_message(w->name);
    } else {
        const char *differs = difference(new, &now);
        if (differs)
            fail_msg("%s succeeded, but after %s %s: %s", w->name, plan.call ? plan.call : "-",
                     fault_names[how], differs);
    }
    content_clear(&old);
    content_clear(&now);
    return calls;
}

static void try_all(const struct writer *w)
{
    begin(w);
    MUST(w->act());
    content new = content_of("made");
    for (int how = 0; how < FAULTS; how++)
        for (int at = 1; try_one(w, (fault)how, at, &new) >= at; at++) assert_true(at < 1000);
    content_clear(&new);
}

static void a_failed_call_leaves_the_old_file_whole(void **state)
{
    (void)state;
    for (int i = 0; i < WRITERS; i++) try_all(&writers[i]);
}

static void every_writer_is_seen(void **state)
{
    (void)state;
    for (int i = 0; i < WRITERS; i++) {
        begin(&writers[i]);
        plan.at = plan.calls = 0;
        plan.armed = true;
        fv_status s = writers[i].act();
        plan.armed = false;
        MUST(s);
        if (plan.calls < writers[i].least) fail_msg("%s: %d calls", writers[i].name, plan.calls);
    }
}

/* Network file systems and old ones: no rename that fails on a taken name, no second names. */
static void without_rename_new_and_links_nothing_is_replaced(void **state)
{
    (void)state;
    for (int links = 0; links < 2; links++) {
        plan.no_rename_new = true;
        plan.no_link = !links;
        for (int i = 0; i < WRITERS; i++)
            if (strstr(writers[i].name, "gallery")) try_all(&writers[i]);
        assert_string_equal(writers[7].name, "a picture for the gallery");
        begin(&writers[7]);
        content before = content_of("made");
        MUST(add_to_gallery());
        content after = content_of("made");
        assert_int_equal(after.count, before.count + 1);
        assert_int_equal(content_find(&after, "made/moon-1-3.png") >= 0, 1);
        for (int i = 0; i < before.count; i++) {
            int j = content_find(&after, before.names[i]);
            assert_true(j >= 0 && after.sizes[j] == before.sizes[i]);
            assert_memory_equal(after.bytes[j], before.bytes[i], before.sizes[i]);
        }
        content_clear(&before);
        content_clear(&after);
    }
    plan.no_rename_new = plan.no_link = false;
}

/* Two items change places in several steps: whichever fails, both are in the files. */
static void items_that_change_places_are_never_lost(void **state)
{
    (void)state;
    static const struct writer swap = {"a swap", a_queue_of_two, NULL, 0};
    for (int how = 0; how < FAULTS; how++) {
        int calls = 0;
        for (int at = 1; at == 1 || calls >= at - 1; at++) {
            begin(&swap);
            plan.at = at;
            plan.how = (fault)how;
            plan.calls = 0;
            plan.armed = true;
            fv_status s = fv_queue_swap(queue, 0, 1);
            plan.armed = false;
            calls = plan.calls;
            fv_queue *again;
            MUST(fv_queue_open(&again, "made"));
            bool moon = false, lake = false;
            for (int i = 0; i < fv_queue_count(again); i++) {
                const char *text = fv_options_get(fv_queue_at(again, i), "text");
                moon = moon || strcmp(text, "moon") == 0;
                lake = lake || strcmp(text, "lake") == 0;
            }
            assert_true(moon && lake);
            if (s >= 0) {
                assert_int_equal(fv_queue_count(again), 2);
                assert_string_equal(fv_options_get(fv_queue_at(again, 0), "text"), "lake");
            }
            fv_queue_close(again);
        }
    }
}

/* --- an index: several files, which change together --- */

enum { PICTURES = 3 };
static fv_model *model;
static char *names[PICTURES] = {"pictures/a.png", "pictures/b.png", "pictures/c.png"};
static float *rows[PICTURES];

static void open_model(void)
{
    open_towers(&model, "online");
    fv_embedder *e;
    mkdir("pictures", 0777);
    MUST(fv_embedder_open(&e, model, 1));
    for (int i = 0; i < PICTURES; i++) {
        bool read;
        fv_picture p;
        fill(&p, 16, 77 + (uint32_t)i);
        MUST(fv_picture_write(&p, names[i], NULL));
        fv_picture_free(&p);
        rows[i] = malloc((size_t)fv_model_dim(model) * sizeof *rows[i]);
        MUST(fv_embed_pictures(e, &names[i], 1, rows[i], &read, NULL, NULL));
    }
    fv_embedder_close(e);
}

static fv_status build(int count)
{
    const fv_list l = {.at = names, .count = count};
    return fv_index_build("made/x.npy", model, &l, 1, false, NULL, NULL, NULL);
}

static void put_back(const content *c)
{
    remove_tree("made");
    assert_int_equal(mkdir("made", 0777), 0);
    for (int i = 0; i < c->count; i++) spill(c->names[i], c->bytes[i], c->sizes[i]);
}

/* It can be searched, and each row is that of its name; or it says that it cannot. */
static void check_index(void)
{
    fv_index *x;
    fv_npy *a;
    if (fv_index_open(&x, "made/x.npy") < 0) {
        assert_non_null(strstr(fv_error(), "is being replaced, or that was interrupted"));
        return;
    }
    MUST(fv_npy_open(&a, "made/x.npy"));
    size_t dim = (size_t)fv_index_dim(x);
    const float *found = fv_npy_entry(a)->data;
    for (int i = 0; i < fv_index_count(x); i++) {
        assert_string_equal(fv_index_name(x, i), names[i]);
        assert_memory_equal(found + (size_t)i * dim, rows[i], dim * sizeof *found);
    }
    fv_npy_close(a);
    fv_index_close(x);
}

static fv_status build_failing(fault how, int at)
{
    plan.at = at;
    plan.how = how;
    plan.calls = 0;
    plan.call = NULL;
    plan.armed = true;
    fv_status s = build(PICTURES);
    plan.armed = false;
    return s;
}

static void try_index(const content *old, const content *new, fault how)
{
    for (int at = 1, calls = 1; calls >= at - 1; at++) { /* until none fails any more */
        put_back(old);
        fv_status s = build_failing(how, at);
        calls = plan.calls;
        if (s < 0) check_message("an index");
        if (s < 0 && (how == FAULT_SIGNAL || how == FAULT_SHORT))
            fail_msg("an index: %s %s: \"%s\"", plan.call, fault_names[how], fv_error());
        check_index();
        content now = content_of("made");
        for (int i = 0; i < now.count; i++) assert_null(strstr(now.names[i], ".feavis-"));
        content_clear(&now);
        MUST(build(PICTURES));
        now = content_of("made");
        const char *differs = difference(new, &now);
        if (differs) fail_msg("an index: after %s %s: %s", plan.call, fault_names[how], differs);
        content_clear(&now);
    }
}

static void an_index_is_the_old_or_the_new_one(void **state)
{
    content new, old, part = {0};
    (void)state;
    open_model();
    begin(&(struct writer){.prepare = nothing});
    MUST(build(PICTURES));
    new = content_of("made");
    begin(&(struct writer){.prepare = nothing});
    MUST(build(PICTURES - 1));
    old = content_of("made");
    assert_int_equal(old.count, 3);
    /* with the new row to be made */
    try_index(&old, &new, FAULT_FULL);
    try_index(&old, &new, FAULT_SHORT);
    /* with all rows there: what stopped just after the last was made */
    for (int at = 1; !part.count; at++) {
        put_back(&old);
        assert_true(build_failing(FAULT_BROKEN_ON, at) < 0);
        content now = content_of("made");
        int log = content_find(&now, "made/x.npy.part.txt");
        if (log >= 0 && strstr(now.bytes[log], names[PICTURES - 1]))
            part = now;
        else
            content_clear(&now);
    }
    assert_int_equal(part.count, 5);
    for (int how = 0; how < FAULTS; how++) try_index(&part, &new, (fault)how);
    content_clear(&part);
    content_clear(&old);
    content_clear(&new);
    for (int i = 0; i < PICTURES; i++) free(rows[i]);
    fv_model_close(model);
}

static int open_all(void **state)
{
    (void)state;
    fill(&picture, SIDE, 1);
    fill(&tiny, TINY, 4);
    fill(&frames[0], FRAME, 2);
    fill(&frames[1], FRAME, 3);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fv_queue_close(queue);
    fv_settings_close(settings);
    free(removed);
    fv_picture_free(&picture);
    fv_picture_free(&tiny);
    fv_picture_free(&frames[0]);
    fv_picture_free(&frames[1]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_writer_is_seen),
        cmocka_unit_test(a_failed_call_leaves_the_old_file_whole),
        cmocka_unit_test(without_rename_new_and_links_nothing_is_replaced),
        cmocka_unit_test(an_index_is_the_old_or_the_new_one),
        cmocka_unit_test(items_that_change_places_are_never_lost),
    };
    return cmocka_run_group_tests_name("calls that fail", tests, open_all, close_all);
}

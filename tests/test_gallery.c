/* PNG files with a recipe inside, damaged ones, the resize at odd sizes (golden/make_resize.py),
 * and the gallery's names and guarantees. Formats of other programs: test_picture.c. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "feavis/feavis.h"
#include "model/text/text.h"
#include "model/weights/weights.h"
#include "tests/check.h"

static const char recipe[] = "feavis: 0.1.0\ntext: \"梦想 🦋 é\"\n";

/* Noise, so that nothing is the same by luck; caller frees. */
static fv_picture noise(int width, int height)
{
    size_t bytes = (size_t)width * (size_t)height * 3;
    fv_picture p = {width, height, malloc(bytes)};
    assert_non_null(p.rgb);
    uint32_t x = 12345;
    for (size_t i = 0; i < bytes; i++) p.rgb[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
    return p;
}

static void same_picture(const fv_picture *a, const fv_picture *b)
{
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_memory_equal(a->rgb, b->rgb, (size_t)a->width * (size_t)a->height * 3);
}

static int files_in(const char *folder)
{
    int count = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return count;
}

/* A new folder in made/, which begins empty; the name is valid for one more call. */
static const char *new_folder(void)
{
    static char names[2][32];
    static int turn;
    char *name = names[turn % 2];
    snprintf(name, sizeof names[0], "made/%d", ++turn);
    assert_int_equal(mkdir(name, 0777), 0);
    return name;
}

static int begin(void **state)
{
    (void)state;
    remove_tree("made");
    return mkdir("made", 0777);
}

/* --- files --- */

static void png_comes_back_with_its_recipe(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {7, 5}, {1, 300}, {300, 1}, {64, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fv_picture p = noise(sizes[i][0], sizes[i][1]), back;
        char *text;
        MUST(fv_picture_write(&p, "round.png", recipe));
        MUST(fv_picture_read(&back, "round.png"));
        same_picture(&p, &back);
        MUST(fv_recipe_read(&text, "round.png"));
        assert_string_equal(text, recipe);
        fv_picture_free(&back);
        free(text);
        MUST(fv_picture_write(&p, "round.png", NULL));
        MUST(fv_picture_read(&back, "round.png"));
        same_picture(&p, &back);
        FAILS(fv_recipe_read(&text, "round.png"), FV_ERR_FORMAT, "holds no feavis recipe");
        fv_picture_free(&back);
        fv_picture_free(&p);
        assert_null(p.rgb);
    }
    /* the iTXt chunk is where and what the PNG specification says */
    fv_picture p = noise(3, 3);
    size_t size;
    MUST(fv_picture_write(&p, "round.png", recipe));
    char *png = slurp("round.png", &size);
    assert_memory_equal(png + 37, "iTXtfeavis\0\0\0\0\0feavis: 0.1.0\n", 28);
    free(png);
    char *huge = malloc(900001), *text;
    memset(huge, 'a', 900000);
    huge[900000] = 0;
    MUST(fv_picture_write(&p, "round.png", huge));
    MUST(fv_recipe_read(&text, "round.png"));
    assert_string_equal(text, huge);
    free(text);
    free(huge);
    fv_picture_free(&p);
    unlink("round.png");
}

/* Reads picture and recipe of whatever this is: no crash, and one line if it fails. */
static bool poke(const char *data, size_t size)
{
    fv_picture p;
    char *text;
    spill("poked.png", data, size);
    fv_status a = fv_picture_read(&p, "poked.png");
    if (a >= 0)
        fv_picture_free(&p);
    else
        assert_true(strstr(fv_error(), "poked.png") && !strchr(fv_error(), '\n'));
    fv_status b = fv_recipe_read(&text, "poked.png");
    if (b >= 0)
        free(text);
    else
        assert_true(strstr(fv_error(), "poked.png") && !strchr(fv_error(), '\n'));
    return a >= 0 && b >= 0;
}

static void damaged_png_files_are_refused_or_read(void **state)
{
    (void)state;
    fv_picture p = noise(7, 5);
    size_t size;
    MUST(fv_picture_write(&p, "whole.png", recipe));
    char *png = slurp("whole.png", &size);
    assert_true(poke(png, size));
    for (size_t n = 0; n < size; n++) {
        bool fine = poke(png, n);
        /* 16 bytes end a PNG: the checksum of the last IDAT and the empty IEND */
        if (fine && n + 16 < size) fail_msg("cut after %zu of %zu bytes: read", n, size);
    }
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            png[i] ^= (char)(1 << bit);
            poke(png, size);
            png[i] ^= (char)(1 << bit);
        }
    free(png);
    fv_picture_free(&p);
    unlink("poked.png");
    unlink("whole.png");
}

/* chunk.png: a chunk with these bytes and a right CRC, behind the header. */
static void with_chunk_of(const char *type, const char *content, size_t length)
{
    size_t size;
    fv_picture p = noise(7, 5);
    MUST(fv_picture_write(&p, "chunk.png", NULL));
    fv_picture_free(&p);
    char *png = slurp("chunk.png", &size), *out = malloc(size + length + 12);
    unsigned char number[4];
    memcpy(out, png, 33);
    for (int i = 0; i < 4; i++) number[i] = (unsigned char)(length >> (24 - 8 * i));
    memcpy(out + 33, number, 4);
    memcpy(out + 37, type, 4);
    memcpy(out + 41, content, length);
    uLong crc = crc32(0, (unsigned char *)out + 37, (uInt)length + 4);
    for (int i = 0; i < 4; i++) number[i] = (unsigned char)(crc >> (24 - 8 * i));
    memcpy(out + 41 + length, number, 4);
    memcpy(out + 45 + length, png + 33, size - 33);
    spill("chunk.png", out, size + length + 12);
    free(png);
    free(out);
}

static void with_chunk(const char *content, size_t length)
{
    with_chunk_of("iTXt", content, length);
}

/* `start`, then `size` bytes packed as zlib does. */
static void with_packed(const char *type, const char *start, size_t start_size, const char *text,
                        size_t size)
{
    uLongf packed = compressBound(size);
    char *content = malloc(start_size + packed);
    assert_non_null(content);
    memcpy(content, start, start_size);
    compress((Bytef *)content + start_size, &packed, (const Bytef *)text, size);
    with_chunk_of(type, content, start_size + packed);
    free(content);
}

static void expect_recipe(const char *wanted)
{
    char *text;
    fv_picture p;
    MUST(fv_recipe_read(&text, "chunk.png"));
    assert_string_equal(text, wanted);
    free(text);
    MUST(fv_picture_read(&p, "chunk.png")); /* the picture does not mind */
    fv_picture_free(&p);
}

/* Programs that write a picture again pack its texts, or change their chunk. */
static void a_recipe_is_read_from_every_text_chunk(void **state)
{
    static const char text[] = "text: \"春眠不觉晓\"\n";
    char *found;
    (void)state;
    with_packed("iTXt", "feavis\0\1\0en\0R\0", 14, text, sizeof text - 1);
    expect_recipe(text);
    with_packed("zTXt", "feavis\0\0", 8, text, sizeof text - 1);
    expect_recipe(text);
    with_packed("zTXt", "feavis\0\0", 8, "caf\xe9", 4); /* Latin-1 */
    expect_recipe("café");
    with_chunk_of("tEXt", "feavis\0a: 1", 11);
    expect_recipe("a: 1");
    with_chunk_of("tEXt", "feavis\0\xe9t\xe9", 10);
    expect_recipe("été");
    with_packed("iTXt", "feavis\0\1\0\0\0", 11, "b\xff", 2);
    FAILS(fv_recipe_read(&found, "chunk.png"), FV_ERR_ARGUMENT, "not UTF-8");
    /* a megabyte is much for a recipe; a hundred of them take 100 kB of a PNG */
    enum { HUGE_TEXT = 100 << 20 };
    char *huge = calloc(1, HUGE_TEXT);
    assert_non_null(huge);
    memset(huge, 'a', HUGE_TEXT);
    with_packed("iTXt", "feavis\0\1\0\0\0", 11, huge, 900000);
    MUST(fv_recipe_read(&found, "chunk.png"));
    assert_int_equal(strlen(found), 900000);
    free(found);
    static const char *const types[] = {"iTXt", "zTXt"};
    for (int i = 0; i < 2; i++) {
        with_packed(types[i], i ? "feavis\0\0" : "feavis\0\1\0\0\0", i ? 8 : 11, huge, HUGE_TEXT);
        FAILS(fv_recipe_read(&found, "chunk.png"), FV_ERR_FORMAT, "over 1048576 bytes");
    }
    with_packed("iCCP", "profile\0\0", 9, huge, HUGE_TEXT); /* and none of it is unpacked */
    fv_picture p;
    MUST(fv_picture_read(&p, "chunk.png"));
    fv_picture_free(&p);
    free(huge);
    with_packed("iTXt", "feavis\0\1\0\0\0", 11, "a: 1\0\n", 6);
    FAILS(fv_recipe_read(&found, "chunk.png"), FV_ERR_FORMAT, "packed recipe holds a zero byte");
    with_chunk("feavis\0\1\0\0\0zip", 14);
    FAILS(fv_recipe_read(&found, "chunk.png"), FV_ERR_FORMAT, "packed recipe is damaged");
    unlink("chunk.png");
}

static void recipes_that_are_damaged(void **state)
{
    (void)state;
    char *text;
    with_chunk("feavis\0\0\0\0\0good", 15);
    MUST(fv_recipe_read(&text, "chunk.png"));
    assert_string_equal(text, "good");
    free(text);
    with_chunk("feavis\0\0\0en\0Rezept\0good", 23);
    MUST(fv_recipe_read(&text, "chunk.png"));
    assert_string_equal(text, "good");
    free(text);
    static const struct {
        const char *content;
        size_t length;
        const char *words;
    } cases[] = {
        {"feavis\0\0\0\0\0b\xff", 13, "not UTF-8"},
        {"feavis\0\0\0\0\0a\0b", 14, "no feavis recipe"},
        {"feavis\0\2\0\0\0zip", 14, "no feavis recipe"},
        {"feavis\0\1\1\0\0zip", 14, "no feavis recipe"},
        {"feavis\0\0\0en", 11, "no feavis recipe"},
        {"feavis\0\0", 8, "no feavis recipe"},
        {"feavis", 6, "no feavis recipe"},
        {"other\0\0\0\0\0x", 11, "no feavis recipe"},
        {"", 0, "no feavis recipe"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        with_chunk(cases[i].content, cases[i].length);
        fv_status s = fv_recipe_read(&text, "chunk.png");
        if (s >= 0 || !strstr(fv_error(), cases[i].words))
            fail_msg("case %zu: said \"%s\"", i, fv_error());
    }
    with_chunk("feavis\0\0\0\0\0good", 15);
    size_t size;
    char *png = slurp("chunk.png", &size);
    png[41 + 12] ^= 1; /* a letter of the recipe */
    spill("chunk.png", png, size);
    FAILS(fv_recipe_read(&text, "chunk.png"), FV_ERR_FORMAT, "wrong CRC");
    png[33] = 0x7f; /* a chunk of 2 GB */
    spill("chunk.png", png, size);
    FAILS(fv_recipe_read(&text, "chunk.png"), FV_ERR_FORMAT, "cut off");
    free(png);
    unlink("chunk.png");
}

static void what_is_no_picture_is_named(void **state)
{
    (void)state;
    fv_picture p;
    char *text;
    spill("page.png", "<!DOCTYPE html>\n", 16);
    spill("empty.png", "", 0);
    FAILS(fv_picture_read(&p, "page.png"), FV_ERR_FORMAT, "page.png");
    FAILS(fv_recipe_read(&text, "page.png"), FV_ERR_FORMAT, "not a PNG");
    FAILS(fv_picture_read(&p, "empty.png"), FV_ERR_FORMAT, "empty.png has 0 bytes");
    FAILS(fv_picture_read(&p, "nowhere.png"), FV_ERR_IO, "nowhere.png: No such file");
    FAILS(fv_recipe_read(&text, "nowhere.png"), FV_ERR_IO, "nowhere.png: No such file");
    FAILS(fv_picture_read(&p, "."), FV_ERR_IO, "not a regular file");
    FAILS(fv_recipe_read(&text, "/dev/null"), FV_ERR_IO, "not a regular file");
    FAILS(fv_recipe_read(&text, source_file("tests/golden/pictures/rgb.jpg")), FV_ERR_FORMAT,
          "rgb.jpg holds no feavis recipe");
    unlink("page.png");
    unlink("empty.png");
}

static void the_resize_is_torchs(void **state)
{
    (void)state;
    fv_weights *w;
    int compared = 0;
    MUST(fv_weights_open(&w, source_file("tests/golden/resize.safetensors")));
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const fv_entry *e = fv_weights_at(w, i);
        char source[32];
        const char *dot = strchr(e->name, '.');
        if (!dot) continue;
        snprintf(source, sizeof source, "%.*s", (int)(dot - e->name), e->name);
        const fv_entry *from = fv_weights_find(w, source);
        assert_non_null(from);
        int side = atoi(dot + 1);
        fv_picture p = {(int)from->dims[1], (int)from->dims[0], (uint8_t *)(uintptr_t)from->data};
        size_t count = (size_t)side * (size_t)side * 3;
        assert_int_equal(fv_entry_count(e), count);
        float *ours = malloc(count * sizeof *ours), *torch = malloc(count * sizeof *torch);
        assert_true(ours && torch);
        fv_picture_to_tensor(&p, side, ours);
        fv_entry_read_f32(e, torch);
        /* a position up to 33 has an error of 2e-6 in float, and pixels differ by at most 1 */
        for (size_t k = 0; k < count; k++)
            if (!(fabsf(ours[k] - torch[k]) <= 4e-6f))
                fail_msg("%s: value %zu is %.8f, expected %.8f", e->name, k, (double)ours[k],
                         (double)torch[k]);
        free(ours);
        free(torch);
        compared++;
    }
    assert_int_equal(compared, 20);
    fv_weights_close(w);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    fv_picture p = noise(64, 64), back;
    const char *folder = new_folder();
    char path[64];
    snprintf(path, sizeof path, "%s/kept.png", folder);
    MUST(fv_picture_write(&p, path, recipe));
    FAILS(fv_picture_write(&p, "/dev/full", recipe), FV_ERR_IO, "/dev/full: No space left");
    FAILS(fv_picture_write(&p, folder, recipe), FV_ERR_IO, "Is a directory");
    FAILS(fv_picture_write(&p, "no/folder/x.png", recipe), FV_ERR_IO, "No such file");
    FAILS(fv_picture_write(&p, "", recipe), FV_ERR_ARGUMENT, "empty");
    p.rgb[0] ^= 1;
    /* a limit on file sizes is what a full disk looks like to a writer */
    struct rlimit before, tight;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    tight = before;
    tight.rlim_cur = 1000;
    setrlimit(RLIMIT_FSIZE, &tight);
    fv_status s = fv_picture_write(&p, path, recipe);
    char *name;
    fv_status t = fv_gallery_add(folder, "full", 1, &p, recipe, &name);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(s, FV_ERR_IO);
    assert_int_equal(t, FV_ERR_IO);
    assert_non_null(strstr(fv_error(), "File too large"));
    assert_int_equal(files_in(folder), 1); /* neither a temp file nor an empty full-1.png */
    p.rgb[0] ^= 1;
    MUST(fv_picture_read(&back, path));
    same_picture(&p, &back);
    fv_picture_free(&back);
    fv_picture_free(&p);
}

/* --- the gallery --- */

static void names_are_whole_short_and_harmless(void **state)
{
    (void)state;
    static const struct {
        const char *title, *slug; /* NULL: only what holds for all */
    } cases[] = {
        {"梦", "梦"},
        {"a castle on a mountain", "a-castle-on-a-mountain"},
        {"梦:1 | 文字:-0.3", "梦-1-文字-0-3"},
        {"床前明月光，疑是地上霜。", "床前明月光-疑是地上霜"},
        {"《“梦”》……", "梦"},
        {"../../etc/passwd", "etc-passwd"},
        {".hidden", "hidden"},
        {"/", "picture"},
        {"", "picture"},
        {" \t\n", "picture"},
        {"a\nb\033[31mc\x7f", "a-b-31mc"},
        {"\xc2\x9b"
         "31m\xc2\x85",
         "31m"}, /* C1 controls */
        {"a\xe2\x80\xae"
         "b\xe2\x81\xa6"
         "c",
         "a-b-c"},                    /* bidirectional overrides */
        {"\xef\xbb\xbfmoon", "moon"}, /* a byte order mark */
        {"naïve café", "naïve-café"},
        {"e\xcc\x81", "e\xcc\x81"}, /* a combining accent stays with its letter */
        {"ｶﾀｶﾅ ＡＢＣ", "ｶﾀｶﾅ-ＡＢＣ"},
        {"🦋", "🦋"},
        {"हिन्दी العربية", "हिन्दी-العربية"},
        {"-rf", "rf"},
        {"a\xff"
         "b",
         "a-b"},
        {"\xe6", "picture"}, /* half a character, at the end */
        {"梦\xf0\x9f", "梦"},
    };
    fv_picture p = noise(2, 2);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path, expected[300];
        char *title = strdup(cases[i].title); /* on the heap: reading past its end is noticed */
        const char *folder = new_folder();
        MUST(fv_gallery_add(folder, title, 7, &p, NULL, &path));
        free(title);
        snprintf(expected, sizeof expected, "%s/%s-7.png", folder, cases[i].slug);
        assert_string_equal(path, expected);
        assert_int_equal(files_in(folder), 1);
        free(path);
    }
    static const char *const units[] = {"a", "é", "梦", "🦋", "a梦", "🦋é", "，梦", "a "};
    const char *folder = new_folder();
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        char title[8192] = "", *path;
        while (strlen(title) < 4096) strcat(title, units[i]);
        MUST(fv_gallery_add(folder, title, UINT64_MAX, &p, NULL, &path));
        const char *name = strrchr(path, '/') + 1;
        assert_true(strlen(name) < 255 && strlen(name) > 90);
        MUST(fv_utf8_check(name, strlen(name), "name"));
        free(path);
    }
    assert_int_equal(files_in(folder), sizeof units / sizeof units[0]);
    fv_picture_free(&p);
}

enum { WRITERS = 4, EACH = 8 };

static void *add_some(void *folder)
{
    fv_picture p = noise(3, 3);
    intptr_t failed = 0;
    for (int i = 0; i < EACH; i++) {
        char *path = NULL;
        failed += fv_gallery_add(folder, "梦", 7, &p, recipe, &path) < 0;
        free(path);
    }
    fv_picture_free(&p);
    return (void *)failed;
}

static void nothing_is_overwritten(void **state)
{
    (void)state;
    static char folder[32];
    snprintf(folder, sizeof folder, "%s", new_folder());
    fflush(NULL);
    pid_t children[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        if (children[i] == 0) _exit(add_some(folder) ? 1 : 0);
        assert_true(children[i] > 0);
    }
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_some, folder), 0);
    for (int i = 0; i < WRITERS; i++) {
        void *failed;
        int status;
        pthread_join(threads[i], &failed);
        assert_null(failed);
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(files_in(folder), 2 * WRITERS * EACH);
    /* names count up without a gap, and every file is whole */
    for (int i = 1; i <= 2 * WRITERS * EACH; i++) {
        char path[64], number[16] = "", *text;
        if (i > 1) snprintf(number, sizeof number, "-%d", i);
        snprintf(path, sizeof path, "%s/梦-7%s.png", folder, number);
        MUST(fv_recipe_read(&text, path));
        assert_string_equal(text, recipe);
        free(text);
    }
}

static void folders_that_cannot_be_written_to(void **state)
{
    (void)state;
    fv_picture p = noise(2, 2);
    char *path, locked[64];
    const char *folder = new_folder();
    snprintf(locked, sizeof locked, "%s/made", folder);
    MUST(fv_gallery_prepare(locked));
    MUST(fv_gallery_prepare(locked));
    assert_int_equal(files_in(locked), 0); /* the trial left nothing */
    spill("plain", "", 0);
    FAILS(fv_gallery_prepare("plain"), FV_ERR_IO, "plain");
    FAILS(fv_gallery_prepare("plain/deeper"), FV_ERR_IO, "plain/deeper: Not a directory");
    FAILS(fv_gallery_prepare("no/such/parent"), FV_ERR_IO, "no/such/parent: No such file");
    FAILS(fv_gallery_prepare(""), FV_ERR_IO, "No such file");
    FAILS(fv_gallery_prepare("/proc/self"), FV_ERR_IO, "cannot be written to");
    FAILS(fv_gallery_add("plain", "a", 1, &p, NULL, &path), FV_ERR_IO, "Not a directory");
    FAILS(fv_gallery_add("no/such", "a", 1, &p, NULL, &path), FV_ERR_IO, "No such file");
    unlink("plain");
    assert_int_equal(chmod(locked, 0555), 0);
    if (geteuid() == 0) assert_int_equal(seteuid(65534), 0); /* permissions bind others than root */
    fv_status prepared = fv_gallery_prepare(locked);
    fv_status added = fv_gallery_add(locked, "a", 1, &p, NULL, &path);
    if (getuid() == 0) assert_int_equal(seteuid(0), 0);
    assert_int_equal(prepared, FV_ERR_IO);
    assert_int_equal(added, FV_ERR_IO);
    assert_non_null(strstr(fv_error(), "Permission denied"));
    assert_int_equal(files_in(locked), 0);
    fv_picture_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_comes_back_with_its_recipe),
        cmocka_unit_test(damaged_png_files_are_refused_or_read),
        cmocka_unit_test(recipes_that_are_damaged),
        cmocka_unit_test(a_recipe_is_read_from_every_text_chunk),
        cmocka_unit_test(what_is_no_picture_is_named),
        cmocka_unit_test(the_resize_is_torchs),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(names_are_whole_short_and_harmless),
        cmocka_unit_test(nothing_is_overwritten),
        cmocka_unit_test(folders_that_cannot_be_written_to),
    };
    return cmocka_run_group_tests_name("recipes in pictures, gallery", tests, begin, NULL);
}

/* The program as people run it: FEAVIS_PROGRAM in a scratch folder, with the toy BriVL of
 * tests/golden/towers/lite0 where the shipped one is not needed. Whatever is wrong ends with one
 * line "feavis: ..." and a status that is not 0, and loses nothing that was made before. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>

#include "feavis/feavis.h"
#include "feavis/names.h"
#include "model/text/text.h"
#include "model/weights/weights.h"
#include "tests/check.h"
#include "tests/process.h"

#define TOY "--quiet", "--preset", "toy.yml"

static const char *toy_config, *toy_vocab;
static char toy_checkpoint[1024];

static void spill_text(const char *path, const char *text)
{
    spill(path, text, strlen(text));
}

/* Each test begins in an empty folder with toy.yml: the toy model, a small picture, 2 steps. */
static int begin(void **state)
{
    (void)state;
    char preset[4096];
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    toy_config = source_file("tests/golden/towers/lite0/cfg.yml");
    toy_vocab = source_file("tests/golden/text_vocab.txt");
    snprintf(toy_checkpoint, sizeof toy_checkpoint, "%s/lite0.pth", unpacked ? unpacked : ".");
    remove_tree("work");
    if (mkdir("work", 0777) != 0 || chdir("work") != 0) return -1;
    snprintf(preset, sizeof preset,
             "title: toy\nconfig: %s\ncheckpoint: %s\nvocab: %s\nsteps: 2\nviews: 1\nsize: 72\n"
             "shift: 4\n",
             toy_config, toy_checkpoint, toy_vocab);
    spill_text("toy.yml", preset);
    return 0;
}

static int end(void **state)
{
    (void)state;
    return chdir("..");
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static int files_in(const char *folder)
{
    int count = 0;
    DIR *d = opendir(folder);
    if (!d) return 0;
    for (struct dirent *e; (e = readdir(d));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return count;
}

/* The recipe in this picture holds this line. */
static void recipe_holds(const char *picture, const char *line)
{
    char *recipe;
    MUST(fv_recipe_read(&recipe, picture));
    if (!strstr(recipe, line)) fail_msg("%s: no \"%s\" in \"%s\"", picture, line, recipe);
    free(recipe);
}

/* --- help, arguments --- */

static void help_names_every_command_and_option(void **state)
{
    (void)state;
    static const char *const commands[] = {"imagine", "neuron", "again",   "resume",
                                           "info",    "probe",  "presets", "help"};
    char *help = SUCCEEDS("--help"), *options = SUCCEEDS("help", "options");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n  feavis %s ", commands[i]);
        assert_non_null(strstr(help, line));
        process p = run(commands[i], "--help");
        assert_int_equal(p.status, 0);
        assert_string_equal(p.err, "");
        snprintf(line, sizeof line, "feavis %s", commands[i]);
        assert_non_null(strstr(p.out, strcmp(commands[i], "help") == 0 ? "feavis imagine" : line));
        process_free(&p);
    }
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++) {
        char line[256];
        snprintf(line, sizeof line, "\n  --%-18s %s", table[i].name, table[i].help);
        if (!strstr(options, line)) fail_msg("help options does not name %s", table[i].name);
    }
    free(help);
    free(options);
    process p = run("--version");
    assert_int_equal(p.status, 0);
    assert_non_null(strstr(p.out, fv_version()));
    process_free(&p);
}

/* Without an argument it is the window; without a display a picture, and it says so. */
static void no_argument_and_no_display_is_a_picture(void **state)
{
    (void)state;
    unsetenv("DISPLAY");
    unsetenv("WAYLAND_DISPLAY");
    process p = process_wait(process_start((const char *const[]){NULL}, NULL, 0, 0));
    if (p.status != 0) fail_msg("status %d, said \"%s\"", p.status, p.err);
    assert_non_null(strstr(p.err, "there is no display"));
    assert_non_null(strstr(p.err, "step "));
    assert_int_equal(files_in("gallery"), 1);
    process_free(&p);
}

static void wrong_arguments_are_named(void **state)
{
    (void)state;
    process p = run("dream", "moon");
    assert_int_equal(p.status, 2);
    refused(p, "no command dream", "dream");
    static const char *const unknown[][2] = {
        {"help", "nosuch"}, {"nosuch", "--help"}, {"help", ""}};
    for (int i = 0; i < 3; i++) {
        p = run(unknown[i][0], unknown[i][1]);
        assert_int_equal(p.status, 2);
        assert_string_equal(p.out, "");
        refused(p,
                i < 2 ? "there is no command or topic nosuch; feavis --help lists them"
                      : "there is no command or topic \"\"; ",
                "help");
    }
    static const char *const slips[][3] = {
        {"help", "plausable", "topic plausable; did you mean plausible? feavis --help lists them"},
        {"help", "option", "did you mean options?"},
        {"wlak", "--help", "did you mean walk?"},
        {"serch", "moon", "no command serch; did you mean search? feavis --help lists them"},
        {"hepl", "moon", "did you mean help?"},
        {"option", "moon", "no command option; feavis"}, /* which is a topic alone */
        {"help", "梦", "topic 梦; feavis"},
        {"\x1b[1m\xff", "moon", "no command \xef\xbf\xbd[1m\xef\xbf\xbd; feavis"}};
    for (size_t i = 0; i < sizeof slips / sizeof slips[0]; i++) {
        p = run(slips[i][0], slips[i][1]);
        assert_int_equal(p.status, 2);
        assert_string_equal(p.out, "");
        refused(p, slips[i][2], "a slip");
    }
    REFUSED("did you mean steps?", "imagine", "moon", "--stpes", "3");
    REFUSED("did you mean steps?", "imagine", "moon", "--stpes");
    REFUSED("--steps needs a value", "imagine", "moon", "--steps");
    REFUSED("--preset needs a value", "imagine", "moon", "--preset");
    REFUSED("steps is \"many\"", "imagine", "moon", "--steps=many");
    REFUSED("size is \"5\"", "imagine", "moon", "--size", "5");
    REFUSED("expected one of", "imagine", "moon", "--param", "oil");
    REFUSED("no preset nowhere", "imagine", "moon", "--preset", "nowhere");
    REFUSED("nowhere.yml", "imagine", "moon", "--preset", "nowhere.yml");
    REFUSED("not UTF-8", "imagine", TOY, "mo\xffon");
    REFUSED("nothing to imagine", "imagine", TOY);
    REFUSED("the nearest is", "imagine", TOY, "--term", "blocks.3.9:1");
    REFUSED("has channels 0 to", "imagine", TOY, "moon", "--term", "blocks.3.1:100000");
    REFUSED("nothing to imagine", "imagine", TOY, " ");
    REFUSED("empty part", "imagine", TOY, "moon | | lake");
    REFUSED("which channel", "neuron", TOY);
    REFUSED("channels 0 to 1279", "neuron", TOY, "1280");
    REFUSED("llp \"seven\" is not understood", "neuron", TOY, "seven");
    REFUSED("llp \"0-63\" is not understood", "neuron", TOY, "0-63,3");
    REFUSED("a range, too, such as 0-63, the lower first", "neuron", TOY, "5-3");
    spill_text("channels", "7\n0-1\n");
    REFUSED("line 2: llp \"0-1\" is not understood", "neuron", TOY, "--file", "channels");
    REFUSED("from 1 to 1000000", "walk", "a", "b", "--frames", "1000001");
    REFUSED("of 999999 at most", "imagine", TOY, "a", "--gallery", "g", "--shard", "1/99999999999");
    REFUSED("the weight of all that at names is 0", "imagine", TOY, "--at", "moon: 1,1 *0");
    REFUSED("again needs a PNG", "again");
    REFUSED("No such file", "again", "nowhere.png");
    REFUSED("resume needs a file", "resume");
    REFUSED("nowhere.safetensors", "resume", "nowhere.safetensors");
    REFUSED("needs its cfg", "imagine", "moon", "--quiet", "--checkpoint", toy_checkpoint);
    assert_int_equal(files_in("gallery"), 0);
}

/* What has no use is refused: ignored, it would be a picture of something else. */
static void flags_and_words_without_a_use_are_refused(void **state)
{
    (void)state;
    REFUSED("did you mean --steps?", "imagine", TOY, "moon", "—steps", "3");
    REFUSED("did you mean --steps?", "imagine", TOY, "moon", "–steps=3");
    REFUSED("did you mean --seed?", "imagine", TOY, "moon", "-seed", "3");
    REFUSED("did you mean --file?", "imagine", TOY, "－－file", "poem");
    REFUSED("flags begin with --", "imagine", TOY, "moon", "-x");
    REFUSED("flags begin with --", "imagine", TOY, "moon", "—stpes", "3");
    REFUSED("imagine takes no --top; it is for: match classify search", "imagine", TOY, "--top",
            "3");
    REFUSED("imagine takes no --labels", "imagine", TOY, "moon", "--labels", "ucm-zh");
    REFUSED("match takes no --steps", "match", "--images", ".", "--texts", "x", "--steps", "3");
    REFUSED("match takes no --file", "match", "--images", ".", "--file", "x");
    REFUSED("--export faiss|npy and --out FILE go together", "search", "moon", "--index", "x.npy",
            "--out", "y");
    REFUSED("convert takes no --checkpoint", "convert", "x.pth", "--checkpoint", "y.pth");
    REFUSED("info takes no --gallery", "info", "--gallery", "x");
    REFUSED("info takes no --half", "info", "--half");
    REFUSED("presets takes no --preset", "presets", "--preset", "draft");
    REFUSED("presets takes no --seed", "presets", "--seed", "3");
    REFUSED("presets takes no words, but there is \"draft\"", "presets", "draft");
    REFUSED("match takes no words", "match", "moon");
    REFUSED("--quiet takes no value", "imagine", "moon", "--quiet=yes");
    REFUSED("--out needs a value, and --steps is a flag", "imagine", "moon", "--out", "--steps",
            "3");
    REFUSED("\"moon\" and --text are two of the same", "imagine", TOY, "moon", "--text", "lake");
    REFUSED("\"7\" and --llp are two of the same", "neuron", TOY, "7", "--llp", "8");
    REFUSED("\"a\" and --gallery are two of the same", "judge", "a", "--gallery", "b");
    REFUSED("a text or --ids", "probe", "moon", "--image", "x.npy", "--ids", "ids.npy");
    REFUSED("a text or --texts", "search", "moon", "--texts", "x", "--index", "index.npy");
    REFUSED("takes no --seed", "info", "nowhere.pth", "--seed", "3");
    REFUSED("takes no file", "info", "nowhere.pth", "--print-plan");
    REFUSED("the same file", "imagine", TOY, "moon", "--out", "x", "--state", "x");
    REFUSED("a text or --file", "imagine", TOY, "moon", "--file", "poem");
    REFUSED("a text or --file", "imagine", TOY, "--text", "moon", "--file", "poem");
    assert_int_equal(files_in("gallery"), 0);
    /* texts that begin with a dash */
    SUCCEEDS_QUIETLY("imagine", TOY, "--steps", "1", "——今夜", "-5°");
    recipe_holds("gallery/今夜-5°-1.png", "text: \"——今夜 -5°\"\n");
    SUCCEEDS_QUIETLY("imagine", TOY, "--steps", "1", "--out", "a.png", "--", "—steps");
    recipe_holds("a.png", "text: \"—steps\"\n");
}

/* A picture under another name would lose its recipe in the next program that believes the name. */
static void pictures_are_named_as_what_they_are(void **state)
{
    (void)state;
    static const char *const names[] = {"x.heic", "x.AVIF", "x.bmp",
                                        "x.gif",  "x.apng", "./a.b/x.tif"};
    mkdir("a.b", 0777);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        /* before the work: no model is opened */
        REFUSED("pictures are PNG, JPEG or WebP files", "imagine", TOY, "moon", "--checkpoint",
                "gone.pth", "--out", names[i]);
        assert_false(exists(names[i]));
    }
    REFUSED("name it a.b/x.png", "imagine", TOY, "moon", "--out", "a.b/x.bmp");
    REFUSED("pictures are PNG, JPEG or WebP files", "judge", "gallery", "--sheet", "sheet.gif");
    static const char *const fine[] = {"x.PNG", "plain", "a.b/plain", "v1.5", ".hidden", "end."};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        SUCCEEDS_QUIETLY("imagine", TOY, "--steps", "1", "moon", "--out", fine[i]);
        recipe_holds(fine[i], "text: \"moon\"\n");
    }
}

/* --- standard output --- */

/* As process_start, with stdout a device, a pipe that nobody reads (NULL), or closed (""). */
static process run_printing_to(const char *device, const char *const *arguments)
{
    const char *program = getenv("FEAVIS_PROGRAM");
    char *argv[MAX_ARGUMENTS + 2] = {(char *)(uintptr_t)program};
    int ends[2], status;
    for (int i = 0; arguments[i]; i++) argv[i + 1] = (char *)(uintptr_t)arguments[i];
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        use_file("/dev/null", O_RDONLY, STDIN_FILENO);
        use_file("stderr", O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
        if (!device)
            dup2(ends[1], STDOUT_FILENO);
        else if (*device)
            use_file(device, O_WRONLY, STDOUT_FILENO);
        else
            close(STDOUT_FILENO);
        close(ends[1]);
        execv(program, argv);
        _exit(127);
    }
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return (process){WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), strdup(""),
                     slurp("stderr", NULL)};
}
#define PRINTING_TO(device, ...) run_printing_to(device, (const char *const[]){__VA_ARGS__, NULL})

static void what_cannot_be_printed_is_a_failure(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--out", "p.png");
    static const char *const commands[][4] = {
        {"--help"},  {"help"}, {"help", "options"}, {"imagine", "--help"},    {"--version"},
        {"presets"}, {"info"}, {"info", "p.png"},   {"info", "--print-plan"},
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        refused(run_printing_to("/dev/full", commands[i]),
                "writing to standard output: ", commands[i][0]);
        refused(run_printing_to("", commands[i]), "writing to standard output: ", commands[i][0]);
        process p = run_printing_to(NULL, commands[i]); /* head -1, and it has seen enough */
        assert_int_equal(p.status, 141);
        assert_string_equal(p.err, "");
        process_free(&p);
    }
    /* a failure of its own comes first */
    refused(PRINTING_TO("/dev/full", "info", "nowhere.png"), "No such file", "info");
}

/* The pictures are in the gallery; only their names went nowhere. */
static void pictures_are_kept_although_nobody_reads_their_names(void **state)
{
    (void)state;
    spill_text("poem", "moon\nlake\n");
    refused(PRINTING_TO("/dev/full", "imagine", TOY, "--file", "poem"),
            "writing to standard output: No space left", "poem");
    assert_int_equal(files_in("gallery"), 2);
    refused(PRINTING_TO("", "imagine", TOY, "--gallery", "b", "--file", "poem"),
            "writing to standard output: ", "poem");
    assert_int_equal(files_in("b"), 2);
    recipe_holds("b/lake-1.png", "text: \"lake\"\n");
    /* who read them has gone: the picture that grows is kept, no more are begun */
    process p = PRINTING_TO(NULL, "imagine", TOY, "--gallery", "c", "moon");
    assert_int_equal(p.status, 141);
    assert_string_equal(p.err, "");
    process_free(&p);
    recipe_holds("c/moon-1.png", "text: \"moon\"\n");
}

/* --- where texts come from --- */

static void texts_from_arguments_files_and_standard_input(void **state)
{
    (void)state;
    char *out = SUCCEEDS("imagine", TOY, "the", "moon");
    assert_string_equal(out, "gallery/the-moon-1.png\n");
    free(out);
    recipe_holds("gallery/the-moon-1.png", "text: \"the moon\"\n");
    out = SUCCEEDS("imagine", TOY, "--seed=2", "--", "--lake");
    assert_string_equal(out, "gallery/lake-2.png\n");
    free(out);
    recipe_holds("gallery/lake-2.png", "text: \"--lake\"\n");

    static const char poem[] = "\xef\xbb\xbf床前明月光\r\n\r\n \t\n疑是地上霜\r\n山";
    static const char paths[] = "gallery/床前明月光-1.png\ngallery/疑是地上霜-1.png\n"
                                "gallery/山-1.png\n";
    spill_text("poem", poem);
    out = SUCCEEDS("imagine", TOY, "--steps", "1", "--file", "poem");
    assert_string_equal(out, paths);
    free(out);
    recipe_holds("gallery/床前明月光-1.png", "text: \"床前明月光\"\n");
    recipe_holds("gallery/疑是地上霜-1.png", "text: \"疑是地上霜\"\n");
    out = succeeded(run_with_input("山\n", 4, "imagine", TOY, "-"), "imagine -");
    assert_string_equal(out, "gallery/山-1-2.png\n");
    free(out);
    out = succeeded(run_with_input("水", 3, "imagine", TOY, "--file", "-"), "imagine --file -");
    assert_string_equal(out, "gallery/水-1.png\n");
    free(out);
}

static void unreadable_texts(void **state)
{
    (void)state;
    refused(run_with_input("moon\0lake\n", 10, "imagine", TOY, "-"),
            "standard input: line 1 has a zero byte", "zero");
    refused(run_with_input("moon\nmo\xffon\n", 11, "imagine", TOY, "-"),
            "standard input: line 2 is not UTF-8", "UTF-8");
    refused(run_with_input("\xef\xbb\xbf\n \r\n\n", 8, "imagine", TOY, "-"), "holds no text", "");
    refused(run_with_input("", 0, "imagine", TOY, "-"), "holds no text", "nothing");
    REFUSED("No such file", "imagine", TOY, "--file", "nowhere");
    REFUSED("Is a directory", "imagine", TOY, "--file", ".");
    spill_text("two", "moon\nlake\n");
    REFUSED("--out takes one picture", "imagine", TOY, "--file", "two", "--out", "x.png");
    REFUSED("--state takes one picture", "imagine", TOY, "--file", "two", "--state", "s");
    assert_int_equal(files_in("gallery"), 0); /* all is read before the first picture */
    /* an Arabic letter whose bytes are those of a byte order mark in another order */
    free(succeeded(run_with_input("\xef\xbb\xbb\n", 4, "imagine", TOY, "-"), "ligature"));
    assert_int_equal(files_in("gallery"), 1);
}

/* Any line end, blank lines by the tokeniser's rules, and the hints that --texts gives. */
static void a_poem_is_read_as_every_list_is(void **state)
{
    (void)state;
    spill_text("poem-cr", "\xef\xbb\xbf山\r水\r\r梦");
    char *out = SUCCEEDS("imagine", TOY, "--steps", "1", "--file", "poem-cr");
    assert_string_equal(out, "gallery/山-1.png\ngallery/水-1.png\ngallery/梦-1.png\n");
    free(out);
    spill_text("poem-blank", "\xe3\x80\x80\n山\n\xe2\x80\x8b\n\xc2\xa0\n\xef\xb8\x8f\n");
    out = SUCCEEDS("imagine", TOY, "--steps", "1", "--gallery", "b", "--file", "poem-blank");
    assert_string_equal(out, "b/山-1.png\n");
    free(out);
    spill_text("poem-quotes", "\"moon\"\n");
    out = SUCCEEDS("imagine", TOY, "--steps", "1", "--gallery", "c", "--file", "poem-quotes");
    free(out);
    recipe_holds("c/moon-1.png", "text: \"\\u0022moon\\u0022\"\n");
    spill_text("gbk", "moon\n\xc9\xad\xc1\xd6\n");
    REFUSED("gbk: line 2 is not UTF-8 but looks like GBK", "imagine", TOY, "--file", "gbk");
    spill("utf16", "m\0o\0\n\0", 6);
    REFUSED("utf16 looks like UTF-16", "imagine", TOY, "--file", "utf16");
    REFUSED("/dev/null holds no text", "imagine", TOY, "--file", "/dev/null");
    REFUSED("nothing to imagine", "imagine", TOY, "\xe3\x80\x80");
    assert_int_equal(files_in("gallery"), 3);
}

/* All bad lines are named, and no picture is made of the good ones. */
static void a_list_is_checked_before_its_first_picture(void **state)
{
    (void)state;
    spill_text("poem", "moon\nlake | | moon\n\nmountain\nat 12:30\n|\n");
    REFUSED("poem: line 2: text has an empty part between its '|' (bad as well: lines 5, 6)",
            "imagine", TOY, "--file", "poem");
    spill_text("list.yml", "use: ./toy.yml\npictures:\n  - text: moon\n  - llp: 1280\n");
    REFUSED("channels 0 to 1279", "imagine", "--quiet", "--preset", "list.yml");
    spill_text("list.yml", "use: ./toy.yml\npictures:\n  - text: moon\n  - text: 12:30\n");
    REFUSED("picture 2 of the preset: the weight 30", "imagine", "--quiet", "--preset", "list.yml");
    spill_text("list.yml",
               "use: ./toy.yml\npictures:\n  - text: moon\n  - {text: lake, start: gone.png}\n");
    REFUSED("gone.png", "imagine", "--quiet", "--preset", "list.yml");
    assert_int_equal(files_in("gallery"), 0);
}

static void it_is_said_how_a_text_with_weights_was_read(void **state)
{
    (void)state;
    process p = run("imagine", "--preset", "toy.yml", "山：1 ｜ 梦：０．５", "--out", "a.png");
    assert_int_equal(p.status, 0);
    assert_non_null(strstr(p.err, "feavis: the text is read as \"山\" with weight 1, \"梦\" with "
                                  "weight 0.5\n"));
    process_free(&p);
    recipe_holds("a.png", "text: \"山:1 | 梦:0.5\"\n");
    p = run("imagine", "--preset", "toy.yml", "比例 16:9", "--out", "b.png");
    assert_int_equal(p.status, 0);
    assert_non_null(strstr(p.err,
                           "\"比例 16\" with weight 9 (a colon of the text itself is written "
                           "\\:)\n"));
    process_free(&p);
    p = run("imagine", "--quiet", "--preset", "toy.yml", "moon:2", "--out", "c.png");
    assert_int_equal(p.status, 0);
    assert_string_equal(p.err, "");
    process_free(&p);
    p = run("imagine", "--preset", "toy.yml", "moon | lake", "--out", "d.png");
    assert_null(strstr(p.err, "is read as"));
    process_free(&p);
    REFUSED("write \\:30", "imagine", TOY, "the clock says 12:30", "--out", "e.png");
    assert_false(exists("e.png"));
    SUCCEEDS_QUIETLY("imagine", TOY, "the clock says 12\\:30", "--out", "f.png");
    recipe_holds("f.png", "text: \"the clock says 12\\u005C:30\"\n");
}

/* --- pictures --- */

static void pictures_of_presets(void **state)
{
    (void)state;
    spill_text("list.yml", "use: ./toy.yml\nseed: 3\npictures:\n"
                           "  - text: moon\n  - {text: lake, seed: 4}\n  - llp: 7\n");
    char *out = SUCCEEDS("imagine", "--quiet", "--preset", "list.yml", "--gallery", "mine");
    assert_string_equal(out, "mine/moon-3.png\nmine/lake-4.png\nmine/llp-7-3.png\n");
    free(out);
    out = SUCCEEDS("imagine", "--quiet", "--preset", "list.yml", "dream", "--seed", "9");
    assert_string_equal(out, "gallery/dream-9.png\n");
    free(out);
    spill_text("bad.yml", "use: ./toy.yml\npictures:\n  - text: moon\n  - txet: lake\n");
    REFUSED("bad.yml:4", "imagine", "--quiet", "--preset", "bad.yml");
    out = SUCCEEDS("neuron", TOY, "7,12:0.5");
    assert_string_equal(out, "gallery/llp-7-12-0-5-1.png\n");
    free(out);
    recipe_holds("gallery/llp-7-12-0-5-1.png", "llp: \"7,12:0.5\"\n");
    recipe_holds("gallery/llp-7-12-0-5-1.png",
                 "start-noise: 0.3\n"); /* grey may give no gradient */
    SUCCEEDS_QUIETLY("neuron", TOY, "7", "--start-noise", "0.01", "--out", "grey.png");
    recipe_holds("grey.png", "start-noise: 0.01\n");
}

static void again_is_the_same_to_the_byte(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("imagine", TOY, "moon:1 | \"lake\" \\| \xe2\x80\xa8 梦:-0.5", "--param",
                     "multires", "--out", "first.png");
    char *out = SUCCEEDS("again", TOY, "first.png", "--out", "second.png");
    assert_string_equal(out, "second.png\n");
    free(out);
    same_files("first.png", "second.png");
    SUCCEEDS_QUIETLY("again", TOY, "first.png", "--seed", "5", "--out", "other.png");
    recipe_holds("other.png", "seed: 5\n");
    SUCCEEDS_QUIETLY("imagine", "moon", "--checkpoint", toy_checkpoint, "--config", toy_config,
                     "--vocab", toy_vocab, "--steps", "1", "--size", "32", "--quiet", "--out",
                     "n.png");
    recipe_holds("n.png", "param: vqgan\n"); /* the preset normal, as none is said */
    recipe_holds("n.png", "views: 3\n");
    spill_text("texts.yml", "title: texts alone\npictures:\n  - text: moon\n");
    SUCCEEDS_QUIETLY("imagine", "--preset", "texts.yml", "--checkpoint", toy_checkpoint, "--config",
                     toy_config, "--vocab", toy_vocab, "--steps", "1", "--size", "32", "--quiet",
                     "--out", "n.png");
    recipe_holds("n.png", "param: vqgan\n"); /* nor by a list of texts */
    SUCCEEDS_QUIETLY("again", TOY, "first.png", "--generator", "maco", "--out", "maco.png");
    recipe_holds("maco.png", "param: maco\n"); /* another spelling */
    spill_text("page.png", "<html>");
    REFUSED("not a PNG", "again", "page.png");
    fv_picture p = {1, 1, (uint8_t[3]){1, 2, 3}};
    MUST(fv_picture_write(&p, "plain.png", NULL));
    REFUSED("holds no feavis recipe", "again", "plain.png");
    MUST(fv_picture_write(&p, "odd.png", "feavis: 1\nsize: huge\n"));
    REFUSED("odd.png:2: size is \"huge\"", "again", "odd.png");
    MUST(fv_picture_write(&p, "gone.png", "feavis: 1\ntext: a\nconfig: gone.yml\n"));
    REFUSED("gone.yml", "again", "--quiet", "gone.png");
}

static void several_seeds_differ_more_by_diversity(void **state)
{
    (void)state;
    char *out = SUCCEEDS("imagine", TOY, "moon", "--seeds", "3", "--seed", "7");
    assert_string_equal(out, "gallery/moon-7.png\ngallery/moon-8.png\ngallery/moon-9.png\n");
    free(out);
    recipe_holds("gallery/moon-9.png", "seed: 9\n");
    out = SUCCEEDS("imagine", TOY, "moon", "--seeds", "3", "--seed", "7", "--diversity",
                   "0.5@blocks.3.1", "--gallery", "d", "--term", "blocks.2.0 *0.01");
    assert_string_equal(out, "d/moon-blocks-2-0-0-01-7.png\nd/moon-blocks-2-0-0-01-8.png\n"
                             "d/moon-blocks-2-0-0-01-9.png\n");
    free(out);
    recipe_holds("d/moon-blocks-2-0-0-01-7.png", "term: \"blocks.2.0 *0.01\"\n");
    recipe_holds("d/moon-blocks-2-0-0-01-9.png",
                 "term: \"blocks.2.0 *0.01 | blocks.3.1:unlike=moon-blocks-2-0-0-01-7.png#");
    recipe_holds("d/moon-blocks-2-0-0-01-9.png",
                 " *0.25 | blocks.3.1:unlike=moon-blocks-2-0-0-01-8.png#");
    SUCCEEDS_QUIETLY("again", TOY, "d/moon-blocks-2-0-0-01-9.png", "--out", "copy.png");
    same_files("d/moon-blocks-2-0-0-01-9.png", "copy.png");
    SUCCEEDS_QUIETLY("neuron", TOY, "5", "--seeds", "2", "--diversity", "1", "--gallery", "n");
    recipe_holds("n/llp-5-2.png", "term: \"LLP:unlike=llp-5-1.png#");

    unlink("d/moon-blocks-2-0-0-01-8.png");
    REFUSED("there is no file moon-blocks-2-0-0-01-8.png, neither beside the recipe nor here",
            "again", TOY, "d/moon-blocks-2-0-0-01-9.png", "--out", "copy.png");
    REFUSED("give --seeds N", "imagine", TOY, "moon", "--diversity", "1");
    REFUSED("expected a weight", "imagine", TOY, "moon", "--seeds", "2", "--diversity", "much");
    REFUSED("expected a weight", "imagine", TOY, "moon", "--seeds", "2", "--diversity", "1@");
    REFUSED("more than 16 terms", "imagine", TOY, "moon", "--seeds", "18", "--diversity", "1");
    REFUSED("the nearest is", "imagine", TOY, "moon", "--seeds", "2", "--diversity", "1@blocks.9");
    REFUSED("--out takes one picture, but there are 2", "imagine", TOY, "moon", "--seeds", "2",
            "--out", "x.png");
    REFUSED("takes no --seeds", "again", "--seeds", "2", "copy.png");
}

/* A state's recipe begins with these lines as well: its header is JSON, with a length before it. */
static void put_into_state(const char *from, const char *to, const char *lines)
{
    size_t size, more = strlen(lines);
    char *file = slurp(from, &size), *at = memmem(file, size, "feavis: ", 8), *out;
    uint64_t header;
    memcpy(&header, file, 8);
    assert_non_null(at);
    at = strstr(at, "\\u000a") + 6;
    size_t lead = (size_t)(at - file), pad = (8 - (header + more) % 8) % 8;
    assert_non_null(out = malloc(size + more + pad));
    memcpy(out, file, lead);
    memcpy(out + lead, lines, more);
    memcpy(out + lead + more, at, 8 + header - lead);
    memset(out + 8 + header + more, ' ', pad);
    memcpy(out + 8 + header + more + pad, file + 8 + header, size - 8 - header);
    header += more + pad;
    memcpy(out, &header, 8);
    spill(to, out, size + more + pad);
    free(file);
    free(out);
}

/* What a picture, a state or a preset says of places to write goes to stderr and nowhere else. */
static void files_from_elsewhere_choose_no_place(void **state)
{
    (void)state;
    char *recipe, *evil;
    size_t size;
    spill_text("victim", "kept");
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--out", "good.png", "--state", "good.safetensors");
    MUST(fv_recipe_read(&recipe, "good.png"));
    assert_true(asprintf(&evil, "%sout: victim\nstate: victim\ngallery: victims\nthreads: 1024\n",
                         recipe) > 0);
    fv_picture p;
    MUST(fv_picture_read(&p, "good.png"));
    MUST(fv_picture_write(&p, "evil.png", evil));
    put_into_state("good.safetensors", "evil.safetensors",
                   "out: victim\\nstate: victim\\ngallery: victims\\ndevice: cuda\\n");
    char preset[4096];
    char *toy = slurp("toy.yml", NULL);
    snprintf(preset, sizeof preset, "%sout: victim\ngallery: victims\n", toy);
    spill_text("evil.yml", preset);
    const char *const runs[3][4] = {
        {"again", "evil.png", "toy.yml", "out, state, gallery, threads"},
        {"resume", "evil.safetensors", NULL, "out, state, gallery, device"},
        {"imagine", "moon", "evil.yml", "out, gallery"}};
    for (int i = 0; i < 3; i++) {
        char line[256];
        process r = runs[i][2] ? run(runs[i][0], "--quiet", "--preset", runs[i][2], runs[i][1])
                               : run(runs[i][0], "--quiet", runs[i][1]);
        if (r.status != 0) fail_msg("%s: status %d: %s", runs[i][0], r.status, r.err);
        snprintf(line, sizeof line,
                 "feavis: %s sets %s: left, as no file says where to write or to compute\n",
                 i < 2 ? runs[i][1] : runs[i][2], runs[i][3]);
        assert_string_equal(r.err, line);
        assert_true(strncmp(r.out, "gallery/moon-1", 14) == 0);
        process_free(&r);
    }
    char *kept = slurp("victim", &size);
    assert_string_equal(kept, "kept");
    assert_false(exists("victims"));
    assert_int_equal(files_in("gallery"), 3);
    same_files("gallery/moon-1.png", "good.png");
    free(kept);
    free(toy);
    free(evil);
    free(recipe);
    fv_picture_free(&p);
}

/* A picture shows nothing of the disk it was made on, and is made again where its files are. */
static void pictures_hold_no_private_paths(void **state)
{
    (void)state;
    char here[1024], *recipe;
    size_t size;
    assert_non_null(getcwd(here, sizeof here));
    mkdir("private", 0777);
    mkdir("shared", 0777);
    uint8_t rgb[12 * 12 * 3] = {200};
    MUST(fv_picture_write(&(fv_picture){12, 12, rgb}, "private/caf\xe9.png", NULL));
    char start[2048];
    snprintf(start, sizeof start, "%s/private/caf\xe9.png", here);
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--start", start, "--out", "shared/p.png", "--state",
                     "s.safetensors");
    char *png = slurp("shared/p.png", &size);
    assert_null(memmem(png, size, here, strlen(here)));
    assert_null(memmem(png, size, "private", 7));
    assert_null(memmem(png, size, "towers", 6));
    free(png);
    MUST(fv_recipe_read(&recipe, "shared/p.png"));
    assert_non_null(strstr(recipe, "start%: \"caf%E9.png\"\n"));
    assert_non_null(strstr(recipe, "checkpoint: \"lite0.pth\"\n"));
    free(recipe);

    REFUSED("the config of shared/p.png, cfg.yml, was found neither beside it nor here: give it "
            "with --config FILE",
            "again", "--quiet", "shared/p.png");
    REFUSED("neither beside it nor here: give it with --start FILE", "again", TOY, "shared/p.png");
    SUCCEEDS_QUIETLY("again", TOY, "shared/p.png", "--start", start, "--out", "a.png");
    same_files("a.png", "shared/p.png");
    uint8_t other[12 * 12 * 3] = {100};
    MUST(fv_picture_write(&(fv_picture){12, 12, other}, "other.png", NULL));
    REFUSED("not the one of the recipe", "again", TOY, "shared/p.png", "--start", "other.png");
    assert_int_equal(rename("private/caf\xe9.png", "shared/caf\xe9.png"), 0);
    SUCCEEDS_QUIETLY("again", TOY, "shared/p.png", "--out", "b.png");
    same_files("b.png", "shared/p.png");
    assert_int_equal(rename("shared/caf\xe9.png", "caf\xe9.png"), 0);
    SUCCEEDS_QUIETLY("again", TOY, "shared/p.png", "--out", "c.png");
    same_files("c.png", "shared/p.png");
    /* a state is nobody else's: it goes on from where its files are, and finds them moved too */
    SUCCEEDS_QUIETLY("resume", "--quiet", "s.safetensors", "--out", "d.png");
    same_files("d.png", "shared/p.png");
    assert_int_equal(rename("caf\xe9.png", "private/caf\xe9.png"), 0);
    SUCCEEDS_QUIETLY("resume", "--quiet", "s.safetensors", "--out", "e.png");
    same_files("e.png", "shared/p.png");
}

/* Nothing in it steers a terminal: line feeds are the only controls, and nothing reorders letters.
 */
static void is_plain(const char *what, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool c1 = *at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0;
        bool bidi = *at == 0xe2 && at[1] == 0x80 && at[2] >= 0xaa && at[2] <= 0xae;
        if ((*at < 0x20 && *at != '\n') || *at == 0x7f || c1 || bidi)
            fail_msg("%s: byte %d of \"%s\"", what, (int)(at - (const unsigned char *)text), text);
    }
}

/* Recipes come from anywhere: one that holds commands of a terminal is printed without them. */
static void a_recipe_does_not_steer_the_terminal(void **state)
{
    (void)state;
    static const char recipe[] = "feavis: 0.1.0\ntext: \"moon\\e[31m "
                                 "\\a\\x7f\\x9b\\u202e\\e]0;x\\a\"\nat: \"lake\\e[1m: 4,0\"\n";
    static const char raw[] = "feavis: 0.1.0\ntext: \"\033[31mmoon\033]0;x\a\xc2\x9b\"\n";
    uint8_t rgb[12 * 12 * 3] = {90};
    MUST(fv_picture_write(&(fv_picture){12, 12, rgb}, "evil.png", recipe));
    MUST(fv_picture_write(&(fv_picture){12, 12, rgb}, "raw.png", raw));
    static const char *const runs[][8] = {
        {"info", "evil.png"},
        {"info", "evil.png", "--json"},
        {"info", "raw.png"},
        {"info", "raw.png", "--json"},
        {"again", "evil.png", "--preset", "toy.yml", "--out", "made.png"},
        {"again", "evil.png", "--preset", "toy.yml", "--out", "made.png", "--json"},
        {"xray", "evil.png", "--preset", "toy.yml", "--out", "xray"},
        {"places", "evil.png", "--preset", "toy.yml"},
        {"again", "evil.png", "--preset", "toy.yml", "--llp", "\033[31m"}};
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        const char *const *r = runs[i];
        process p = process_wait(process_start(r, NULL, 0, 0));
        if (i != 3 && i != 8 && p.status != 0) fail_msg("%s %s: %s", r[0], r[1], p.err);
        assert_true(*p.out || *p.err);
        is_plain(r[0], p.out);
        is_plain(r[0], p.err);
        process_free(&p);
    }
    char *out = SUCCEEDS("info", "raw.png");
    assert_non_null(strstr(out, "\xef\xbf\xbd[31mmoon\xef\xbf\xbd]0;x"));
    free(out);
    /* whole texts, other alphabets and what letters are composed of stay */
    char *shown = fv_text_shown("e\xcc\x81 \xe6\x9c\x88 \xf0\x9f\x8c\x99\xff\tx", false);
    assert_string_equal(shown, "e\xcc\x81 \xe6\x9c\x88 \xf0\x9f\x8c\x99\xef\xbf\xbd\xef\xbf\xbdx");
    free(shown);
}

/* Beyond 2^53, where a double would round them; and one drawn, which is said and written down. */
static void seeds_of_64_bits_and_random_ones(void **state)
{
    (void)state;
    static const char *const seeds[] = {"18446744073709551615", "18446744073709551614",
                                        "9007199254740993"};
    size_t n, m;
    char *first = NULL;
    for (int i = 0; i < 3; i++) {
        char path[64], line[64];
        snprintf(path, sizeof path, "gallery/moon-%s.png", seeds[i]);
        snprintf(line, sizeof line, "seed: %s\n", seeds[i]);
        SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--seed", seeds[i]);
        recipe_holds(path, line);
        fv_picture p;
        MUST(fv_picture_read(&p, path));
        n = (size_t)p.width * (size_t)p.height * 3;
        if (first) assert_memory_not_equal(first, p.rgb, n);
        if (!first) assert_non_null(first = malloc(n));
        memcpy(first, p.rgb, n);
        fv_picture_free(&p);
        SUCCEEDS_QUIETLY("again", TOY, path, "--out", "again.png");
        same_files(path, "again.png");
    }
    free(first);
    /* one for all pictures of a run */
    spill_text("list.yml", "use: ./toy.yml\npictures:\n  - text: lake\n  - text: dream\n");
    process r = run("imagine", "--quiet", "--preset", "list.yml", "--seed", "random");
    uint64_t seed;
    assert_int_equal(r.status, 0);
    assert_int_equal(sscanf(r.err, "feavis: the seed is %" SCNu64, &seed), 1);
    char paths[128];
    snprintf(paths, sizeof paths, "gallery/lake-%" PRIu64 ".png\ngallery/dream-%" PRIu64 ".png\n",
             seed, seed);
    assert_string_equal(r.out, paths);
    process_free(&r);
    char path[64];
    snprintf(path, sizeof path, "gallery/lake-%" PRIu64 ".png", seed);
    SUCCEEDS_QUIETLY("again", TOY, path, "--out", "lake.png");
    char *a = slurp(path, &n), *b = slurp("lake.png", &m);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
    REFUSED("seed is \"18446744073709551616\"", "imagine", TOY, "moon", "--seed",
            "18446744073709551616");
}

/* Until the program's stderr holds these words, or it has ended. */
static void wait_for(const char *words)
{
    for (int i = 0; i < 60000; i++) {
        char *err = exists("stderr") ? slurp("stderr", NULL) : NULL;
        bool found = err && strstr(err, words);
        free(err);
        if (found) return;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    fail_msg("the program did not say %s within a minute", words);
}

static void a_stopped_picture_goes_on_as_if_nothing_happened(void **state)
{
    (void)state;
    char steps[16], first[32];
    process p;
    for (int count = 16;; count *= 2) { /* longer, should the signal come after the end */
        snprintf(steps, sizeof steps, "%d", count);
        snprintf(first, sizeof first, "step 1/%d", count);
        unlink("stderr");
        pid_t child = process_start((const char *const[]){"imagine", "moon", "--preset", "toy.yml",
                                                          "--steps", steps, "--out", "cut.png",
                                                          "--state", "cut.safetensors", NULL},
                                    NULL, 0, 0);
        wait_for(first);
        kill(child, SIGINT);
        p = process_wait(child);
        if (p.status == 130) break;
        if (p.status != 0 || count > 200) fail_msg("status %d: %s", p.status, p.err);
        process_free(&p);
    }
    assert_non_null(strstr(p.err, "stopped; keeping the picture so far"));
    assert_string_equal(p.out, "cut.png\n");
    process_free(&p);
    recipe_holds("cut.png", "stop: ");
    SUCCEEDS_QUIETLY("again", TOY, "cut.png", "--out", "cut-again.png");
    same_files("cut.png", "cut-again.png");
    SUCCEEDS_QUIETLY("resume", "--quiet", "cut.safetensors", "--out", "resumed.png");
    /* what is asked for otherwise from here on stands in the recipe, or is refused */
    SUCCEEDS_QUIETLY("resume", "--quiet", "cut.safetensors", "--rate", "0.125", "--text", "lake",
                     "--out", "otherwise.png");
    recipe_holds("otherwise.png", "option: rate, value: \"0.125\"");
    SUCCEEDS_QUIETLY("again", TOY, "otherwise.png", "--out", "otherwise-again.png");
    same_files("otherwise.png", "otherwise-again.png");
    REFUSED("views is \"3\", and was \"", "resume", "--quiet", "cut.safetensors", "--views", "3");
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--steps", steps, "--out", "whole.png");
    same_files("whole.png", "resumed.png");

    REFUSED("not a saved state", "resume", "--quiet",
            source_file("tests/golden/weights/odd.safetensors"));
    size_t size;
    char *saved = slurp("cut.safetensors", &size);
    spill("half.safetensors", saved, size / 2);
    free(saved);
    REFUSED("half.safetensors", "resume", "--quiet", "half.safetensors");
}

/* A terminal that is closed: the picture so far is kept, as with Ctrl-C; under nohup it goes on. */
static void a_hangup_keeps_the_picture(void **state)
{
    (void)state;
    for (int ignored = 0; ignored < 2; ignored++) {
        unlink("stderr");
        signal(SIGHUP, ignored ? SIG_IGN : SIG_DFL);
        pid_t child =
            process_start((const char *const[]){"imagine", "moon", "--preset", "toy.yml", "--steps",
                                                "100000", "--out", "cut.png", NULL},
                          NULL, 0, 0);
        signal(SIGHUP, SIG_DFL);
        wait_for("step 1/100000");
        kill(child, SIGHUP);
        kill(child, SIGHUP);
        if (ignored) {
            nanosleep(&(struct timespec){0, 200000000}, NULL);
            assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
            kill(child, SIGTERM);
        }
        process p = process_wait(child);
        assert_int_equal(p.status, 130);
        assert_string_equal(p.out, "cut.png\n");
        process_free(&p);
        recipe_holds("cut.png", "stop: ");
        unlink("cut.png");
    }
}

/* --- places that cannot be written to --- */

static void places_that_cannot_be_written_to(void **state)
{
    (void)state;
    spill_text("plain", "kept");
    mkdir("folder", 0777);
    REFUSED("plain", "imagine", TOY, "moon", "--gallery", "plain");
    REFUSED("plain/deeper", "imagine", TOY, "moon", "--gallery", "plain/deeper");
    REFUSED("no/such", "imagine", TOY, "moon", "--gallery", "no/such");
    REFUSED("no/such/x.png", "imagine", TOY, "moon", "--out", "no/such/x.png");
    REFUSED("plain/x.png", "imagine", TOY, "moon", "--out", "plain/x.png");
    /* what cannot be known before the work does not lose it */
    REFUSED("the picture is in gallery/moon-1.png", "imagine", TOY, "moon", "--out", "/dev/full");
    char *kept = slurp("plain", NULL);
    assert_string_equal(kept, "kept");
    free(kept);
    /* a folder is seen before the model is opened, so before the work */
    REFUSED("folder", "imagine", TOY, "moon", "--checkpoint", "gone.pth", "--out", "folder");
    REFUSED("folder/", "imagine", TOY, "moon", "--checkpoint", "gone.pth", "--out", "folder/");
    assert_int_equal(files_in("folder"), 0);
    assert_int_equal(files_in("gallery"), 1);
    /* the picture is there although its state cannot be saved */
    REFUSED("/dev/full", "imagine", TOY, "moon", "--out", "x.png", "--state", "/dev/full");
    recipe_holds("x.png", "text: \"moon\"\n");
}

static void a_state_that_cannot_be_saved_is_said_before_the_work(void **state)
{
    (void)state;
    assert_int_equal(mkdir("folder", 0777), 0);
    REFUSED("no/such/s", "imagine", TOY, "moon", "--out", "x.png", "--state", "no/such/s");
    REFUSED("it is a folder", "imagine", TOY, "moon", "--out", "x.png", "--state", "folder");
    assert_false(exists("x.png"));
}

static void a_picture_and_its_state_are_two_files(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--out", "x.png", "--state", "s");
    assert_int_equal(symlink(".", "here"), 0);
    assert_int_equal(symlink("x.png", "link.png"), 0);
    static const char *const names[][2] = {{"y.png", "y.png"},      {"y.png", "./y.png"},
                                           {"here/y.png", "y.png"}, {"x.png", "link.png"},
                                           {"link.png", "x.png"},   {"x.png", "here/x.png"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        REFUSED("are the same file", "imagine", TOY, "lake", "--out", names[i][0], "--state",
                names[i][1]);
        REFUSED("are the same file", "again", "x.png", "--quiet", "--out", names[i][0], "--state",
                names[i][1]);
        REFUSED("are the same file", "resume", "s", "--quiet", "--out", names[i][0], "--state",
                names[i][1]);
    }
    REFUSED("are the same file", "resume", "s", "--quiet", "--out", "./s");
    recipe_holds("x.png", "text: \"moon\"\n");
    assert_false(exists("y.png"));
    SUCCEEDS_QUIETLY("resume", "s", "--quiet", "--out", "x.png", "--state", "./s");
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--out", "/dev/null", "--state", "s2");
}

static void nothing_is_written_over_what_is_read(void **state)
{
    (void)state;
    size_t n, k;
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--out", "x.png", "--state", "s");
    char *before = slurp("x.png", &n), *poem;
    spill_text("poem", "moon\nlake\n");
    assert_int_equal(link("x.png", "hard.png"), 0);
    REFUSED("--out and --csv are the same file", "imagine", TOY, "lake", "--out", "y.png", "--csv",
            "./y.png");
    REFUSED("--csv and --state are the same file", "neuron", TOY, "3", "--state", "y", "--csv",
            "y");
    REFUSED("--save-codes and --csv are the same file", "imagine", TOY, "lake", "--save-codes",
            "y.csv", "--csv", "y.csv");
    REFUSED("--csv and --file are the same file", "imagine", TOY, "--file", "poem", "--csv",
            "poem");
    REFUSED("--out and --start are the same file", "imagine", TOY, "lake", "--start", "x.png",
            "--out", "hard.png");
    REFUSED("--csv and --start are the same file", "neuron", TOY, "3", "--start", "x.png", "--csv",
            "x.png");
    REFUSED("--state and --checkpoint are the same file", "imagine", "moon", "--quiet", "--preset",
            "toy.yml", "--state", toy_checkpoint);
    static const char *const own[] = {"--out", "--csv", "--state"};
    for (int i = 0; i < 3; i++)
        REFUSED("the picture to make again are the same file", "again", TOY, "x.png", own[i],
                "./x.png");
    REFUSED("--csv and the state to resume are the same file", "resume", "s", "--quiet", "--csv",
            "s");
    REFUSED("are the same file", "codes", "x.png", "--out", "x.png");
    REFUSED("are the same file", "convert", "s", "--out", "./s");
    REFUSED("--sheet and a picture to judge are the same file", "judge", ".", "--sheet",
            "hard.png");
    REFUSED("--csv and --sheet are the same file", "judge", ".", "--csv", "y.png", "--sheet",
            "y.png");
    char *after = slurp("x.png", &k);
    assert_true(n == k && memcmp(before, after, n) == 0);
    poem = slurp("poem", &k);
    assert_true(k == 10 && memcmp(poem, "moon\nlake\n", k) == 0);
    free(poem);
    free(before);
    free(after);
    assert_false(exists("y.png") || exists("y") || exists("y.csv"));
    SUCCEEDS_QUIETLY("imagine", TOY, "lake", "--start", "x.png", "--out", "y.png", "--csv", "y.csv",
                     "--state", "/dev/null");
}

static void a_pipe_without_another_end_is_not_waited_for(void **state)
{
    (void)state;
    assert_int_equal(mkfifo("pipe.png", 0666), 0);
    REFUSED("pipe.png", "info", "pipe.png");
    REFUSED("not a regular file", "imagine", TOY, "moon", "--vocab", "pipe.png");
    assert_int_equal(unlink("stderr"), 0);
    pid_t child = process_start(
        (const char *const[]){"imagine", "--preset", "toy.yml", "moon", "--out", "pipe.png", NULL},
        NULL, 0, 0);
    struct stat st = {0};
    const struct timespec pause = {.tv_nsec = 20000000};
    while (stat("stderr", &st) != 0 || st.st_size == 0) nanosleep(&pause, NULL);
    siginfo_t ended = {0};
    while (!exists("gallery/moon-1.png") && !ended.si_pid) {
        kill(child, SIGHUP); /* the first may end the steps, a later one the wait for a reader */
        nanosleep(&pause, NULL);
        assert_int_equal(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT), 0);
    }
    process p = process_wait(child);
    assert_int_equal(p.status, 1);
    assert_non_null(strstr(p.err, "the picture is in gallery/moon-1.png"));
    process_free(&p);
}

static void a_full_disk_loses_nothing_made_before(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("imagine", TOY, "moon");
    int before = files_in("gallery");
    refused(process_wait(
                process_start((const char *const[]){"imagine", TOY, "moon", NULL}, NULL, 0, 1000)),
            "File too large", "full disk");
    assert_int_equal(files_in("gallery"), before);
    recipe_holds("gallery/moon-1.png", "text: \"moon\"\n");
    /* one of a list fails: those before it stay */
    spill_text("list.yml", "use: ./toy.yml\npictures:\n  - text: lake\n"
                           "  - {text: dream, checkpoint: gone.pth}\n  - text: mountain\n");
    REFUSED("gone.pth", "imagine", "--quiet", "--preset", "list.yml");
    recipe_holds("gallery/lake-1.png", "text: \"lake\"\n");
    assert_int_equal(files_in("gallery"), before + 1);
}

/* --- info, presets, probe --- */

static void info_tells_of_model_picture_and_presets(void **state)
{
    (void)state;
    char *out = SUCCEEDS("info");
    assert_non_null(strstr(out, "BriVL-mini"));
    free(out);
    out = SUCCEEDS("info", "--print-plan", TOY);
    assert_non_null(strstr(out, "tf_efficientnet_lite0 at 72 x 72"));
    assert_non_null(strstr(out, "imgencoder.learnable.imgFC.fc2"));
    free(out);
    fv_picture p = {1, 1, (uint8_t[3]){1, 2, 3}};
    static const char recipe[] = "feavis: 0.1.0\ntext: \"梦\"\n";
    MUST(fv_picture_write(&p, "p.png", recipe));
    out = SUCCEEDS("info", "p.png");
    assert_string_equal(out, recipe);
    free(out);
    out = SUCCEEDS("info", "--tensors", source_file("tests/golden/weights/script.pt"));
    assert_non_null(strstr(out, "layers.1.weight F32 [2, 3]\n"));
    free(out);
    REFUSED("No such file", "info", "nowhere.png");
    REFUSED("expected .safetensors", "info", "toy.yml");
    out = SUCCEEDS("presets");
    assert_non_null(strstr(out, "draft"));
    assert_non_null(strstr(out, "concepts"));
    free(out);
}

static void npy_is(const char *path, int ndim, const int64_t *dims)
{
    fv_npy *a;
    MUST(fv_npy_open(&a, path));
    const fv_entry *e = fv_npy_entry(a);
    assert_int_equal(e->ndim, ndim);
    for (int i = 0; i < ndim; i++) assert_int_equal(e->dims[i], dims[i]);
    fv_npy_close(a);
}
#define NPY_IS(path, ndim, ...) npy_is(path, ndim, (const int64_t[]){__VA_ARGS__})

/* A normalised picture and the ids of "the moon", as another implementation would give them. */
static void write_arrays(void)
{
    enum { SIDE = 72, LENGTH = 16 };
    static float pixels[3 * SIDE * SIDE];
    for (size_t i = 0; i < 3 * SIDE * SIDE; i++) pixels[i] = (float)(i * 7919 % 1000) / 500 - 1;
    MUST(fv_npy_save_f32("image.npy", pixels, 4, (const int64_t[]){1, 3, SIDE, SIDE}));
    MUST(fv_npy_save_f32("flat.npy", pixels, 3, (const int64_t[]){3, SIDE, SIDE}));
    MUST(fv_npy_save_f32("small.npy", pixels, 4, (const int64_t[]){1, 3, SIDE, SIDE - 1}));
    MUST(fv_npy_save_f32("two.npy", pixels, 2, (const int64_t[]){3, SIDE}));
    fv_vocab *v;
    fv_tokens t;
    float ids[LENGTH];
    MUST(fv_vocab_open(&v, toy_vocab));
    MUST(fv_tokenize(v, "the moon", LENGTH, &t));
    for (int i = 0; i < LENGTH; i++) ids[i] = (float)t.ids[i];
    MUST(fv_npy_save_f32("ids.npy", ids, 1, (const int64_t[]){LENGTH}));
    ids[3] = 100000;
    MUST(fv_npy_save_f32("large.npy", ids, 1, (const int64_t[]){LENGTH}));
    ids[3] = -1;
    MUST(fv_npy_save_f32("negative.npy", ids, 1, (const int64_t[]){LENGTH}));
    MUST(fv_npy_save_f32("none.npy", ids, 1, (const int64_t[]){0}));
    fv_tokens_free(&t);
    fv_vocab_free(v);
}

static void probe_writes_arrays(void **state)
{
    (void)state;
    write_arrays();
    char *by_text = SUCCEEDS("probe", TOY, "--image", "image.npy", "--text", "the moon", "--out",
                             "a", "--taps", "imgencoder.backbone.blocks.0.0.conv_pw");
    refused((process){1, strdup(""), strdup("feavis: x\n")}, "x", "the checker itself");
    NPY_IS("a/image_embedding.npy", 1, 1280);
    NPY_IS("a/text_embedding.npy", 1, 1280);
    NPY_IS("a/cosine.npy", 0, 0);
    NPY_IS("a/gradient.npy", 4, 1, 3, 72, 72);
    NPY_IS("a/imgencoder.backbone.blocks.0.0.conv_pw.npy", 4, 1, 16, 36, 36);
    char *by_ids = SUCCEEDS("probe", TOY, "--image", "flat.npy", "--ids", "ids.npy", "--out", "b",
                            "--taps", "blocks.0.0.conv_pw,d:blocks.0.0.conv_pw");
    same_files("a/imgencoder.backbone.blocks.0.0.conv_pw.npy", "b/blocks.0.0.conv_pw.npy");
    NPY_IS("b/d:blocks.0.0.conv_pw.npy", 4, 1, 16, 36, 36);
    assert_string_equal(by_ids, by_text);
    same_files("a/gradient.npy", "b/gradient.npy");
    free(by_text);
    free(by_ids);
    spill_text("broken.npy", "\x93NUMPY");
    REFUSED("--image", "probe", TOY, "moon");
    REFUSED("needs a text", "probe", TOY, "--image", "image.npy");
    REFUSED("[1,3,72,72]", "probe", TOY, "--image", "small.npy", "moon");
    REFUSED("[1,3,72,72]", "probe", TOY, "--image", "two.npy", "moon");
    REFUSED("broken.npy", "probe", TOY, "--image", "broken.npy", "moon");
    REFUSED("nowhere.npy", "probe", TOY, "--image", "nowhere.npy", "moon");
    REFUSED("100000", "probe", TOY, "--image", "image.npy", "--ids", "large.npy");
    REFUSED("-1", "probe", TOY, "--image", "image.npy", "--ids", "negative.npy");
    REFUSED("0 used", "probe", TOY, "--image", "image.npy", "--ids", "none.npy");
    REFUSED("hook imgencoder.backbone.blocks.0.0.conv_pv: there is no layer", "probe", TOY,
            "--image", "image.npy", "moon", "--taps", "imgencoder.backbone.blocks.0.0.conv_pv");
    REFUSED("toy.yml", "probe", TOY, "--image", "image.npy", "moon", "--out", "toy.yml");
}

/* --- model files that are not what they should be --- */

static void broken_model_files_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *name, *content;
    } files[] = {
        {"empty", ""},
        {"page", "<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"},
        {"pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2\nsize 1234\n"},
        {"words", "this is not what you are looking for\n"},
        {"shell", "cos\nsystem\n(S'touch owned'\ntR."}, /* a pickle that runs a program */
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *name = files[i].name;
        spill_text(name, files[i].content);
        REFUSED(name, "info", TOY, "--checkpoint", name);
        REFUSED(name, "info", TOY, "--config", name);
        REFUSED(name, "imagine", TOY, "moon", "--vocab", name);
    }
    assert_false(exists("owned"));
    size_t size;
    char *whole = slurp(toy_checkpoint, &size);
    static const int parts[] = {1, 10, 500, 990, 999};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        spill("cut.pth", whole, size / 1000 * (size_t)parts[i]);
        REFUSED("cut.pth", "imagine", TOY, "moon", "--checkpoint", "cut.pth");
    }
    free(whole);
    REFUSED("gone.pth", "info", TOY, "--checkpoint", "gone.pth");
    REFUSED("gone.yml", "info", TOY, "--config", "gone.yml");
    REFUSED("gone.txt", "imagine", TOY, "moon", "--vocab", "gone.txt");
    REFUSED("folder", "info", "--config", ".");
    REFUSED("backend", "info", TOY, "--backend", "abacus");
    REFUSED("device is \"gpu\"", "info", TOY, "--device", "gpu");
    /* no such GPU, no GPU, no driver, or a build without CUDA: one line that names it */
    REFUSED("cuda:999", "imagine", TOY, "moon", "--device", "cuda:999");
    assert_int_equal(files_in("gallery"), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(help_names_every_command_and_option),
        CASE(no_argument_and_no_display_is_a_picture),
        CASE(wrong_arguments_are_named),
        CASE(flags_and_words_without_a_use_are_refused),
        CASE(pictures_are_named_as_what_they_are),
        CASE(what_cannot_be_printed_is_a_failure),
        CASE(pictures_are_kept_although_nobody_reads_their_names),
        CASE(texts_from_arguments_files_and_standard_input),
        CASE(unreadable_texts),
        CASE(a_poem_is_read_as_every_list_is),
        CASE(a_list_is_checked_before_its_first_picture),
        CASE(it_is_said_how_a_text_with_weights_was_read),
        CASE(pictures_of_presets),
        CASE(again_is_the_same_to_the_byte),
        CASE(several_seeds_differ_more_by_diversity),
        CASE(files_from_elsewhere_choose_no_place),
        CASE(a_recipe_does_not_steer_the_terminal),
        CASE(seeds_of_64_bits_and_random_ones),
        CASE(pictures_hold_no_private_paths),
        CASE(a_stopped_picture_goes_on_as_if_nothing_happened),
        CASE(a_hangup_keeps_the_picture),
        CASE(places_that_cannot_be_written_to),
        CASE(a_state_that_cannot_be_saved_is_said_before_the_work),
        CASE(a_picture_and_its_state_are_two_files),
        CASE(nothing_is_written_over_what_is_read),
        CASE(a_pipe_without_another_end_is_not_waited_for),
        CASE(a_full_disk_loses_nothing_made_before),
        CASE(info_tells_of_model_picture_and_presets),
        CASE(probe_writes_arrays),
        CASE(broken_model_files_are_named),
    };
    return cmocka_run_group_tests_name("command line", tests, NULL, NULL);
}

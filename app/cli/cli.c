/* Arguments and help. Flags come from the option table. */
#include "app/cli/cli.h"
#include "app/cli/json.h"
#include "feavis/names.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *cli_shown(const char *text)
{
    static char *ring[16];
    static unsigned turn;
    char **at = &ring[turn++ % 16];
    free(*at);
    *at = fv_text_shown(text, false);
    return *at ? *at : "";
}

void cli_show_lines(FILE *to, const char *text)
{
    char *shown = fv_text_shown(text, true);
    fputs(shown ? shown : "", to);
    fv_free(shown);
}

int cli_fail(void)
{
    fprintf(stderr, "feavis: %s\n", cli_shown(fv_error()));
    return EXIT_FAILURE;
}

/* --- standard output --- */

static int output_error; /* errno of the first failure, if it was seen */

bool cli_flush(void)
{
    errno = 0;
    if (fflush(stdout) != 0 && !output_error) output_error = errno;
    return !ferror(stdout) && !output_error;
}

bool cli_unread(void)
{
    if (cli_flush()) return false;
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return output_error == EPIPE || (poll(&p, 1, 0) == 1 && (p.revents & POLLERR));
}

int cli_end(int status)
{
    bool unread = cli_unread(), written = cli_flush();
    if (fclose(stdout) != 0 && written) {
        output_error = errno;
        written = false;
    }
    if (written || status != EXIT_SUCCESS) return status;
    if (unread) return EXIT_UNREAD;
    fprintf(stderr, "feavis: writing to standard output: %s\n",
            output_error ? strerror(output_error) : "it cannot be written");
    return EXIT_FAILURE;
}

/* --- arguments --- */

void cli_tell(cli *c, const fv_options *o)
{
    const char *notice = fv_options_notice(o);
    if (!*notice || strncmp(notice, c->told, sizeof c->told - 1) == 0) return;
    snprintf(c->told, sizeof c->told, "%s", notice);
    fprintf(stderr, "feavis: %s\n", cli_shown(notice));
}

static fv_status add_word(cli *c, const char *word)
{
    size_t old = c->words ? strlen(c->words) : 0;
    char *more = realloc(c->words, old + strlen(word) + 2);
    if (!more) return fv_fail(FV_ERR_MEMORY, "reading arguments: out of memory");
    if (old) more[old++] = ' ';
    strcpy(more + old, word);
    c->words = more;
    return FV_OK;
}

/* Flags that are no options: where their value goes, which commands have a use for them, and help.
 */
typedef enum own_kind { OWN_TEXT, OWN_NUMBER, OWN_SWITCH, OWN_PRESET } own_kind;
typedef struct own_flag {
    const char *name;
    own_kind kind;
    size_t offset;
    const char *commands; /* with a space behind each; NULL: all */
    const char *value;    /* what stands for it in help: "FILE" */
    const char *help;
} own_flag;

static const own_flag own_flags[] = {
    {"preset", OWN_PRESET, 0, NULL, "NAME",
     "settings and pictures from presets/NAME.yml, or a .yml file; imagine, two, series: normal "
     "without"},
    {"file", OWN_TEXT, offsetof(cli, file), "imagine neuron compare series scroll ", "FILE",
     "one text a line; neuron: channels"},
    {"shard", OWN_TEXT, offsetof(cli, shard), "imagine neuron embed atlas ", "I/N",
     "worker I of N; what is there stays (gather)"},
    {"layer", OWN_TEXT, offsetof(cli, layer), "atlas ", "LAYER",
     "whose channels (LLP: the last one before pooling)"},
    {"channels", OWN_TEXT, offsetof(cli, channels), "atlas ", "A-B", "these of the layer alone"},
    {"photos", OWN_TEXT, offsetof(cli, photos), "atlas ", "SOURCE",
     "a folder: those that excite each channel most are shown with it"},
    {"words", OWN_TEXT, offsetof(cli, words_file), "atlas ", "FILE",
     "words to name channels with, one a line"},
    {"page", OWN_SWITCH, offsetof(cli, page), "atlas ", "",
     "the page of what is there; nothing is grown"},
    {"frames", OWN_NUMBER, offsetof(cli, frames), "walk ", "N",
     "frames from one stop to the next (12)"},
    {"against", OWN_TEXT, offsetof(cli, against), "two ", "NAME=VALUE",
     "what the second picture has otherwise: \"seed=8 | size=320\""},
    {"questions", OWN_NUMBER, offsetof(cli, questions), "quiz ", "N", "how many (10)"},
    {"carry", OWN_TEXT, offsetof(cli, carry), "series scroll ", "WHAT",
     "nothing, picture (the start of the next) or palette"},
    {"style", OWN_TEXT, offsetof(cli, style), "series scroll ", "TEXT",
     "a text that all of them share: \"水墨画:0.3\""},
    {"title", OWN_TEXT, offsetof(cli, title), "scroll ", "TEXT", "at its beginning, on the right"},
    {"seal", OWN_TEXT, offsetof(cli, seal), "scroll ", "TEXT", "one to four letters on red (梦)"},
    {"seeds", OWN_NUMBER, offsetof(cli, seeds), "imagine neuron ", "N",
     "N pictures, with seeds from --seed on"},
    {"diversity", OWN_TEXT, offsetof(cli, diversity), "imagine neuron ", "W[@LAYER]",
     "each of them pushed away from those before it (help terms)"},
    {"image", OWN_TEXT, offsetof(cli, image), "probe ", "FILE", "the picture, or a .npy"},
    {"ids", OWN_TEXT, offsetof(cli, ids), "probe ", "FILE", "token ids instead of a text"},
    {"taps", OWN_TEXT, offsetof(cli, taps), "probe ", "NAMES", "tensors to write"},
    {"images", OWN_TEXT, offsetof(cli, images), "match classify embed gap ", "SOURCE",
     "a folder, or a list of file names, one a line"},
    {"folder", OWN_TEXT, offsetof(cli, folder), "match classify embed gap ", "DIR",
     "where the files of that list are"},
    {"captions", OWN_TEXT, offsetof(cli, captions), "gap ", "FILE",
     "lines of a photo's name, a tab, its caption; without: photos' names say what they show"},
    {"texts", OWN_TEXT, offsetof(cli, texts), "match search ", "FILE",
     "one text a line, - for standard input"},
    {"pairs", OWN_TEXT, offsetof(cli, pairs), "match ", "order|FILE",
     "recall; text i belongs to image i, or to that on line i"},
    {"labels", OWN_TEXT, offsetof(cli, labels), "classify ", "FILE",
     "classes, a file or a name in presets/labels"},
    {"prompts", OWN_TEXT, offsetof(cli, prompts), "classify ", "FILE",
     "templates, a file or a name in presets/prompts"},
    {"index", OWN_TEXT, offsetof(cli, index), "search ", "FILE", "what embed has made"},
    {"export", OWN_TEXT, offsetof(cli, export), "search ", "faiss|npy",
     "the index as a file for FAISS or NumPy, to --out"},
    {"top", OWN_NUMBER, offsetof(cli, top), "match classify search atlas ", "N",
     "how many answers to show"},
    {"batch", OWN_NUMBER, offsetof(cli, batch), "match classify embed ", "N",
     "pictures a run of the network"},
    {"half", OWN_SWITCH, offsetof(cli, half), "embed convert ", "",
     "16-bit numbers (.safetensors)"},
    {"judge", OWN_TEXT, offsetof(cli, judge), "judge ", "FILE", "another judge"},
    {"csv", OWN_TEXT, offsetof(cli, csv), "judge imagine neuron again resume quiz ", "FILE",
     "a table as a file; of a picture: a row a step; quiz: the answers so far"},
    {"sheet", OWN_TEXT, offsetof(cli, sheet), "judge ", "FILE", "a contact sheet as a file"},
    {"script", OWN_TEXT, offsetof(cli, script), "window ", "FILE",
     "clicks and keys from a file (tests/ui)"},
    {"layers", OWN_SWITCH, offsetof(cli, layers), "info ", "", "every layer that --term can ask"},
    {"print-plan", OWN_SWITCH, offsetof(cli, plan), "info ", "", "every op of the network"},
    {"tensors", OWN_SWITCH, offsetof(cli, tensors), "info ", "",
     "of a checkpoint: every tensor on a line"},
    {"json", OWN_SWITCH, offsetof(cli, json),
     "imagine compare two series scroll walk places xray receipt neuron again resume info probe "
     "judge quiz presets match classify embed search convert codes gap gather atlas ",
     "", "results as JSON, an object a line (keys: app/README.md)"},
    {"quiet", OWN_SWITCH, offsetof(cli, quiet), NULL, "", "no progress"},
};

static const own_flag *find_own(const char *name)
{
    for (size_t i = 0; i < sizeof own_flags / sizeof own_flags[0]; i++)
        if (strcmp(own_flags[i].name, name) == 0) return &own_flags[i];
    return NULL;
}

static bool is_flag(const char *name)
{
    return find_own(name) || fv_option_find(name);
}

/* `word` is one of `list`, in which each has a space behind it. */
static bool listed(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; *at; at += strcspn(at, " ") + 1)
        if (strncmp(at, word, n) == 0 && at[n] == ' ') return true;
    return false;
}

/* Commands whose settings are those of the preset normal where no other says any; the option
 * table's are the library's. */
static const char by_preset[] = "imagine two series ";

/* Whether the command has a use for the flag. */
static fv_status check_use(const cli_command *k, const char *name)
{
    const own_flag *own = find_own(name);
    const fv_option *option = own ? NULL : fv_option_find(name);
    char group[64];
    if (own && own->commands && !listed(own->commands, k->name))
        return fv_fail(FV_ERR_ARGUMENT, "%s takes no --%s; it is for: %s", k->name, name,
                       own->commands);
    bool preset = own && own->kind == OWN_PRESET && !*k->options;
    snprintf(group, sizeof group, "@%s", option ? option->group : "");
    for (char *c = group; *c; c++)
        if (*c == ' ') *c = '-';
    bool used = !option || strcmp(k->options, "*") == 0 || listed(k->options, option->name) ||
                listed(k->options, group);
    return used && !preset ? FV_OK : fv_fail(FV_ERR_ARGUMENT, "%s takes no --%s", k->name, name);
}

bool cli_flag_at(int i, cli_flag *out)
{
    int count, own = (int)(sizeof own_flags / sizeof own_flags[0]);
    const fv_option *table = fv_option_table(&count);
    if (i >= count + own) return false;
    if (i < count) {
        const fv_option *o = &table[i];
        bool number = o->kind == FV_OPTION_INT || o->kind == FV_OPTION_FLOAT;
        *out = (cli_flag){.name = o->name,
                          .value = o->flags & FV_OPTION_FILE ? "FILE"
                                   : number                  ? "N"
                                                             : "VALUE",
                          .help = o->help,
                          .group = o->group,
                          .standard = o->value,
                          .choices = o->kind == FV_OPTION_BOOL ? "yes no" : o->choices};
    } else {
        const own_flag *o = &own_flags[i - count];
        *out = (cli_flag){.name = o->name,
                          .value = o->value,
                          .help = o->help,
                          .commands = o->commands,
                          .standard = ""};
    }
    return true;
}

bool cli_flag_used(const cli_command *k, const char *name)
{
    return check_use(k, name) >= 0;
}

static fv_status take_number(int *to, const char *name, const char *value)
{
    char *end;
    long x = strtol(value, &end, 10);
    if (end == value || *end || x < 1 || x > 1000000)
        return fv_fail(FV_ERR_ARGUMENT, "--%s is \"%.80s\", expected a number from 1 to 1000000",
                       name, value);
    *to = (int)x;
    return FV_OK;
}

/* *value behind what the same flag has said before. */
static fv_status join(cli *c, const char *name, const char **value)
{
    int i = c->flag_count - 2; /* the last one: it holds those before */
    while (i >= 0 && strcmp(c->flags[i], name) != 0) i -= 2;
    if (i < 0) return FV_OK;
    const char *before = c->flags[i + 1];
    char **more = realloc(c->joined, ((size_t)c->joined_count + 1) * sizeof *more);
    if (more) c->joined = more;
    if (!more || asprintf(&c->joined[c->joined_count], "%s | %s", before, *value) < 0)
        return fv_fail(FV_ERR_MEMORY, "reading arguments: out of memory");
    *value = c->joined[c->joined_count++];
    return FV_OK;
}

static fv_status take_flag(cli *c, const char *name, const char *value)
{
    const own_flag *own = find_own(name);
    char *at = (char *)c + (own ? own->offset : 0);
    if (own && own->kind == OWN_TEXT) {
        *(const char **)at = value;
        return FV_OK;
    }
    if (own && own->kind == OWN_NUMBER) return take_number((int *)at, name, value);
    if (own) {
        fv_preset_close(c->preset);
        c->preset = NULL;
        return fv_preset_open(&c->preset, value);
    }
    const fv_option *option = fv_option_find(name); /* NULL: fv_options_set says what is meant */
    if (option && option->flags & FV_OPTION_LIST) FV_TRY(join(c, name, &value));
    /* checked at once, so that a wrong flag is named before anything is read */
    FV_TRY(fv_options_set(c->options, name, value));
    if (option->kind == FV_OPTION_SEED && strcmp(value, "random") == 0) {
        /* one for all that is made now, also where flags are set a second time */
        snprintf(c->seed, sizeof c->seed, "%s", fv_options_get(c->options, name));
        fprintf(stderr, "feavis: the seed is %s\n", c->seed);
        value = c->seed;
    }
    c->flags[c->flag_count++] = name;
    c->flags[c->flag_count++] = value;
    return FV_OK;
}

/* Bytes of the dash at `at` that is no hyphen; 0: none. */
static size_t other_dash(const char *at)
{
    static const char *const dashes[] = {"‐", "‑", "‒", "–",  "—",  "―",
                                         "−", "⸺", "⸻", "﹘", "﹣", "－"};
    for (size_t i = 0; i < sizeof dashes / sizeof dashes[0]; i++)
        if (strncmp(at, dashes[i], 3) == 0) return 3;
    return 0;
}

/* "-steps", and "—steps" as some editors write --steps: a flag, and no text. One that begins with
 * other dashes is text unless it is a word in small letters, as flags are. */
static fv_status check_word(const char *arg)
{
    const char *name = arg;
    char flag[64];
    size_t n;
    bool hyphens = true;
    while ((n = *name == '-' ? 1 : other_dash(name))) {
        hyphens = hyphens && n == 1;
        name += n;
    }
    if (name == arg) return FV_OK;
    n = strspn(name, "abcdefghijklmnopqrstuvwxyz-");
    bool word = n && (!name[n] || name[n] == '=');
    bool letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z');
    if (!(hyphens ? letter : word)) return FV_OK;
    snprintf(flag, sizeof flag, "%.*s", (int)(n < 60 ? n : 60), name);
    if (word && is_flag(flag))
        return fv_fail(FV_ERR_ARGUMENT, "\"%.80s\" is no flag; did you mean --%s?", arg, flag);
    return fv_fail(FV_ERR_ARGUMENT,
                   "\"%.80s\" is no flag: flags begin with --; a text that begins so stands "
                   "behind -- alone",
                   arg);
}

static fv_status parse(cli *c, const cli_command *k, int argc, char **argv)
{
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        char *arg = argv[i];
        if (only_words || strncmp(arg, "--", 2) != 0) {
            if (!only_words) FV_TRY(check_word(arg));
            if (!k->words)
                return fv_fail(FV_ERR_ARGUMENT, "%s takes no words, but there is \"%.80s\"",
                               k->name, arg);
            FV_TRY(add_word(c, arg));
            continue;
        }
        arg += 2;
        if (!*arg) {
            only_words = true;
            continue;
        }
        char *value = strchr(arg, '=');
        if (value) *value++ = 0;
        const own_flag *own = find_own(arg);
        if (is_flag(arg)) FV_TRY(check_use(k, arg));
        if (own && own->kind == OWN_SWITCH) {
            if (value) return fv_fail(FV_ERR_ARGUMENT, "--%s takes no value", arg);
            *(bool *)((char *)c + own->offset) = true;
            continue;
        }
        if (!value && is_flag(arg)) {
            if (i + 1 == argc) return fv_fail(FV_ERR_ARGUMENT, "--%s needs a value", arg);
            value = argv[++i];
            bool flag = strncmp(value, "--", 2) == 0 && is_flag(value + 2);
            if (flag)
                return fv_fail(FV_ERR_ARGUMENT,
                               "--%s needs a value, and %s is a flag (as a value: --%s=%s)", arg,
                               value, arg, value);
        }
        FV_TRY(take_flag(c, arg, value ? value : ""));
    }
    return FV_OK;
}

bool cli_has_flag(const cli *c, const char *name)
{
    for (int i = 0; i < c->flag_count; i += 2)
        if (strcmp(c->flags[i], name) == 0) return true;
    return false;
}

/* The last one among the flags, or NULL. */
static const char *asked_generator(const cli *c)
{
    const fv_option *param = fv_option_find("param");
    for (int i = c->flag_count - 2; i >= 0; i -= 2)
        if (fv_option_find(c->flags[i]) == param) return c->flags[i + 1];
    return NULL;
}

/* Unless the preset that is asked for has settings: some are texts alone. */
static fv_status begin_with_normal(cli *c)
{
    fv_preset *normal;
    if (c->preset && fv_preset_has_options(c->preset)) return FV_OK;
    FV_TRY(fv_preset_open(&normal, "normal"));
    fv_status s = fv_preset_apply_for(normal, asked_generator(c), c->options);
    fv_preset_close(normal);
    return s;
}

fv_status cli_parse(cli *c, const cli_command *k, int argc, char **argv)
{
    *c = (cli){.commands = c->commands};
    c->flags = calloc(2 * (size_t)argc + 1, sizeof *c->flags);
    if (!c->flags) return fv_fail(FV_ERR_MEMORY, "reading arguments: out of memory");
    FV_TRY(fv_options_new(&c->options));
    FV_TRY(parse(c, k, argc, argv));
    json_ask(c->json);
    if (c->words && *k->words && cli_has_flag(c, k->words))
        return fv_fail(FV_ERR_ARGUMENT, "%s: \"%.80s\" and --%s are two of the same; give one",
                       k->name, c->words, k->words);
    /* presets first, whatever their place among the flags */
    fv_options *fresh;
    FV_TRY(fv_options_new(&fresh));
    fv_options_free(c->options);
    c->options = fresh;
    if (listed(by_preset, k->name)) FV_TRY(begin_with_normal(c));
    if (c->preset) FV_TRY(fv_preset_apply_for(c->preset, asked_generator(c), c->options));
    cli_tell(c, c->options);
    return cli_apply_flags(c, c->options);
}

fv_status cli_apply_flags(const cli *c, fv_options *o)
{
    for (int i = 0; i < c->flag_count; i += 2)
        FV_TRY(fv_options_set(o, c->flags[i], c->flags[i + 1]));
    return FV_OK;
}

static fv_status keep_start(cli *c, const char *folder)
{
    fv_picture p;
    FV_TRY(fv_gallery_prepare(folder));
    FV_TRY(fv_picture_read(&p, "-"));
    fv_status s = fv_gallery_add(folder, "start", 1, &p, NULL, &c->start);
    fv_picture_free(&p);
    for (int i = 0; s >= 0 && i < c->flag_count; i += 2)
        if (strcmp(c->flags[i], "start") == 0) c->flags[i + 1] = c->start;
    if (s >= 0 && !c->quiet) fprintf(stderr, "feavis: the start picture is %s\n", c->start);
    return s < 0 ? s : fv_options_set(c->options, "start", c->start);
}

fv_status cli_take_start(cli *c)
{
    if (!cli_has_flag(c, "start") || strcmp(fv_options_get(c->options, "start"), "-") != 0)
        return FV_OK;
    const char *out = fv_options_get(c->options, "out"), *slash = strrchr(out, '/');
    if (!*out) return keep_start(c, fv_options_get(c->options, "gallery"));
    char *folder = slash ? strndup(out, slash == out ? 1 : (size_t)(slash - out)) : strdup(".");
    fv_status s = folder ? keep_start(c, folder)
                         : fv_fail(FV_ERR_MEMORY, "keeping the start picture: out of memory");
    free(folder);
    return s;
}

fv_status cli_check_picture(const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    if (fv_picture_format_of(path) != FV_PICTURE_OTHER) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT,
                   "saving to %s: pictures are PNG, JPEG or WebP files, with their recipe inside; "
                   "name it %.*s.png",
                   path, (int)(dot - path), path);
}

void cli_catch_interrupts(void (*handler)(int))
{
    struct sigaction a = {.sa_handler = handler, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL); /* a second Ctrl-C ends the program at once */
    sigaction(SIGTERM, &a, NULL);
    struct sigaction hangup;
    sigaction(SIGHUP, NULL, &hangup);
    if (hangup.sa_handler == SIG_IGN) return; /* nohup: the work goes on */
    a.sa_flags = 0;                           /* a closed terminal may say so twice */
    sigaction(SIGHUP, &a, NULL);
}

void cli_clear(cli *c)
{
    fv_options_free(c->options);
    fv_preset_close(c->preset);
    free(c->words);
    free(c->start);
    free(c->flags);
    for (int i = 0; i < c->joined_count; i++) free(c->joined[i]);
    free(c->joined);
}

void cli_help(void)
{
    puts("feavis: what an image-text model imagines\n"
         "\n"
         "  feavis                          the window: type, watch, steer, keep\n"
         "  feavis imagine TEXT             let the picture of TEXT grow, save it to the gallery\n"
         "  feavis imagine --file POEM      one picture a line (- or --file -: standard input)\n"
         "  feavis imagine --preset NAME    the pictures of a preset, or its settings for TEXT\n"
         "  feavis imagine TEXT --seeds 4 --diversity 1   four pictures, each unlike those before\n"
         "  feavis imagine --term LAYER:K   what any layer, channel or neuron wants (help terms)\n"
         "  feavis compare TEXT --guide A --guide B     by each model and by both (help guides)\n"
         "  feavis two 蝴蝶 butterfly       two dreams side by side, and what differs (help two)\n"
         "  feavis series STORY.txt         a picture a sentence: sheet, scroll and film\n"
         "  feavis scroll POEM.txt --seal 梦想   a hand scroll: lines in ink, set vertically, a "
         "seal\n"
         "  feavis walk 春 夏 秋 冬         from one text or picture to the next: a film that "
         "loops\n"
         "  feavis neuron 108,456           what channels of the last layer before pooling want\n"
         "  feavis neuron 0-63              a picture of each of them (--file: of each line)\n"
         "  feavis atlas --out DIR          every channel of a layer as one page (help atlas)\n"
         "  feavis again PICTURE.png        the same picture from the recipe inside it\n"
         "  feavis resume STATE             go on from a state saved with --state\n"
         "  feavis info [PICTURE.png]       the model and what it needs, or a picture's recipe\n"
         "  feavis probe --image I --text T numbers as .npy: embeddings, cosine, gradient, taps\n"
         "  feavis places PICTURE [--at SPEC]   what the model sees in parts of a picture\n"
         "  feavis xray PICTURE [--text T]  what each word is worth, and where it pulls\n"
         "  feavis receipt PICTURE.png      one page: picture, curve, judges, neurons, words, "
         "model\n"
         "  feavis judge FOLDER             what an independent classifier sees in its pictures\n"
         "  feavis quiz [FOLDER]            which of five texts was it? (help quiz)\n"
         "  feavis presets                  list the presets\n"
         "  feavis match --images DIR --texts FILE      similarity matrix, the best of each\n"
         "  feavis classify --images DIR --labels FILE  zero-shot classes, confusion matrix\n"
         "  feavis embed --images DIR --out INDEX.npy   embeddings of many pictures\n"
         "  feavis search TEXT --index INDEX.npy        the pictures nearest to a text\n"
         "  feavis gap PHOTOS --captions FILE --out GAP.safetensors   what --plausible takes\n"
         "  feavis gather FOLDER            what workers of --shard have made, and what lacks\n"
         "  feavis convert CHECKPOINT.pth --out FILE.safetensors   only the towers in use\n"
         "  feavis codes PICTURE --decoder FILE --out CODES.csv    a VQGAN's codes, and back\n"
         "  feavis info CHECKPOINT [--config CFG]       what is in it, and whether it fits\n"
         "  feavis completion bash|zsh|fish  what a shell completes; feavis man: the manual page\n"
         "  feavis help COMMAND             how one is called, its flags and defaults "
         "每个命令的用法\n"
         "  feavis help options             every option\n"
         "  feavis help terms               asking any layer of the network\n"
         "  feavis help guides              several models for one picture\n"
         "  feavis help places              texts for parts of the picture 画面中的位置\n"
         "  feavis help two|quiz|xray|walk|receipt      each of these "
         "两个梦、猜题、逐词、漫步、单据\n"
         "  feavis help plausible           as photos are, and no further 不越过真实照片\n"
         "  feavis help atlas               every channel of a layer on one page 神经元图谱\n"
         "\n"
         "Examples\n"
         "  feavis imagine 蝴蝶\n"
         "  feavis imagine \"a castle on a mountain\" --preset normal --seed 7\n"
         "  feavis imagine \"山:1 | 雪:0.5 | 文字:-0.3\"    full-width ： ｜ and digits too;\n"
         "                                  a colon of the text itself: \"比例 16\\:9\"\n"
         "  feavis imagine 森林 --llp 108:0.1\n"
         "  feavis imagine 大海 --size 320x224 --seed random\n"
         "  feavis imagine 梦 --checkpoint brivl.pth --config eval.yml --vocab vocab.txt\n"
         "  feavis again gallery/蝴蝶-1.png --out copy.png\n"
         "  feavis imagine 蝴蝶 --json --out 蝴蝶.jpg     .webp and .jpg have the recipe inside, "
         "too\n"
         "  curl -s ADDRESS | feavis imagine 雪 --start -     a picture from a pipe\n");
}

void cli_help_options(void)
{
    int count;
    const fv_option *table = fv_option_table(&count);
    const char *group = "";
    puts("[The library's standard]; imagine, two and series begin with the preset normal\n");
    for (int i = 0; i < count; i++) {
        const fv_option *o = &table[i];
        char name[32];
        if (strcmp(group, o->group) != 0) printf("%s%s\n", i ? "\n" : "", o->group);
        group = o->group;
        snprintf(name, sizeof name, "--%s", o->name);
        printf("  %-20s %s", name, o->help);
        if (o->choices) printf(" (%s)", o->choices);
        if (*o->value) printf(" [%s]", o->value);
        putchar('\n');
    }
    puts("\nOther flags; one that a command has no use for is refused");
    for (size_t i = 0; i < sizeof own_flags / sizeof own_flags[0]; i++) {
        const own_flag *o = &own_flags[i];
        char name[40];
        snprintf(name, sizeof name, "--%s %s", o->name, o->value);
        printf("  %-24s ", name);
        if (o->commands && strlen(o->commands) < 40)
            printf("%.*s: ", (int)strlen(o->commands) - 1, o->commands);
        puts(o->help);
    }
}

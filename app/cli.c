/* Arguments and help. Flags come from the option table. */
#include "app/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_fail(void)
{
    fprintf(stderr, "feavis: %s\n", fv_error());
    return EXIT_FAILURE;
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

/* Flags that are no options: where their value goes. */
static const char **own_flag(cli *c, const char *name)
{
    if (strcmp(name, "file") == 0) return &c->file;
    if (strcmp(name, "image") == 0) return &c->image;
    if (strcmp(name, "ids") == 0) return &c->ids;
    if (strcmp(name, "taps") == 0) return &c->taps;
    if (strcmp(name, "images") == 0) return &c->images;
    if (strcmp(name, "texts") == 0) return &c->texts;
    if (strcmp(name, "pairs") == 0) return &c->pairs;
    if (strcmp(name, "folder") == 0) return &c->folder;
    if (strcmp(name, "labels") == 0) return &c->labels;
    if (strcmp(name, "prompts") == 0) return &c->prompts;
    if (strcmp(name, "index") == 0) return &c->index;
    if (strcmp(name, "judge") == 0) return &c->judge;
    if (strcmp(name, "csv") == 0) return &c->csv;
    if (strcmp(name, "sheet") == 0) return &c->sheet;
    if (strcmp(name, "script") == 0) return &c->script;
    return NULL;
}

static int *own_number(cli *c, const char *name)
{
    return strcmp(name, "top") == 0 ? &c->top : strcmp(name, "batch") == 0 ? &c->batch : NULL;
}

static fv_status take_number(int *to, const char *name, const char *value)
{
    char *end;
    long x = strtol(value, &end, 10);
    if (end == value || *end || x < 1 || x > 1000000)
        return fv_fail(FV_ERR_ARGUMENT, "--%s is \"%.80s\", expected a number from 1 on", name,
                       value);
    *to = (int)x;
    return FV_OK;
}

static fv_status take_flag(cli *c, const char *name, const char *value)
{
    const char **own = own_flag(c, name);
    if (own) {
        *own = value;
        return FV_OK;
    }
    if (own_number(c, name)) return take_number(own_number(c, name), name, value);
    if (strcmp(name, "preset") == 0) {
        fv_preset_close(c->preset);
        c->preset = NULL;
        return fv_preset_open(&c->preset, value);
    }
    /* checked at once, so that a wrong flag is named before anything is read */
    FV_TRY(fv_options_set(c->options, name, value));
    c->flags[c->flag_count++] = name;
    c->flags[c->flag_count++] = value;
    return FV_OK;
}

static fv_status parse(cli *c, int argc, char **argv)
{
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        char *arg = argv[i];
        if (only_words || strncmp(arg, "--", 2) != 0) {
            FV_TRY(add_word(c, arg));
            continue;
        }
        arg += 2;
        if (!*arg) {
            only_words = true;
        } else if (strcmp(arg, "quiet") == 0) {
            c->quiet = true;
        } else if (strcmp(arg, "print-plan") == 0) {
            c->plan = true;
        } else if (strcmp(arg, "half") == 0) {
            c->half = true;
        } else if (strcmp(arg, "tensors") == 0) {
            c->tensors = true;
        } else {
            char *value = strchr(arg, '=');
            if (value)
                *value++ = 0;
            else if (i + 1 < argc)
                value = argv[++i];
            else if (own_flag(c, arg) || own_number(c, arg) || strcmp(arg, "preset") == 0 ||
                     fv_option_find(arg))
                return fv_fail(FV_ERR_ARGUMENT, "--%s needs a value", arg);
            FV_TRY(take_flag(c, arg, value ? value : ""));
        }
    }
    return FV_OK;
}

fv_status cli_parse(cli *c, int argc, char **argv)
{
    *c = (cli){0};
    c->flags = calloc(2 * (size_t)argc + 1, sizeof *c->flags);
    if (!c->flags) return fv_fail(FV_ERR_MEMORY, "reading arguments: out of memory");
    FV_TRY(fv_options_new(&c->options));
    FV_TRY(parse(c, argc, argv));
    /* presets first, whatever their place among the flags */
    fv_options *fresh;
    FV_TRY(fv_options_new(&fresh));
    fv_options_free(c->options);
    c->options = fresh;
    if (c->preset) FV_TRY(fv_preset_apply(c->preset, c->options));
    return cli_apply_flags(c, c->options);
}

fv_status cli_apply_flags(const cli *c, fv_options *o)
{
    for (int i = 0; i < c->flag_count; i += 2)
        FV_TRY(fv_options_set(o, c->flags[i], c->flags[i + 1]));
    return FV_OK;
}

void cli_clear(cli *c)
{
    fv_options_free(c->options);
    fv_preset_close(c->preset);
    free(c->words);
    free(c->flags);
}

void cli_help(void)
{
    puts("feavis: what an image-text model imagines\n"
         "\n"
         "  feavis                          the window: type, watch, steer, keep\n"
         "  feavis imagine TEXT             let the picture of TEXT grow, save it to the gallery\n"
         "  feavis imagine --file POEM      one picture a line (- or --file -: standard input)\n"
         "  feavis imagine --preset NAME    the pictures of a preset, or its settings for TEXT\n"
         "  feavis neuron 108,456           what channels of the last layer before pooling want\n"
         "  feavis again PICTURE.png        the same picture from the recipe inside it\n"
         "  feavis resume STATE             go on from a state saved with --state\n"
         "  feavis info [PICTURE.png]       the model and what it needs, or a picture's recipe\n"
         "  feavis probe --image I --text T numbers as .npy: embeddings, cosine, gradient, taps\n"
         "  feavis judge FOLDER             what an independent classifier sees in its pictures\n"
         "  feavis presets                  list the presets\n"
         "  feavis match --images DIR --texts FILE      similarity matrix, the best of each\n"
         "  feavis classify --images DIR --labels FILE  zero-shot classes, confusion matrix\n"
         "  feavis embed --images DIR --out INDEX.npy   embeddings of many pictures\n"
         "  feavis search TEXT --index INDEX.npy        the pictures nearest to a text\n"
         "  feavis convert CHECKPOINT.pth --out FILE.safetensors   only the towers in use\n"
         "  feavis info CHECKPOINT [--config CFG]       what is in it, and whether it fits\n"
         "  feavis help options             every option\n"
         "\n"
         "Examples\n"
         "  feavis imagine 蝴蝶\n"
         "  feavis imagine \"a castle on a mountain\" --preset normal --seed 7\n"
         "  feavis imagine \"山:1 | 雪:0.5 | 文字:-0.3\"\n"
         "  feavis imagine 森林 --llp 108:0.1\n"
         "  feavis imagine 梦 --checkpoint brivl.pth --config eval.yml --vocab vocab.txt\n"
         "  feavis again gallery/蝴蝶-1.png --out copy.png\n");
}

void cli_help_options(void)
{
    int count;
    const fv_option *table = fv_option_table(&count);
    const char *group = "";
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
    puts("\nOther flags\n"
         "  --preset NAME        settings and pictures from presets/NAME.yml, or a .yml file\n"
         "  --file FILE          imagine: one text a line\n"
         "  --image, --ids, --taps   probe: the picture, the token ids, the tensors to write\n"
         "  --images SOURCE      a folder, or a list of file names (one a line; --folder: theirs)\n"
         "  --texts FILE         one text a line, - for standard input\n"
         "  --pairs order|FILE   match: recall; text i belongs to image i, or to that on line i\n"
         "  --labels, --prompts  classify: classes and templates, files or names in presets/\n"
         "  --index FILE         search: what embed has made\n"
         "  --top N, --batch N   how many answers to show; pictures a run of the network\n"
         "  --half               embed, convert: 16-bit numbers (.safetensors)\n"
         "  --csv, --sheet, --judge  judge: a table and a contact sheet as files, another judge\n"
         "  --script FILE        window: clicks and keys from a file (tests/ui)\n"
         "  --print-plan         info: every op of the network\n"
         "  --tensors            info CHECKPOINT: every tensor on a line\n"
         "  --quiet              no progress");
}

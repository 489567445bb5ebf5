/* Help on a command: how it is called, an example, and every flag that it has a use for with its
 * default, out of the tables of commands and flags. In Chinese where the environment says zh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/cli.h"
#include "app/cli/help_zh.h"

typedef struct page {
    const char *name, *words; /* behind the name */
    const char *example;
} page;

static const page pages[] = {
    {"window", "", "feavis"},
    {"imagine", "TEXT", "feavis imagine \"a castle on a mountain\" --preset normal --seed 7"},
    {"compare", "TEXT", "feavis compare 梦 --guide mini --guide ViT-B-32.pt"},
    {"two", "A B", "feavis two 蝴蝶 butterfly"},
    {"series", "STORY.txt", "feavis series story.txt --carry picture"},
    {"scroll", "POEM.txt", "feavis scroll poem.txt --title 江雪 --seal 梦"},
    {"walk", "A B C", "feavis walk 春 夏 秋 冬"},
    {"places", "PICTURE", "feavis places night.png --at \"月亮: 4-5,0-1\""},
    {"xray", "PICTURE", "feavis xray photo.jpg --text 雪山"},
    {"receipt", "PICTURE.png", "feavis receipt gallery/蝴蝶-1.png"},
    {"neuron", "CHANNELS", "feavis neuron 108,456:0.5"},
    {"atlas", "[TEXT]", "feavis atlas --layer blocks.4.0 --size 96 --steps 30"},
    {"again", "PICTURE.png", "feavis again gallery/蝴蝶-1.png --out copy.png"},
    {"resume", "STATE", "feavis resume state.safetensors --steps 400"},
    {"info", "[FILE]", "feavis info gallery/蝴蝶-1.png"},
    {"probe", "TEXT", "feavis probe 雪山 --image photo.jpg --out numbers"},
    {"presets", "", "feavis presets"},
    {"match", "", "feavis match --images photos --texts texts.csv"},
    {"classify", "", "feavis classify --images photos --labels ucm-zh --prompts remote-zh"},
    {"embed", "", "feavis embed --images photos --out index.npy"},
    {"search", "TEXT", "feavis search 雪山 --index index.npy"},
    {"convert", "CHECKPOINT", "feavis convert brivl.pth --config eval.yml --out brivl.safetensors"},
    {"codes", "PICTURE", "feavis codes photo.jpg --decoder vqgan.ckpt --out codes.csv"},
    {"gap", "PHOTOS", "feavis gap photos --captions captions.tsv --out gap.safetensors"},
    {"gather", "FOLDER", "feavis gather run"},
    {"judge", "FOLDER", "feavis judge gallery --csv judged.csv"},
    {"quiz", "[FOLDER]", "feavis quiz gallery --questions 20"},
    {"completion", "SHELL", "feavis completion bash"},
    {"man", "", "feavis man"},
};

static bool speaks_chinese(void)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return strncmp(value, "zh", 2) == 0;
    }
    return false;
}

static const page *page_of(const char *name)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (strcmp(pages[i].name, name) == 0) return &pages[i];
    return NULL;
}

static void print_flag(const cli_flag *f, bool chinese)
{
    char name[48];
    const char *help = chinese ? help_zh(f->name) : NULL;
    snprintf(name, sizeof name, "--%s %s", f->name, f->value);
    printf("  %-24s %s", name, help ? help : f->help);
    if (f->choices) printf(" (%s)", f->choices);
    if (*f->standard) printf(" [%s]", f->standard);
    putchar('\n');
}

/* own: those of the command line, else those of the option table. */
static void print_flags(const cli_command *k, bool own, bool chinese)
{
    const char *group = NULL;
    cli_flag f;
    for (int i = 0; cli_flag_at(i, &f); i++) {
        if (own != !f.group || !cli_flag_used(k, f.name)) continue;
        const char *here = own ? "Flags" : f.group;
        if (!group || strcmp(group, here) != 0)
            printf("\n%s\n", chinese ? help_zh_group(here) : here);
        group = here;
        print_flag(&f, chinese);
    }
}

bool cli_help_command(const cli_command *commands, const char *name, bool behind)
{
    const cli_command *k = commands;
    bool chinese = speaks_chinese();
    while (k->name && strcmp(k->name, name) != 0) k++;
    const page *p = page_of(name);
    if (!k->name || !p) return false;
    if (behind) putchar('\n');
    const char *help = chinese ? help_zh_command(name) : NULL;
    printf("feavis %s%s%s: %s\n", name, *p->words ? " " : "", p->words, help ? help : k->help);
    printf("\n  %s\n", p->example);
    print_flags(k, true, chinese);
    print_flags(k, false, chinese);
    return true;
}

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
    const char *chinese; /* of the command's line of help */
} page;

static const page pages[] = {
    {"window", "", "feavis", "打开窗口：输入、观看、操纵、保存"},
    {"imagine", "TEXT", "feavis imagine \"a castle on a mountain\" --preset normal --seed 7",
     "让一句话的画长出来"},
    {"compare", "TEXT", "feavis compare 梦 --guide mini --guide ViT-B-32.pt",
     "同一句话，几个模型各画一幅"},
    {"two", "A B", "feavis two 蝴蝶 butterfly", "两幅画并排，说出差在哪里"},
    {"series", "STORY.txt", "feavis series story.txt --carry picture",
     "一句一幅：拼图、卷轴和短片"},
    {"scroll", "POEM.txt", "feavis scroll poem.txt --title 江雪 --seal 梦", "把一首诗画成手卷"},
    {"walk", "A B C", "feavis walk 春 夏 秋 冬", "从一句话或一张图走到下一个，首尾相接"},
    {"places", "PICTURE", "feavis places night.png --at \"月亮: 4-5,0-1\"",
     "模型在画面各处看到了什么"},
    {"xray", "PICTURE", "feavis xray photo.jpg --text 雪山", "每个词值多少，在哪里用力"},
    {"receipt", "PICTURE.png", "feavis receipt gallery/蝴蝶-1.png", "一幅画的一页单据"},
    {"neuron", "CHANNELS", "feavis neuron 108,456:0.5", "最后一层的通道想看到什么"},
    {"atlas", "[TEXT]", "feavis atlas --layer blocks.4.0 --size 96 --steps 30",
     "一层的每个通道排成一页；给一句话，则找与它最近的通道"},
    {"again", "PICTURE.png", "feavis again gallery/蝴蝶-1.png --out copy.png",
     "照画里的配方再画出同一幅"},
    {"resume", "STATE", "feavis resume state.safetensors --steps 400", "从存下的状态接着画"},
    {"info", "[FILE]", "feavis info gallery/蝴蝶-1.png", "一个模型、一个权重文件，或一幅画的配方"},
    {"probe", "TEXT", "feavis probe 雪山 --image photo.jpg --out numbers",
     "把数存成 .npy：向量、余弦、梯度"},
    {"presets", "", "feavis presets", "列出预设"},
    {"match", "", "feavis match --images photos --texts texts.csv", "许多图与许多句话的相似度"},
    {"classify", "", "feavis classify --images photos --labels ucm-zh --prompts remote-zh",
     "零样本分类"},
    {"embed", "", "feavis embed --images photos --out index.npy", "许多图的向量"},
    {"search", "TEXT", "feavis search 雪山 --index index.npy", "与一句话最近的图"},
    {"convert", "CHECKPOINT", "feavis convert brivl.pth --config eval.yml --out brivl.safetensors",
     "只留下用得着的塔"},
    {"codes", "PICTURE", "feavis codes photo.jpg --decoder vqgan.ckpt --out codes.csv",
     "把图变成 VQGAN 的码，再变回来"},
    {"gap", "PHOTOS", "feavis gap photos --captions captions.tsv --out gap.safetensors",
     "照片与说明隔得多远（给 --plausible 用）"},
    {"gather", "FOLDER", "feavis gather run", "收集 --shard 各工作者的结果"},
    {"judge", "FOLDER", "feavis judge gallery --csv judged.csv", "独立的分类器看到了什么"},
    {"quiz", "[FOLDER]", "feavis quiz gallery --questions 20", "五句话里是哪一句？"},
    {"completion", "SHELL", "feavis completion bash", "给 bash、zsh、fish 的补全"},
    {"man", "", "feavis man", "手册页"},
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
    printf("feavis %s%s%s: %s\n", k->name, *p->words ? " " : "", p->words,
           chinese ? p->chinese : k->help);
    printf("\n  %s\n", p->example);
    print_flags(k, true, chinese);
    print_flags(k, false, chinese);
    return true;
}

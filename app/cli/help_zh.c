/* Commands and flags in Chinese. See help_zh.h; what has no line here is told in English. */
#include "app/cli/help_zh.h"

#include <stddef.h>
#include <string.h>

static const char *const commands[][2] = {
    {"window", "打开窗口：输入、观看、操纵、保存"},
    {"imagine", "让一句话的画长出来"},
    {"compare", "同一句话，几个模型各画一幅"},
    {"two", "两幅画并排，说出差在哪里"},
    {"series", "一句一幅：拼图、卷轴和短片"},
    {"scroll", "把一首诗画成手卷"},
    {"walk", "从一句话或一张图走到下一个，首尾相接"},
    {"places", "模型在画面各处看到了什么"},
    {"xray", "每个词值多少，在哪里用力"},
    {"receipt", "一幅画的一页单据"},
    {"neuron", "最后一层的通道想看到什么"},
    {"atlas", "一层的每个通道排成一页；给一句话，则找与它最近的通道"},
    {"again", "照画里的配方再画出同一幅"},
    {"resume", "从存下的状态接着画"},
    {"info", "一个模型、一个权重文件，或一幅画的配方"},
    {"probe", "把数存成 .npy：向量、余弦、梯度"},
    {"presets", "列出预设"},
    {"match", "许多图与许多句话的相似度"},
    {"classify", "零样本分类"},
    {"embed", "许多图的向量"},
    {"search", "与一句话最近的图"},
    {"convert", "只留下用得着的塔"},
    {"codes", "把图变成 VQGAN 的码，再变回来"},
    {"gap", "照片与说明隔得多远（给 --plausible 用）"},
    {"gather", "收集 --shard 各工作者的结果"},
    {"judge", "独立的分类器看到了什么"},
    {"quiz", "五句话里是哪一句？"},
    {"completion", "给 bash、zsh、fish 的补全"},
    {"man", "手册页"},
};

static const char *const flags[][2] = {
    {"text", "文字；几句带权重：\"梦:1 | 文字:-0.3\""},
    {"llp", "池化前最后一层的通道：\"108,456\" 或 \"108:0.5\""},
    {"llp-reduce", "一个通道的各处怎样合成一个数：平均或最大"},
    {"term", "任何一层：\"blocks.3.1:45\" 是一个通道；见 help terms"},
    {"at", "给画面各处的话：\"月亮: 4-5,0-1\"；见 help places"},
    {"guide-weights", "代替 guide 里的权重，每个模型一个：\"1, 0.5\""},
    {"tv", "全变差的权重，越大越平滑"},
    {"range", "对 0..1 之外的值的惩罚"},
    {"grey", "对偏离中灰的惩罚"},
    {"plausible", "不越过真实照片：feavis gap 写的文件；见 help plausible"},
    {"plausible-hash", "那个文件的数应有的哈希，配方自带"},
    {"plausible-move", "配合 plausible：文字向量加上“照片平均减说明平均”"},
    {"plausible-stop", "配合 plausible：余弦过了真实配对的这个分位数就不再加分（0：不停）"},
    {"seed", "决定一切随机的数，到 2^64-1；random 则抽一个"},
    {"steps", "上升的步数"},
    {"stop", "走这么多步就停（0：走完）"},
    {"keep", "留下哪个状态：最后的，或最经得起模糊的"},
    {"size", "画面边长（像素），或宽和高：320x224"},
    {"param", "优化的是什么：频率、各分辨率、像素、相位，或解码器的码"},
    {"codes", "vqgan：解码最近的码、每步变成它们，或不需要码"},
    {"codes-start", "vqgan：从随机的码开始，或从同均值同方差的噪声开始"},
    {"decay", "起点和步子的频谱：1/f^decay"},
    {"contrast", "参数走一个单位，颜色变多少"},
    {"start-noise", "起点参数的标准差"},
    {"start", "从这幅图开始（取中间）而不是灰；或它的码 .csv"},
    {"start-hash", "那幅图像素应有的哈希，配方自带"},
    {"colour", "优化去相关的颜色，而不是 RGB"},
    {"saturation", "留下多少颜色：0 是灰"},
    {"paper", "画在什么上，也就是白的颜色"},
    {"views", "每一步从多少个视角看"},
    {"scale-min", "视角最少看到画面边长的多少"},
    {"scale-max", "最多看到多少"},
    {"scale-end", "结束时两者乘以多少：小于 1 就进入细节"},
    {"shift", "视角最大的平移（它自己的像素）"},
    {"rotate", "视角最大的转角（度）"},
    {"noise", "开始时加在视角上的噪声，标准差"},
    {"noise-end", "结束时的噪声"},
    {"colour-shift", "开始时视角颜色的随机偏移"},
    {"colour-shift-end", "结束时的颜色偏移"},
    {"blur", "开始时视角最多模糊多少（像素，标准差）"},
    {"blur-end", "结束时的模糊"},
    {"rate", "Adam 的步长"},
    {"rate-end", "结束时的步长，占开始的多少（余弦）"},
    {"warmup", "开始时步长用多少步升起来"},
    {"beta1", "Adam 对梯度的记忆"},
    {"beta2", "Adam 对梯度平方的记忆"},
    {"guide", "一起看的模型：\"mini:1 | CFG + CHECKPOINT:0.5\"；可给多次；见 help guides"},
    {"config", "BriVL 的配置（eval.yml）；不给则用自带模型"},
    {"checkpoint", "它的权重，.pth 或 .safetensors"},
    {"vocab", "它的 vocab.txt"},
    {"decoder", "生成器用来作画的权重（不给：自带的）"},
    {"tower", "用哪套权重：训练的，或它们的滑动平均"},
    {"text-length", "文字补到多少个 token（0：32，或配置说的更少）"},
    {"device", "在哪里算：cpu、cuda、cuda:N；auto 则有 GPU 用 GPU"},
    {"backend", "怎样算：cuda:fp16、:bf16、:tf32、:fp32；cpu、ref 等"},
    {"threads", "线程数（0：每个处理器一个）"},
    {"gallery", "放画的文件夹"},
    {"out", "存到这个文件（或文件夹），不进画廊"},
    {"state", "把状态也存到那里，以后接着画（.safetensors）"},
    {"save-codes", "vqgan：把画的码也存到那里（.csv）"},
    {"preset", "presets/NAME.yml 里的设定和画，或一个 .yml 文件"},
    {"file", "每行一句；neuron：每行一组通道"},
    {"shard", "N 个工作者中的第 I 个；已有的不动（见 gather）"},
    {"layer", "哪一层的通道（LLP：池化前最后一层）"},
    {"channels", "只要这一层的这些通道"},
    {"photos", "一个文件夹：最能激发每个通道的照片排在旁边"},
    {"words", "给通道起名用的词，每行一个"},
    {"page", "只把已有的排成一页，不再生长"},
    {"frames", "从一站到下一站的帧数（12）"},
    {"against", "第二幅有什么不同：\"seed=8 | size=320\""},
    {"questions", "多少题（10）"},
    {"carry", "带什么到下一幅：nothing、picture（作为起点）或 palette（颜色）"},
    {"style", "大家共有的一句话：\"水墨画:0.3\""},
    {"title", "卷首的题目，在右边"},
    {"seal", "朱印上的字，一到四个（梦）"},
    {"seeds", "N 幅，种子从 --seed 数起"},
    {"diversity", "每一幅都被推离之前的几幅（见 help terms）"},
    {"image", "图片，或 .npy"},
    {"ids", "用 token 编号代替文字"},
    {"taps", "要写出的张量"},
    {"images", "一个文件夹，或每行一个文件名的清单"},
    {"folder", "清单里的文件在哪里"},
    {"captions", "每行：照片文件名、制表符、说明；不给则由文件名说"},
    {"texts", "每行一句，- 是标准输入"},
    {"pairs", "召回率；第 i 句属于第 i 张图，或属于第 i 行所说的图"},
    {"labels", "类别：一个文件，或 presets/labels 里的名字"},
    {"prompts", "模板：一个文件，或 presets/prompts 里的名字"},
    {"index", "embed 写的文件"},
    {"export", "把索引写成 FAISS 或 NumPy 的文件，到 --out"},
    {"top", "显示多少个答案"},
    {"batch", "网络一次看多少张图"},
    {"half", "16 位的数（.safetensors）"},
    {"judge", "另一个评委"},
    {"csv", "存成表格；画画时每步一行"},
    {"sheet", "存成一张总览图"},
    {"script", "从文件里点击和按键（tests/ui）"},
    {"layers", "--term 能问的每一层"},
    {"print-plan", "网络的每一个运算"},
    {"tensors", "权重文件里每个张量一行"},
    {"json", "结果是 JSON，每行一个对象（键见 app/README.md）"},
    {"quiet", "不显示进度"},
};

static const char *const groups[][2] = {
    {"What to imagine", "想象什么"},
    {"Picture", "画面"},
    {"Views", "视角"},
    {"Optimiser", "优化器"},
    {"Model", "模型"},
    {"Files", "文件"},
    {"Flags", "选项"},
};

typedef const char *const row[2];

static const char *find(row *rows, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i][0], name) == 0) return rows[i][1];
    return NULL;
}

const char *help_zh_command(const char *command)
{
    return find(commands, sizeof commands / sizeof commands[0], command);
}

const char *help_zh(const char *flag)
{
    return find(flags, sizeof flags / sizeof flags[0], flag);
}

const char *help_zh_group(const char *group)
{
    const char *chinese = find(groups, sizeof groups / sizeof groups[0], group);
    return chinese ? chinese : group;
}

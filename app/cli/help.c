/* Help on one thing each; the overview is in cli.c. */
#include <stdio.h>
#include <string.h>

#include "app/cli/cli.h"

static void terms(void)
{
    puts(
        "--term asks any layer of the image tower, alone or beside a text\n"
        "\n"
        "  blocks.3.1:45            channel 45 of that layer, mean over its positions\n"
        "  blocks.3.1:45@max        where it is highest\n"
        "  blocks.3.1:45@3,5        one neuron: row 3, column 5, counted from 0\n"
        "  blocks.3.1:40-47         several channels: mean square of their numbers\n"
        "  blocks.3.1               the whole layer: mean square of its numbers, as DeepDream\n"
        "  image_embedding:text=雪  a direction: cosine with the vector of a text\n"
        "  blocks.3.1:vector=V.npy  a direction: one number a channel, from a file\n"
        "  blocks.3.1:like=A.jpg    a picture: cosine of the whole layer with what A.jpg makes of "
        "it\n"
        "  blocks.3.1:unlike=A.jpg  diversity: other channels together than in A.jpg (minus the\n"
        "                           cosine of both Gram matrices)\n"
        "  like=A.jpg               without a layer it is image_embedding: be like this picture; "
        "so\n"
        "                           for text=, vector= and unlike=\n"
        "\n"
        "*NUMBER behind one is its weight (1 without; negative: as little as possible), and |\n"
        "stands between several: \"blocks.2.1:7 | blocks.5.0:45@max *0.5\". The end of a layer's\n"
        "name is enough where no other ends so. feavis info --layers lists them.\n"
        "\n"
        "Of a CLIP's vision transformer the rows of a layer are its tokens: 0 is the class, 1 on "
        "are\n"
        "patches from the upper left, line by line. resblocks.5:45@0,17 is channel 45 of token "
        "17,\n"
        "resblocks.5@0,17 all of that token; resblocks.5.attn.heads:128-191 is head 2, whose "
        "channels\n"
        "are the third 64, and resblocks.5.attn.heads:128-191@0,0 what it gives to the class.\n"
        "With several models a name begins with guide1. or guide2.: guide2.like=A.jpg, too.\n"
        "\n"
        "  feavis imagine --term blocks.3.1:45\n"
        "  feavis imagine 森林 --term \"blocks.4.0 *0.1\"\n"
        "  feavis imagine --term blocks.2.0 --start photo.jpg\n"
        "  feavis imagine 雪山 --term \"like=photo.jpg *0.5\"\n"
        "  feavis imagine 花 --seeds 4 --diversity 1\n"
        "\n"
        "--diversity W@LAYER asks each picture of --seeds for LAYER:unlike=PICTURE, for every one\n"
        "before it, with the weight W over their number (LLP without a layer).\n"
        "A picture's recipe has the names of such files, without their folders, and hashes; again\n"
        "looks for them beside the picture and here.");
}

static void guides(void)
{
    puts(
        "--guide names a model; given more than once, they look at one picture together\n"
        "\n"
        "  mini                            the shipped model\n"
        "  eval.yml + brivl.pth            a cfg and its checkpoint\n"
        "  eval.yml + brivl.pth + vocab.txt     and its vocabulary\n"
        "  eval.yml + brivl.pth @momentum  the towers that training averaged\n"
        "\n"
        ":NUMBER behind one is the weight of what it thinks of the texts (1 without); while the\n"
        "picture grows --guide-weights \"1, 0.3\" sets them. \\+, \\| and \\: belong to a file's\n"
        "name. Channels of --llp are the first model's; layers of --term begin with guide2. where\n"
        "they are the second's.\n"
        "\n"
        "match and classify show the mean of their cosines by weight, and each model's own in "
        "files\n"
        "that end in -guide1, -guide2; an index that embed makes with several is searched with "
        "the\n"
        "same ones, whatever their weights; probe and convert do one after the other.\n"
        "\n"
        "  feavis imagine 梦 --guide mini --guide \"eval.yml + brivl.pth:0.5\"\n"
        "  feavis compare --preset concepts --guide mini --guide ViT-B-32.pt\n"
        "  feavis compare 梦 --guide mini --guide \"eval.yml + brivl.pth\"\n"
        "                                  the picture of each, that of both, and what each model\n"
        "                                  believes of all of them");
}

static void places(void)
{
    puts(
        "--at gives a part of the picture a text of its own, beside a text for all of it or alone\n"
        "\n"
        "  月亮: 4-5,0-1            columns 4 to 5, rows 0 to 1 of a grid of 6 x 6 (BriVL's "
        "boxes);\n"
        "                           columns from the left, rows from the top, both from 0\n"
        "  月亮: 4,0                one cell\n"
        "  月亮: 4-5,0-1 ~1         a border of one cell over which it matters less (0.5 without)\n"
        "  月亮: 4-5,0-1 *2         weight (1 without; negative: not there)\n"
        "\n"
        "| stands between several, or --at is given more than once, up to eight in all. What "
        "climbs is\n"
        "the cosine of the text with the embedding of those cells alone: of BriVL the boxes (the "
        "others\n"
        "are masked), of a CLIP its patches or positions. It is the first model's where there are "
        "more.\n"
        "\n"
        "  feavis imagine 夜 --at \"月亮: 4-5,0-1\" --at \"河: 0-5,4-5\"\n"
        "  feavis imagine --at \"a castle: 0-2,1-4 | the sea: 3-5,3-5 *0.5\"\n"
        "\n"
        "--at 让画面的一部分听从另一句话，可以和整幅画的文字一起用，也可以单独用\n"
        "\n"
        "画面分成 6 x 6 格（BriVL 自己的格子）。冒号后先写列（从左数，从 0 "
        "起），再写行（从上数）。\n"
        "~ 后是边缘变淡的宽度（格），* 后是权重，| 隔开几处，最多八处。全角的 ：，｜ "
        "和数字也可以。\n"
        "上升的是这句话与只看这些格子所得向量的余弦；有几个模型时，用第一个模型。");
}

static void two(void)
{
    puts("two grows two pictures of the same steps, and says in what they differ\n"
         "\n"
         "  feavis two 蝴蝶 butterfly                two texts (with spaces: \"a cat | a dog\")\n"
         "  feavis two 蝴蝶 --against seed=8         another seed\n"
         "  feavis two 蝴蝶 --against \"param=pixel | rate=0.1\"     any option, several with |;\n"
         "                                          \\| is a bar of the value\n"
         "  feavis two 蝴蝶 --against \"checkpoint=brivl.pth | config=eval.yml\"   another model\n"
         "\n"
         "In a folder: both pictures with their recipes, sheet.png (A, B, difference, the cosine "
         "of\n"
         "each with either text), two.png (both growing), two.csv. Pixel difference: mean |A - B| "
         "of\n"
         "255 over all colours. Embedding difference: 1 - cosine of both in the eyes of a model.\n"
         "\n"
         "two 让两幅画一起长出来，再说出它们差在哪里\n"
         "\n"
         "两句话（有空格时用 | 隔开），或者同一句话配 --against：种子、模型、任何选项，用 | "
         "隔开几个。\n"
         "得到一个文件夹：两幅画（各带配方）、sheet.png（甲、乙、差异和各项余弦）、two."
         "png（一起生长的\n"
         "动画）和 two.csv。像素差是 |A - B| 的平均（满分 255），向量差是 1 减去两幅画的余弦。");
}

static void quiz(void)
{
    puts("quiz shows pictures of a folder without their names: which of five texts was it?\n"
         "\n"
         "  feavis quiz                     ten pictures of the gallery, in a new order\n"
         "  feavis quiz FOLDER --questions 20 --seed 7   the same ones in the same order for all\n"
         "  feavis quiz --csv answers.csv   all answers on this machine as a table, no questions\n"
         "\n"
         "The recipe inside a PNG says its text; four other texts of the same script are of "
         "pictures\n"
         "that come later, or of presets/things.yml. The picture is a copy without name and "
         "recipe.\n"
         "Answer 1 to 5, s to skip, q to stop; from a pipe one a line. Answers are kept in\n"
         "~/.local/share/feavis/quiz.tsv ($XDG_DATA_HOME), which only grows. Shares come with\n"
         "Wilson's 95 % interval; guessing gives 20 %.\n"
         "\n"
         "quiz 从文件夹里拿出画，不看名字：它出自哪一句话？五选一\n"
         "\n"
         "PNG 里的配方就是答案；另外四句来自后面的画或 "
         "presets/things.yml，文字同类。画是没有名字和配方的\n"
         "副本。回答 1 到 5，s 跳过，q 结束；也可以从管道读，每行一个。答案只增不改，记在\n"
         "~/.local/share/feavis/quiz.tsv；比例附 Wilson 95% 区间，瞎猜是 20%。--csv "
         "只导出，不出题。\n"
         "--seed 相同，题目和顺序就相同。");
}

static void xray(void)
{
    puts(
        "xray says what each word of a picture's text is worth, and where it pulls\n"
        "\n"
        "  feavis xray PICTURE.png             the texts of its recipe\n"
        "  feavis xray photo.jpg --text 雪山    any picture, any text\n"
        "\n"
        "worth: the cosine with the whole text less that without the word. Pulls: the size of the\n"
        "gradient of that difference in the pixels. In a folder: xray.png, words.csv.\n"
        "\n"
        "xray 逐词透视：每个词值多少，在画面哪里用力\n"
        "\n"
        "worth 是整句的余弦减去去掉这个词之后的余弦；用力的地方是这个差对像素的梯度。\n"
        "结果在一个文件夹里：xray.png 和 words.csv。");
}

static void walk(void)
{
    puts("walk goes from one text or picture to the next and back to the first: a film that loops\n"
         "\n"
         "  feavis walk 春 夏 秋 冬\n"
         "  feavis walk \"a lighthouse | photo.jpg\" --frames 24\n"
         "\n"
         "Between two stops what is climbed follows the great circle between their embeddings; "
         "each\n"
         "frame starts from the one before. In a folder: every frame with its recipe, walk.png "
         "(APNG),\n"
         "walk.gif, sheet.png.\n"
         "\n"
         "walk 概念漫步：从一句话（或一张图）走到下一句，再回到开头，首尾相接\n"
         "\n"
         "两站之间沿两个向量间的大圆走，每一帧从上一帧接着长。--frames 是每一段的帧数。\n"
         "结果在一个文件夹里：每帧带配方的 PNG、walk.png（APNG）、walk.gif 和 sheet.png。");
}

static void receipt(void)
{
    puts(
        "receipt makes one page about a picture: for papers and classes\n"
        "\n"
        "  feavis receipt PICTURE.png\n"
        "\n"
        "The picture is made again from its recipe: that gives the curve, and says whether it "
        "comes\n"
        "out the same. Then come judges, channels, the X-ray of its words, model and version. In "
        "a\n"
        "folder: receipt.png, curve.csv.\n"
        "\n"
        "receipt 一幅画的单据：论文和课堂用的一页\n"
        "\n"
        "按配方重画一遍，得到曲线，也验证是否逐字节相同；再加上评委、通道、逐词透视、模型和版本。\n"
        "结果在一个文件夹里：receipt.png 和 curve.csv。");
}

static void plausible(void)
{
    puts("--plausible FILE asks for a picture that fits its text as photos fit their captions\n"
         "\n"
         "  feavis gap PHOTOS --captions captions.tsv --out gap.safetensors     once a model\n"
         "  feavis imagine 一只狗在草地上跑 --plausible gap.safetensors\n"
         "\n"
         "captions.tsv has lines of a photo's file name, a tab, its caption (cat/1.png where "
         "several\n"
         "folders have a 1.png); without it the photos'\n"
         "names say what they show (000_tench.jpg). The file holds the mean embedding of the "
         "photos\n"
         "and of the captions, and percentiles of the cosine of a caption with its photo.\n"
         "\n"
         "A text's vector is then moved by the mean photo less the mean caption, as texts lie "
         "apart\n"
         "from pictures in such models (--plausible-move no: not), and nothing is gained past the\n"
         "cosine that --plausible-stop of the real pairs keep below (0.5: their median; 0: no "
         "end).\n"
         "It is for the texts of --text, and for the model that the file is of.\n"
         "\n"
         "--plausible 让画面像照片配说明那样配文字，而不是无止境地上升\n"
         "\n"
         "先用 feavis gap "
         "量一批照片和它们的说明（每行：文件名、制表符、说明；没有说明文件时用文件名）。\n"
         "之后文字向量会加上“照片平均减说明平均”，余弦到了真实配对的中位数就不再加分\n"
         "（--plausible-stop 是分位数，0 为不停；--plausible-move no 不移动向量）。");
}

static void atlas(void)
{
    puts(
        "atlas grows a small picture of every channel of a layer and puts them on one page\n"
        "\n"
        "  feavis atlas --out DIR                    the last layer before pooling, LLP\n"
        "  feavis atlas --out DIR --layer blocks.4   any layer (feavis info --layers)\n"
        "  feavis atlas --out DIR --photos FOLDER    with the photos that excite each most\n"
        "  feavis atlas --out DIR --shard 1/4        one worker of four; --page when all are "
        "there\n"
        "  feavis atlas --out DIR --page             the page again, of what is there: other\n"
        "                                            photos or words (--words FILE)\n"
        "  feavis atlas 雪山 --out DIR               the channels nearest to a text\n"
        "\n"
        "DIR/atlas.html holds everything and asks the network for nothing: a wall to drag and "
        "zoom,\n"
        "a search by words in Chinese and English; a click shows the picture large with its "
        "words,\n"
        "its photos, channels like it and the command that dreams it. DIR/atlas.csv is the same as "
        "a\n"
        "table. Pictures that are there stay: a run that was stopped goes on.\n"
        "\n"
        "--size is of a picture (96), --steps how long it grows (48). A channel's words are those "
        "of\n"
        "the list that are nearest to its picture, after what all pictures and all words share is\n"
        "taken away; of LLP the words that the model's head turns the channel into, too.\n"
        "\n"
        "atlas 为一层的每个通道画一幅小图，做成一个网页\n"
        "\n"
        "DIR/atlas.html "
        "自成一体，不用联网：可以拖动、缩放，用中文或英文的词查找；点一个通道，就看到\n"
        "它的大图、最近的词、最让它兴奋的照片（--photos "
        "文件夹）、相似的通道，和画出它的命令。\n"
        "已经画好的不会重画，中断后用同样的命令继续；--shard 让几个进程分工，--page 只重做网页。");
}

static const struct {
    const char *name;
    void (*print)(void);
} topics[] = {{"options", cli_help_options},
              {"terms", terms},
              {"guides", guides},
              {"places", places},
              {"plausible", plausible},
              {"two", two},
              {"quiz", quiz},
              {"xray", xray},
              {"walk", walk},
              {"receipt", receipt},
              {"atlas", atlas}};
enum { TOPICS = sizeof topics / sizeof topics[0] };

bool cli_help_on(const char *name)
{
    for (int i = 0; i < TOPICS; i++)
        if (strcmp(topics[i].name, name) == 0) {
            topics[i].print();
            return true;
        }
    return false;
}

const char *cli_help_topic(int i)
{
    return i < TOPICS ? topics[i].name : NULL;
}

/* Help on one thing each, in English and Chinese; the overview and the options are in cli.c. */
#include <stdio.h>

#include "app/cli/cli.h"

void cli_help_places(void)
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

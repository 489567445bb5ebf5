/* What the window says, in Chinese and in English. */
#ifndef APP_WORDS_H
#define APP_WORDS_H

#include <stdbool.h>

/* clang-format off */
#define WORDS(X)                                                                                   \
    X(W_IMAGINE, "想象", "Imagine") X(W_GALLERY, "画廊", "Gallery") X(W_SEEDS, "种子", "Seeds")       \
    X(W_MATCH, "相似", "Similarity") X(W_TWO, "两梦", "Two") X(W_QUIZ, "猜题", "Quiz")                  \
    X(W_TEXT, "文字", "Text") X(W_TEXT_HINT, "写下词语、句子或诗；一行一幅", "A word, a sentence, a poem; one picture a line") \
    X(W_GO, "开始想象", "Imagine") X(W_ADD, "加入队列", "Add to queue") X(W_CHANGE, "改用这句继续", "Go on with this text") \
    X(W_AVOID, "避开", "Avoid") X(W_AVOID_HINT, "不要出现的东西", "what should not be there") X(W_WEIGHT, "权重", "weight") \
    X(W_PLACES, "位置", "Places") X(W_PLACES_HINT, "月亮: 4-5,0-1（列,行）", "moon: 4-5,0-1 (columns,rows)") \
    X(W_QUALITY, "精细", "Quality") X(W_DRAFT, "草稿", "Draft") X(W_NORMAL, "一般", "Normal") X(W_BEST, "最好", "Best") \
    X(W_PAPER, "论文", "Paper") X(W_SEED, "种子", "Seed") X(W_STEPS, "步", "steps") X(W_SIZE, "像素", "px") X(W_VIEWS, "视角", "views") \
    X(W_RANDOM, "随机种子", "Another seed") X(W_EXAMPLES, "论文中的文字", "From the paper") X(W_QUEUE, "队列", "Queue") \
    X(W_START, "起点图片", "Starts from") X(W_NO_START, "取消", "Remove") \
    X(W_RUN, "继续", "Go on") X(W_PAUSE, "暂停", "Pause") X(W_STEP, "一步", "Step") X(W_MORE, "再来 200 步", "+200 steps") \
    X(W_KEEP, "停止并保存", "Stop and keep") X(W_DISCARD, "丢弃", "Discard") X(W_SAVE, "保存", "Save") \
    X(W_BRANCH, "从这里分支", "Branch from here") X(W_LIVE, "回到当前", "Back to now") \
    X(W_MEASURES, "测量", "Measures") X(W_BELIEF, "模型自己的判断（余弦）", "The model's belief (cosine)") X(W_BLURRED, "模糊之后", "After a blur") \
    X(W_UNSEEN, "没见过的视角", "In unseen views") X(W_CHEATING, "判断升高而模糊之后不升：它只是在骗自己。", "Belief is far above what survives: it is fooling itself.") \
    X(W_HOLDS, "模糊和换角度之后仍能认出。", "It holds after a blur and from other sides.") X(W_NOT_YET, "还没有测量", "Not measured yet") \
    X(W_BY_STEP, "余弦随步数", "Cosine by step") X(W_GRADIENT_NORM, "梯度长度", "Gradient norm") X(W_PARTS, "损失的组成", "Parts of the loss") X(W_LEFT, "剩余", "left") \
    X(W_NEURONS, "神经元", "Neurons") X(W_CHANNEL, "池化前最后一层的通道", "Channels before pooling (LLP)") X(W_ADD_NEURON, "添加", "Add") \
    X(W_MOST_ACTIVE, "这幅画里最活跃的", "Most active in this picture") X(W_RANK, "找出来", "Find them") X(W_SHOW_MAP, "看位置", "Show where") \
    X(W_NEURON_HINT, "编号或文字：108，大海", "108, or text: the sea") X(W_APPLY, "用到这幅画上", "Apply to this picture") \
    X(W_GUIDES, "一起看的模型", "Models that look") \
    X(W_GENERATOR, "画面由什么生成", "Made of") X(W_FOURIER, "频率", "Frequencies") X(W_MULTIRES, "多层", "Resolutions") X(W_PIXEL, "像素", "Pixels") \
    X(W_MACO, "相位", "Phases") X(W_CODES, "编码", "Codes") X(W_DECODER, "解码器", "Decoder") X(W_STRAIGHT, "直通", "Straight") X(W_PROJECTED, "投影", "Projected") X(W_FREE, "连续", "Free") \
    X(W_CODES_MOVED, "编码变动", "codes moved") X(W_CODES_ABOUT, "每格一个编码；白框是刚变的", "A code a cell; a white frame around those that just changed") \
    X(W_TERM, "任何一层", "Any layer") X(W_TERM_HINT, "层:通道，如 blocks.3.1:45", "layer:channel, as blocks.3.1:45") \
    X(W_LAYER, "看哪一层", "Layer") X(W_LAYER_ABOUT, "从浅到深；最后是 LLP", "from shallow to deep; LLP is the last") X(W_NO_MAP, "这一层没有位置", "This layer has no positions") \
    X(W_PICTURE, "画面", "Picture") X(W_DIFFERENCE, "与开始之差", "Change since start") X(W_HEAT, "梯度", "Gradient") X(W_ACTIVATION, "激活", "Activation") \
    X(W_COMPARE, "对比", "A/B") X(W_CRISP, "像素", "Pixels") X(W_FIT, "适合窗口", "Fit") X(W_EXPOSURE, "曝光", "Exposure") X(W_PIN, "记为 A", "Keep as A") \
    X(W_EMPTY, "写下一句诗，看它慢慢出现", "Write a line and watch it appear") X(W_EMPTY_KEYS, "Ctrl+Enter 开始 · 空格 暂停 · Esc 停止", "Ctrl+Enter starts · Space pauses · Esc stops") \
    X(W_LOADING, "正在打开模型…", "Opening the model…") X(W_SEARCH, "搜索", "Search") X(W_AGAIN, "重做", "Again") X(W_VARY, "变化", "Vary") \
    X(W_DELETE, "删除", "Delete") X(W_UNDO, "恢复删除", "Undo delete") X(W_FOLDER, "打开文件夹", "Open folder") X(W_SHEET, "小样总览", "Contact sheet") \
    X(W_GROWTH, "生长动画", "Growth film") X(W_SCROLL, "长卷", "Scroll") X(W_NO_PICTURES, "这里还没有画", "No pictures here yet") \
    X(W_USE_START, "作为起点", "Start from it") X(W_RECIPE, "配方", "Recipe") X(W_SEEDS_ABOUT, "同一句话的九个种子，各走几步；点一个继续。", "Nine seeds of the same text, a few steps each; click one to go on.") \
    X(W_FILL, "试九个种子", "Try nine seeds") X(W_MATCH_ABOUT, "把图片拖到窗口上，每行写一段文字。点一格：从那张图片想象那段文字。", "Drop pictures on the window, write texts, one a line. A click on a cell imagines that text from that picture.") \
    X(W_COMPUTE, "计算", "Compute") X(W_MATCH_HINT, "每行一段文字", "one text a line") X(W_CLEAR, "清空", "Clear") \
    X(W_ASKED_FOR_BY, "“%s”想要的通道", "What “%s” asks for") X(W_ACTIVE_HERE, "点中的位置最活跃的", "Most active at the place picked") \
    X(W_WHOLE_PICTURE, "整幅画", "Whole picture") X(W_PICK_ABOUT, "点画面上的一处，看那里的通道；双击编号即添加。", "Click the picture for the channels there; double-click a number to add it.") \
    X(W_BRANCH_ABOUT, "原来的线保留在下面的树里（Ctrl+B）", "The line that was stays, in the tree below (Ctrl+B)") \
    X(W_GIF, "255 色，任何程序都能放", "255 colours, plays anywhere") X(W_SCROLL_ABOUT, "诗句题在画旁", "The lines beside their panels") X(W_POEM_GIF, "诗的 GIF", "Poem GIF") \
    X(W_MATRIX_ABOUT, "图和表格 (CSV) 存到画廊", "As a picture and a table (CSV), into the gallery") \
    X(W_GALLERY_ABOUT, "点一幅画，或用方向键选。", "Click a picture, or choose with the arrow keys.") \
    X(W_EXPORT, "保存与导出", "Save and export") X(W_SAVED, "已保存", "Saved") X(W_RESTORED, "已取回配方", "Recipe restored") X(W_DROPPED_TOKENS, "文字太长，末尾未被读入", "The text is too long: its end is not read") \
    X(W_UNKNOWN, "有模型不认识的字", "Some characters are unknown to the model") X(W_CONTINUES, "队列里有上次未完成的，按“继续”。", "The queue holds unfinished work: press Go on.") \
    X(W_TOO_LONG, "放不下这么长的文字：末尾没有放进去", "The field cannot hold that much: its end was left out") \
    X(W_FORGETS, "无法写入：这次什么都不会记住", "Nothing can be written: this time nothing is remembered") \
    X(W_BESIDE, "另一个窗口也开着；这个窗口另记在", "Another window is open; this one remembers by itself, in") \
    X(W_TWO_ABOUT, "同样的步数，两个梦并排生长：两句话、两个种子，或两个模型。拖动分界线。", "Two dreams of the same steps grow side by side: two texts, two seeds or two models. Drag the divider.") \
    X(W_TWO_TEXTS, "两句话", "Texts") X(W_TWO_SEEDS, "两个种子", "Seeds") X(W_TWO_MODELS, "两个模型", "Models") X(W_TWO_GROW, "一起生长", "Grow both") \
    X(W_TWO_FIGURES, "差别", "Difference") X(W_TWO_PIXELS, "像素", "pixels") X(W_TWO_EMBEDDING, "向量", "embedding") X(W_TWO_DIVIDER, "分界线", "Divider") \
    X(W_TWO_SHEET, "保存对照图", "Save as a sheet") X(W_TWO_HINT_A, "第一句", "the first text") X(W_TWO_HINT_B, "第二句", "the second text") X(W_TWO_COSINE, "余弦", "Cosine") \
    X(W_QUIZ_ABOUT, "画廊里的一幅画，不看名字：它出自哪一句？答案记在这台机器上。", "A picture of the gallery without its name: which text was it? Answers are kept on this machine.") \
    X(W_QUIZ_BEGIN, "开始", "Begin") X(W_QUIZ_NEXT, "下一幅", "Next") X(W_QUIZ_RIGHT, "对了", "Right") X(W_QUIZ_WRONG, "不对，是：%s", "No, it is: %s") \
    X(W_QUIZ_ROUND, "这一轮", "this round") X(W_QUIZ_ALL, "这台机器上所有的答案", "all answers on this machine") X(W_QUIZ_CHANCE, "瞎猜是 20%；括号里是 Wilson 95% 区间", "guessing gives 20 %; in brackets Wilson's 95 % interval") \
    X(W_QUIZ_TEXTS, "最难猜的", "Hardest to guess") X(W_QUIZ_EXPORT, "导出 CSV", "Export CSV") X(W_WORDS_WAIT, "逐词透视…", "word by word…") \
    X(W_THEME, "深色或浅色", "Dark or light") X(W_LANGUAGE, "English", "中文") X(W_DROPPED_START, "已设为起点", "Set as the start")
/* clang-format on */

typedef enum word {
#define ENTRY(id, zh, en) id,
    WORDS(ENTRY)
#undef ENTRY
        WORD_COUNT
} word;

const char *say_word(word w, bool chinese);

#endif

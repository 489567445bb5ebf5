"""Pairs of sentences of the same words in another order, in English and Chinese, written by templates; what their order
is; and what a text tower loses that cannot tell them apart.

  pairs(count)     [(texts, roles)]: (English, the other one, Chinese, the other one), none like a row of
                   word_order.tsv; of both (words of the head, words of what it is told with), each (English, Chinese)
  Encoded          their pieces and their goals
  columns(x)       [n,4,...] of n pairs -> [4n,...], as confused() takes them
  confused(e)      e [4n,d]: unit rows of n pairs -> loss
  losses(e, goal)  e, goal [4n,ORDER] -> {'disorder': how far e is from its goal, 'confused'}

The goal of a sentence is what its head is, less what that is told with: who bites less who is bitten, the red car less
the blue house, in the ORDER first principal components of what the teacher says of pieces. In the other sentence of
the pair the goal is the opposite, or nearly, and in the other language the same.

word_order.tsv is only ever measured. No pair is made here whose two things stand together in a row of it."""
import os
import random

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
ORDER = 32              # numbers of the joint space that tell the order
SHARP = 20.0            # what a difference of two cosines is multiplied by


def read(words):
    """[(English, Chinese)]; the last blank stands between them."""
    return [tuple(w.strip().rsplit(' ', 1)) for w in words.replace('\n', '').split(';')]


def opposites(words):
    """[[one, the other]], a comma between them."""
    return [read(w.replace(',', ';')) for w in words.replace('\n', '').split(';')]


BEINGS = read("""dog 狗;cat 猫;man 男人;woman 女人;boy 男孩;girl 女孩;child 孩子;horse 马;cow 牛;sheep 羊;bird 鸟;bear 熊;
tiger 老虎;lion 狮子;wolf 狼;fox 狐狸;rabbit 兔子;mouse 老鼠;monkey 猴子;elephant 大象;pig 猪;goat 山羊;duck 鸭子;
goose 鹅;chicken 鸡;frog 青蛙;snake 蛇;fish 鱼;deer 鹿;panda 熊猫;player 运动员;policeman 警察;teacher 老师;
student 学生;doctor 医生;soldier 士兵;farmer 农民;mother 妈妈;father 爸爸;baby 婴儿;driver 司机;singer 歌手""")
THINGS = read("""car 汽车;house 房子;boat 船;box 箱子;book 书;cup 杯子;chair 椅子;table 桌子;bench 长凳;tree 树;flower 花;
ball 球;bag 包;hat 帽子;shirt 衬衫;door 门;window 窗户;bed 床;lamp 灯;bicycle 自行车;bus 公共汽车;train 火车;
umbrella 雨伞;basket 篮子;bottle 瓶子;plate 盘子;clock 钟;stone 石头;bridge 桥;tower 塔;tent 帐篷;kite 风筝;
guitar 吉他;piano 钢琴;phone 电话;coat 外套;shoe 鞋;sofa 沙发;mirror 镜子;fence 栅栏;wall 墙;statue 雕像""")
ACTS = read("""chases 追;bites 咬;follows 跟着;pushes 推;pulls 拉;kicks 踢;feeds 喂;watches 看着;looks at 看着;hugs 抱着;
carries 背着;catches 抓住;hits 打;licks 舔;jumps over 跳过;leads 牵着;teaches 教;helps 帮助;calls 叫;waits for 等;
scares 吓;leaves 离开;meets 遇见;paints 画;runs after 追着;sits on 坐在…上;washes 洗;pats 拍;attacks 攻击;saves 救""")
COLOURS = read("""red 红色的;blue 蓝色的;green 绿色的;yellow 黄色的;black 黑色的;white 白色的;brown 棕色的;pink 粉色的;
purple 紫色的;orange 橙色的;grey 灰色的""")
KINDS = opposites("""big 大的,small 小的;old 旧的,new 新的;round 圆的,square 方的;tall 高的,short 矮的;wooden 木头的,iron 铁的;
long 长的,short 短的;open 打开的,closed 关着的;clean 干净的,dirty 脏的;full 满的,empty 空的;wet 湿的,dry 干的""")
MOODS = opposites("""sleeping 睡觉的,running 奔跑的;young 年轻的,old 年老的;happy 高兴的,sad 悲伤的;fat 胖的,thin 瘦的;
sitting 坐着的,standing 站着的;strong 强壮的,weak 虚弱的;tall 高的,short 矮的;big 大的,small 小的""")
WHERE = read("""on 上面;under 下面;behind 后面;in front of 前面;above 上方;below 下方;inside 里面;to the left of 左边;
to the right of 右边;outside 外面""")
WORN = read("""hat 戴,帽子;helmet 戴,头盔;scarf 戴,围巾;mask 戴,面具;watch 戴,手表;shirt 穿,衬衫;coat 穿,外套;skirt 穿,裙子;
jacket 穿,夹克;sweater 穿,毛衣;bag 带,包;dog 带,狗;child 带,孩子;umbrella 拿,雨伞;camera 拿,相机;stick 拿,棍子""")
GIVEN = read('ball 球;book 书;cup 杯子;flower 花;letter 信;apple 苹果;bone 骨头;stick 棍子;key 钥匙;gift 礼物')


def a(words):
    return ('an ' if words[0] in 'aeiou' else 'a ') + words


def exchanged(heads, others):
    """Roles of two sentences: the second says of `others` what the first says of `heads`."""
    return (heads, others), (others, heads)


def act(rng):
    (x, u), (y, v) = one, other = rng.sample(BEINGS, 2)
    does, said = rng.choice(ACTS)
    before, _, behind = said.partition('…')
    told = lambda p, q: p + before + q + behind
    return (f'{a(x)} {does} {a(y)}', f'{a(y)} {does} {a(x)}', told(u, v), told(v, u)), exchanged([one], [other])


def give(rng):
    (x, u), (y, v) = one, other = rng.sample(BEINGS, 2)
    thing, given = rng.choice(GIVEN)
    does, said = rng.choice([('gives', '给'), ('throws', '扔给'), ('brings', '带给'), ('shows', '给…看')])
    before, _, behind = said.partition('…')
    told = lambda p, q: f'{p}把{given}{before}{q}{behind}'
    return (f'{a(x)} {does} {a(thing)} to {a(y)}', f'{a(y)} {does} {a(thing)} to {a(x)}',
            told(u, v), told(v, u)), exchanged([one], [other])


def bound(rng):
    """Two qualities of two things, exchanged."""
    kind = rng.randrange(3)
    (x, u), (y, v) = one, other = rng.sample(BEINGS if kind == 2 else THINGS + BEINGS, 2)
    qualities = rng.sample(COLOURS if kind == 0 else rng.choice(KINDS if kind == 1 else MOODS), 2)
    (p, r), (q, s) = first, second = qualities
    joined, chinese = rng.choice([('{} beside {}', '{}在{}旁边'), ('{} next to {}', '{}在{}旁边'),
                                  ('{} near {}', '{1}旁边的{0}'), ('{} and {}', '{}和{}'),
                                  ('{} behind {}', '{1}后面的{0}'), ('{} with {}', '{}和{}'),
                                  ('{} on {}', '{1}上的{0}'), ('{} in front of {}', '{}在{}前面')])
    en = lambda i, j: joined.format(a(f'{i} {x}'), a(f'{j} {y}'))
    zh = lambda i, j: chinese.format(i + u, j + v)
    return (en(p, q), en(q, p), zh(r, s), zh(s, r)), (([first, one], [second, other]), ([second, one], [first, other]))


def stand(rng):
    (x, u), (y, v) = one, other = rng.sample(THINGS + BEINGS, 2)
    where, said = rng.choice(WHERE)
    is_ = rng.choice(['', ' is'])
    en = lambda i, j: f'{a(i)}{is_} {where} {a(j)}'
    form = rng.choice(['{}在{}{}', '{1}{2}的{0}']) if not is_ else '{}在{}{}'
    zh = lambda i, j: form.format(i, j, said)
    return (en(x, y), en(y, x), zh(u, v), zh(v, u)), exchanged([one], [other])


def without(rng):
    x, u = one = rng.choice(BEINGS)
    thing, said = rng.choice(WORN)
    verb, v = said.split(',')
    other = thing, v
    return (f'{a(x)} with {a(thing)}', f'{a(x)} without {a(thing)}', f'{verb}{v}的{u}', f'没有{verb}{v}的{u}'), \
        (([one], [other]), ([one], [other, ('without', '没有')]))


FORMS = ((act, 0.3), (bound, 0.3), (stand, 0.2), (give, 0.1), (without, 0.1))


def measured():
    """[set of words] of each row of word_order.tsv."""
    with open(os.path.join(HERE, 'word_order.tsv'), encoding='utf-8') as f:
        return [set(line.split('\t')[1].split()) for line in f if not line.startswith('#')]


def pairs(count, seed=3):
    rng, rows, made = random.Random(seed), measured(), {}
    forms, shares = zip(*FORMS)
    while len(made) < count:
        texts, roles = rng.choices(forms, shares)[0](rng)
        things = [side[-1][0] for side in roles[0]]
        if not any(all(t in row for t in things) for row in rows):
            made.setdefault(texts[0], (texts, roles))
    return list(made.values())


def contents(pieces):
    """`pieces` [V,512] of the teacher, zero where there is none -> [V,ORDER], each column of size one."""
    known = pieces.norm(dim=1) > 0
    x = (pieces - pieces[known].mean(0)) * known[:, None]
    x = x @ torch.linalg.eigh((x.T @ x).double())[1].flip(1)[:, :ORDER].float()
    return x / x[known].std(0)


def columns(x):
    """[n,4,...] -> [4n,...]: all of the first column, then the second ..."""
    return x.transpose(0, 1).flatten(0, 1)


class Encoded:
    """ids [n,4,LENGTH], used [n,4], goal [n,4,ORDER] of `count` pairs; `pieces` as contents() takes them."""

    def __init__(self, encode, count, pieces):
        made = pairs(count)
        ids, used = encode([t for texts, _ in made for t in texts])
        self.ids, self.used = ids.short().unflatten(0, (-1, 4)), used.unflatten(0, (-1, 4))
        words = sorted({w for _, roles in made for role in roles for side in role for w in side})
        meaning = dict(zip(words, self.meaning(encode, words, contents(pieces))))
        less = lambda role: sum(meaning[w] for w in role[0]) - sum(meaning[w] for w in role[1])
        goal = torch.stack([torch.stack([less(role) for role in roles]) for _, roles in made])
        self.goal = F.normalize(goal, dim=2).repeat(1, 2, 1)

    @staticmethod
    def meaning(encode, words, table):
        """[n,ORDER]: the mean over both languages of the mean over a word's pieces."""
        out = 0
        for language in (0, 1):
            ids, used = encode([w[language] for w in words])
            out = out + torch.stack([table[row[1:n - 1]].mean(0) for row, n in zip(ids, used.tolist())]) / 2
        return out

    def draw(self, rng, count):
        """ids [4 count, LENGTH], used, goal, column by column; `rng`: of numpy."""
        rows = rng.choice(len(self.ids), count, replace=False)
        return columns(self.ids[rows]), columns(self.used[rows]), columns(self.goal[rows])


def confused(e):
    """How little each text is nearer to its translation than to that of the other: mean of softplus."""
    first, second, third, fourth = e.chunk(4)
    near = lambda t, x, y: F.softplus(SHARP * (t * (y - x)).sum(1)).mean()
    return (near(first, third, fourth) + near(second, fourth, third) + near(third, first, second)
            + near(fourth, second, first)) / 4


def losses(order, goal):
    said = F.normalize(order, dim=1)
    return {'disorder': 1 - (said * goal).sum(1).mean(), 'confused': confused(said)}

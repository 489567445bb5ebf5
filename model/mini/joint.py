"""The last stage of contrast: the heads of both towers (second_image.py; textFC of second_text.py) on what
a text and a picture really give, the cosine over both parts of the joint space. What lies below textFC is
computed once.

The first part stays as it is in both towers. In pictures the second part is kept SHARE times as long. A text is
normed over both parts, so that the text says how much each of them counts:

  closed   names of the 1000 classes, but for kinds of places: at most `shut` times the first
  half     other written knowledge, colours, light: at most `half` times the first
  free     captions, names of kinds, verse: whatever finds their pictures

Two phases:

  contrast   captions and names of kinds find their pictures; closed texts have next to no second part
  names      they are given their natural share of it, 0.25 to 0.6 of the first, along the teacher's reading; and
             every picture says of the first names of all classes what lite0's own classifier says of it

Names without any second part cannot stand in one list with sentences: where it is short in pictures, places are
found by 25 %; where it is long, ascent on a name shortens it instead of showing the thing. Where it is long in
names, over 0.6 of the first, things are dreamt worse.

In training the pictures are best found with less of the second part than new ones are: there captions and names
of kinds are read with theirs LONGER times shortened. The order (word_order.py) stays out of all of this."""
import os
import random
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import image_head as I
import word_order
from corpus import TEMPLATES
from second_text import NAMES, ORDER_LENGTH, split
from text_tower import class_rows
from training import Loop, Scales, contrast, save

BEGIN = 4.0             # times the first: the second part of texts before the first phase
CLASSES = 1000
CLOSED = {'en': ['{}', 'a {}', 'the {}', 'a photo of a {}'], 'zh': ['{}', '一张{}的照片', '一个{}']}
# how many of each source are used; None: all
USED = {'captions': None, 'kinds': None, 'coco_en': 9000, 'coco_zh': 4000, 'poems': 9000, 'wordnet_zh': 9000,
        'words': 12000, 'names': None, 'drawn': 12000, 'traditional': 3000}
HALF_SOURCES = ('words', 'names', 'drawn')
DECAY, SHARE, NAMED = 0.02, 0.62, 512    # NAMED: pictures of a kind in a batch
SCALES = {'both': (3.4, 4.6), 'second': (2.9, 4.0)}
WEIGHTS = {'second': 0.5, 'both, kinds': 1.0, 'second, kinds': 0.5, 'teacher off': 0.7, 'length off': 2.0,
           'disorder': 0.5, 'confused': 0.1}
# the second part of texts is made so many times longer than what finds the pictures of the training best
LONGER = {'captions': 1.6, 'kinds': 2.8}


@dataclass
class Phase:
    """One run of this stage; its losses weigh as WEIGHTS says, those of closed texts and of classes as here,
    others one."""
    name: str
    image_rate: float
    text_rate: float
    half: float
    shut: float
    shut_weight: float
    classes_weight: float


PHASES = (Phase('contrast', 1e-3, 1e-3, 0.6, 0.1, 3.0, 0.0),
          Phase('names', 4e-4, 6e-4, 0.45, 0.3, 6.0, 2.0))


def relative(x):
    """[n]: the second part's length in that of the first."""
    first, second, _ = split(x)
    return second.norm(dim=1) / first.norm(dim=1)


def both(x, longer=1.0):
    """Unit rows of both parts, without the order; the second is shortened `longer` times."""
    first, second, _ = split(x)
    return F.normalize(torch.cat([first, second / longer], 1), dim=1)


def closed_texts(open_names):
    """Every name of a class in a few templates, but those whose name is in `open_names`."""
    said = []
    for row in class_rows():
        for language, names in zip(('en', 'zh'), row[1:3]):
            said += [t.format(n) for n in names.split(';') if n.lower() not in open_names
                     for t in CLOSED[language]]
    return list(dict.fromkeys(said))


@torch.no_grad()
def pooled(text, ids, used):
    """textFC's input [n, BERT + OWN]."""
    began = time.time()
    with torch.autocast('cpu', torch.bfloat16):
        rows = text.pooled(ids, used, True, 500)
    print(f'joint: {len(ids)} texts, {time.time() - began:.0f} s', flush=True)
    return rows


class Spoken:
    """Texts as textFC reads them, kept in WORK/spoken.pt: `rows` of Encoded with `inputs`; `closed`; `classes`,
    the first name of each: (English, Chinese); `ordered` [n,4]: pairs of word_order.py."""

    def __init__(self, args, pairs, text, texts, classes, encode, ordered):
        rng = np.random.default_rng(1)
        rows = {name: self.some(rng, texts.of(name), count) for name, count in USED.items()}
        self.rows = np.concatenate(list(rows.values()))
        self.half = torch.tensor(np.isin(self.rows, texts.of(*HALF_SOURCES)))
        self.named = torch.tensor(np.isin(self.rows, texts.of(*NAMES)))     # they have no order
        self.plain = np.flatnonzero(~np.isin(self.rows, texts.of('captions')))  # drawn without a picture
        self.place = {texts.texts[r]: i for i, r in
                      enumerate(self.rows[:len(rows['captions']) + len(rows['kinds'])])}
        self.teacher = texts.teacher[self.rows].numpy()
        open_names = {n.lower() for i in pairs.named if pairs.pictures[i].group == 'places'
                      for names in pairs.pictures[i].texts.values() for n in names}
        self.closed_names = closed_texts(open_names)
        path = os.path.join(args.work, 'spoken.pt')
        if not os.path.exists(path):
            save(path, inputs=pooled(text, texts.ids[self.rows], texts.used[self.rows]),
                 closed=pooled(text, *encode(self.closed_names)),
                 classes=[pooled(text, *encode(classes[l])) for l in ('en', 'zh')],
                 ordered=pooled(text, ordered.ids.flatten(0, 1), ordered.used.flatten()).unflatten(0, (-1, 4)))
        state = torch.load(path)
        self.ordered, self.order_goal = state.get('ordered'), ordered.goal
        self.inputs, self.closed, self.classes = state['inputs'], state['closed'], state.get('classes')
        assert len(self.inputs) == len(self.rows) and self.ordered is not None, \
            f'{path}: of other texts, delete it'

    @staticmethod
    def some(rng, rows, count):
        return rows if count is None else rng.choice(rows, min(count, len(rows)), replace=False)


class Talk:
    """What may be said of the pictures, as places in Spoken."""

    def __init__(self, pairs, spoken):
        shut = {t.lower() for t in spoken.closed_names}
        pairs.set_named([i for i in pairs.named
                         if not any(n.lower() in shut for names in pairs.pictures[i].texts.values()
                                    for n in names)])
        known = lambda texts: [spoken.place[t] for t in texts if t in spoken.place]
        self.captions = {l: {i: known(pairs.pictures[i].texts[l]) for i in pairs.captioned}
                         for l in ('en', 'zh')}
        self.names = {l: [known(t.format(n) for n in texts[l] for t in TEMPLATES[l])
                          for texts in pairs.kind_texts] for l in ('en', 'zh')}
        pairs.captioned = [i for i in pairs.captioned if all(self.captions[l][i] for l in ('en', 'zh'))]
        print(f'joint: {len(pairs.captioned)} pictures with captions, {len(pairs.named)} of '
              f'{len(pairs.kinds)} kinds', flush=True)

    def draw(self, rng, rows, language):
        """A caption of each of `rows`, then a name of each kind."""
        return [rng.choice(self.captions[language][i]) for i in rows] + \
               [rng.choice(names) for names in self.names[language]]


@torch.no_grad()
def level(image, text, pairs, spoken):
    """The lengths that the second parts begin with."""
    image.eval(), text.eval()
    image.gain *= SHARE / relative(image(pairs.seen(pairs.captioned[::10]))).mean()
    first, second, _ = split(text.of_pooled(spoken.inputs[:4000]))
    text.gain *= BEGIN * first.norm(dim=1).mean() / second.norm(dim=1).mean()


def found(images, texts, kinds, numbers, scale):
    """(contrast with captions, which kind): `texts`, `kinds`: in each language."""
    told, named = images[:len(texts[0])], images[len(texts[0]):]
    captions = sum(contrast(told, t, scale) for t in texts) / 2
    names = sum(F.cross_entropy(named @ t.T * scale, numbers) for t in kinds) / 2
    return captions, names


def unlike(images, names, logits, scale):
    """How far what pictures say of `names` is from the softmax of `logits` [n,1000]: Kullback-Leibler."""
    return F.kl_div((images @ names.T * scale).log_softmax(1), logits.softmax(1), reduction='batchmean')


class Losses:
    def __init__(self, args, phase, pairs, spoken, talk, modules, reading):
        self.args, self.phase, self.pairs, self.spoken, self.talk = args, phase, pairs, spoken, talk
        self.modules, self.reading = modules, reading

    def of_classes(self, step, seen, images, scale):
        """unlike() for one of the languages in turn; imgFC's first units are lite0's logits, relu(z + 4)."""
        first, text = self.modules['image'].first, self.modules['text']
        with torch.no_grad():
            logits = first.hidden(first.read(seen))[:, :CLASSES]
        names = both(text.of_pooled(self.spoken.classes[step % 2]))
        return unlike(images, names, logits, scale)

    def lengths(self, image_length, long, places):
        """(off in pictures, too long in half texts, too long in closed ones); `places` of all but the closed."""
        half = long[:len(places)][self.spoken.half[places]]
        return (image_length / SHARE - 1).square().mean(), \
            F.relu(half - self.phase.half).square().sum() / max(1, len(half)), \
            F.relu(long[len(places):] - self.phase.shut).square().mean()

    def order(self, pairs, goal, names):
        """`pairs` have the order of their goal, `names` none."""
        _, second, order = split(pairs)
        first, _, none = split(names)
        return {**word_order.losses(order, goal),
                'order off': (order.norm(dim=1) / second.norm(dim=1) - ORDER_LENGTH).square().mean(),
                'order of names': (none.norm(dim=1) / first.norm(dim=1)).square().mean()}

    def __call__(self, step):
        args, phase, spoken, rng = self.args, self.phase, self.spoken, random.Random(step)
        image, text, scale = self.modules['image'], self.modules['text'], self.modules['scales'].read()
        rows, seen, numbers = self.pairs.draw(rng, args.pair_batch, NAMED)
        places = [p for l in ('en', 'zh') for p in self.talk.draw(rng, rows, l)]
        paired = len(places)
        places += list(np.random.default_rng(step).choice(spoken.plain, args.joint_plain))
        closed = rng.sample(range(len(spoken.closed)), args.joint_closed)
        ordered = rng.sample(range(len(spoken.ordered)), args.joint_pairs)
        e = image(seen)
        out = text.of_pooled(torch.cat([spoken.inputs[places], spoken.closed[closed],
                                        word_order.columns(spoken.ordered[ordered])]))
        out, in_order = out[:-4 * len(ordered)], out[-4 * len(ordered):]
        told, n = out[:len(places)], len(rows)
        by_language = [p for l in told[:paired].chunk(2) for p in (l[:n], l[n:])]  # captions, kinds, twice
        parts = {}
        second = split(e)[1] / (SHARE * split(e)[0].norm(dim=1, keepdim=True))  # its length is near one
        unit_e = both(e)
        for what, images, unit in (('both', unit_e, both),
                                   ('second', second, lambda x, _: F.normalize(split(x)[1], dim=1))):
            t = [unit(p, LONGER['kinds' if k % 2 else 'captions']) for k, p in enumerate(by_language)]
            parts[what], parts[what + ', kinds'] = found(images, t[::2], t[1::2], numbers, scale[what])
        goal = torch.tensor(self.pairs.table[spoken.teacher[places]]).float() @ self.reading.T
        parts['teacher off'] = 1 - F.cosine_similarity(split(told)[1], goal).mean()
        parts['length off'], parts['half too long'], parts['closed too long'] = \
            self.lengths(relative(e), relative(out), torch.tensor(places))
        named = F.pad(spoken.named[places], (0, len(closed)), value=True)
        parts.update(self.order(in_order, word_order.columns(spoken.order_goal[ordered]), out[named]))
        weights = WEIGHTS | {'closed too long': phase.shut_weight, 'classes': phase.classes_weight}
        if phase.classes_weight:
            parts['classes'] = self.of_classes(step, seen, unit_e, scale['both'])
        return sum(weights.get(name, 1.0) * value for name, value in parts.items()), parts


def run(args, phase, steps, image, text, pairs, spoken, talk, reading):
    """One phase: the averaged heads. The state is in WORK/joint-NAME.pt."""
    modules = nn.ModuleDict({'image': image.train(), 'text': text.train(), 'scales': Scales(**SCALES)})
    groups = [{'params': image.own() + list(modules['scales'].parameters()), 'rate': phase.image_rate},
              {'params': text.head(), 'rate': phase.text_rate}]
    loop = Loop(os.path.join(args.work, f'joint-{phase.name}.pt'), steps, modules, groups, DECAY, keep=0.99,
                warm=40)
    result = loop.run(Losses(args, phase, pairs, spoken, talk, modules, reading))
    return result['image'], result['text']


def train(args, pairs, image, text, texts, reading, classes, encode, ordered):
    """Returns both heads, trained. `classes`: {language: the first name of each class}."""
    spoken = Spoken(args, pairs, text.eval(), texts, classes, encode, ordered)
    talk, text.drop = Talk(pairs, spoken), args.text_drop
    level(image, text, pairs, spoken)
    for phase, steps in zip(PHASES, args.joint_steps):
        image, text = run(args, phase, steps, image, text, pairs, spoken, talk, reading)
    return image, text

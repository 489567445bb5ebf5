"""The last stage: both towers' last layers (imgFC, textFC) together, on what a text and a picture really
give: the cosine over both parts of the joint space.

A text is of unit length over both parts, so that the text tower itself says how much each counts, and
each text has its own split:

  closed   names of the 1000 classes: as the old tower said them, nothing in the second part, so that
           they are found and dreamt as before
  half     other written knowledge, colours, light: the old first part; the second at most HALF as long
  free     captions, names of scenes: whatever finds their pictures, InfoNCE in the batch, both ways

The second part of half and other texts stays near the teacher's. In pictures its length is held near LENGTH,
so that it does not stand in the way of a name; the first part, whose gradient shows things, is left alone there. Everything below the last layers is
computed once, so that a step takes a tenth of a second."""
import os
import random
import time

import torch
import torch.nn.functional as F

import image_head as I
import pair
import text_tower

LENGTH = 0.4            # of the second part in pictures; the first has one
HALF = 0.5 / LENGTH     # of the first part's length: the most that a half text has in the second
SAYING = {'en': ['{}', 'a {}', 'the {}', 'a photo of a {}'], 'zh': ['{}', '一张{}的照片', '一个{}']}


@torch.no_grad()
def pooled(tower, ids, used):
    """textFC's input [n,BERT]; short texts apart from long ones, without padding."""
    order, parts = used.argsort(), []
    for rows in order.chunk(max(1, len(order) // 64)):
        length = int(used[rows].max())
        keep = (torch.arange(length)[None] < used[rows, None]).float()
        x = F.normalize(tower.backbone.bert(ids[rows, :length]), dim=-1)
        x = tower.learnable.textAtt(x, src_key_padding_mask=keep == 0)
        parts.append((x.float() * keep[..., None]).sum(1) / used[rows, None])
    return torch.cat(parts)[order.argsort()]


def features(args, tower, encode, texts):
    """({text: row}, [n,BERT]): textFC's input, kept in WORK/spoken.pt."""
    path = os.path.join(args.work, 'spoken.pt')
    if os.path.exists(path):
        state = torch.load(path)
        if all(t in state['index'] for t in texts):
            return state['index'], state['rows']
    texts, rows, began = list(dict.fromkeys(texts)), [], time.time()
    for at in range(0, len(texts), 500):
        with torch.autocast('cpu', torch.bfloat16):
            rows.append(pooled(tower, *encode(texts[at:at + 500])))
        if at % 10000 == 0:
            print(f'joint: {at}/{len(texts)} texts, {time.time() - began:.0f} s', flush=True)
    index = {t: i for i, t in enumerate(texts)}
    pair.save(path, index=index, rows=torch.cat(rows))
    return index, torch.cat(rows)


def closed_texts():
    """Every name of a class in a few templates."""
    said = []
    for line in open(os.path.join(text_tower.HERE, 'classes.tsv'), encoding='utf-8'):
        for language, names in zip(('en', 'zh'), line.rstrip('\n').split('\t')[1:3]):
            said += [t.format(n) for n in names.split(';') for t in SAYING[language]]
    return list(dict.fromkeys(said))


class Talk:
    """What is said of the training pictures, and what must stay."""

    def __init__(self, args, batches, tower, old, encode, half, others):
        rng, self.of = random.Random(7), {}
        for i in batches.captions + batches.named:
            p = batches.pictures[i]
            self.of[i] = {l: pair.texts_of(p, l) for l in ('en', 'zh')}
            if p.group == 'flickr8k':
                self.of[i] = {l: rng.sample(t, min(args.captions, len(t)))
                              for l, t in self.of[i].items()}
        self.scenes = list(dict.fromkeys(t for i in batches.named for l in self.of[i].values() for t in l))
        closed = closed_texts()
        shut = set(closed)
        seen = {t for said in self.of.values() for l in said for t in said[l]}
        self.closed = closed
        self.half = [t for t in half if t not in shut and t not in seen]
        self.others = [t for t in others if t not in shut]
        self.index, self.rows = features(args, tower, encode,
                                         [*seen, *self.closed, *self.half, *self.others])
        kept = self.closed + self.half
        self.place = {t: i for i, t in enumerate(kept)}
        with torch.no_grad():
            self.said = torch.cat([text_tower.bag(old, *encode(kept[k:k + 500]))
                                   for k in range(0, len(kept), 500)])

    def look(self, texts):
        return self.rows[[self.index[t] for t in texts]]

    def old(self, texts):
        return self.said[[self.place[t] for t in texts]]


def split(x):
    return x[:, :I.DIM], x[:, I.DIM:]


def kept(rng, count, batches, text, reading, talk):
    """(closed off, half's first part off, half too long, second part off)"""
    some = rng.sample(talk.closed, count)
    out = text(talk.look(some))
    first, _ = split(out)
    closed = 1 - ((first * talk.old(some)).sum(1) / out.norm(dim=1)).mean()
    some = rng.sample(talk.half, count)
    first, second = split(text(talk.look(some)))
    half = 1 - F.cosine_similarity(first, talk.old(some)).mean()
    long = F.relu(second.norm(dim=1) / first.norm(dim=1) - HALF).square().mean()
    others = rng.sample(talk.others, count)
    told = torch.cat([second, split(text(talk.look(others)))[1]])
    goal = torch.stack([batches.teacher(t) for t in some + others]) @ reading.T
    return closed, half, long, 1 - F.cosine_similarity(told, goal).mean()


def losses(args, rng, batches, goals, reader, text, reading, talk, scale):
    """[contrast, how far the second part's length in pictures is off, kept's four]"""
    rows, view, same = batches.draw(rng)
    goal = torch.tensor(goals[rows, view])
    raw = reader(goal[:, I.DIM:], args.pair_drop)
    e = F.normalize(raw, dim=1)

    def said(language):
        x = talk.look([rng.choice(talk.of[i][language]) for i in rows])
        h = F.dropout(F.relu(text.fc1(x)), args.text_drop)
        return F.normalize(text.fc2(h), dim=1)

    contrast = sum(pair.contrast(e, said(l), same, scale) for l in ('en', 'zh')) / 4
    length = ((split(raw)[1].norm(dim=1) / LENGTH - 1) ** 2).mean()
    return [contrast, length, *kept(rng, args.pair_batch, batches, text, reading, talk)]


WEIGHTS = torch.tensor([1.0, 1.0, 48.0, 4.0, 2.0, 1.0])  # of losses, in their order


def train(args, batches, goals, reader, tower, reading, talk):
    """What pair.begin gave. Changes reader and tower.learnable.textFC."""
    torch.manual_seed(8)
    text = tower.learnable.textFC
    with torch.no_grad():
        reader.gain *= LENGTH
    pair.weighed(text.fc2, 1.0, 1 / LENGTH)
    scale = torch.nn.Parameter(torch.tensor(3.2))
    optimiser = pair.optimiser_of([(reader.own(), args.joint_rate),
                                   (text.parameters(), args.joint_rate), ([scale], 1e-3)], decay=0)
    path, start = os.path.join(args.work, 'joint.pt'), 0
    if os.path.exists(path):
        state = torch.load(path)
        reader.load_state_dict(state['reader'])
        text.load_state_dict(state['text'])
        optimiser.load_state_dict(state['optimiser'])
        scale.data, start = state['scale'], state['step']
    steps, began, mean = args.joint_steps, time.time(), None
    for step in range(start, steps):
        parts = losses(args, random.Random(step), batches, goals, reader, text, reading, talk, scale.exp())
        pair.step_of(optimiser, (torch.stack(parts) * WEIGHTS).sum(), step, steps)
        now = torch.tensor([v.item() for v in parts])
        mean = now if mean is None else mean + 0.05 * (now - mean)
        if step % 25 == 24:
            print(f'joint: step {step + 1}/{steps}, contrast {mean[0]:.3f}, closed off {mean[2]:.4f}, '
                  f'half off {mean[3]:.4f}, too long {mean[4]:.4f}, second part off {mean[5]:.3f}, in '
                  f'pictures its length off {mean[1]:.3f}, {time.time() - began:.0f} s', flush=True)
        if step % 100 == 99 or step + 1 == steps:
            pair.save(path, reader=reader.state_dict(), text=text.state_dict(), scale=scale.data,
                      optimiser=optimiser.state_dict(), step=step + 1)


@torch.no_grad()
def settle(args, text, talk, names):
    """The last layer of textFC by least squares: closed texts as the old tower said them with a zero
    second part, the first names of the classes above all; half texts' first part likewise; names of scenes and
    captions as they are. args.settle: how much these five weigh. `names`: {language: of the classes}."""
    rng = random.Random(11)
    of_closed, of_first, of_half, of_scenes, of_free = args.settle
    size, out = text.fc1.out_features + 1, text.fc2.out_features
    left, right = (torch.zeros(size, n, dtype=torch.float64) for n in (size, out))

    def add(texts, goal, weight):
        for at in range(0, len(texts), 2000):
            h = F.relu(text.fc1(talk.look(texts[at:at + 2000])))
            h = F.pad(h, (0, 1), value=1.0)
            left.add_((h.T @ h).double(), alpha=weight)
            right.add_((h.T @ goal(texts[at:at + 2000])).double(), alpha=weight)

    def as_names(texts):
        return F.pad(talk.old(texts), (0, out - I.DIM))

    def as_half(texts):
        second = split(text(talk.look(texts)))[1]
        long = second.norm(dim=1, keepdim=True)
        return torch.cat([talk.old(texts), second * (HALF / long).clamp(max=1)], 1)

    def as_is(texts):
        told = text(talk.look(texts))
        return told / split(told)[0].norm(dim=1, keepdim=True)

    add(talk.closed, as_names, of_closed)
    add([n for l in names for n in names[l]], as_names, of_first)
    add(rng.sample(talk.half, min(len(talk.half), 9000)), as_half, of_half)
    add([t for t in talk.scenes if t not in talk.place], as_is, of_scenes)
    free = [t for t in talk.index if t not in talk.place]
    add(rng.sample(free, min(len(free), 12000)), as_is, of_free)
    left += 1e-5 * torch.eye(size)
    both = torch.linalg.solve(left, right).float()
    text.fc2.weight.copy_(both[:-1].T)
    text.fc2.bias.copy_(both[-1])

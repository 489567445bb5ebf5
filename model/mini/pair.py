"""The image head learns from captions and names: BriVL's objective with the text teacher in the
place of the text tower.

The joint space has two parts. The first DIM numbers are image_head.py's: the classes that lite0
tells apart, colour and light. The KNOWN numbers after them are learnt here by contrast, from what
people wrote about pictures: imgFC gets HIDDEN units for them. max_pool.0, imgAtt and the trunk stay,
so that imgFC's input is computed once a picture.

  begin(...)   -> batches, what the old head says, reader (the new head), reading [KNOWN, 512] of the
                  teacher's texts
"""
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F

import brivl_torch as B
import image_head as I

KNOWN, HIDDEN = 256, 768
SHARE = 5               # of 6 pictures in a batch, so many have captions
TEMPLATES = {'en': ['{}', 'a photo of {}', 'a picture of {}'],
             'zh': ['{}', '一张{}的照片', '{}的图片']}


def texts_of(picture, language):
    """What may be said of a picture."""
    if picture.group == 'flickr8k':
        return picture.texts[language]
    return [t.format(n) for n in picture.texts[language] for t in TEMPLATES[language]]


def widened(old):
    """`old` with HIDDEN more units and KNOWN more numbers, which begin at zero."""
    d, wide = old.max_pool[0].out_features, old.imgAtt.layers[0].linear1.out_features
    fc1, fc2 = old.imgFC.fc1, old.imgFC.fc2
    n = fc1.out_features
    head = B.ImageHead(old.max_pool[0].in_features, d, 4, 1, wide, n + HIDDEN, I.DIM + KNOWN)
    head.max_pool.load_state_dict(old.max_pool.state_dict())
    head.imgAtt.load_state_dict(old.imgAtt.state_dict())
    with torch.no_grad():
        for p in (head.imgFC.fc1.weight, head.imgFC.fc1.bias, head.imgFC.fc2.weight,
                  head.imgFC.fc2.bias):
            p.zero_()
        head.imgFC.fc1.weight[:n], head.imgFC.fc1.bias[:n] = fc1.weight, fc1.bias
        head.imgFC.fc2.weight[:I.DIM, :n], head.imgFC.fc2.bias[:I.DIM] = fc2.weight, fc2.bias
    return head


class Reader(torch.nn.Module):
    """What the new head gives for imgFC's input. The new units are layers of their own, whose inputs
    are brought to a like size, until fold() writes them into the head."""

    def __init__(self, head, seen):
        super().__init__()
        self.head, self.first = head, head.imgFC.fc1.out_features - HIDDEN
        self.register_buffer('mean', seen.mean(0))
        self.register_buffer('dev', seen.std(0).clamp(min=1e-3))
        self.register_buffer('gain', torch.tensor(1.0))
        self.unit, self.last = torch.nn.Linear(len(self.dev), HIDDEN), torch.nn.Linear(HIDDEN, KNOWN)
        torch.nn.init.normal_(self.unit.weight, std=(2 / len(self.dev)) ** 0.5)
        torch.nn.init.normal_(self.last.weight, std=HIDDEN ** -0.5)

    def own(self):
        return [*self.unit.parameters(), *self.last.parameters()]

    def second(self, x, drop):
        x = F.dropout((x - self.mean) / self.dev, drop / 2, self.training)
        return self.gain * self.last(F.dropout(F.relu(self.unit(x)), drop, self.training))

    def forward(self, x, drop=0.0):
        fc1, fc2 = self.head.imgFC.fc1, self.head.imgFC.fc2
        with torch.no_grad():
            h = F.relu(F.linear(x, fc1.weight[:self.first], fc1.bias[:self.first]))
            first = F.linear(h, fc2.weight[:I.DIM, :self.first], fc2.bias[:I.DIM])
        return torch.cat([first, self.second(x, drop)], 1)

    @torch.no_grad()
    def level(self, x):
        """Both parts get a mean length of one."""
        self.eval()
        first, second = (p.norm(dim=1).mean() for p in self(x).split([I.DIM, KNOWN], 1))
        self.gain /= second
        weighed(self.head.imgFC.fc2, 1 / first, 1)
        self.train()

    @torch.no_grad()
    def fold(self):
        """The finished head."""
        fc1, fc2 = self.head.imgFC.fc1, self.head.imgFC.fc2
        fc1.weight[self.first:] = self.unit.weight / self.dev
        fc1.bias[self.first:] = self.unit.bias - fc1.weight[self.first:] @ self.mean
        fc2.weight[I.DIM:, self.first:] = self.gain * self.last.weight
        fc2.bias[I.DIM:] = self.gain * self.last.bias
        return self.head


def contrast(images, texts, same, scale):
    """InfoNCE both ways; `same` [n,n]: which pairs say the same."""
    s, want = images @ texts.T * scale, same / same.sum(1, keepdim=True)
    return -((s.log_softmax(1) * want).sum(1) + (s.T.log_softmax(1) * want).sum(1)).mean()


def ranks(scores, truth):
    """[n] place of the true column."""
    return (scores > scores.gather(1, truth[:, None])).sum(1)


def heard(work, tokens, head, views):
    """What `head` says of every picture, [n, views, DIM + WIDTH]: its embedding and imgFC's input."""
    path, n = os.path.join(work, 'goals.npy'), len(tokens)
    if not os.path.exists(path):
        said, began = np.zeros((n, views, I.DIM + I.WIDTH), np.float32), time.time()
        with torch.no_grad():
            for at in range(0, n, 64):
                rows = torch.tensor(np.asarray(tokens[at:at + 64, :views])).float().flatten(0, 1)
                x = F.normalize(head.max_pool(rows), dim=-1)
                with torch.autocast('cpu', torch.bfloat16):
                    x = head.imgAtt(x)
                x = x.float().mean(1)
                e = torch.cat([F.normalize(head.imgFC(x), dim=-1), x], 1)
                said[at:at + 64] = e.view(-1, views, said.shape[2]).numpy()
                if at // 64 % 50 == 49:
                    print(f'heard: {at + 64}/{n}, {time.time() - began:.0f} s', flush=True)
        np.save(path + '.part.npy', said)
        os.replace(path + '.part.npy', path)
    return np.load(path)


class Batches:
    """Draws pictures and what is said of them."""

    def __init__(self, args, pictures, index, table):
        self.args, self.pictures, self.index, self.table = args, pictures, index, table
        rows = [i for i, p in enumerate(pictures) if not p.held and p.texts['en']]
        self.captions = [i for i in rows if pictures[i].group == 'flickr8k']
        self.named = [i for i in rows if pictures[i].group != 'flickr8k']
        kinds = sorted({pictures[i].texts['en'][0] for i in self.named})
        number = {k: -1 - i for i, k in enumerate(kinds)}
        self.kind = torch.tensor([number.get(p.texts['en'][0], i) if p.texts['en'] else i
                                  for i, p in enumerate(pictures)])

    def teacher(self, text):
        return torch.tensor(np.asarray(self.table[self.index[text]])).float()

    def draw(self, rng):
        """(rows, view, which of them are of one kind [n,n])"""
        size = self.args.pair_batch
        many = size * SHARE // 6
        rows = rng.sample(self.captions, many) + rng.sample(self.named, size - many)
        kind = self.kind[rows]
        return rows, rng.randrange(self.args.views), (kind[:, None] == kind).float()

    def say(self, rows, language, rng):
        return [rng.choice(texts_of(self.pictures[i], language)) for i in rows]


def optimiser_of(groups, decay=0.02):
    """AdamW over [(parameters, rate)]."""
    return torch.optim.AdamW([{'params': list(p), 'rate': r} for p, r in groups], lr=1e-4,
                             weight_decay=decay)


def step_of(optimiser, loss, step, steps):
    for group in optimiser.param_groups:
        group['lr'] = group['rate'] * min(1, (step + 1) / 40) * (1 - step / (steps + 1))
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g['params']], 5.0)
    optimiser.step()


def save(path, **state):
    torch.save(state, path + '.part')
    os.replace(path + '.part', path)


def train_reading(args, batches, goals, reader, reading):
    """The new units of imgFC and the teacher's matrix."""
    path = os.path.join(args.work, 'reading.pt')
    if os.path.exists(path):
        state = torch.load(path)
        reader.load_state_dict(state['reader'])
        reading.load_state_dict(state['reading'])
        return
    scale = torch.nn.Parameter(torch.tensor(2.7))
    optimiser = optimiser_of([(reader.own(), 1e-3), (list(reading.parameters()) + [scale], 1e-3)])
    for step in range(args.reading_steps):
        rng = random.Random(step)
        rows, view, same = batches.draw(rng)
        known = F.normalize(reader.second(torch.tensor(goals[rows, view, I.DIM:]), args.pair_drop), dim=1)
        loss = 0
        for language in ('en', 'zh'):
            told = torch.stack([batches.teacher(t) for t in batches.say(rows, language, rng)])
            loss = loss + contrast(known, F.normalize(reading(told), dim=1), same, scale.exp()) / 4
        step_of(optimiser, loss, step, args.reading_steps)
        if step % 100 == 99:
            print(f'reading: step {step + 1}/{args.reading_steps}, contrast {loss:.3f}', flush=True)
    reader.level(torch.tensor(goals[::40, 0, I.DIM:]))
    save(path, reader=reader.state_dict(), reading=reading.state_dict())


def weighed(layer, first, second):
    """A last layer whose two parts are multiplied by these."""
    with torch.no_grad():
        for p in (layer.weight, layer.bias):
            p[:I.DIM] *= first
            p[I.DIM:] *= second


def begin(args, pictures, boxes, old, index, table):
    """`boxes`: trunk.py's tokens; `old`: the head of image_head.py; index, table: the teacher's texts."""
    torch.manual_seed(3)
    goals = heard(args.work, boxes, old, args.views)
    batches = Batches(args, pictures, index, table)
    reader = Reader(widened(old), torch.tensor(goals[batches.captions[::5], 0, I.DIM:]))
    reading = torch.nn.Linear(table.shape[1], KNOWN, bias=False)
    train_reading(args, batches, goals, reader, reading)
    return batches, goals, reader, reading.weight.detach()

"""The picture's second part: SECOND numbers beside the first part, learnt from what people wrote.

imgFC gets HIDDEN new units, that read what the old ones read; the second part reads them and the old
units. Its teacher are the texts' embeddings (teacher_text.py) under one matrix, `reading` [SECOND,512]:
InfoNCE with captions in both languages, and of named pictures which of all kinds they are.

  SecondImage   mean of the boxes [n,1280] -> both parts [n, DIM + SECOND]
  train(...)    -> SecondImage, reading, kept in WORK/images.pt
"""
import os
import random

import torch
import torch.nn.functional as F
from torch import nn

import image_head as I
import teacher_text
from training import Loop, Scales, contrast

SECOND, HIDDEN = 192, 256
RATE, DECAY, MOST_SCALE = 1e-3, 0.02, 4.0


class SecondImage(nn.Module):
    """`gain` is set by joint.py, so that the second part has its length."""

    def __init__(self, first, seen, drop):
        """`first`: FirstImage; `seen` [n,1280]: pictures by which inputs are brought to a like size."""
        super().__init__()
        self.first, self.drop = first.requires_grad_(False), drop
        with torch.no_grad():
            x = first.read(seen)
            old = first.hidden(x)
        x = x[:, :-1]
        self.register_buffer('input_mean', x.mean(0))
        self.register_buffer('input_size', x.std(0).clamp(min=1e-4))
        self.register_buffer('old_mean', old.mean(0))
        self.register_buffer('old_size', old.std(0).clamp(min=0.5))
        self.register_buffer('gain', torch.tensor(1.0))
        self.units = nn.Linear(x.shape[1], HIDDEN)
        self.from_units = nn.Linear(HIDDEN, SECOND)
        self.from_old = nn.Linear(old.shape[1], SECOND, bias=False)
        nn.init.normal_(self.units.weight, std=(2 / x.shape[1]) ** 0.5)
        nn.init.zeros_(self.from_old.weight)

    def own(self):
        return [*self.units.parameters(), *self.from_units.parameters(), *self.from_old.parameters()]

    def forward(self, seen):
        with torch.no_grad():
            x = self.first.read(seen)
            old = self.first.hidden(x)
            first = self.first.said(old)
        x = F.dropout((x[:, :-1] - self.input_mean) / self.input_size, self.drop / 2, self.training)
        new = F.dropout(F.relu(self.units(x)), self.drop, self.training)
        old = F.dropout((old - self.old_mean) / self.old_size, self.drop, self.training)
        return torch.cat([first, self.gain * (self.from_units(new) + self.from_old(old))], 1)


def train(args, pairs, first):
    torch.manual_seed(0)
    image = SecondImage(first, pairs.seen(pairs.captioned[::6]), args.image_drop)
    reading = nn.Linear(teacher_text.DIM, SECOND, bias=False)
    modules = nn.ModuleDict({'image': image, 'reading': reading, 'scales': Scales(cosine=(2.7, MOST_SCALE))})
    groups = [{'params': image.own() + [*reading.parameters(), *modules['scales'].parameters()],
               'rate': RATE}]

    def losses(step):
        rng, scale = random.Random(step), modules['scales'].read()['cosine']
        rows, seen, kinds = pairs.draw(rng, args.pair_batch, args.images_named)
        second = F.normalize(image(seen)[:, I.DIM:], dim=1)
        told, named = second[:len(rows)], second[len(rows):]
        read = lambda texts: F.normalize(reading(pairs.teacher(texts)), dim=1)
        captions = sum(contrast(told, read(pairs.captions(rng, rows, l)), scale) for l in ('en', 'zh')) / 2
        names = sum(F.cross_entropy(named @ read(pairs.names(rng, l)).T * scale, kinds)
                    for l in ('en', 'zh')) / 2
        return captions + names, {'captions': captions, 'kinds': names}

    loop = Loop(os.path.join(args.work, 'images.pt'), args.images_steps, modules, groups, DECAY, keep=0.995)
    result = loop.run(losses)
    return result['image'], result['reading'].weight.detach()

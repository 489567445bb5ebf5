"""Training pictures with what is said of them, for the stages that learn by contrast.

A picture has captions (Flickr8k) or is of a named kind; kinds are known by their first English name."""
import itertools
from collections import Counter

import numpy as np
import torch

import trunk
from corpus import MORE, TEMPLATES


class Pairs:
    def __init__(self, args, pictures, pooled, index, table):
        """`pooled`: trunk.py's; index, table: the teacher's."""
        self.args, self.pictures, self.pooled = args, pictures, pooled
        self.index, self.table = index, table
        rows = [i for i, p in enumerate(pictures) if not p.held and p.texts['en']]
        self.captioned = [i for i in rows if pictures[i].group == 'flickr8k']
        self.set_named([i for i in rows if pictures[i].group != 'flickr8k'])

    def set_named(self, rows):
        """Of the named pictures, only `rows` are drawn; their kinds are numbered."""
        of_kind = {self.pictures[i].texts['en'][0]: i for i in rows}
        self.named, self.kinds = rows, sorted(of_kind)
        self.kind_texts = [self.pictures[of_kind[k]].texts for k in self.kinds]
        number = {k: j for j, k in enumerate(self.kinds)}
        self.number = {i: number[self.pictures[i].texts['en'][0]] for i in rows}
        count = Counter(self.group(i) for i in rows)
        self.until = list(itertools.accumulate(count[self.group(i)] ** -0.4 for i in rows))

    def group(self, row):
        """A group is drawn in proportion to its size to the power of 0.6."""
        return MORE.get(self.pictures[row].group, self.pictures[row].group)

    def seen(self, rows):
        """The plain pictures [n,1280]."""
        return torch.tensor(np.asarray(self.pooled[rows, 0])).float()

    def draw(self, rng, captioned, named):
        """(rows with captions, what is seen [captioned + named, 1280], kinds of the named ones)"""
        with_text = rng.sample(self.captioned, min(captioned, len(self.captioned)))
        with_name = rng.choices(self.named, cum_weights=self.until, k=named)
        count = lambda i: trunk.views_of(self.pictures[i], self.args.views, self.args.few_views)
        views = [(i, rng.randrange(count(i))) for i in with_text + with_name]
        seen = torch.tensor(np.stack([self.pooled[i, v] for i, v in views])).float()
        return with_text, seen, torch.tensor([self.number[i] for i in with_name])

    def captions(self, rng, rows, language):
        """One of each picture."""
        return [rng.choice(self.pictures[i].texts[language]) for i in rows]

    def names(self, rng, language):
        """One of each kind."""
        return [rng.choice(TEMPLATES[language]).format(rng.choice(t[language])) for t in self.kind_texts]

    def teacher(self, texts):
        return torch.tensor(self.table[[self.index[t] for t in texts]]).float()

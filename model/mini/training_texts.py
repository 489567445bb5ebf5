"""All training texts, source by source, each source with its share of what is drawn.

  gather     [(share, [text])] in the order of SOURCES
  Encoded    ids [n,LENGTH] int16, used [n], row of the teacher [n], of all sources one after the other
"""
import os
import random
import time

import numpy as np
import torch

from corpus import TEMPLATES
from training import save

SOURCES = ['captions', 'coco_en', 'coco_zh', 'poems', 'wordnet_zh', 'words', 'names', 'kinds', 'drawn',
           'traditional']


def gather(pictures, plain, texts, drawn, traditional):
    """`plain`: corpus.plain_texts; `texts`: make_mini.knowledge, of which `drawn` are drawn."""
    said = {l: [t for p in pictures if p.group == 'flickr8k' and not p.held for t in p.texts[l]]
            for l in ('en', 'zh')}
    captions = said['en'] + said['zh']
    kinds = {t.format(name) for p in pictures if p.group != 'flickr8k' for l in ('en', 'zh')
             for name in p.texts[l] for t in TEMPLATES[l]}
    rng, spoken = random.Random(5), []
    for _ in range(drawn):
        spoken.append(texts.draw(rng)[0])
    words = [w for l in ('zh', 'en') for w, _, _ in texts.breadth[l]]
    names = [n for e in texts.classes + texts.lexicon for l in ('zh', 'en') for n in e.names[l]]
    chinese = plain['coco_zh'] + said['zh']
    sources = [(0.30, captions), (0.14, plain['coco_en'] + plain['multi30k_en']),
               (0.03, plain['coco_zh']), (0.06, plain['poems']), (0.08, plain['wordnet_zh']),
               (0.08, words), (0.09, names), (0.04, sorted(kinds)), (0.15, spoken),
               (0.03, [traditional(t) for t in rng.sample(chinese, min(5000, len(chinese)))])]
    avoid = texts.avoid
    return [(s, [t for t in dict.fromkeys(l) if texts.plain(t) not in avoid]) for s, l in sources]


class Encoded:
    """`sources`: of gather; `index`: {text: row of the teacher}."""

    def __init__(self, args, sources, encode, index):
        self.texts = [t for _, l in sources for t in l]
        self.first = np.cumsum([0] + [len(l) for _, l in sources])
        shares = np.array([s if l else 0.0 for s, l in sources])
        self.shares = shares / shares.sum()
        path = os.path.join(args.work, 'encoded.pt')
        if not os.path.exists(path):
            ids, used, rows = self.encoded(encode, index)
            save(path, ids=ids, used=used, teacher=rows)
        state = torch.load(path)
        self.ids, self.used, self.teacher = state['ids'], state['used'], state['teacher']
        assert len(self.ids) == len(self.texts), f'{path}: of other texts, delete it'

    def encoded(self, encode, index):
        began, ids, used = time.time(), [], []
        for at in range(0, len(self.texts), 2000):
            part = encode(self.texts[at:at + 2000])
            ids.append(part[0].short())
            used.append(part[1])
            if at % 50000 == 0:
                print(f'texts: {at}/{len(self.texts)}, {time.time() - began:.0f} s', flush=True)
        return torch.cat(ids), torch.cat(used), torch.tensor([index[t] for t in self.texts])

    def of(self, *names):
        """Rows of these sources."""
        places = [SOURCES.index(n) for n in names]
        return np.concatenate([np.arange(self.first[k], self.first[k + 1]) for k in places])

    def draw(self, rng, count):
        """[count] rows, as often of each source as its share says; `rng`: of numpy."""
        which = rng.choice(len(self.shares), count, p=self.shares)
        sizes = np.diff(self.first)[which]
        return torch.tensor(self.first[which] + (rng.random(count) * sizes).astype(int))

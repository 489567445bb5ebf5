"""Retrieval, scenes and word order: what BriVL-mini makes of pictures and texts that no stage of
its training has seen (corpus.py says which).

  python measure_known.py --data FOLDER --photos PHOTOS --work WORK [--config X.yml]

  captions     Flickr8k val, 1,000 pictures, five captions in each language: text -> picture
  scenes       the last fifth of the pictures of each kind, by the kind's first name
  ImageNet     every other photo of PHOTOS by the names of classes.tsv
  word order   word_order.tsv: of two texts of the same words, the one that its translation is
               nearer to, both ways; 50 % is chance, and ties are half

What the trunk sees is kept in WORK: a trunk, a WORK. learn.py leaves the same files for lite0.
"""
import argparse
import os

import numpy as np
import torch

import brivl_torch as B
import corpus
import image_head as I
import measure
import text_tower as T
import trunk
from training import ranks

HERE = os.path.dirname(os.path.abspath(__file__))


def tokens_of_photos(photos, net, work):
    """MSPP tokens [n,37,1280] of plain photos, kept in WORK."""
    path = os.path.join(work, 'photos.pt')
    if not os.path.exists(path):
        matrix, rows = B.mspp_matrix(6, 4, I.SIZE, 7).float(), []
        for at in range(0, len(photos), 25):
            x = torch.cat([measure.pixels(p) for p in photos[at:at + 25]])
            f = net.forward_features((x - I.MEAN) / I.STD)
            rows.append(torch.einsum('bp,ncp->nbc', matrix, f.flatten(2)))
        torch.save(torch.cat(rows), path)
    return torch.load(path)


class Measure:
    def __init__(self, pictures, boxes, photos, photo_tokens):
        self.pictures, self.boxes = pictures, boxes     # trunk.tokens
        self.place = {row: k for k, row in enumerate(trunk.rows(pictures)[0])}
        self.photos, self.photo_tokens = photos, photo_tokens

    def images(self, model, rows):
        read = lambda part: torch.tensor(np.asarray(self.boxes[[self.place[i] for i in part]])).float()
        return torch.cat([model.imgencoder.learnable(read(rows[k:k + 50]))
                          for k in range(0, len(rows), 50)])

    @torch.no_grad()
    def report(self, model, embed, show=print):
        """`embed`: texts -> unit rows. Returns {what: figures}."""
        out, p = {}, self.pictures
        rows = [i for i, q in enumerate(p) if q.held and q.group == 'flickr8k']
        e = self.images(model, rows)
        for language in ('en', 'zh'):
            said = [(j, t) for j, i in enumerate(rows) for t in p[i].texts[language]]
            r = ranks(embed([t for _, t in said]) @ e.T, torch.tensor([j for j, _ in said]))
            out['captions ' + language] = [100 * (r < k).float().mean().item() for k in (1, 5, 10)]
        for group in ('places', 'aerial_nwpu12', 'aerial_rsscn7', 'caltech101', 'paintings', 'weather',
                      'sports'):
            rows = [i for i, q in enumerate(p) if q.held and q.group == group and q.texts['en']]
            if not rows:
                continue
            e, kinds = self.images(model, rows), sorted({p[i].kind for i in rows})
            truth = torch.tensor([kinds.index(p[i].kind) for i in rows])
            names = {p[i].kind: p[i].texts for i in rows}
            for language in ('en', 'zh'):
                r = ranks(e @ embed([names[k][language][0] for k in kinds]).T, truth)
                out[f'{group} ({len(kinds)}) {language}'] = [100 * (r < k).float().mean().item()
                                                            for k in (1, 5)]
        e = torch.cat([model.imgencoder.learnable(t) for t in self.photo_tokens.split(50)])
        truth = torch.tensor([int(os.path.basename(q)[:3]) for q in self.photos])
        for language, names in T.class_names().items():
            r = ranks(e @ embed(names).T, truth)
            out['ImageNet ' + language] = [100 * (r < k).float().mean().item() for k in (1, 5)]
        out.update(word_order(embed))
        for name, figures in out.items():
            show(f'  {name:26}', ' / '.join(f'{v:.1f}' for v in figures), flush=True)
        return out


def word_order(embed):
    """{kind: [share right]} of word_order.tsv."""
    with open(os.path.join(HERE, 'word_order.tsv'), encoding='utf-8') as f:
        rows = [line.rstrip('\n').split('\t') for line in f if not line.startswith('#')]
    e = [embed([r[c] for r in rows]) for c in (1, 2, 3, 4)]
    right = {}
    for a, b, x, y in ((0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)):
        # text a, its translation x, the other one's y
        d = (e[a] * (e[x] - e[y])).sum(1)
        for row, value in zip(rows, d.tolist()):
            score = 0.5 if abs(value) < 1e-6 else float(value > 0)
            right.setdefault('word order', []).append(score)
            right.setdefault('word order, ' + row[0], []).append(score)
    return {k: [100 * sum(v) / len(v)] for k, v in right.items()}


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name in ('data', 'photos', 'work'):
        a.add_argument('--' + name, required=True)
    a.add_argument('--config', default=os.path.join(HERE, 'mini.yml'))
    args = a.parse_args()
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '2')))
    model = B.BriVL(args.config)
    net = model.imgencoder.backbone
    pictures = corpus.pictures(args.data, args.work)
    boxes = trunk.tokens(pictures, net, args.work)
    photos = I.training_photos(args.photos)[1]
    with torch.no_grad():
        tokens = tokens_of_photos(photos, net, args.work)
    encode = T.tokenizer(os.path.join(os.path.dirname(os.path.abspath(args.config)), 'vocab.txt'))
    embed = lambda texts: torch.cat([model.text(*encode(texts[k:k + 200]))
                                     for k in range(0, len(texts), 200)])
    Measure(pictures, boxes, photos, tokens).report(model, embed)


if __name__ == '__main__':
    main()

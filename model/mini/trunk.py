"""What the frozen trunk sees in every picture of the corpus, kept in WORK so that heads train fast.

  tokens   [n, 1, 37, 1280] half, tokens.npy: MSPP tokens before max_pool.0 of the picture as the program reads it
  pooled   [n, VIEWS, 1280] half, pooled.npy: their mean over the 37 boxes. View 0 is that picture; the others
           are random cuts of 45 to 100 % of the area, half of them mirrored, some in another light.
           Pictures without captions have FEW views, held ones the first alone; the rest is zero.

Both may be mapped. tokens.done and pooled.done count what is there, so that an interrupted run goes on."""
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance

import brivl_torch as B
import image_head as I

BATCH = 32


def plain(path):
    """[3,S,S] in 0..1, as the program reads it."""
    pixels = torch.tensor(np.array(Image.open(path).convert('RGB'))).permute(2, 0, 1)[None] / 255
    return F.interpolate(pixels, (I.SIZE, I.SIZE), mode='bilinear')[0]


def changed(path, rng):
    """The same of a random cut."""
    image = Image.open(path).convert('RGB')
    w, h = image.size
    area, aspect = rng.uniform(0.45, 1.0), np.exp(rng.uniform(-0.2, 0.2))
    cut_w, cut_h = min(w, w * np.sqrt(area) * aspect), min(h, h * np.sqrt(area) / aspect)
    x, y = rng.uniform(0, w - cut_w), rng.uniform(0, h - cut_h)
    image = image.resize((I.SIZE, I.SIZE), Image.BILINEAR, (x, y, x + cut_w, y + cut_h))
    if rng.random() < 0.5:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast):
        if rng.random() < 0.4:
            image = kind(image).enhance(rng.uniform(0.75, 1.3))
    return torch.tensor(np.array(image)).permute(2, 0, 1) / 255


class Store:
    """A mapped array in WORK that is filled in a fixed order."""

    def __init__(self, work, name, shape):
        self.name, self.began = name, time.time()
        self.count = os.path.join(work, name + '.done')
        file = os.path.join(work, name + '.npy')
        self.done = self.start = int(open(self.count).read()) if os.path.exists(self.count) else 0
        if os.path.exists(file):
            self.rows = np.load(file, mmap_mode='r+')
            assert self.rows.shape[0] == shape[0] and self.rows.shape[1] >= shape[1], \
                f'{file}: {self.rows.shape}, of other pictures or views, delete it and {self.count}'
        else:
            self.rows = np.lib.format.open_memmap(file, 'w+', np.float16, shape)

    def advance(self, count, total):
        """Says that `count` more are there, and writes it down now and then."""
        self.done += count
        if self.done // BATCH % 25 and self.done < total:
            return
        self.rows.flush()
        with open(self.count + '.part', 'w') as out:
            out.write(str(self.done))
        os.replace(self.count + '.part', self.count)
        rate = (self.done - self.start) / (time.time() - self.began)
        print(f'{self.name}: {self.done}/{total}, {rate:.0f} a second', flush=True)


@torch.no_grad()
def tokens(pictures, net, work):
    store, n = Store(work, 'tokens', (len(pictures), 1, 37, 1280)), len(pictures)
    matrix = B.mspp_matrix(6, 4, I.SIZE, 7).float()
    while store.done < n:
        chosen = slice(store.done, min(store.done + BATCH, n))
        x = torch.stack([plain(p.path) for p in pictures[chosen]])
        f = net.forward_features((x - I.MEAN) / I.STD)
        store.rows[chosen, 0] = torch.einsum('bp,ncp->nbc', matrix, f.flatten(2)).half().numpy()
        store.advance(len(x), n)
    return store.rows


@torch.no_grad()
def pooled(pictures, net, seen, work, views, few):
    """`seen`: tokens(). The views after the first are computed in bfloat16."""
    store = Store(work, 'pooled', (len(pictures), views, 1280))
    matrix = B.mspp_matrix(6, 4, I.SIZE, 7).float().mean(0)
    todo = [(i, v) for v in range(views) for i, p in enumerate(pictures)
            if v == 0 or not p.held and v < (views if p.group == 'flickr8k' else few)]
    while store.done < len(todo):
        view = todo[store.done][1]
        chosen = [i for i, v in todo[store.done:store.done + BATCH] if v == view]
        if view == 0:
            found = torch.tensor(seen[chosen, 0]).float().mean(1)
        else:
            x = torch.stack([changed(pictures[i].path, random.Random(f'{i}-{view}')) for i in chosen])
            with torch.autocast('cpu', torch.bfloat16):
                f = net.forward_features((x - I.MEAN) / I.STD)
            found = f.flatten(2).float() @ matrix
        store.rows[chosen, view] = found.half().numpy()
        store.advance(len(chosen), len(todo))
    return store.rows

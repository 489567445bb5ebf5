"""What the trunk sees in every picture of the corpus, kept in WORK so that heads train fast.

  tokens   [m,37,1280] half, tokens.npy: MSPP tokens before max_pool.0, as the program reads the picture, of
           those that are held back and of every SAMPLE-th other: rows()
  pooled   [n, VIEWS, 1280] half, pooled.npy: their mean over the 37 boxes, of pictures that are trained on. View 0
           is the plain picture; the others are random cuts of 45 to 100 % of the area, half of them mirrored, some
           in another light. How many a picture has, views_of() says; the rest is zero.

Both are mapped. tokens.done and pooled.done count what is there, so that an interrupted run goes on."""
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance

import brivl_torch as B
import image_head as I

BATCH, SAMPLE = 32, 48
FEWER = {'sports': 3, 'places_more': 2}     # most views of pictures of which there are many


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


def rows(pictures):
    """(rows of pictures that are held back, rows of some others)"""
    used = [i for i, p in enumerate(pictures) if not p.held]
    return [i for i, p in enumerate(pictures) if p.held], used[::SAMPLE]


def views_of(picture, views, few):
    """How many views of it there are: `views` with captions, else `few` or fewer."""
    return views if picture.group == 'flickr8k' else min(few, FEWER.get(picture.group, few))


@torch.no_grad()
def tokens(pictures, net, work):
    """Those of rows(), one list after the other."""
    wanted = sum(rows(pictures), [])
    store, n = Store(work, 'tokens', (len(wanted), 37, 1280)), len(wanted)
    matrix = B.mspp_matrix(6, 4, I.SIZE, 7).float()
    net = net.to(memory_format=torch.channels_last)
    while store.done < n:
        chosen = slice(store.done, min(store.done + BATCH, n))
        x = torch.stack([plain(pictures[i].path) for i in wanted[chosen]])
        f = net.forward_features(((x - I.MEAN) / I.STD).to(memory_format=torch.channels_last))
        store.rows[chosen] = torch.einsum('bp,ncp->nbc', matrix, f.flatten(2)).half().numpy()
        store.advance(len(x), n)
    return store.rows


@torch.no_grad()
def pooled(pictures, net, work, views, few):
    """Computed in bfloat16."""
    store = Store(work, 'pooled', (len(pictures), views, 1280))
    matrix = B.mspp_matrix(6, 4, I.SIZE, 7).float().mean(0)
    todo = [(i, v) for v in range(views) for i, p in enumerate(pictures)
            if not p.held and (p.texts['en'] or p.texts['zh']) and v < views_of(p, views, few)]
    parts = [todo[at:at + BATCH] for at in range(store.done, len(todo), BATCH)]

    def read(part):
        return torch.stack([changed(pictures[i].path, random.Random(f'{i}-{v}')) if v else
                            plain(pictures[i].path) for i, v in part])

    net = net.to(memory_format=torch.channels_last)
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(read, parts[0]) if parts else None
        for k, part in enumerate(parts):
            x = coming.result()
            if k + 1 < len(parts):
                coming = ahead.submit(read, parts[k + 1])
            with torch.autocast('cpu', torch.bfloat16):
                f = net.forward_features(((x - I.MEAN) / I.STD).to(memory_format=torch.channels_last))
            store.rows[tuple(zip(*part))] = (f.flatten(2).float() @ matrix).half().numpy()
            store.advance(len(part), len(todo))
    return store.rows

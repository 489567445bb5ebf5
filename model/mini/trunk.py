"""What the frozen trunk sees in every picture of the corpus, kept on disk so that heads train fast:
MSPP tokens before max_pool.0, [n, VIEWS, 37, 1280] half, in WORK/tokens.npy, which may be mapped.

View 0 is the picture as the program reads it, view 1 a mirrored random cut. WORK/features.done counts
rows, so that an interrupted run goes on where it was."""
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import brivl_torch as B
import image_head as I

VIEWS, BATCH = 2, 32


def read(path, view):
    """[3,S,S] in 0..1."""
    image = Image.open(path).convert('RGB')
    if view:
        rng = random.Random(path.rsplit('/', 1)[-1])
        w, h = image.size
        scale = rng.uniform(0.7, 0.95)
        x, y = rng.uniform(0, w * (1 - scale)), rng.uniform(0, h * (1 - scale))
        image = image.crop((int(x), int(y), int(x + w * scale), int(y + h * scale)))
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    pixels = torch.tensor(np.array(image)).permute(2, 0, 1)[None] / 255
    return F.interpolate(pixels, (I.SIZE, I.SIZE), mode='bilinear')[0]


@torch.no_grad()
def features(pictures, net, work, views=1):
    """The tokens; of the views, the first `views` are computed if need be."""
    n, path = len(pictures), os.path.join(work, 'features.done')
    file, shape = os.path.join(work, 'tokens.npy'), (n, VIEWS, 37, 1280)
    done = int(open(path).read()) if os.path.exists(path) else 0
    if done >= n * views:
        return np.load(file, mmap_mode='r')
    tokens = np.lib.format.open_memmap(file, 'r+') if os.path.exists(file) else \
        np.lib.format.open_memmap(file, 'w+', np.float16, shape)
    assert tokens.shape == shape, f'{file}: of another corpus, delete it'
    matrix, begin, start = B.mspp_matrix(6, 4, I.SIZE, 7).float(), time.time(), done
    while done < n * views:
        view, at = divmod(done, n)
        chosen = range(at, min(at + BATCH, n))
        x = torch.stack([read(pictures[i].path, view) for i in chosen])
        f = net.forward_features((x - I.MEAN) / I.STD)
        tokens[at:at + len(chosen), view] = torch.einsum('bp,ncp->nbc', matrix, f.flatten(2)).half()
        done += len(chosen)
        if done // BATCH % 25 == 0 or done == n * views:
            tokens.flush()
            with open(path + '.part', 'w') as out:
                out.write(str(done))
            os.replace(path + '.part', path)
            rate = (done - start) / (time.time() - begin)
            print(f'features: {done}/{n * views}, {rate:.0f} a second', flush=True)
    return tokens

"""What latents of photographs are like: mean, covariance of the channels, spectrum.

  python statistics_of_latents.py --data FOLDER --teacher FOLDER2 --work WORK [--count 400]

WORK/statistics.pt: mean [32]; mix [32,32], so that z = mean + mix w for uncorrelated w of deviation 1,
the strongest first; decay [32], so that the cosines of w_c are as large as frequency^-decay_c."""
import argparse
import glob
import os
import random

import numpy as np
import torch
from PIL import Image

import autoencoder as A

SIDE = 176


def crop(path, rng):
    image = Image.open(path).convert('RGB')
    w, h = image.size
    side = min(w, h)
    if side < SIDE:
        return None
    x, y = rng.randint(0, w - side), rng.randint(0, h - side)
    image = image.crop((x, y, x + side, y + side)).resize((SIDE, SIDE), Image.LANCZOS)
    return torch.tensor(np.array(image)).permute(2, 0, 1)[None] / 255


def cosines(n):
    """[n,n] orthonormal DCT-II: rows are waves."""
    i, u = torch.arange(n) + 0.5, torch.arange(n)[:, None]
    m = torch.cos(torch.pi * i * u / n) * (2 / n) ** 0.5
    m[0] /= 2 ** 0.5
    return m.double()


def statistics(z):
    """z [n,32,h,h]"""
    rows = z.double().permute(1, 0, 2, 3).flatten(1)
    mean = rows.mean(1)
    values, vectors = torch.linalg.eigh(torch.cov(rows))
    order = values.argsort(descending=True)
    mix = vectors[:, order] * values[order].sqrt()
    w = torch.einsum('ck,nkhw->nchw', torch.linalg.inv(mix), z.double() - mean[:, None, None])
    n = z.shape[2]
    m = cosines(n)
    power = torch.einsum('uh,nchw,vw->ncuv', m, w, m).square().mean(0)
    f = (torch.arange(n)[:, None] ** 2 + torch.arange(n) ** 2).double().sqrt()
    inner = (f >= 1) & (f < n)
    x = f[inner].log() - f[inner].log().mean()
    decay = torch.stack([-(x * p[inner].log()).sum() / (x * x).sum() / 2 for p in power])
    return {'mean': mean.float(), 'mix': mix.float(), 'decay': decay.float(), 'values': values[order]}


def main():
    p = argparse.ArgumentParser()
    for name in ('data', 'teacher', 'work'):
        p.add_argument('--' + name, required=True)
    p.add_argument('--count', type=int, default=400)
    args = p.parse_args()
    torch.set_num_threads(1)
    encode = A.read(os.path.join(args.teacher, 'taef2_encoder.pth'), A.encoder())
    files = sorted(glob.glob(os.path.join(args.data, '**', '*.jpg'), recursive=True))
    rng, latents = random.Random(0), []
    while len(latents) < args.count:
        x = crop(files[rng.randrange(len(files))], rng)
        if x is None:
            continue
        with torch.no_grad():
            latents.append(encode(x.contiguous(memory_format=torch.channels_last)))
        if len(latents) % 50 == 0:
            print(f'{len(latents)} of {args.count}', flush=True)
    s = statistics(torch.cat(latents))
    print('deviations', s['values'].sqrt().numpy().round(2), 'decay', s['decay'].numpy().round(2))
    torch.save(s, os.path.join(args.work, 'statistics.pt'))


if __name__ == '__main__':
    main()

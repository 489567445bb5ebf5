"""Seconds until an independent classifier names the thing, from the shipped model: feavis beside the same recipe in
PyTorch.

    python3 tests/bench/end_to_end.py [--texts 20] [--program build/release/app/feavis] [--cpu] [--csv FILE]

Every text is imagined with the preset `draft-fourier` and seed 1, stopped after 5, 10, 15, 20, 30, 40 and 60 of its 60 steps;
`feavis judge` looks at each. A text counts from the first stop at which the judge's first class is the thing. What that
took is the wall clock of that command from its start, model loading and saving included (--cpu: its processor time on one
thread). PyTorch does the same recipe (Recipe below: cosines scaled by 1/f, decorrelated colours, blur, two views
cut, turned and recoloured, noise, cosine to the text, total variation, Adam with warm-up) with the same network and
text embedding, and other random numbers; its clock starts when everything is imported and loaded, and stops with the
picture. The judge looks at its pictures in the same way. Needs torch, timm, safetensors, pyyaml, pillow, numpy."""
import argparse
import csv
import math
import os
import re
import resource
import statistics
import subprocess
import tempfile
import time

import bench
import numpy as np
import peers
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch.nn import functional as F

STOPS, STEPS, VIEWS, SIDE = (5, 10, 15, 20, 30, 40, 60), 60, 2, 224
COLOURS = torch.tensor([[.5628, .1948, .0433], [.5845, 0, -.1082], [.5845, -.1948, .0649]])


def between(low, high, t):
    return low + (high - low) * t


class Recipe:
    """The defaults of `feavis imagine --preset draft-fourier`, in PyTorch."""

    def __init__(self, net, text, seed):
        torch.manual_seed(seed)
        self.net, self.text = net, text
        at, u = torch.arange(SIDE)[:, None], torch.arange(SIDE)[None]
        self.waves = torch.cos(math.pi * (at + .5) * u / SIDE) * torch.where(u > 0, 2 / SIDE, 1 / SIDE) ** .5
        f = (u ** 2 + u.T ** 2).float().sqrt() / (2 * SIDE)
        f = f.clamp(min=1 / SIDE)
        self.scale = (.25 * 1.5 * (1 / 16) ** .1 * f ** -1.1)[None, None]
        self.p = (0.01 * torch.randn(1, 3, SIDE, SIDE)).requires_grad_(True)
        self.adam = torch.optim.Adam([self.p], lr=.06, betas=(.9, .99), eps=1e-12)

    def picture(self):
        x = self.waves @ (self.p * self.scale) @ self.waves.T
        return torch.sigmoid(torch.einsum('rc,nchw->nrhw', COLOURS, x))

    def blurred(self, x, sigma):
        d = torch.arange(SIDE)[:, None] - torch.arange(SIDE)[None]
        m = torch.exp(-.5 * (d / max(sigma, 1e-3)) ** 2)
        m = m / m.sum(1, keepdim=True)
        return m @ x @ m.T

    def views(self, x, done):
        share = between(.75, 1, torch.rand(VIEWS))
        turn = math.pi / 18 * (2 * torch.rand(VIEWS) - 1)
        shift = 2 * 32 / SIDE * share[:, None] * (2 * torch.rand(VIEWS, 2) - 1)
        a, b = share * turn.cos(), share * turn.sin()
        theta = torch.stack([a, -b, shift[:, 0], b, a, shift[:, 1]], 1).view(VIEWS, 2, 3)
        grid = F.affine_grid(theta, (VIEWS, 3, SIDE, SIDE), align_corners=False)
        x = F.grid_sample(x.expand(VIEWS, -1, -1, -1), grid, padding_mode='border', align_corners=False)
        colour = between(.1, 0, done)
        gain, move = (colour * (2 * torch.rand(VIEWS, 3, 1, 1) - 1) for _ in range(2))
        return x * (1 + gain) + move + between(.1, .01, done) * torch.randn_like(x)

    def step(self, t):
        done = t / (STEPS - 1)
        fall = .25 + .75 * .5 * (1 + math.cos(math.pi * done))
        self.adam.param_groups[0]['lr'] = .06 * fall * min(1, (t + 1) / 5)
        self.adam.zero_grad()
        x = self.picture()
        right, down = x[..., :-1, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, :-1]
        tv = ((right ** 2 + down ** 2 + 1e-6).sqrt() - 1e-3).mean()
        seen = self.views(self.blurred(x, between(3, 1, done) * torch.rand(()).item()), done)
        (-(self.net(seen) @ self.text).mean() + .5 * tv).backward()
        self.adam.step()


def texts(count):
    with open(os.path.join(peers.ROOT, 'presets', 'things.yml'), encoding='utf-8') as f:
        found = re.findall(r'- text: (.*)', f.read())
    return found[::len(found) // count][:count]


def ranks(program, folder):
    """The judge's rank of the thing, by file name; 0: it knows no such thing."""
    table = os.path.join(folder, 'judge.csv')
    subprocess.run([program, 'judge', folder, '--csv', table, '--quiet'], check=True, stdout=subprocess.DEVNULL)
    with open(table, encoding='utf-8') as f:
        return {row['file']: int(row['rank']) for row in csv.DictReader(f)}


def seconds_of(command, cpu):
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent if cpu else wall


def ours(args, i, text, folder):
    """The seconds that each picture took, by its name."""
    took = {}
    for stop in STOPS:
        name = f'{i:02d}-{stop:02d}.png'
        took[name] = seconds_of([args.program, 'imagine', text, '--preset', 'draft-fourier', '--seed', '1', '--stop', str(stop),
                                 '--threads', str(args.threads), '--quiet', '--out', os.path.join(folder, name)],
                                args.cpu)
    return took


def theirs(args, net, embedding, i, folders):
    """The same. The recipe goes along from our picture, so that the judge knows what was wanted."""
    clock = time.process_time if args.cpu else time.perf_counter
    recipe, took, spent, start = Recipe(net, embedding, 1), {}, 0, clock()
    for t in range(STEPS):
        recipe.step(t)
        if t + 1 not in STOPS:
            continue
        name = f'{i:02d}-{t + 1:02d}.png'
        rgb = (recipe.picture()[0].detach().permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
        words = PngInfo()
        path = os.path.join(folders[1], name)
        Image.fromarray(rgb).save(path)
        spent += clock() - start
        took[name] = spent
        for key, value in Image.open(os.path.join(folders[0], name)).text.items():
            words.add_itxt(key, str(value))
        Image.fromarray(rgb).save(path, pnginfo=words)
        start = clock()
    return took


def embedding_of(args, text, folder):
    image = os.path.join(folder, 'grey.png')
    Image.new('RGB', (SIDE, SIDE), (128, 128, 128)).save(image)
    out = os.path.join(folder, 'probe')
    subprocess.run([args.program, 'probe', '--image', image, '--text', text, '--out', out], check=True,
                   stdout=subprocess.DEVNULL)
    return torch.from_numpy(np.load(os.path.join(out, 'text_embedding.npy')).ravel())


def first(took, rank, i):
    """(stop, seconds) of the first picture of text i that is named; None: none is."""
    for stop in STOPS:
        name = f'{i:02d}-{stop:02d}.png'
        if rank.get(name) == 1:
            return stop, took[name]
    return None


def say(who, found, rows):
    hits = [f for f in found if f]
    middle = statistics.median(f[1] for f in hits) if hits else math.nan
    steps = statistics.median(f[0] for f in hits) if hits else math.nan
    print(f'{who}: the judge names {len(hits)} of {len(found)}, after {steps:g} steps and {middle:.2f} s (medians of those)')
    rows.append({'who': who, 'named': len(hits), 'of': len(found), 'steps': steps, 'seconds': middle})


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--texts', type=int, default=20)
    p.add_argument('--program', default='build/release/app/feavis')
    p.add_argument('--threads', type=int, default=os.cpu_count())
    p.add_argument('--cpu', action='store_true', help='processor time on one thread')
    p.add_argument('--csv')
    args = p.parse_args()
    bench.tell_mkl()
    os.environ.pop('LD_PRELOAD', None)
    args.threads = 1 if args.cpu else args.threads
    torch.set_num_threads(args.threads)
    net = peers.fold(peers.frozen(peers.Image(peers.brivl(peers.MINI, SIDE)))).to(memory_format=torch.channels_last)
    took, rows = [{}, {}], []
    with tempfile.TemporaryDirectory() as folder:
        folders = [os.path.join(folder, who) for who in ('ours', 'theirs')]
        for f in folders:
            os.mkdir(f)
        wanted = texts(args.texts)
        for i, text in enumerate(wanted):
            took[0].update(ours(args, i, text, folders[0]))
            took[1].update(theirs(args, net, embedding_of(args, text, folder), i, folders))
            print(f"{text}: 60 steps in {took[0][f'{i:02d}-60.png']:.2f} s, PyTorch {took[1][f'{i:02d}-60.png']:.2f} s",
                  flush=True)
        for k, who in enumerate(('feavis', 'PyTorch')):
            rank = ranks(args.program, folders[k])
            say(who, [first(took[k], rank, i) for i in range(len(wanted))], rows)
    if args.csv:
        with open(args.csv, 'w', newline='', encoding='utf-8') as f:
            writer = csv.DictWriter(f, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == '__main__':
    main()

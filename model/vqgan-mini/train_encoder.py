"""Trains the small encoder against the decoder that is there, which stays as it is.

  python train_encoder.py --data FOLDER --teacher FOLDER2 --work WORK --minutes 15

FOLDER and FOLDER2 as for train.py; WORK has its state.pt and statistics.pt. It learns windows of photos:
what the decoder makes of the latent should be the photo (mean square), and the latent near that of the
teacher's encoder, so that it is one that the decoder knows. It begins with the teacher's layers at 1/8.

WORK/encoder.pt is written every two minutes; a run that was stopped goes on from it, its clock too."""
import argparse
import glob
import os
import random
import time

import torch

import autoencoder as A
import train as T

RATE, WARM, NEAR, FIRST = 1e-3, 100, 0.03, 100


def loss_of(net, decode, z, seen, known):
    w = net(seen)
    own = torch.einsum('kc,nchw->nkhw', known['mix'], w) + known['mean'][:, None, None]
    inner = slice(8, -8)        # what lies outside of the window was not encoded
    y = decode(own).clamp(-0.1, 1.1)
    pixels = (y - seen)[:, :, inner, inner].square().mean()
    far = (own - z)[:, :, 1:-1, 1:-1].square().mean()
    return 10 * pixels + NEAR * far, pixels.item(), far.item()


def read_decoder(work):
    net = A.Decoder()
    net.load_state_dict(torch.load(os.path.join(work, 'state.pt'), weights_only=False)['net'])
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def rate_at(part, step):
    return T.rate_at(part, step) * RATE / T.RATE


def train(args, files):
    torch.manual_seed(0)
    encode = A.read(os.path.join(args.teacher, 'taef2_encoder.pth'), A.encoder())
    known = torch.load(os.path.join(args.work, 'statistics.pt'), weights_only=True)
    decode, net, bank = read_decoder(args.work), A.learner(encode, known), T.Bank()
    adam = torch.optim.Adam(net.parameters(), RATE, betas=(0.9, 0.99))
    path, used, step = os.path.join(args.work, 'encoder.pt'), 0.0, 0
    if os.path.exists(path):
        state = torch.load(path, weights_only=False)
        net.load_state_dict(state['net'])
        adam.load_state_dict(state['adam'])
        used, step = state['used'], state['step']
    rng, clock, shown, saved = random.Random(step), time.time(), 0.0, time.time()
    means = [0.0, 0.0]
    while used < args.minutes * 60:
        for _ in range(FIRST if bank.count < FIRST else 1):
            x = T.photo(files, rng)
            with torch.no_grad():
                z = encode((x[None].float() / 255).contiguous(memory_format=torch.channels_last))
            bank.add(x, z[0], torch.zeros(1))
        for group in adam.param_groups:
            group['lr'] = rate_at(used / (args.minutes * 60), step)
        z, seen, _ = bank.batch(rng)
        loss, pixels, far = loss_of(net, decode, z, seen, known)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        step, used, clock = step + 1, used + time.time() - clock, time.time()
        part = 1 if step == 1 else 0.02
        means = [m + part * (now - m) for m, now in zip(means, (pixels, far))]
        if clock - shown > 15:
            print(f'step {step}, {used / 60:.1f} of {args.minutes} min, {bank.count} crops, PSNR '
                  f'{-10 * torch.tensor(means[0]).log10():.2f}, latent {means[1]:.4f}', flush=True)
            shown = clock
        if clock - saved > 120 or used >= args.minutes * 60:
            T.save(path, {'net': net.state_dict(), 'adam': adam.state_dict(), 'used': used,
                          'step': step})
            saved = clock


def main():
    p = argparse.ArgumentParser()
    for name in ('data', 'teacher', 'work'):
        p.add_argument('--' + name, required=True)
    p.add_argument('--minutes', type=float, default=15)
    args = p.parse_args()
    torch.set_num_threads(1)
    files = sorted(glob.glob(os.path.join(args.data, '**', '*.jpg'), recursive=True))
    print(f'{len(files)} pictures', flush=True)
    train(args, files)


if __name__ == '__main__':
    main()

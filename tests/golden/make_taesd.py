"""A tiny autoencoder's decoder with random weights and few channels, and what it must give.

    python3 tests/golden/make_taesd.py     writes tests/golden/vqgan/{tiny.safetensors,tiny_weights.safetensors}

The layers are those of TAESD as its file names them; the arithmetic is torch.nn.functional's in double.
Needs torch and safetensors."""
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

WIDTH, LATENT = 24, 5
OUT = pathlib.Path(__file__).parent / 'vqgan'


def conv(w, name, x, out, bias=True, k=3):
    if name + '.weight' not in w:
        fan = x.shape[1] * k * k
        w[name + '.weight'] = (torch.randn(out, x.shape[1], k, k) * fan ** -0.5).half()
        if bias:
            w[name + '.bias'] = (0.1 * torch.randn(out)).half()
    b = w[name + '.bias'].double() if bias else None
    return F.conv2d(x, w[name + '.weight'].double(), b, padding=k // 2)


def block(w, name, x, pool):
    c = x.shape[1]
    if pool:
        y = conv(w, name + '.pool.0', x, 4 * c, False, 1)
        if name + '.pool.1.weight' not in w:
            w[name + '.pool.1.weight'] = (1 + 0.1 * torch.randn(4 * c)).half()
            w[name + '.pool.1.bias'] = (0.1 * torch.randn(4 * c)).half()
        y = F.group_norm(y, 4, w[name + '.pool.1.weight'].double(), w[name + '.pool.1.bias'].double())
        x = x + conv(w, name + '.pool.3', F.relu(y), c, False, 1)
    y = F.relu(conv(w, name + '.conv.0', x, c))
    y = F.relu(conv(w, name + '.conv.2', y, c))
    return F.relu(conv(w, name + '.conv.4', y, c) + x)


def decode(w, z):
    x = F.relu(conv(w, '1', torch.tanh(z / 3) * 3, WIDTH))
    for i in range(3, 6):
        x = block(w, str(i), x, True)
    for first in (7, 11):
        x = conv(w, str(first), F.interpolate(x, scale_factor=2.0), WIDTH, False)
        for i in range(first + 1, first + 3):
            x = block(w, str(i), x, False)
    return conv(w, '14', x, 3)


def main():
    torch.manual_seed(3)
    w = {}
    z = torch.randn(2, LATENT, 7, 9, dtype=torch.float64).float().double().requires_grad_()
    y = decode(w, z)
    seed = torch.randn(y.shape, dtype=torch.float64).float().double() / y.numel() ** 0.5
    gradient, = torch.autograd.grad((y * seed).sum(), z)
    save_file({k: v.contiguous() for k, v in w.items()}, OUT / 'tiny_weights.safetensors')
    save_file({'free.z': z.detach(), 'free.decoded': y.detach(), 'free.seed': seed,
               'free.gradient': gradient}, OUT / 'tiny.safetensors')


if __name__ == '__main__':
    main()

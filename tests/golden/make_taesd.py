"""Decoders of tiny autoencoders with random weights and few channels, and what they must give.

    python3 tests/golden/make_taesd.py     writes tests/golden/vqgan/{tiny,small,pair}{,_weights}.safetensors

The layers of `tiny` are those of TAESD as its file names them; `small` is laid out as the decoder of
model/vqgan-mini is, `pair` as all of it, its encoder with it. The arithmetic is torch.nn.functional's in double. Needs torch and safetensors."""
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

WIDTH, LATENT = 24, 5
OUT = pathlib.Path(__file__).parent / 'vqgan'


def conv(w, name, x, out, bias=True, k=3, stride=1):
    if name + '.weight' not in w:
        fan = x.shape[1] * k * k
        w[name + '.weight'] = (torch.randn(out, x.shape[1], k, k) * fan ** -0.5).half()
        if bias:
            w[name + '.bias'] = (0.1 * torch.randn(out)).half()
    b = w[name + '.bias'].double() if bias else None
    return F.conv2d(x, w[name + '.weight'].double(), b, stride, padding=k // 2)


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


def spread(x):
    """Depth to space by 2, the channels of a place side by side."""
    n, c, h, w = x.shape
    x = x.view(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // 4, 2 * h, 2 * w)


def decode_small(w, z):
    x = F.relu(conv(w, '1', torch.tanh(conv(w, '0', z, LATENT, k=1) / 3) * 3, WIDTH))
    x = block(w, '3', x, True)
    x = conv(w, '5', F.interpolate(x, scale_factor=2.0), WIDTH, False)
    x = spread(conv(w, '7', block(w, '6', x, False), 32))
    return spread(conv(w, '9', block(w, '8', x, False), 12))


def encode(w, x):
    x = conv(w, 'encoder.0', x, 12)
    x = block(w, 'encoder.1', x, False)
    x = conv(w, 'encoder.2', x, WIDTH, False, stride=2)
    x = block(w, 'encoder.3', x, False)
    for i in (5, 6):
        x = conv(w, f'encoder.{i}', x, WIDTH, False, stride=2)
    return conv(w, 'encoder.8', block(w, 'encoder.7', x, True), LATENT)


def write_pair():
    """A picture [2,3,32,40] in [0,1]; what it is encoded as, and what is decoded of that."""
    w = {}
    x = torch.rand(2, 3, 32, 40, dtype=torch.float64).float().double()
    z = encode(w, x)
    y = decode_small(w, z)
    save_file({k: v.contiguous() for k, v in w.items()}, OUT / 'pair_weights.safetensors')
    save_file({'image': x, 'encoded': z, 'decoded': y}, OUT / 'pair.safetensors')


def write(name, decode, size, more, metadata):
    w = dict(more)
    z = torch.randn(2, LATENT, *size, dtype=torch.float64).float().double().requires_grad_()
    y = decode(w, z)
    seed = torch.randn(y.shape, dtype=torch.float64).float().double() / y.numel() ** 0.5
    gradient, = torch.autograd.grad((y * seed).sum(), z)
    save_file({k: v.contiguous() for k, v in w.items()}, OUT / f'{name}_weights.safetensors', metadata)
    save_file({'free.z': z.detach(), 'free.decoded': y.detach(), 'free.seed': seed,
               'free.gradient': gradient}, OUT / f'{name}.safetensors')


def main():
    torch.manual_seed(3)
    write('tiny', decode, (7, 9), {}, None)
    write('small', decode_small, (4, 3), {'latent.decay': torch.tensor([1.2, 0.9, 0.5, 0.1, 0]).half()},
          {'title': 'a small one', 'license': 'none'})
    torch.manual_seed(4)
    write_pair()


if __name__ == '__main__':
    main()

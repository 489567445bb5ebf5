"""The networks of vqgan-mini, by the names of their tensors in files.

Encoder and Teacher are TAESD's (Ollin Boer Bohan, MIT) for a latent [32,H/8,W/8]. Decoder is the
small one that ships: Teacher's layers at 1/8 of the picture, fewer at 1/4, and depth to space from
there, so that nothing is computed at the picture's own resolution but the last shuffle. SmallEncoder
gives what the decoder's layer 0 takes.

  w [32] -> 0: 1x1, to the latent's own mean and covariance -> 3 tanh(z / 3)
  -> 1: 3x3, ReLU -> 3, 4, 5: blocks with a pool           at 1/8, 64 wide
  -> nearest x2 -> 7: 3x3 -> 8: block                      at 1/4, 64 wide
  -> 9: 3x3 to 128 -> depth to space -> 10: block          at 1/2, 32 wide
  -> 11: 3x3 to 12 -> depth to space                       the picture
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

CHANNELS, FACTOR = 32, 8


class Block(nn.Module):
    def __init__(self, width, pool=False):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
                                  nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
                                  nn.Conv2d(width, width, 3, padding=1))
        self.pool = nn.Sequential(nn.Conv2d(width, 4 * width, 1, bias=False),
                                  nn.GroupNorm(4, 4 * width), nn.ReLU(),
                                  nn.Conv2d(4 * width, width, 1, bias=False)) if pool else None

    def forward(self, x):
        if self.pool:
            x = x + self.pool(x)
        return F.relu(self.conv(x) + x)


class Bend(nn.Module):
    def forward(self, x):
        return 3 * torch.tanh(x / 3)


def conv(inside, out, **more):
    return nn.Conv2d(inside, out, 3, padding=1, **more)


def down():
    return conv(64, 64, stride=2, bias=False)


def up():
    return [nn.Upsample(scale_factor=2), conv(64, 64, bias=False)]


def encoder():
    return nn.Sequential(conv(3, 64), Block(64), down(), Block(64), Block(64), Block(64), down(),
                         Block(64), Block(64), Block(64), down(), Block(64, True), Block(64, True),
                         Block(64, True), conv(64, CHANNELS))


def teacher():
    return nn.Sequential(Bend(), conv(CHANNELS, 64), nn.ReLU(), Block(64, True), Block(64, True),
                         Block(64, True), *up(), Block(64), Block(64), Block(64), *up(), Block(64),
                         Block(64), Block(64), *up(), Block(64), conv(64, 3))


class Decoder(nn.Module):
    """From the latent itself: layer 0 is put in front when the file is written."""

    def __init__(self):
        super().__init__()
        parts = {'1': conv(CHANNELS, 64), '3': Block(64, True), '4': Block(64, True),
                 '5': Block(64, True), '7': conv(64, 64, bias=False), '8': Block(64),
                 '9': conv(64, 128), '10': Block(32), '11': conv(32, 12)}
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, z):
        m = self._modules
        x = F.relu(m['1'](Bend()(z)))
        x = m['5'](m['4'](m['3'](x)))
        x = m['8'](m['7'](F.interpolate(x, scale_factor=2)))
        x = m['10'](F.pixel_shuffle(m['9'](x), 2))
        return F.pixel_shuffle(m['11'](x), 2)


class SmallEncoder(nn.Sequential):
    """By the names of its tensors in the file, under "encoder."; layers with a bias or blocks keep
    the size, those without halve it."""

    def __init__(self):
        super().__init__(conv(3, 32, stride=2, bias=False), Block(32),
                         conv(32, 64, stride=2, bias=False), Block(64), down(), Block(64, True),
                         Block(64, True), Block(64, True), conv(64, CHANNELS))


def learner(taught, statistics):
    """A new SmallEncoder that ends as `taught` (an encoder()) does, in uncorrelated numbers."""
    net = SmallEncoder().to(memory_format=torch.channels_last)
    for own, theirs in zip((3, 4, 5, 6, 7, 8), (9, 10, 11, 12, 13, 14)):
        net[own].load_state_dict(taught[theirs].state_dict())
    back = torch.linalg.inv(statistics['mix'].double())
    w, b = net[8].weight.data.double(), net[8].bias.data.double() - statistics['mean'].double()
    net[8].weight.data = torch.einsum('ko,oiyx->kiyx', back, w).float()
    net[8].bias.data = (back @ b).float()
    return net


def read(path, net):
    net.load_state_dict(torch.load(path, map_location='cpu', weights_only=True))
    return net.float().eval().requires_grad_(False).to(memory_format=torch.channels_last)


def student(taught):
    """A new Decoder with Teacher's layers where shapes agree."""
    net = Decoder().to(memory_format=torch.channels_last)
    own, theirs = net.state_dict(), taught.state_dict()
    same = {k: theirs[k] for k in own if k in theirs and theirs[k].shape == own[k].shape}
    same = {k: v for k, v in same.items() if k.split('.')[0] in ('1', '3', '4', '5', '7', '8')}
    net.load_state_dict({**own, **same})
    return net

"""The networks that are measured, in PyTorch and by the name of the file that the bench program reads.

A Family is a row: what the bench program is called with, and a frozen module with the shape of its input. Weights
are random (make_b5.py, make_vqgan.py, ../clip_official.py, and tiny_decoder here), drawn so that activations keep
their size; both sides read the same file where there is one."""
import os
import sys

import torch
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
for folder in (HERE, os.path.join(ROOT, 'model', 'mini'), os.path.join(ROOT, 'tests')):
    sys.path.insert(0, folder)
MINI = os.path.join(ROOT, 'model', 'mini', 'mini.yml')


class Family:
    """file: first argument of the bench program; settings: the others. module(): frozen, on the host, in float.
    inputs(n): of a batch; the first has the gradient, if there is one."""

    def __init__(self, name, file, module, inputs, settings=None, gradient=True, convolutions=True, text=False):
        self.name, self.file, self.module, self.inputs = name, file, module, inputs
        self.settings, self.gradient, self.convolutions, self.text = settings or {}, gradient, convolutions, text

    def there(self):
        return os.path.exists(self.file)


def fold(module):
    """Batch norms into the convolutions before them; timm's carry an activation."""
    from torch.nn.utils.fusion import fuse_conv_bn_weights
    conv = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            conv = child
        elif isinstance(child, nn.BatchNorm2d) and conv is not None:
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, child.running_mean, child.running_var, child.eps, child.weight,
                child.bias)
            conv.requires_grad_(False)
            setattr(module, name, child.act if hasattr(child, 'act') else nn.Identity())
            conv = None
        else:
            fold(child)
    return module


def frozen(module):
    return module.eval().requires_grad_(False)


def pictures(size):
    return lambda n: (torch.rand(n, 3, size, size),)


# --- BriVL ---

class Image(nn.Module):
    def __init__(self, brivl):
        super().__init__()
        self.tower = brivl.imgencoder
        self.register_buffer('mean', brivl.mean)
        self.register_buffer('std', brivl.std)

    def forward(self, x):
        return self.tower((x - self.mean) / self.std)


def brivl(cfg, size=None, checkpoint=None):
    from brivl_torch import BriVL, mspp_matrix
    weights = torch.load(checkpoint, mmap=True, weights_only=True) if checkpoint else None
    model = BriVL(cfg, weights, 'learnable.' if weights else '')
    if size:
        side = (size + 31) // 32
        model.imgencoder.matrix = mspp_matrix(6, 4, size, side).float()
    return model


class Text(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.tower, self.length = model.textencoder, model.length

    def forward(self, ids):
        return self.tower(ids, torch.full((ids.shape[0],), self.length, device=ids.device))


def ids_of(cfg, checkpoint=None):
    def inputs(n):
        model = brivl(cfg, None, checkpoint)
        words = model.textencoder.backbone.bert.embeddings.word_embeddings.num_embeddings
        return (torch.randint(words, (n, model.length)),)
    return inputs


# --- autoencoders ---

class Decoder(nn.Module):
    """bench_vqgan's functions over a file's tensors, as a module that can be moved and converted."""

    def __init__(self, folder):
        super().__init__()
        import bench_vqgan
        import make_vqgan
        make_vqgan.callback()
        self.names = {}
        for name, value in bench_vqgan.load(folder, False).items():
            if name.startswith(('decoder.', 'post_quant_conv.')):
                self.names[name] = name.replace('.', '_')
                self.register_buffer(self.names[name], value)
        self.network = bench_vqgan.network

    def forward(self, z):
        decode, _ = self.network({name: getattr(self, own) for name, own in self.names.items()})
        return decode(z)


class Tiny(nn.Module):
    """TAESD's decoder: blocks of three 3x3 between upsamplings."""

    class Block(nn.Module):
        def __init__(self, c):
            super().__init__()
            parts = [nn.Conv2d(c, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1), nn.ReLU(),
                     nn.Conv2d(c, c, 3, padding=1)]
            self.conv = nn.Sequential(*parts)

        def forward(self, x):
            return F.relu(self.conv(x) + x)

    class Soft(nn.Module):
        def forward(self, x):
            return torch.tanh(x / 3) * 3

    def __init__(self, c=64, latent=4):
        super().__init__()
        layers = [self.Soft(), nn.Conv2d(latent, c, 3, padding=1), nn.ReLU()]
        for _ in range(3):
            layers += [self.Block(c), self.Block(c), self.Block(c), nn.Upsample(scale_factor=2),
                       nn.Conv2d(c, c, 3, padding=1, bias=False)]
        self.all = nn.Sequential(*layers, self.Block(c), nn.Conv2d(c, 3, 3, padding=1))

    def forward(self, z):
        return self.all(z)


def tiny_decoder(folder):
    """The module, and its file for the program."""
    torch.manual_seed(0)
    tiny = frozen(Tiny())
    path = os.path.join(folder, 'tiny.pth')
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        torch.save({k[len('all.'):]: v for k, v in tiny.state_dict().items()}, path)
    return tiny


class Encode(nn.Module):
    def __init__(self, clip):
        super().__init__()
        self.clip = clip

    def forward(self, ids):
        return self.clip.encode_text(ids)


def clip(name, text=False):
    import clip_official
    model = clip_official.random_net(name)
    return Encode(model) if text else model.visual


def families(folder):
    """All that there are files for in `folder`: b5/, vqgan/, clip/ as the makers leave them."""
    def at(*parts):
        return os.path.join(folder, *parts)
    b5, b5_weights = at('b5', 'b5.yml'), at('b5', 'b5.pth')
    tiny_decoder(folder)
    rows = [
        Family('Lite0@224', MINI, lambda: Image(brivl(MINI, 224)), pictures(224), {'size': 224}),
        Family('Lite0@320', MINI, lambda: Image(brivl(MINI, 320)), pictures(320), {'size': 320}),
        Family('B5@456 + head', b5, lambda: Image(brivl(b5, 456, b5_weights)), pictures(456), {'size': 456}),
        Family('ViT-B/32', at('clip', 'vit_b32.pt'), lambda: clip('vit_b32'), pictures(224)),
        Family('RN50', at('clip', 'rn50.pt'), lambda: clip('rn50'), pictures(224)),
        Family('VQGAN f16 decode@256', at('vqgan', 'vqgan.ckpt'), lambda: Decoder(at('vqgan')),
               lambda n: (torch.randn(n, 256, 16, 16),), {'tower': 'decode', 'size': 256}),
        Family('small decoder@256', at('tiny.pth'), lambda: tiny_decoder(folder),
               lambda n: (torch.randn(n, 4, 32, 32),), {'tower': 'decode', 'size': 256}),
        Family('text, mini', MINI, lambda: Text(brivl(MINI)), ids_of(MINI), {'tower': 'text'}, text=True),
        Family('text, BERT + head', b5, lambda: Text(brivl(b5, None, b5_weights)), ids_of(b5, b5_weights),
               {'tower': 'text'}, text=True),
        Family('text, CLIP', at('clip', 'vit_b32.pt'), lambda: clip('vit_b32', True),
               lambda n: (torch.randint(49000, (n, 77)),), {'tower': 'text'}, text=True),
    ]
    for row in rows:
        if row.text:
            row.gradient = row.convolutions = False
        if row.name == 'ViT-B/32':
            row.convolutions = False
    return [row for row in rows if row.there()]

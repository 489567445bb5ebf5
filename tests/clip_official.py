"""CLIP and Chinese-CLIP in PyTorch, full size, with random weights: checkpoints in the official layouts, and
what the towers say of a picture and a text in double, to hold the program against.

    python3 tests/clip_official.py make FOLDER [--only NAME]
    python3 tests/clip_official.py check FOLDER --program build/release/app/feavis [--only NAME]
    python3 tests/clip_official.py bench FOLDER --bench build/release/tests/bench [--threads N] [--cpu]
           [--no-compile] [--turns N] [--only NAME]

make writes vit_b32.pt and rn50.pt (OpenAI's TorchScript archives, halves and singles; 354 and 256 MB) and
cn_vit_b16.pt (Chinese-CLIP's torch.save, 753 MB), a picture, ids, and reference values in double.
check runs `feavis info` and `probe` and compares; beside it stands how far PyTorch's own single precision is off.
Batch norms of a ResNet get scales and shifts that keep numbers away from ReLU's corner; plain random ones
(make --corners) do not, and its gradient is then off by 1e-3 to 1e-2 in both, whoever computes it in singles.
bench measures a forward and a gradient in the pixels in turns with the program: eager, channels_last and torch.compile, frozen weights; the best of them is the number
to beat. vit_b16.pt is there for bench alone. Needs torch, numpy, safetensors, pillow. Nothing of it is
committed: the weights are random, so only agreement means anything."""
import argparse
import math
import os
import re
import statistics
import subprocess
import sys
import time
from typing import Optional

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'bench'))
MEAN, STD = (.48145466, .4578275, .40821073), (.26862954, .26130258, .27577711)
OPENAI = dict(text_width=512, text_layers=12, context=77, vocab=49408)
NETS = {
    'vit_b32': dict(OPENAI, patch=32, width=768, layers=12, embed=512),
    'vit_b16': dict(OPENAI, patch=16, width=768, layers=12, embed=512),
    'rn50': dict(OPENAI, patch=0, width=64, layers=(3, 4, 6, 3), embed=1024),
    'cn_vit_b16': dict(patch=16, width=768, layers=12, embed=512, vocab=21128),
}
SIDE = 224


class QuickGelu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x * 1.702)


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.heads = width // 64
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, causal: bool) -> torch.Tensor:
        n, t, d = x.shape
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).view(n, t, 3, self.heads, 64) \
            .permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out_proj(y.transpose(1, 2).reshape(n, t, d))


class Mlp(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.c_fc, self.gelu = nn.Linear(width, 4 * width), QuickGelu()
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c_proj(self.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.attn, self.mlp = Attention(width), Mlp(width)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, causal: bool) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x), causal)
        return x + self.mlp(self.ln_2(x))


class Stack(nn.Module):
    def __init__(self, width: int, layers: int):
        super().__init__()
        self.resblocks = nn.ModuleList([Block(width) for _ in range(layers)])

    def forward(self, x: torch.Tensor, causal: bool) -> torch.Tensor:
        for b in self.resblocks:
            x = b(x, causal)
        return x


class Vit(nn.Module):
    def __init__(self, patch: int, width: int, layers: int, embed: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((SIDE // patch) ** 2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Stack(width, layers)
        self.proj = nn.Parameter(torch.empty(width, embed))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.class_embedding.expand(y.shape[0], 1, -1), y], 1) + self.positional_embedding
        y = self.transformer(self.ln_pre(y), False)
        return self.ln_post(y[:, 0]) @ self.proj


class Bottle(nn.Module):
    def __init__(self, cin: int, planes: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.downsample = nn.Identity()
        if stride > 1 or cin != 4 * planes:
            self.downsample = nn.Sequential()
            self.downsample.add_module('-1', nn.AvgPool2d(stride))
            self.downsample.add_module('0', nn.Conv2d(cin, 4 * planes, 1, bias=False))
            self.downsample.add_module('1', nn.BatchNorm2d(4 * planes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.pool(F.relu(self.bn2(self.conv2(y))))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Pool(nn.Module):
    def __init__(self, grid: int, width: int, embed: int):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.empty(grid * grid + 1, width))
        self.k_proj, self.q_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.c_proj = nn.Linear(width, width), nn.Linear(width, embed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positional_embedding
        n, t, d = x.shape
        q = self.q_proj(x[:, :1]).view(n, 1, d // 64, 64).transpose(1, 2)
        k = self.k_proj(x).view(n, t, d // 64, 64).transpose(1, 2)
        v = self.v_proj(x).view(n, t, d // 64, 64).transpose(1, 2)
        return self.c_proj(F.scaled_dot_product_attention(q, k, v).reshape(n, d))


class Resnet(nn.Module):
    def __init__(self, width: int, layers, embed: int):
        super().__init__()
        half = width // 2
        self.conv1, self.bn1 = nn.Conv2d(3, half, 3, 2, 1, bias=False), nn.BatchNorm2d(half)
        self.conv2, self.bn2 = nn.Conv2d(half, half, 3, 1, 1, bias=False), nn.BatchNorm2d(half)
        self.conv3, self.bn3 = nn.Conv2d(half, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.avgpool, cin = nn.AvgPool2d(2), width
        for i, n in enumerate(layers):
            blocks = []
            for j in range(n):
                blocks.append(Bottle(cin, width << i, 2 if i and j == 0 else 1))
                cin = 4 * (width << i)
            setattr(self, f'layer{i + 1}', nn.Sequential(*blocks))
        self.attnpool = Pool(SIDE // 32, cin, embed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = self.avgpool(F.relu(self.bn3(self.conv3(x))))
        return self.attnpool(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


def image_tower(c):
    if c['patch']:
        return Vit(c['patch'], c['width'], c['layers'], c['embed'])
    return Resnet(c['width'], c['layers'], c['embed'])


class Clip(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.visual, d = image_tower(c), c['text_width']
        self.positional_embedding = nn.Parameter(torch.empty(c['context'], d))
        self.text_projection = nn.Parameter(torch.empty(d, c['embed']))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(100.0)))
        for n, v in (('input_resolution', SIDE), ('context_length', c['context']), ('vocab_size', c['vocab'])):
            self.register_buffer(n, torch.tensor(v))
        self.transformer = Stack(d, c['text_layers'])
        self.token_embedding, self.ln_final = nn.Embedding(c['vocab'], d), nn.LayerNorm(d)

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        return self.visual(image)

    def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
        y = self.ln_final(self.transformer(self.token_embedding(ids) + self.positional_embedding, True))
        return y[torch.arange(y.shape[0]), ids.argmax(-1)] @ self.text_projection

    def forward(self, image: torch.Tensor, ids: torch.Tensor):
        return self.encode_image(image), self.encode_text(ids)


class Bert(nn.Module):
    """BERT's names with BERT's arithmetic, and Chinese-CLIP's mask."""

    def __init__(self, vocab: int, d=768, layers=12, wide=3072):
        super().__init__()
        def group(**parts):
            return nn.ModuleDict(parts)
        def layer():
            return group(attention=group(self=group(query=nn.Linear(d, d), key=nn.Linear(d, d), value=nn.Linear(d, d)),
                                         output=group(dense=nn.Linear(d, d), LayerNorm=nn.LayerNorm(d, 1e-12))),
                         intermediate=group(dense=nn.Linear(d, wide)),
                         output=group(dense=nn.Linear(wide, d), LayerNorm=nn.LayerNorm(d, 1e-12)))
        self.embeddings = group(word_embeddings=nn.Embedding(vocab, d), position_embeddings=nn.Embedding(512, d),
                                token_type_embeddings=nn.Embedding(2, d), LayerNorm=nn.LayerNorm(d, 1e-12))
        self.encoder = group(layer=nn.ModuleList([layer() for _ in range(layers)]))
        self.pooler = group(dense=nn.Linear(d, d))

    def forward(self, ids):
        e, (n, t) = self.embeddings, ids.shape
        x = e['word_embeddings'](ids) + e['position_embeddings'].weight[:t] + e['token_type_embeddings'].weight[0]
        x, bias = e['LayerNorm'](x), ((ids == 0) * -10000.0).to(x.dtype)[:, None, None]
        for l in self.encoder['layer']:
            a = l['attention']
            q, k, v = (a['self'][p](x).view(n, t, -1, 64).transpose(1, 2) for p in ('query', 'key', 'value'))
            y = F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).reshape(n, t, -1)
            x = a['output']['LayerNorm'](a['output']['dense'](y) + x)
            y = l['output']['dense'](F.gelu(l['intermediate']['dense'](x)))
            x = l['output']['LayerNorm'](y + x)
        return x[:, 0]


class ChineseClip(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.visual, self.bert = image_tower(c), Bert(c['vocab'])
        self.text_projection = nn.Parameter(torch.empty(768, c['embed']))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(100.0)))

    def encode_text(self, ids):
        return self.bert(ids) @ self.text_projection


def keep_from_corners(visual, g):
    """Numbers before a ReLU are well above or well below 0."""
    for n, b in visual.named_modules():
        if not isinstance(b, nn.BatchNorm2d):
            continue
        last, k = n.startswith('layer') and n.endswith(('bn3', 'downsample.1')), b.weight.shape[0]
        scale, shift = (0.15, 0.6) if last else (0.35, 1.3)
        sign = torch.ones(k) if last else torch.sign(torch.randn(k, generator=g))
        b.weight.copy_(scale * (1 + 0.1 * torch.randn(k, generator=g)))
        b.bias.copy_(shift * sign + 0.05 * torch.randn(k, generator=g))


def random_net(name, corners=False):
    c = NETS[name]
    g = torch.Generator().manual_seed(len(name))
    m = (Clip if 'context' in c else ChineseClip)(c).eval().requires_grad_(False)
    for n, p in m.named_parameters():
        if p.dim() > 1:
            embedding = 'embedding' in n
            p.copy_(torch.randn(p.shape, generator=g) * (0.5 if embedding else p[0].numel() ** -0.5))
        elif n != 'logit_scale':
            p.copy_(torch.randn(p.shape, generator=g) * 0.1 + (1.0 if n.endswith('weight') else 0.0))
    if not corners:
        keep_from_corners(m.visual, g)
    norms = [b for b in m.modules() if isinstance(b, nn.BatchNorm2d)]
    for b in norms: # statistics of some pictures, as training leaves them
        b.momentum = 1.0
        b.train()
    if norms:
        x = F.interpolate(torch.randn(4, 3, 14, 14, generator=g), (SIDE, SIDE), mode='bilinear')
        m.visual(x + 0.3 * torch.randn(x.shape, generator=g))
    return m.eval()


def halve(m):
    """What OpenAI's archives hold in halves, and the numbers that are left of it."""
    for n, module in m.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.half()
        if isinstance(module, Attention):
            module.in_proj_weight.data, module.in_proj_bias.data = \
                module.in_proj_weight.half(), module.in_proj_bias.half()
    m.text_projection.data = m.text_projection.half()
    if hasattr(m.visual, 'proj'):
        m.visual.proj.data = m.visual.proj.half()
    return m


def ids_of(c):
    rows = torch.zeros(2, c.get('context', 52), dtype=torch.long)
    start, end = (c['vocab'] - 2, c['vocab'] - 1) if 'context' in c else (101, 102)
    for i, words in enumerate(([320, 1125, 539, 320, 2368], [11088, 17648, 530, 518, 3144, 256])):
        rows[i, :len(words) + 2] = torch.tensor([start, *words, end])
    return rows


def picture():
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    rgb = np.stack([0.5 + 0.4 * np.sin(9 * x + c) * np.cos(7 * y - 2 * c) for c in range(3)], -1)
    return (rgb * 255).round().astype(np.uint8)


def normalised(rgb):
    x = torch.from_numpy(rgb).float().permute(2, 0, 1)[None] / 255
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def relative(found, expected):
    return float(np.linalg.norm(found.ravel() - expected.ravel()) / np.linalg.norm(expected))


def towers(m, rgb, ids, dtype):
    """Unit embeddings of the picture and of the first text, and the gradient of their cosine in the pixels."""
    x = normalised(rgb).to(dtype).requires_grad_()
    image, text = m.visual(x), m.encode_text(ids[:1])
    image, text = image / image.norm(), text / text.norm()
    (image @ text[0]).sum().backward()
    gradient = x.grad / torch.tensor(STD).view(1, 3, 1, 1)
    return {'image': image.detach().numpy()[0], 'text': text.detach().numpy()[0], 'gradient': gradient.numpy()[0]}


def make(folder, name, corners):
    from PIL import Image
    m, c = random_net(name, corners), NETS[name]
    path = os.path.join(folder, name + '.pt')
    ids = ids_of(c)
    if 'context' in c:
        halve(m)
        singles = {n: p.data for n, p in m.named_parameters()}
        m.float()
        with torch.no_grad():
            traced = torch.jit.trace(m, (torch.rand(1, 3, SIDE, SIDE), ids[:1]), check_trace=False)
        for n, p in traced.named_parameters():
            p.data = singles[n]
        torch.jit.save(traced, path)
        m.float()
        for n, p in m.named_parameters():
            p.data = singles[n].float()
    else:
        state = {'module.' + k: v for k, v in m.state_dict().items()}
        torch.save({'epoch': 15, 'step': 1, 'name': name, 'state_dict': state}, path)
    rgb = picture()
    Image.fromarray(rgb).save(os.path.join(folder, 'picture.png'))
    np.save(os.path.join(folder, name + '.ids.npy'), ids[0].numpy().astype(np.float32))
    single = towers(m, rgb, ids, torch.float32)
    double = towers(m.double(), rgb, ids, torch.float64)
    noise = {k + '_noise': relative(single[k], double[k]) for k in double}
    np.savez(os.path.join(folder, name + '.npz'), **double, **noise)
    print(name, os.path.getsize(path) // 10**6, 'MB')


def timed(command):
    begin = time.perf_counter()
    p = subprocess.run(['/usr/bin/time', '-f', 'peak %M kB'] + command, capture_output=True, text=True)
    if p.returncode:
        sys.exit(p.stderr)
    peak = re.search(r'peak (\d+) kB', p.stderr)
    return p.stdout, time.perf_counter() - begin, int(peak.group(1)) // 1024 if peak else 0


def check(folder, name, program):
    path, out = os.path.join(folder, name + '.pt'), os.path.join(folder, name + '.probe')
    report, seconds, peak = timed([program, 'info', path])
    told = next((l for l in report.splitlines() if 'in use' in l or 'missing' in l), '?').strip()
    print(f'{name}: info {seconds:.2f} s, {peak} MB: {told}')
    _, seconds, peak = timed([program, 'probe', '--checkpoint', path, '--image', os.path.join(folder, 'picture.png'),
                              '--ids', os.path.join(folder, name + '.ids.npy'), '--out', out])
    r = np.load(os.path.join(folder, name + '.npz'))
    found = {k: np.load(os.path.join(out, f)) for k, f in
             (('image', 'image_embedding.npy'), ('text', 'text_embedding.npy'), ('gradient', 'gradient.npy'))}
    print(f'{name}: probe {seconds:.2f} s, {peak} MB: ' +
          ', '.join(f'{k} {relative(found[k], r[k]):.2g} (PyTorch {r[k + "_noise"]:.2g})' for k in found))


def rivals(name, batch, compiled):
    """PyTorch's ways of a forward and a gradient in the pixels, as functions."""
    m = random_net(name).visual
    x = normalised(picture()).expand(batch, -1, -1, -1).contiguous()

    def run(net, x):
        def once():
            y = x.detach().requires_grad_()
            net(y).sum().backward()
            return y.grad
        return once
    yield 'eager', run(m, x)
    if not NETS[name]['patch']:
        yield 'channels_last', run(m.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last))
    if compiled:
        yield 'compile', run(torch.compile(m), x)


def bench(folder, name, program, threads, turns, cpu, compiled):
    from server import Server
    clock = time.process_time if cpu else time.perf_counter
    torch.set_num_threads(threads)
    for batch in (1, 8):
        ways = dict(rivals(name, batch, compiled))
        for w in ways.values():
            w()
        own = Server(program, os.path.join(folder, name + '.pt'), batch=batch, threads=threads, cpu=int(cpu))
        times = {w: [] for w in ways}
        times['feavis'] = []
        for _ in range(turns):
            for w, f in ways.items():
                time.sleep(0.05)
                f()
                begin = clock()
                f()
                times[w].append(1e3 * (clock() - begin))
            time.sleep(0.05)
            own.run()
            times['feavis'].append(own.run())
        own.close()
        rival = min(ways, key=lambda w: min(times[w]))
        ours = times['feavis']
        print(f'{name} batch {batch}: {min(ours):.0f} ms; ' + ', '.join(f'{w} {min(times[w]):.0f}' for w in ways) +
              f'; best against best {min(times[rival]) / min(ours):.2f}, medians '
              f'{statistics.median(times[rival]) / statistics.median(ours):.2f}', flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('what', choices=['make', 'check', 'bench'])
    p.add_argument('folder')
    p.add_argument('--program')
    p.add_argument('--bench')
    p.add_argument('--threads', type=int, default=2)
    p.add_argument('--turns', type=int, default=10)
    p.add_argument('--cpu', action='store_true', help='processor time, with --threads 1: on a machine that others use')
    p.add_argument('--no-compile', action='store_true')
    p.add_argument('--only')
    p.add_argument('--corners', action='store_true', help='make: batch norms as plain random numbers')
    a = p.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    for name in NETS:
        if a.only and name not in a.only.split(','):
            continue
        if a.what == 'make':
            make(a.folder, name, a.corners)
        elif a.what == 'check':
            check(a.folder, name, a.program)
        else:
            bench(a.folder, name, a.bench, a.threads, a.turns, a.cpu, not a.no_compile)


if __name__ == '__main__':
    main()

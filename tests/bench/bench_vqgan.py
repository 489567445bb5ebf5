"""Measures the decoder or the encoder of a VQGAN beside PyTorch on the same cores, run by turns.

    python3 tests/bench/make_vqgan.py FOLDER
    python3 tests/bench/bench_vqgan.py FOLDER [--size N] [--encode] [--forward] [--threads N] [--cpu]

PyTorch's best of {eager, channels_last, torch.compile} is the number to beat; its weights are frozen
and only the latent (the picture) requires a gradient. The decoder is the published one, level by level;
attention is scaled_dot_product_attention. Says how far the two results are apart, what both took, and the
most memory that each had. --cpu: processor time on one thread. Needs torch."""
import argparse
import os
import subprocess
import sys

import bench
from make_vqgan import BLOCKS, MULT


def network(w):
    """decode and encode as functions of a dictionary of tensors."""
    import torch
    import torch.nn.functional as F

    def conv(x, name, **how):
        return F.conv2d(x, w[name + '.weight'], w[name + '.bias'], **how)

    def norm(x, name):
        return F.group_norm(x, 32, w[name + '.weight'], w[name + '.bias'], 1e-6)

    def block(x, name):
        h = conv(F.silu(norm(x, name + '.norm1')), name + '.conv1', padding=1)
        h = conv(F.silu(norm(h, name + '.norm2')), name + '.conv2', padding=1)
        if name + '.nin_shortcut.weight' in w:
            x = conv(x, name + '.nin_shortcut')
        return x + h

    def attention(x, name):
        y = norm(x, name + '.norm')
        q, k, v = (conv(y, f'{name}.{p}').flatten(2).transpose(1, 2) for p in 'qkv')
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        return x + conv(y, name + '.proj_out')

    def middle(x, half):
        x = attention(block(x, half + '.mid.block_1'), half + '.mid.attn_1')
        return block(x, half + '.mid.block_2')

    def level(x, name, blocks):
        for j in range(blocks):
            x = block(x, f'{name}.block.{j}')
            if f'{name}.attn.{j}.norm.weight' in w:
                x = attention(x, f'{name}.attn.{j}')
        return x

    def decode(z):
        x = middle(conv(conv(z, 'post_quant_conv'), 'decoder.conv_in', padding=1), 'decoder')
        for i in reversed(range(len(MULT))):
            x = level(x, f'decoder.up.{i}', BLOCKS + 1)
            if i:
                x = F.interpolate(x, scale_factor=2.0, mode='nearest')
                x = conv(x, f'decoder.up.{i}.upsample.conv', padding=1)
        x = conv(F.silu(norm(x, 'decoder.norm_out')), 'decoder.conv_out', padding=1)
        return 0.5 * x + 0.5

    def encode(p):
        x = conv(2 * p - 1, 'encoder.conv_in', padding=1)
        for i in range(len(MULT)):
            x = level(x, f'encoder.down.{i}', BLOCKS)
            if i < len(MULT) - 1:
                x = conv(F.pad(x, (0, 1, 0, 1)), f'encoder.down.{i}.downsample.conv', stride=2)
        x = F.silu(norm(middle(x, 'encoder'), 'encoder.norm_out'))
        return conv(conv(x, 'encoder.conv_out', padding=1), 'quant_conv')

    return decode, encode


def load(folder, last):
    import torch
    w = torch.load(os.path.join(folder, 'vqgan.ckpt'), mmap=True, weights_only=False)['state_dict']
    copy = {k: v.clone() for k, v in w.items()}
    if last:
        copy = {k: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v
                for k, v in copy.items()}
    return copy


def variants(args):
    import torch
    side = args.size if args.encode else args.size // 2 ** (len(MULT) - 1)
    channels = 3 if args.encode else 256
    for name in args.variants.split(','):
        last = 'channels_last' in name
        f = network(load(args.folder, last))[args.encode]
        x = torch.randn(1, channels, side, side)
        x = x.contiguous(memory_format=torch.channels_last) if last else x
        x.requires_grad_(not args.forward)
        yield bench.Torch(name, torch.compile(f) if 'compile' in name else f, (x,), not args.forward)


def memory(what):
    """MB, by the kernel's books."""
    with open('/proc/self/status', encoding='ascii') as f:
        return next(int(line.split()[1]) for line in f if line.startswith(what)) * 1024e-6


def peak_of(args):
    """MB that eager PyTorch had at most in a process of its own, and what it had before."""
    import torch
    torch.set_num_threads(args.threads)
    peer = next(variants(args))
    with open('/proc/self/clear_refs', 'w', encoding='ascii') as f:
        f.write('5')  # the most so far is what there is now
    before = memory('VmRSS')
    peer.run()
    print(f"{before:.0f} {memory('VmHWM'):.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder')
    parser.add_argument('--size', type=int, default=256)
    parser.add_argument('--encode', action='store_true')
    parser.add_argument('--forward', action='store_true')
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--rounds', type=int, default=4)
    parser.add_argument('--variants', default='eager,channels_last,compile,compile channels_last')
    parser.add_argument('--cpu', action='store_true', help='processor time, one thread')
    parser.add_argument('--peak', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    import make_vqgan
    import torch
    make_vqgan.callback()
    if args.cpu:
        bench.clock, args.threads = bench.time.process_time, 1
    if args.peak:
        peak_of(args)
        return
    torch.set_num_threads(args.threads)
    ours = bench.serve(os.path.join(args.folder, 'vqgan.ckpt'), args.threads, size=args.size,
                       tower='encode' if args.encode else 'decode', gradient=int(not args.forward))
    peers = list(variants(args))
    times = bench.measure(ours, peers, args.rounds)
    ours.close()
    mine, best = min(times[ours]), min(peers, key=lambda p: min(times[p]))
    for p in peers:
        print(f'{p.name:24} {min(times[p]):9.1f} ms')
    print(f"ours {mine:.1f} ms, {best.name} {min(times[best]):.1f} ms: ratio "
          f"{min(times[best]) / mine:.2f}; opened in {ours.facts['load_s']} s, at most "
          f"{ours.facts['rss_mb']} MB")
    print('PyTorch, eager: loaded and at most, MB:',
          subprocess.run([sys.executable] + sys.argv + ['--peak', '--variants', 'eager'],
                         check=True, capture_output=True, text=True).stdout.strip())


if __name__ == '__main__':
    main()

"""Writes the trained decoder, and the encoder, as the program reads them: vqgan-mini.safetensors here.

  python export.py --work WORK [--out FILE]

Layer 0 is made from WORK/statistics.pt. Depth to space takes channels as PyTorch's pixel_shuffle
has them, colours outside; in the file they lie inside, as the program's op wants them."""
import argparse
import os

import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))


def colours_inside(t, r=2):
    return t.unflatten(0, (-1, r * r)).transpose(0, 1).flatten(0, 1)


def tensors(net, s, encoder):
    out = dict(net)
    for layer in ('9', '11'):
        for part in ('weight', 'bias'):
            out[f'{layer}.{part}'] = colours_inside(out[f'{layer}.{part}'])
    out['0.weight'], out['0.bias'] = s['mix'][:, :, None, None], s['mean']
    out['latent.decay'] = s['decay']
    out.update({'encoder.' + k: v for k, v in encoder.items()})
    return {k: v.half().contiguous() for k, v in out.items()}


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--work', required=True)
    p.add_argument('--out', default=os.path.join(HERE, 'vqgan-mini.safetensors'))
    args = p.parse_args()
    state = torch.load(os.path.join(args.work, 'state.pt'), weights_only=False)
    s = torch.load(os.path.join(args.work, 'statistics.pt'), weights_only=True)
    encoder = torch.load(os.path.join(args.work, 'encoder.pt'), weights_only=False)
    save_file(tensors(state['net'], s, encoder['net']), args.out + '.part',
              {'title': 'vqgan-mini', 'license': 'MIT'})
    os.replace(args.out + '.part', args.out)
    print(f"{args.out}: step {state['step']}, {os.path.getsize(args.out) / 1e6:.2f} MB")


if __name__ == '__main__':
    main()

"""Puts a VQGAN of the published size through the program, command by command, beside PyTorch.

    python3 tests/bench/make_vqgan.py FOLDER
    python3 tests/bench/check_vqgan.py FOLDER PROGRAM PICTURE [--threads N]

info, convert, codes of PICTURE and back (from the original and from what convert wrote), and two steps
of imagine: wall and processor seconds and the most memory that each took. PyTorch in double encodes
the same pixels and decodes the same codes: how many codes differ, and where their distances to the two
nearest are told apart by less than a float does; how far bytes of the pictures are from each other.
Needs torch and PIL (imported last: a child's most memory counts what its parent had)."""
import argparse
import os
import subprocess
import sys
import time


def run(what, program, *arguments, expect=0):
    begin = time.time()
    child = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True)
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != expect:
        sys.exit(f'{what}: status {code}: {said}')
    print(f'{what:26} {time.time() - begin:6.2f} s, {used.ru_utime + used.ru_stime:6.2f} s of the '
          f'processor, {used.ru_maxrss / 1000:.0f} MB')
    return said.strip()


def read_codes(path):
    with open(path, encoding='ascii') as f:
        return [[int(n) for n in line.split(',')] for line in f]


def pixels(path):
    import numpy
    from PIL import Image
    return numpy.asarray(Image.open(path).convert('RGB'), dtype='float64')


def compare(folder, picture):
    """PyTorch's codes of the picture against the program's, and its picture of the program's codes."""
    import torch
    import bench_vqgan
    import make_vqgan
    make_vqgan.callback()
    w = {k: v.double() for k, v in bench_vqgan.load(folder, False).items() if 'loss.' not in k}
    decode, encode = bench_vqgan.network(w)
    book = w['quantize.embedding.weight']
    with torch.no_grad():
        x = torch.tensor(pixels(picture) / 255).permute(2, 0, 1)[None]
        z = encode(x)[0].flatten(1).T
        far = (z * z).sum(1, keepdim=True) + (book * book).sum(1) - 2 * z @ book.T
        two = far.topk(2, largest=False)
        ours = torch.tensor(read_codes(os.path.join(folder, 'codes.csv')))
        other = two.indices[:, 0] != ours.flatten()
        gap = (two.values[:, 1] - two.values[:, 0]) / two.values[:, 0]
        print(f'codes: {int(other.sum())} of {other.numel()} differ'
              + (f', where the two nearest are within {float(gap[other].max()):.1e}' if other.any() else ''))
        y = decode(book[ours.flatten()].T.reshape(1, -1, *ours.shape)).clamp(0, 1)
        off = abs(pixels(os.path.join(folder, 'decoded.png')) - y[0].permute(1, 2, 0).numpy() * 255)
        print(f'picture: at most {off.max():.4f} of a byte from PyTorch (rounding is 0.5)')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder')
    parser.add_argument('program')
    parser.add_argument('picture')
    parser.add_argument('--threads', default='2')
    args = parser.parse_args()
    at = lambda name: os.path.join(args.folder, name)
    from PIL import Image
    Image.open(args.picture).convert('RGB').resize((256, 256)).save(at('seen.png'))
    p, big, small, threads = args.program, at('vqgan.ckpt'), at('small.safetensors'), args.threads
    print(run('info', p, 'info', big))
    print(run('convert', p, 'convert', big, '--out', small))
    for name, decoder in (('original', big), ('converted', small)):
        how = ('--decoder', decoder, '--threads', threads)
        print(run(f'codes, {name}', p, 'codes', at('seen.png'), *how, '--size', '256', '--out',
                  at('codes.csv')))
        print(run(f'back, {name}', p, 'codes', at('codes.csv'), *how, '--out', at('decoded.png')))
        for steps in ('1', '5'):
            run(f'imagine, {name}, {steps} steps', p, 'imagine', '--quiet', '--generator', 'vqgan', *how,
                '--size', '256', '--steps', steps, '--out', at('dream.png'), '--', '山')
    compare(args.folder, at('seen.png'))


if __name__ == '__main__':
    main()

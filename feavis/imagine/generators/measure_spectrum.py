"""Makes spectrum.h: how strong each frequency is in photographs, for the generator `maco`.

  pip install numpy pillow
  python measure_spectrum.py --photos FOLDER > spectrum.h

Each photo's central square goes to where the parameters live: clipped to 2..98 %, logit, decorrelated
colours (the inverse of fv_colours). Its orthonormal DCT-II, squared, is averaged over photos
and over rings half an octave wide. A cosine wave of f cycles a picture then has the amplitude
2 sqrt(mean square) / n for photos of n pixels: all photos have to be of one size, and larger pictures
continue the last slope. Frequency 0 is the mean colour: sqrt(2) of its spread."""
import argparse
import glob
import os

import numpy as np
from PIL import Image

COLOURS = np.array([[0.5628, 0.1948, 0.0433], [0.5845, 0.0, -0.1082], [0.5845, -0.1948, 0.0649]])


def logits(path):
    picture = Image.open(path).convert('RGB')
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    x = np.asarray(picture.crop((left, top, left + side, top + side)), np.float64) / 255
    x = np.clip(x, 0.02, 0.98)
    return np.log(x / (1 - x)) @ np.linalg.inv(COLOURS).T


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--photos', required=True)
    paths = sorted(glob.glob(os.path.join(a.parse_args().photos, '*.*')))
    n = logits(paths[0]).shape[0]
    at = np.arange(n)
    dct = np.sqrt(2 / n) * np.cos(np.pi * (at[None] + 0.5) * at[:, None] / n)
    dct[0] = np.sqrt(1 / n)
    energy = np.zeros((n, n, 3))
    for path in paths:
        x = logits(path)
        assert x.shape[0] == n, f'{path} is {x.shape[0]} pixels a side, the first one {n}'
        energy += np.einsum('vi,ijc,uj->vuc', dct, x, dct, optimize=True) ** 2 / len(paths)
    frequency = np.hypot(at[:, None], at[None]) / 2
    middles = 0.5 * 2 ** (np.arange(int(2 * np.log2(n)) + 1) / 2)
    rows = [(0, np.sqrt(2 * energy[0, 0]) / n)]
    for f in middles:
        ring = (frequency > f * 2 ** -0.25) & (frequency <= f * 2 ** 0.25)
        rows.append((f, 2 * np.sqrt(energy[ring].mean(0)) / n))

    print(f'/* Amplitude of waves in photographs, in decorrelated colours before the logistic: made by\n'
          f' * measure_spectrum.py from {len(paths)} photos of {n} pixels. Rows: cycles a picture, then one\n'
          f' * amplitude a colour. */\n'
          f'#ifndef FV_SPECTRUM_H\n#define FV_SPECTRUM_H\n\n'
          f'/* clang-format off */\n'
          f'enum {{ FV_SPECTRUM_ROWS = {len(rows)} }};\n'
          f'static const float fv_spectrum[FV_SPECTRUM_ROWS][4] = {{')
    for f, amplitude in rows:
        print('    {' + ', '.join(f'{x:.4g}f' if '.' in f'{x:.4g}' or 'e' in f'{x:.4g}' else f'{x:.4g}.0f'
                                   for x in (f, *amplitude)) + '},')
    print('};\n/* clang-format on */\n\n#endif')


if __name__ == '__main__':
    main()

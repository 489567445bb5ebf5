"""BriVLs that are wider at the end of their trunk: tests/golden/towers/wide_{lite0,b0}.safetensors.

    pip install torch timm numpy safetensors pyyaml
    python3 tests/golden/make_wide.py UNPACKED        the folder with lite0.pth and b0.pth

The towers of lite0 and b0 with channels added by `fill`, as tests/test_wide.c adds them. By
model/mini/brivl_torch.py, in double: "map" [H, h, w] of the picture `pixels` of their own goldens,
"embedding" [D], and "gradient" [3, S, S], that of <embedding, txt_emb> in the pixels.
"""
import pathlib
import sys
import tempfile

import numpy as np
import torch
import yaml
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / 'model/mini'))
import brivl_torch  # noqa: E402

EXPANDED, CHANNELS, HEAD = 1161, 331, 1291
BLOCK = 'imgencoder.backbone.blocks.6.0.'
WIDTHS = {  # how each name begins: rows, columns; 0: as many as there are
    BLOCK + 'conv_pw.': (EXPANDED, 0), BLOCK + 'bn1.': (EXPANDED, 0),
    BLOCK + 'conv_dw.': (EXPANDED, 0), BLOCK + 'bn2.': (EXPANDED, 0),
    BLOCK + 'se.conv_reduce.weight': (0, EXPANDED), BLOCK + 'se.conv_expand.': (EXPANDED, 0),
    BLOCK + 'conv_pwl.': (CHANNELS, EXPANDED), BLOCK + 'bn3.': (CHANNELS, 0),
    'imgencoder.backbone.conv_head.': (HEAD, CHANNELS), 'imgencoder.backbone.bn2.': (HEAD, 0),
    'imgencoder.learnable.max_pool.0.weight': (0, HEAD),
}


def fill(name, count, columns):
    """Numbers that any language makes alike: a hash of name and index, -0.5 to 0.5, scaled."""
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 % 2**32
    x = (np.arange(count, dtype=np.uint32) + np.uint32(h)) * np.uint32(2654435761)
    x = (x ^ x >> np.uint32(15)) * np.uint32(2246822519)
    u = ((x >> np.uint32(8) & np.uint32(65535)).astype(np.float32) - 32768) / 65536
    if name.endswith('running_var') or columns == 0 and name.endswith('weight'):
        return 1 + u / 4
    return u / 4 if columns == 0 else u * np.float32(3 / np.sqrt(columns))


def widen(name, old):
    rows, columns = next((v for k, v in WIDTHS.items() if name.startswith(k)), (0, 0))
    shape = list(old.shape)
    if not old.dim() or not rows and not columns:
        return old
    shape[0] = rows or shape[0]
    if columns:
        shape[1] = columns
    fan = int(np.prod(shape[1:])) if len(shape) > 1 else 0
    new = torch.from_numpy(fill(name, int(np.prod(shape)), fan)).reshape(shape)
    new[tuple(slice(n) for n in old.shape)] = old
    return new


for tower in ('lite0', 'b0'):
    folder = HERE / 'towers' / tower
    weights = torch.load(f'{sys.argv[1]}/{tower}.pth', map_location='cpu',
                         weights_only=False)['learnable']
    weights = {k: widen(k, v) for k, v in weights.items()
               if k.startswith(('imgencoder.', 'textencoder.')) and 'classifier' not in k}
    cfg = yaml.safe_load((folder / 'cfg.yml').read_text())
    cfg['MODEL'].update(ENCODER=str((folder / 'enc').resolve()), CNN_LAST_EXPANDED=EXPANDED,
                        CNN_LAST_CHANNELS=CHANNELS, CNN_HEAD=HEAD)
    with tempfile.NamedTemporaryFile('w', suffix='.yml') as f:
        yaml.safe_dump(cfg, f)
        f.flush()
        net = brivl_torch.BriVL(f.name, weights).double()
    golden = load_file(folder / 'golden.safetensors')
    pixels = golden['pixels'].double()[None].requires_grad_()
    embedding = net.image(pixels)[0]
    (embedding @ golden['txt_emb'].double().flatten()).backward()
    with torch.no_grad():
        x = (pixels - net.mean.to(pixels)) / net.std.to(pixels)
        found = net.imgencoder.backbone.forward_features(x)[0]
    print(tower, found.shape, 'rms of old and new channels',
          [float(v.square().mean().sqrt()) for v in (found[:1280], found[1280:])])
    save_file({'map': found.float().contiguous(), 'embedding': embedding.detach().float(),
               'gradient': pixels.grad[0].float().contiguous()},
              HERE / 'towers' / f'wide_{tower}.safetensors')

"""What torch resizes noise of odd sizes to: tests/golden/resize.safetensors.

    pip install torch numpy safetensors
    python3 tests/golden/make_resize.py

"WxH": uint8 [H,W,3]; "WxH.S": interpolate(bilinear, align_corners=False, antialias=False) of it to
S x S, float32 [S,S,3] in [0, 1].
"""
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

SIZES = [(1, 1), (2, 3), (7, 5), (13, 31), (33, 9)]
SIDES = [1, 8, 17, 25]

out = {}
for i, (w, h) in enumerate(SIZES):
    rgb = np.random.default_rng(i).integers(0, 256, (h, w, 3), dtype=np.uint8)
    out[f"{w}x{h}"] = torch.from_numpy(rgb)
    x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    for side in SIDES:
        y = torch.nn.functional.interpolate(x, (side, side), mode="bilinear", align_corners=False,
                                            antialias=False)
        out[f"{w}x{h}.{side}"] = y[0].permute(1, 2, 0).contiguous()
save_file(out, pathlib.Path(__file__).parent / "resize.safetensors")

"""Small pictures of every kind that the program reads, and what PIL and PyTorch make of them.

    python3 tests/golden/make_pictures.py        writes tests/golden/pictures/

values.safetensors: NAME: RGB [height, width, 3], by the rules of feavis/picture_read.c (upright,
over white, the upper 8 of 16 bits); resize_A_B: the official preprocessing of rgb.jpg to A x A,
[A, A, 3] in [0, 1], before the normalisation. Needs pillow, numpy, torch, safetensors."""
import io
import os

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.numpy import save_file

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pictures")
W, H = 21, 13


def scene(channels):
    """Smooth, and unlike itself in every direction."""
    y, x = np.mgrid[0:H, 0:W]
    planes = [255 * x / (W - 1), 255 * y / (H - 1), 255 * np.cos(x / 6 + y / 9) ** 2,
              40 + 215 * ((x + 2 * y) % 30) / 29]
    return np.stack(planes[:channels], -1).round().astype(np.uint8)


def over_white(rgba):
    c, a = rgba[..., :3].astype(int), rgba[..., 3:].astype(int)
    return ((c * a + 255 * (255 - a) + 127) // 255).astype(np.uint8)


def main():
    os.makedirs(FOLDER, exist_ok=True)
    values = {}

    def path(name):
        return os.path.join(FOLDER, name)

    def keep(name, rgb=None):
        if rgb is None:
            rgb = np.array(ImageOps.exif_transpose(Image.open(path(name))).convert("RGB"))
        values[name] = rgb

    rgb, rgba = Image.fromarray(scene(3)), Image.fromarray(scene(4))
    rgb.save(path("rgb.jpg"), quality=85)  # 4:2:0
    rgb.save(path("progressive.jpg"), quality=85, progressive=True)
    rgb.convert("L").save(path("grey.jpg"), quality=90)
    Image.fromarray(scene(4), "CMYK").save(path("cmyk.jpg"), quality=90)
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        rgb.save(path(f"exif{orientation}.jpg"), quality=85, exif=exif)
    for name in ["rgb.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg"] + [
            f"exif{i}.jpg" for i in range(2, 9)]:
        keep(name)
    rgba.save(path("rgba.png"))
    keep("rgba.png", over_white(scene(4)))
    rgb.quantize(16).save(path("palette.png"))
    keep("palette.png")
    deep = (scene(3)[..., 2].astype(np.uint16) << 8) | 77
    Image.fromarray(deep).save(path("grey16.png"))
    keep("grey16.png", np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, -1))
    rgb.save(path("rgb.bmp"))
    keep("rgb.bmp")
    rgba.save(path("rgba.webp"), lossless=True, exact=True)
    keep("rgba.webp", over_white(scene(4)))
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.save(path("exif6.webp"), quality=80, exif=exif)
    keep("exif6.webp")
    rgb.convert("L").save(path("grey.pgm"))
    keep("grey.pgm")

    whole = open(path("rgb.jpg"), "rb").read()
    open(path("cut.jpg"), "wb").write(whole[: len(whole) - 60])
    whole = open(path("rgba.webp"), "rb").read()
    open(path("cut.webp"), "wb").write(whole[: len(whole) // 2])
    open(path("page.jpg"), "w").write("<!DOCTYPE html><html><body>404</body></html>\n")
    buffer = io.BytesIO()
    rgb.save(buffer, "WEBP", save_all=True, append_images=[rgb.rotate(180)], duration=100)
    open(path("moving.webp"), "wb").write(buffer.getvalue())

    x = torch.from_numpy(values["rgb.jpg"]).permute(2, 0, 1)[None] / 255
    for side in (8, 50):
        y = torch.nn.functional.interpolate(x, (side, side), mode="bilinear", align_corners=False)
        values[f"resize_{side}"] = y[0].permute(1, 2, 0).contiguous().numpy()
    save_file(values, path("values.safetensors"))
    print(sum(os.path.getsize(path(n)) for n in os.listdir(FOLDER)), "bytes")


if __name__ == "__main__":
    main()

"""Small pictures of every kind that the program reads, and what PIL and PyTorch make of them.

    python3 tests/golden/make_pictures.py        writes tests/golden/pictures/
    python3 tests/golden/make_pictures.py more   only more_values.safetensors and its pictures

values.safetensors, more_values.safetensors: NAME: RGB [height, width, 3], by the rules of feavis/image/picture_read.c (upright,
over white, the upper 8 of 16 bits); resize_A_B: the official preprocessing of rgb.jpg to A x A,
[A, A, 3] in [0, 1], before the normalisation. Needs pillow, numpy, torch, safetensors."""
import io
import os
import struct
import sys
import zlib

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


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path, samples, depth, kind, interlaced, before=b""):
    """By hand, as Pillow writes neither Adam7 nor 16 bits a colour. samples: [H, W, channels]."""
    def rows(a):
        bits = np.unpackbits(a.astype(">u2").view(np.uint8).reshape(*a.shape, 2), axis=-1)
        bits = bits.reshape(*a.shape, 16)[..., 16 - depth:].reshape(a.shape[0], -1)
        return b"".join(b"\0" + r.tobytes() for r in np.packbits(bits, axis=1))

    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in passes]
    data = b"".join(rows(a) for a in parts if a.size)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, kind, 0, 0,
                         int(interlaced))
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before +
                           chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b""))


def more():
    """Pictures that came later, with values of their own, so that the older ones stay."""
    values = {}

    def path(name):
        return os.path.join(FOLDER, name)

    rgb, rgba = scene(3), scene(4)
    values["moving.webp"] = np.array(Image.open(path("moving.webp")).convert("RGB"))
    frames = [Image.fromarray(over_white(rgba)[:, ::step].copy()) for step in (1, -1)]
    frames[0].save(path("exact.webp"), save_all=True, append_images=frames[1:], lossless=True,
                   duration=50)
    values["exact.webp"] = over_white(rgba)
    for orientation in range(2, 9):
        name = f"exif{orientation}.png"
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(rgb).save(path(name), exif=exif)
        values[name] = np.array(ImageOps.exif_transpose(Image.open(path(name))).convert("RGB"))
    png(path("adam7.png"), rgb, 8, 2, True)
    values["adam7.png"] = rgb
    png(path("adam7_rgba.png"), rgba, 8, 6, True)
    values["adam7_rgba.png"] = over_white(rgba)
    wide = rgb.astype(np.uint16) << 8 | 0x55
    one = wide[2, 3]
    png(path("trns16.png"), wide, 16, 2, False, chunk(b"tRNS", struct.pack(">3H", *one)))
    clear = (wide == one).all(-1, keepdims=True)
    values["trns16.png"] = np.where(clear, 255, rgb).astype(np.uint8)
    two = rgb[..., :1] >> 6
    png(path("grey2.png"), two, 2, 0, True, chunk(b"gAMA", struct.pack(">I", 100000)))
    values["grey2.png"] = np.repeat(two * 85, 3, -1)
    save_file({k: np.ascontiguousarray(v) for k, v in values.items()},
              path("more_values.safetensors"))


def main():
    more()
    if sys.argv[1:] == ["more"]:
        return
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

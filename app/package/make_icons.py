"""The program's icon: its own 老虎 (gallery/), round at the corners, in the sizes of a desktop. Needs Pillow.

    python3 app/package/make_icons.py
"""
import os

from PIL import Image, ImageDraw

here = os.path.dirname(os.path.abspath(__file__))
picture = Image.open(os.path.join(here, "../../gallery/老虎-1.png")).convert("RGB").crop((32, 16, 208, 192))
for size in (32, 48, 64, 128, 256):
    icon = picture.resize((size, size), Image.LANCZOS).convert("RGBA")
    mask = Image.new("L", (4 * size, 4 * size))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * size - 1, 4 * size - 1), size * 3 // 4, fill=255)
    icon.putalpha(mask.resize((size, size), Image.LANCZOS))
    icon.save(os.path.join(here, f"icon-{size}.png"), optimize=True)

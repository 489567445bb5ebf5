"""The inputs that the corpus grew from, into a folder for each target.

    python3 tests/fuzz/make_seeds.py FOLDER

Small files of every kind a loader knows, made here or taken from tests/golden. Needs Python
alone."""
import collections
import gzip
import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(ROOT, "tests", "golden")
OUT = sys.argv[1]


def put(target, name, data):
    folder = os.path.join(OUT, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def golden(name):
    with open(os.path.join(GOLDEN, name), "rb") as f:
        return f.read()


# --- checkpoints ---

def fake_torch():
    """As much of torch as a pickle names."""
    def module(name, **names):
        m = sys.modules[name] = types.ModuleType(name)
        for key, value in names.items():
            value.__module__, value.__qualname__, value.__name__ = name, key, key
            setattr(m, key, value)
        return m

    def function(key):
        def f(*args):
            return args
        f.__name__ = key
        return f

    kinds = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Char", "Bool", "ComplexFloat")
    torch = module("torch", Size=type("Size", (tuple,), {}), device=type("device", (), {}),
                   **{k + "Storage": type(k + "Storage", (), {}) for k in kinds})
    utils = module("torch._utils", **{k: function(k) for k in (
        "_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_parameter_with_state",
        "_rebuild_tensor_v3")})
    module("torch.storage", UntypedStorage=type("UntypedStorage", (), {}))
    tensor = module("torch._tensor", _rebuild_from_type_v2=function("_rebuild_from_type_v2"))
    config = module("easydict", EasyDict=type("EasyDict", (dict,), {}))
    return torch, utils, tensor, config


torch, utils, tensor_module, config_module = fake_torch()


# key, elements, bytes of each
STORAGES = {"Float": ("0", 16, 4), "Half": ("1", 8, 2), "Long": ("2", 4, 8), "Double": ("3", 2, 8),
            "Bool": ("4", 9, 1), "Char": ("5", 9, 1), "Int": ("6", 9, 4), "BFloat16": ("7", 9, 2),
            "ComplexFloat": ("8", 4, 8)}
used = {}


class Storage:
    def __init__(self, kind):
        key, count, _ = STORAGES[kind]
        self.kind, self.id = kind, ("storage", getattr(torch, kind + "Storage"), key, "cpu", count)


class Tensor:
    def __init__(self, kind, dims, strides, offset=0):
        self.args = (Storage(kind), offset, dims, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return utils._rebuild_tensor_v2, self.args


class Wrapped:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


class Pickler(pickle._Pickler):
    def persistent_id(self, thing):
        if not isinstance(thing, Storage):
            return None
        used[thing.kind] = True
        return thing.id

    def save_global(self, thing, name=None):
        pickle._Pickler.save_global(self, thing, name)


def dump(thing, protocol):
    f = io.BytesIO()
    Pickler(f, protocol).dump(thing)
    return f.getvalue()


def states():
    m = Tensor("Float", (2, 3), (3, 1))
    h = Tensor("Half", (2, 2), (2, 1), 1)
    yield "plain", {"a.weight": m, "a.bias": Tensor("Float", (3,), (1,), 6)}
    yield "nested", {"state_dict": collections.OrderedDict(w=m, h=h), "epoch": 3, "lr": 1e-4,
                     "best": None, "name": "模型", "args": [1, (2, True), {"x": b"raw"}]}
    yield "odd", {"t": Tensor("Long", (2, 2), (1, 2)), "s": Tensor("Double", (), ()),
                  "z": Tensor("Bool", (0, 5), (5, 1)), "r": Tensor("Float", (8,), (0,)),
                  "c": Tensor("Char", (3, 3), (3, 1)), "i": Tensor("Int", (9,), (1,)),
                  "b": Tensor("BFloat16", (9,), (1,))}
    yield "parameter", {"w": Wrapped(utils._rebuild_parameter, m, True, collections.OrderedDict()),
                        "v": Wrapped(utils._rebuild_parameter_with_state, m, True,
                                     collections.OrderedDict(), {"tag": 1}),
                        "u": Wrapped(tensor_module._rebuild_from_type_v2, utils._rebuild_tensor_v2,
                                     torch.Size, m.args, {})}
    yield "config", {"cfg": Wrapped(config_module.EasyDict, {"a": 1}), "set": {1, 2}, "m": m,
                     "size": Wrapped(torch.Size, (1, 2)), "big": 1 << 80,
                     "x": Tensor("ComplexFloat", (2,), (1,))}


def zipped(data, root="a", storages=9, compress=False):
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as z:
        z.writestr(zipfile.ZipInfo(f"{root}/data.pkl"), data, z.compression)
        z.writestr(zipfile.ZipInfo(f"{root}/byteorder"), "little")
        for i in range(storages):
            z.writestr(zipfile.ZipInfo(f"{root}/data/{i}"), bytes(range(64)))
    return f.getvalue()


def checkpoints():
    magic = dump(0x1950a86a20f9469cfc6c, 2) + dump(1001, 2)
    system = dump({"protocol_version": 1001, "little_endian": True}, 2)
    for name, state in states():
        for protocol in (2, 4):
            used.clear()
            data = dump(state, protocol)
            put("pickle", f"{name}{protocol}", data)
            if protocol == 4 and name in ("plain", "odd"):
                continue
            put("torch_zip", f"{name}{protocol}", zipped(data))
            legacy = magic + system + data
            legacy += dump([STORAGES[kind][0] for kind in used], 2)
            for kind in used:
                _, count, size = STORAGES[kind]
                legacy += struct.pack("<Q", count) + bytes(count * size)
            put("torch_legacy", f"{name}{protocol}", legacy)
    put("torch_zip", "deflated", zipped(dump({"a": 1}, 2), compress=True))
    with zipfile.ZipFile(os.path.join(GOLDEN, "weights", "odd.pth")) as z:
        data = [z.read(n) for n in z.namelist() if n.endswith("data.pkl")][0]
    put("pickle", "golden", data)
    put("torch_legacy", "golden", golden("weights/odd_legacy.pth"))


def tensors(header, data):
    text = json.dumps(header, ensure_ascii=False).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


def arrays():
    one = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    put("safetensors", "one", tensors({"a": one}, range(16)))
    put("safetensors", "meta", tensors({"__metadata__": {"format": "pt", "字": "\n\\"}, "a": one,
                                        "b": {"dtype": "F16", "shape": [], "data_offsets": [16, 18]},
                                        "c": {"dtype": "U16", "shape": [0], "data_offsets": [18, 18]}},
                                       range(18)))
    for i, dtype in enumerate(("BF16", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8_E4M3",
                               "U32", "C64")):
        put("safetensors", f"d{i}", tensors({"x": {"dtype": dtype, "shape": [1], "data_offsets":
            [0, {"BF16": 2, "I16": 2, "F64": 8, "I64": 8, "C64": 8, "I32": 4, "U32": 4}.get(dtype, 1)]}},
            range({"BF16": 2, "I16": 2, "F64": 8, "I64": 8, "C64": 8, "I32": 4, "U32": 4}.get(dtype, 1))))
    put("safetensors", "golden", golden("weights/odd.safetensors"))
    for name in os.listdir(os.path.join(GOLDEN, "weights")):
        if name.endswith(".npy"):
            put("npy", name[:-4], golden("weights/" + name))


# --- settings ---

RECIPE = """feavis: 0.1.0
model: "BriVL-mini"
fingerprint: "0123456789abcdef"
text: "梦:1 | 文字:-0.3"
llp: "108:0.5"
llp-reduce: mean
tv: 0.5
seed: 7
steps: 200
size: 256
param: fourier
colour: yes
keep: best
start: "a\\u0022b.png"
start-hash: "00"
backend: cpu
stop: 57
changes:
  - {step: 40, option: text, value: "山"}
  - {step: 41, option: rate, value: "0.1"}
"""


def settings():
    for name in ("cfg/eval.yml", "cfg/brivl-1.0.yml"):
        put("cfg", os.path.basename(name), golden(name))
    with open(os.path.join(ROOT, "model", "mini", "mini.yml"), "rb") as f:
        put("cfg", "mini.yml", f.read())
    presets = os.path.join(ROOT, "presets")
    for name in os.listdir(presets):
        if name.endswith(".yml"):
            with open(os.path.join(presets, name), "rb") as f:
                data = f.read()
            if len(data) < 3000:
                put("preset", name, data)
    put("preset", "json", '{"title": "x", "use": "draft", "pictures": [{"text": "a"}, {"seed": 2}]}')


# --- pictures ---

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side=3, depth=8, colour=2, interlaced=0, before=b"", after=b""):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = (side * channels * depth + 7) // 8
    raw = b"".join(bytes([y % 5]) + bytes((y * 40 + x * 7) % 256 if colour != 3 else 0
                                          for x in range(row)) for y in range(side))
    if interlaced:
        raw += raw
    palette = chunk(b"PLTE", bytes(range(12))) + chunk(b"tRNS", b"\x80\xff") if colour == 3 else b""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, colour,
                                                              0, 0, interlaced))
            + palette + before + chunk(b"IDAT", zlib.compress(raw)) + after + chunk(b"IEND", b""))


def text_chunk(text, packed=False):
    body = zlib.compress(text) if packed else text
    return chunk(b"iTXt", b"feavis\0" + bytes([packed, 0]) + b"\0\0" + body)


def pictures():
    for depth, colour in ((1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (2, 3),
                          (8, 3), (8, 4), (16, 4), (8, 6), (16, 6)):
        put("png", f"c{colour}d{depth}", png(5, depth, colour))
    put("png", "interlaced", png(5, 8, 2, 1))
    put("png", "key", png(3, 8, 2, before=chunk(b"tRNS", bytes(6))))
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    put("png", "exif", png(4, 8, 2, before=chunk(b"eXIf", exif)))
    put("png", "film", png(3, 8, 6, before=chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(
        b"fcTL", struct.pack(">IIIIIHHBB", 0, 3, 3, 0, 0, 1, 10, 0, 0))))
    put("recipe", "plain", png(1, before=text_chunk(RECIPE.encode())))
    put("recipe", "packed", png(1, before=text_chunk(RECIPE.encode(), True)))
    put("recipe", "queue", png(1, after=text_chunk('feavis: 0.1.0\ntext: "a"\ngallery: x\n'.encode())))
    for name in os.listdir(os.path.join(GOLDEN, "pictures")):
        kind = {"jpg": "jpeg", "webp": "webp", "png": "png", "bmp": "bitmap", "pgm": "bitmap"}.get(
            name.rsplit(".", 1)[-1])
        if kind:
            put(kind, name, golden("pictures/" + name))
    put("bitmap", "ppm", b"P6 2 2 255\n" + bytes(12))
    put("bitmap", "pgm16", b"P5\n# x\n2 2 65535\n" + bytes(8))
    put("bitmap", "tga", bytes([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 24, 32]) + bytes(12))
    put("bitmap", "tga_rle", bytes([0, 1, 9, 0, 0, 2, 0, 24, 0, 0, 0, 0, 3, 0, 2, 0, 8, 0]) + bytes(6)
        + bytes([0x84, 1, 0, 0]))
    put("bitmap", "tga_grey", bytes([0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 8, 0]) + bytes(4))
    for packed, data in ((0, bytes(4 * 9)), (1, struct.pack(">9H", *[2] * 9) + b"\xff\7\xff\7"
                                             + b"\0\1\0\1" * 4)):
        put("bitmap", f"psd{packed}", b"8BPS" + struct.pack(">H6xHIIHHIIIH", 1, 4, 3, 3, 8, 3, 0, 0,
                                                             0, packed) + data)
    for bits, size in ((1, 4), (4, 4), (16, 4), (24, 8), (32, 8)):
        body = bytes(8 if bits <= 4 else 0) + bytes(size * 2)
        put("bitmap", f"bmp{bits}", b"BM" + struct.pack("<IIIIiiHHIIIIII", 54 + len(body), 0,
                                                         54 + (8 if bits <= 4 else 0), 40, 2, 2, 1,
                                                         bits, 0, 0, 0, 0, 2 if bits <= 4 else 0, 0)
            + body)
    screen = b"GIF89a\4\0\4\0\x91\0\0" + bytes(range(12))
    image = b",\0\0\0\0\4\0\4\0\0\2\5\x84\x8f\xa9\xcb\x0d\0"
    put("gif", "still", screen + image + b";")
    put("gif", "interlaced", screen + image.replace(b"\4\0\4\0\0\2", b"\4\0\4\0\x40\2") + b";")
    put("gif", "film", screen + b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0" + b"!\xf9\4\5\n\0\1\0" + image
        + b"!\xfe\3abc\0" + b"!\xf9\4\x09\n\0\1\0,\1\0\1\0\2\0\2\0\x81" + bytes(12)
        + b"\2\3\x84\x51\0\0;")
    put("gif", "87", screen.replace(b"89a", b"87a") + image + b";")


# --- text ---

def texts():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "##c", "梦", "é", ",", "the"]
    put("vocab", "small", "\n".join(pieces) + "\n")
    put("vocab", "crlf", "\ufeff" + "\r\n".join(pieces + ["", "a"]))
    put("vocab", "upper", "\n".join(["Abc ÀÉ 𠮷", "[CLS]x[SEP]"] + pieces))
    merges = "head\na b\nab c</w>\nt h\nth e</w>\n"
    put("bpe", "small", merges + "the abc")
    put("bpe", "packed", gzip.compress(merges.encode(), mtime=0))
    put("bpe", "entities", merges + "&amp;amp; &lt &eacute; &NTILDE; &#150; &#x41 &notit; <b>&amp;")
    put("bpe", "letters", merges + "ΟΔΟΣ ﬁ İ ſ Ｆｕ ｶﾞ e\u0301\u0323 \u1100\u1161 \x1b[1mred \u2019s ½ \u3000")
    put("bpe", "marks", merges + "<|startoftext|> it's <|ENDOFTEXT|> they'll \r\n\x80\x93")
    put("lists", "lines", "梦\n竹外桃花三两枝\n\nthe sea: 0.5 | 山:-1\n")
    put("lists", "crlf", "\ufeff\"a, b\"\r\n\"say \"\"hi\"\"\"\r\n  \r\npicture.png")
    put("lists", "cr", "a\rb\rc：0．5｜d")
    put("lists", "gbk", "梦山\n".encode("gbk"))
    put("lists", "utf16", "a\nb\n".encode("utf-16"))
    put("lists", "settings", 'language: "zh"\n"dark": yes\n')
    put("lists", "blank", "\u3000\n\u200b\nx\\:30\\|y\n")
    for half, dtype in ((0, "F32"), (1, "F16")):
        for rows in (1, 3):
            bytes_ = rows * 256 * (2 if half else 4)
            data = tensors({"embeddings": {"dtype": dtype, "shape": [rows, 256],
                                           "data_offsets": [0, bytes_]}}, [60] * bytes_)
            names = "".join(f"p/{i}.jpg\n" for i in range(rows)).encode()
            put("index", f"{dtype}_{rows}", struct.pack("<BH", 0, len(names)) + names + data)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 256), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    array = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes([0, 0, 0, 60]) * 512
    put("index", "npy", struct.pack("<BH", 1, 4) + b"a\nb\n" + array)


checkpoints()
arrays()
settings()
pictures()
texts()

"""Small checkpoints with everything that a reader must cope with, and their values.

    python3 tests/golden/make_odd.py        (needs torch, numpy and safetensors)

writes tests/golden/weights/:
    odd.pth             zip format, pickle protocol 2 (what torch.save does by default)
    odd_protocol4.pth   zip format, pickle protocol 4
    odd_legacy.pth      legacy format
    odd.safetensors     the same tensors, with metadata
    values.safetensors  every tensor of the four files in float64, under the same name
    foreign.pth, foreign_protocol4.pth, foreign_legacy.pth
                        tensors among objects of classes that the reader does not know, and dtypes
                        that are only listed
    module.pth          a whole torch.nn.Module
    script.pt           a TorchScript archive
    types.safetensors   the dtypes that only safetensors has
    foreign_values.safetensors  what of these can be read, in float64, as FILE:NAME
    *.npy               element k of each array (in C order) is k - 2, or as the name says
"""

import argparse
import collections
import datetime
import decimal
import enum
import functools
import io
import json
import os
import pathlib
import struct
import sys
import types
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parent / "weights"


def learnable():
    g = torch.Generator().manual_seed(7)
    base = torch.arange(24, dtype=torch.float32)
    special = [0.0, -0.0, 6e-8, 6.1e-5, 1 / 3, -65504.0, float("inf"), float("-inf"), float("nan")]
    d = collections.OrderedDict()
    d["f32"] = torch.randn(3, 4, generator=g)
    d["f16"] = torch.tensor(special).half()
    d["bf16"] = torch.tensor(special + [1e-40, 3e38]).bfloat16()
    d["f64"] = torch.randn(2, 2, generator=g, dtype=torch.float64)
    d["i64"] = torch.tensor([-1, 1 << 40])
    d["i32"] = torch.tensor([[7, -8]], dtype=torch.int32)
    d["i16"] = torch.tensor([-300, 300], dtype=torch.int16)
    d["i8"] = torch.tensor([[-128], [127]], dtype=torch.int8)
    d["u8"] = torch.tensor([0, 1, 254, 255], dtype=torch.uint8)
    d["bool"] = torch.tensor([True, False, True])
    d["scalar"] = torch.tensor(5)
    d["empty"] = torch.zeros(0, 3)
    d["transposed"] = base.view(4, 6).t()
    d["slice"] = base.view(4, 6)[1:3, 2:5]
    d["shared"] = base
    d["permuted"] = base.view(2, 3, 4).permute(1, 2, 0)
    d["expanded"] = base[3:5].view(2, 1).expand(2, 3)
    d["steps"] = base[1::5]
    d["channels_last"] = torch.randn(2, 3, 2, 2, generator=g).to(memory_format=torch.channels_last)
    d["parameter"] = torch.nn.Parameter(torch.randn(2, generator=g))
    d["\u5b57.\U0001f600"] = torch.ones(1)
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    net[0].weight.data.copy_(torch.randn(3, 2, generator=g))
    net[0].bias.data.copy_(torch.randn(3, generator=g))
    for name, t in net.state_dict(prefix="module.").items():
        d[name] = t
    d._metadata = net.state_dict()._metadata
    return d


def checkpoint():
    w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    adam = torch.optim.Adam([w], lr=1e-3)
    (w * w).sum().backward()
    adam.step()
    return {
        "learnable": learnable(),
        "epoch": 17,
        "lr": 1e-4,
        "note": "\u5b57",
        "flag": True,
        "none": None,
        "list": [1, 2.5, "x", [torch.tensor([4.0])]],
        "pair": (torch.tensor([5.0]), 6),
        "big": 1 << 70,
        "size": torch.Size([3, 4]),
        "optimizer": adam.state_dict(),
        "milestones": collections.Counter({30: 1}),
        "loss": np.float64(0.5),
        "args": argparse.Namespace(lr=0.1, names=["a", "b"]),
        (1, 2): torch.zeros(1),  # a key that makes no name: skipped
    }


def tensors(value, name=""):
    """Every tensor of the checkpoint under its dotted name."""
    if isinstance(value, torch.Tensor):
        return {name: value.detach()}
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {}
    found = {}
    for key, v in items:
        if isinstance(key, (str, int)):
            found.update(tensors(v, f"{name}.{key}" if name else str(key)))
    return found


def arrays():
    def count(dtype, *shape):
        return (np.arange(int(np.prod(shape))) - 2).astype(dtype).reshape(shape)

    for dtype in ["f4", "f8", "f2", "i8", "i4", "i2", "i1"]:
        np.save(OUT / f"{dtype}.npy", count(dtype, 2, 3))
    np.save(OUT / "u1_plus2.npy", (count("i1", 2, 3) + 2).astype("u1"))
    np.save(OUT / "b1_odd.npy", np.arange(6).reshape(2, 3) % 2 == 1)
    np.save(OUT / "fortran.npy", np.asfortranarray(count("f4", 2, 3, 4)))
    np.save(OUT / "scalar.npy", np.float32(-2))
    np.save(OUT / "empty.npy", np.zeros((0, 3), "f4"))
    np.save(OUT / "vector.npy", count("f4", 6))
    for version in (2, 3):
        with open(OUT / f"version{version}.npy", "wb") as f:
            np.lib.format.write_array(f, count("f4", 2, 3), version=(version, 0))
    np.save(OUT / "big_endian.npy", count(">f4", 2, 3))
    np.save(OUT / "structured.npy", np.zeros(2, [("a", "f4"), ("b", "i4")]))
    np.save(OUT / "complex.npy", np.zeros(2, "c8"))


class Cfg(dict):  # as EasyDict, CfgNode, ...: a dictionary with attributes
    def __init__(self, **kw):
        super().__init__(**kw)
        self.__dict__.update(kw)


class Level(enum.Enum):
    HIGH = 3


class Box:  # any object; its tensor cannot be had without the class
    def __init__(self, inside):
        self.inside = inside


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


class Keyed:  # __getnewargs_ex__: NEWOBJ_EX from protocol 4 on
    def __new__(cls, *, a):
        return super().__new__(cls)

    def __getnewargs_ex__(self):
        return (), {"a": 1}


class Callback:  # used as a key, as Lightning before 1.5 does
    pass


class Points(torch.Tensor):
    pass


Pair = collections.namedtuple("Pair", "x y")


def elsewhere():
    """The classes above as parts of a module that no reader has."""
    module = types.ModuleType("somewhere.else_")
    for c in (Cfg, Level, Box, Slotted, Keyed, Callback, Points, Pair):
        c.__module__ = "somewhere.else_"
        c.__qualname__ = c.__name__
        setattr(module, c.__name__, c)
    sys.modules["somewhere"] = types.ModuleType("somewhere")
    sys.modules["somewhere.else_"] = module


def foreign():
    g = torch.Generator().manual_seed(11)
    state = collections.OrderedDict()
    every = torch.arange(256, dtype=torch.int16).to(torch.uint8)
    state["u16"] = torch.tensor([0, 40000, 65535], dtype=torch.uint16)
    state["u32"] = torch.tensor([0, 1 << 31, (1 << 32) - 1], dtype=torch.uint32)
    state["u64"] = torch.tensor([0, 1 << 62], dtype=torch.uint64)
    state["e4m3"] = every.view(torch.float8_e4m3fn)
    state["e5m2"] = every.view(torch.float8_e5m2)
    parameter = torch.nn.Parameter(torch.randn(2, 3, generator=g))
    parameter.is_distributed = True
    state["marked"] = parameter
    state["points"] = torch.randn(3, generator=g).as_subclass(Points)
    state["plain"] = torch.nn.Parameter(torch.randn(4, generator=g))
    state["buffer"] = torch.nn.Buffer(torch.randn(1, generator=g))
    listed = {
        "c64": torch.tensor([1 + 2j]),
        "c128": torch.tensor([[1 + 2j]], dtype=torch.complex128),
        "quantised": torch.quantize_per_tensor(torch.tensor([1.0, 2.0]), 0.5, 1, torch.quint8),
        "fnuz": every[:3].view(torch.float8_e4m3fnuz),
    }
    factory = collections.defaultdict(list, {"lr": [0.1, torch.tensor([7.0])]})
    return {
        "epoch": 3,
        "callbacks": {Callback: {"best": torch.tensor(0.25)}},
        "state_dict": state,
        "listed": listed,
        "cfg": Cfg(a=1, deep=Cfg(t=torch.tensor([8.0]))),
        "when": datetime.datetime(2021, 3, 1, 12, 30),
        "level": Level.HIGH,
        "box": Box(torch.tensor([9.0])),
        "slotted": Slotted(torch.tensor([10.0])),
        "keyed": Keyed(a=1),
        "pair": Pair(torch.tensor([11.0]), 2),
        "namespace": argparse.Namespace(lr=0.1, inner=argparse.Namespace(x=None)),
        "counter": collections.Counter({"a": 1}),
        "factory": factory,
        "sets": [{1, 2}, frozenset({3}), {"x"}],
        "numbers": [np.float32(1.5), np.arange(3), np.array(["a"], dtype=object), 1 + 2j,
                    decimal.Decimal("1.5"), 1 << 70, -1, 1e300, None],
        "bytes": [b"abc", bytearray(b"defg")],
        "part": functools.partial(dict, a=1),
        "class": Callback,
        "dtype": torch.bfloat16,
        "where": torch.device("cpu"),
        "sparse": torch.eye(2).to_sparse(),
        "last": torch.tensor([12.0]),
    }


class Inner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(2, 3))
        self.register_buffer("seen", torch.tensor(4))
        self.note = "x"

    def forward(self, x):
        return x @ self.weight.T


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([Inner(), Inner()])
        self.scale = torch.nn.Parameter(torch.randn(2).half())
        self.sizes = [1, 2]

    def forward(self, x):
        return self.layers[0](x) + self.layers[1](x) * self.scale.float()


def script(net):
    """A TorchScript archive, without the debug files, which hold the paths of this machine."""
    whole = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3)), whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(OUT / "script.pt", "w") as new:
        for name in old.namelist():
            packed = zipfile.ZIP_DEFLATED if "/code/" in name else zipfile.ZIP_STORED
            if not name.endswith(".debug_pkl"):
                info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                new.writestr(info, old.read(name), packed)


def types_file():
    """Written by hand: the dtypes of six and four bits are in no library yet."""
    parts = [("u16", "U16", [2], struct.pack("<2H", 7, 65535)),
             ("u32", "U32", [1], struct.pack("<I", 1 << 31)),
             ("u64", "U64", [1], struct.pack("<Q", 1 << 63)),
             ("e4m3", "F8_E4M3", [2], b"\x38\xfe"), ("e5m2", "F8_E5M2", [2], b"\x3c\xc0"),
             ("e8m0", "F8_E8M0", [1], b"\x7f"), ("c64", "C64", [1], bytes(8)),
             ("f4", "F4", [4], bytes(2)), ("f6", "F6_E2M3", [4], bytes(3)),
             ("f32", "F32", [1], struct.pack("<f", 0.5))]
    header, data = {}, b""
    for name, dtype, shape, content in parts:
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (OUT / "types.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def strangers():
    elsewhere()
    torch.manual_seed(12)
    ckpt, net = foreign(), Outer()
    torch.save(ckpt, OUT / "foreign.pth")
    torch.save(ckpt, OUT / "foreign_protocol4.pth", pickle_protocol=4)
    torch.save(ckpt, OUT / "foreign_legacy.pth", _use_new_zipfile_serialization=False)
    script(net)
    torch.save(net, OUT / "module.pth")
    found = tensors({k: ckpt[k] for k in ("state_dict", "cfg", "factory", "last")})
    values = {f"foreign:{k}": v.double() for k, v in found.items()}
    for k, v in net.state_dict().items():
        values[f"net:{k}"] = v.double()
    save_file({k: v.as_subclass(torch.Tensor).contiguous().clone() for k, v in values.items()},
              OUT / "foreign_values.safetensors")
    types_file()


def main():
    OUT.mkdir(exist_ok=True)
    strangers()
    if os.environ.get("ONLY_STRANGERS"):
        return
    ckpt = checkpoint()
    torch.save(ckpt, OUT / "odd.pth")
    torch.save(ckpt, OUT / "odd_protocol4.pth", pickle_protocol=4)
    torch.save(ckpt, OUT / "odd_legacy.pth", _use_new_zipfile_serialization=False)
    flat = tensors(ckpt)
    save_file({k: v.contiguous().clone() for k, v in flat.items()}, OUT / "odd.safetensors",
              metadata={"format": "pt", "quote\"": "tab\t\u5b57"})
    save_file({k: v.double().contiguous() for k, v in flat.items()}, OUT / "values.safetensors")
    arrays()


if __name__ == "__main__":
    main()

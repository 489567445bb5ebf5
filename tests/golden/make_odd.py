"""Small checkpoints with everything that a reader must cope with, and their values.

    python3 tests/golden/make_odd.py        (needs torch, numpy and safetensors)

writes tests/golden/weights/:
    odd.pth             zip format, pickle protocol 2 (what torch.save does by default)
    odd_protocol4.pth   zip format, pickle protocol 4
    odd_legacy.pth      legacy format
    odd.safetensors     the same tensors, with metadata
    values.safetensors  every tensor of the four files in float64, under the same name
    *.npy               element k of each array (in C order) is k - 2, or as the name says
"""

import argparse
import collections
import pathlib

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


def main():
    OUT.mkdir(exist_ok=True)
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

"""Beside PyTorch: the image tower as a differentiable function, terms as functions of tensors.

PyTorch is imported when this module is.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence

import numpy as np
import torch

from .model import Encoder, Model, shared
from .options import Term

__all__ = ["encode", "term"]


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pictures: Any, encoder: Encoder) -> Any:
        ctx.encoder, ctx.device = encoder, pictures.device
        ctx.save_for_backward(pictures)
        x = pictures.detach().cpu().contiguous().numpy()
        rows = [torch.from_numpy(encoder.forward(x))]
        rows += [torch.from_numpy(encoder.read(i)) for i in range(len(encoder.layers))]
        ctx.mark = encoder.mark = object()  # whose forward it is that the encoder holds
        return tuple(r.to(pictures.device) for r in rows)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        encoder = ctx.encoder
        if encoder.mark is not ctx.mark:  # another forward since, or a backward
            encoder.forward(ctx.saved_tensors[0].detach().cpu().contiguous().numpy())
        encoder.mark = None
        arrays = [None if s is None else s.cpu().numpy() for s in slopes]
        out = encoder.backward(arrays[0], arrays[1:])
        return torch.from_numpy(out).to(ctx.device), None


def encode(pictures: "torch.Tensor", model: Optional[Model] = None,
           layers: Sequence[str] = ()) -> Any:
    """float32 [batch, S, S, 3] in [0, 1] -> embeddings [batch, dim], with a gradient; with
    ``layers``, a tuple of them and of each layer [batch, rows, columns, channels]."""
    model = model if model is not None else shared()
    out = _Encode.apply(pictures.float(), model.encoder(pictures.shape[0], layers))
    return out if layers else out[0]


def term(layer: str, function: "Callable[[torch.Tensor], torch.Tensor]",
         weight: float = 1.0) -> Term:
    """A ``feavis.Term`` of a function of a tensor [views, rows, columns, channels] that gives one
    number; PyTorch finds the gradient."""

    def call(activations: Any) -> "tuple[float, Any]":
        x = torch.from_numpy(np.array(activations)).requires_grad_(True)
        with torch.enable_grad():
            value = function(x)
            (slope,) = torch.autograd.grad(value, x, allow_unused=True)
        return float(value.detach()), np.zeros(x.shape) if slope is None else slope.numpy()

    return Term(layer, call, weight)

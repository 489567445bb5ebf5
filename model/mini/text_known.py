"""The text tower learns what the image head has learnt (pair.py), from a teacher, without pictures.

Its output has two parts as the joint space has: the first DIM numbers stay what the tower said
before (classes, colour, light, from the written lexicon), the KNOWN numbers after them are the
teacher's embedding of the text, read by pair.py's matrix. Both parts have length one until joint.py
says how they share it.

  bag      embeddings and textFC, the layers between still pass-throughs: cheap, many texts
  whole    everything, so that word order and neighbours count
"""
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F

import brivl_torch as B
import image_head as I
import text_tower as T
from pair import KNOWN, TEMPLATES, contrast, save

SOURCES = ['captions', 'coco_en', 'coco_zh', 'poems', 'wordnet_zh', 'words', 'names', 'kinds', 'drawn',
           'traditional']
HIDDEN = 832            # units that textFC gets for the new part


def widened(old):
    """The shipped tower with HIDDEN more units and KNOWN more numbers."""
    bert, head = old.backbone.bert, old.learnable
    fc1, fc2 = head.textFC.fc1, head.textFC.fc2
    wide = head.textAtt.layers[0].linear1.out_features
    new = B.TextHead(T.BERT, 4, 1, wide, fc1.out_features + HIDDEN, fc2.out_features + KNOWN)
    new.textAtt.load_state_dict(head.textAtt.state_dict())
    with torch.no_grad():
        n, d = fc1.out_features, fc2.out_features
        new.textFC.fc1.weight[:n], new.textFC.fc1.bias[:n] = fc1.weight, fc1.bias
        torch.nn.init.normal_(new.textFC.fc1.weight[n:], std=0.12)
        torch.nn.init.normal_(new.textFC.fc2.weight, std=0.01)
        new.textFC.fc2.weight[:d, n:].zero_()
        new.textFC.fc2.bias.zero_()
        new.textFC.fc2.weight[:d, :n], new.textFC.fc2.bias[:d] = fc2.weight, fc2.bias
    return B.TextTower(bert, new)


def mean_of_bag(tower, ids, used):
    """[n,BERT] while the layers are pass-throughs; short texts apart from long ones, without padding."""
    order = used.argsort()
    e, layer, parts = tower.backbone.bert.embeddings, tower.learnable.textAtt.layers[0], []
    for rows in order.chunk(6):
        length = int(used[rows].max())
        x = e.word_embeddings(ids[rows, :length]) + e.position_embeddings.weight[:length]
        x = e.LayerNorm(x + e.token_type_embeddings.weight[0])
        for l in tower.backbone.bert.encoder.layer:
            x = l.output.LayerNorm(l.attention.output.LayerNorm(x))
        x = layer.norm2(layer.norm1(F.normalize(x, dim=-1)))
        keep = (torch.arange(length)[None] < used[rows, None]).to(x.dtype)
        parts.append((x * keep[..., None]).sum(1) / used[rows, None])
    return torch.cat(parts)[order.argsort()]


def raw(tower, ids, used, whole):
    """Both parts, as they come."""
    head = tower.learnable
    if not whole:
        return head.textFC(mean_of_bag(tower, ids, used))
    with torch.autocast('cpu', torch.bfloat16):
        x = tower.backbone.bert(ids)
        keep = (torch.arange(x.shape[1])[None] < used[:, None]).to(torch.float32)
        x = head.textAtt(F.normalize(x, dim=-1), src_key_padding_mask=keep == 0)
    return head.textFC((x.float() * keep[..., None]).sum(1) / used[:, None])


def gather(pictures, plain, texts, drawn, traditional):
    """All training texts with how often each source is drawn: [(share, [text])]."""
    said = {l: [t for p in pictures if p.group == 'flickr8k' and not p.held for t in p.texts[l]]
            for l in ('en', 'zh')}
    captions = said['en'] + said['zh']
    kinds = {n for p in pictures if p.group != 'flickr8k' for l in ('en', 'zh')
             for name in p.texts[l] for n in [t.format(name) for t in TEMPLATES[l]]}
    rng, spoken = random.Random(5), []
    for _ in range(drawn):
        spoken.append(texts.draw(rng)[0])
    words = [w for l in ('zh', 'en') for w, _, _ in texts.breadth[l]]
    names = [n for e in texts.classes + texts.lexicon for l in ('zh', 'en') for n in e.names[l]]
    chinese = plain['coco_zh'] + said['zh']
    sources = [(0.30, captions), (0.14, plain['coco_en'] + plain['multi30k_en']),
               (0.03, plain['coco_zh']), (0.06, plain['poems']), (0.08, plain['wordnet_zh']),
               (0.08, words), (0.09, names), (0.04, sorted(kinds)), (0.15, spoken),
               (0.03, [traditional(t) for t in rng.sample(chinese, min(5000, len(chinese)))])]
    avoid = texts.avoid
    return [(s, [t for t in dict.fromkeys(l) if texts.plain(t) not in avoid]) for s, l in sources]


@torch.no_grad()
def prepared(args, sources, tower, encode, rows_of):
    """(ids [n,LENGTH] int16, used, what the old tower says [n,DIM] half, row of the teacher),
    source by source, kept in WORK."""
    path = os.path.join(args.work, 'texts.pt')
    if os.path.exists(path):
        return torch.load(path)
    everything, begin, parts = [t for _, l in sources for t in l], time.time(), []
    for at in range(0, len(everything), 2000):
        ids, used = encode(everything[at:at + 2000])
        said = T.bag(tower, ids, used)
        parts.append((ids.short(), used, said.half()))
        if at % 20000 == 0:
            print(f'texts: {at}/{len(everything)}, {time.time() - begin:.0f} s', flush=True)
    ids, used, said = (torch.cat(p) for p in zip(*parts))
    result = ids, used, said, torch.tensor([rows_of[t] for t in everything])
    torch.save(result, path + '.part')
    os.replace(path + '.part', path)
    return result


def train(args, sources, old, encode, index, table, reading):
    """The new tower; restartable."""
    torch.manual_seed(4)
    ids, used, said, teacher = prepared(args, sources, old, encode, index)
    tower = widened(old).requires_grad_(True)
    sizes = [len(l) for _, l in sources]
    first = np.cumsum([0] + sizes)
    shares = np.array([s if l else 0.0 for s, l in sources])
    for name, steps, size, rate in (('bag', args.bag_steps, 512, args.bag_rate),
                                    ('whole', args.whole_steps, args.whole_batch, args.whole_rate)):
        path, start = os.path.join(args.work, f'known-{name}.pt'), 0
        optimiser = torch.optim.AdamW(tower.parameters(), lr=rate, weight_decay=0.01)
        if os.path.exists(path):
            state = torch.load(path)
            tower.load_state_dict(state['tower'])
            optimiser.load_state_dict(state['optimiser'])
            start = state['step']
        begin, mean = time.time(), None
        for step in range(start, steps):
            rng = np.random.default_rng(1000 * len(name) + step)
            which = rng.choice(len(sources), size, p=shares / shares.sum())
            rows = torch.tensor(first[which] + (rng.random(size) * np.array(sizes)[which]).astype(int))
            goal = F.normalize(torch.tensor(table[teacher[rows].numpy()]).float() @ reading.T, dim=1)
            out = raw(tower, ids[rows].long(), used[rows], name == 'whole')
            c, k = out[:, :I.DIM], out[:, I.DIM:]
            cosine_c = (F.normalize(c, dim=1) * said[rows].float()).sum(1).mean()
            unit = F.normalize(k, dim=1)
            cosine_k = (unit * goal).sum(1).mean()
            same = (goal @ goal.T > 0.999).float()
            apart = contrast(unit, goal, same, 15.0)
            length = ((c.norm(dim=1) - 1) ** 2 + (k.norm(dim=1) - 1) ** 2).mean()
            loss = (1 - cosine_c) + 2 * (1 - cosine_k) + 0.05 * apart + 0.1 * length
            for group in optimiser.param_groups:
                group['lr'] = rate * min(1, (step + 1) / 60) * (1 - 0.97 * step / steps)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
            optimiser.step()
            now = torch.tensor([cosine_c.item(), cosine_k.item(), apart.item(), length.item()])
            mean = now if mean is None else mean + 0.05 * (now - mean)
            if step % 50 == 49:
                print(f'{name}: step {step + 1}/{steps}, cosine with the old part {mean[0]:.3f}, with '
                      f'the teacher {mean[1]:.3f}, apart {mean[2]:.3f}, length {mean[3]:.4f}, '
                      f'{time.time() - begin:.0f} s', flush=True)
            if step % 100 == 99 or step + 1 == steps:
                save(path, tower=tower.state_dict(), optimiser=optimiser.state_dict(), step=step + 1)
    return tower.eval()

"""The text's second part: a second stream of OWN numbers a token, beside the first tower's BERT numbers.

  first stream    token + position of first_part.tables: what the first part needs, the same in every layer
  second stream   word vectors of its own, which begin with what the teacher says of each piece; one layer of
                  BERT and textAtt add to it, reading both streams. The first reads nothing of it.

textFC reads the mean over tokens of both [BERT + OWN]: its old units the first alone, HIDDEN new ones both; the
second part reads all units. The teacher's embedding under `reading` (second_image.py) is what it learns, first
as a bag of pieces, then with its layers. Then it also learns to tell pairs of the same words in another order apart
(word_order.py), in ORDER numbers of their own, from units of their own: no picture has anything there, nor do
names. fold.py makes one checkpoint of the two streams, and says why heads have 63 numbers and why padding is
left out.

  SecondText    ids [n,L], used [n] -> both parts and the order [n, DIM + SECOND + ORDER]
  split(x)      -> the three of them; of what has no order the last is empty
  train(...)    -> SecondText; states in WORK/text-bag.pt, WORK/text-whole.pt
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import image_head as I
import text_tower as T
import word_order
from first_part import mean_over
from second_image import SECOND
from training import Loop, contrast
from word_order import ORDER

OWN, HIDDEN = 61, 448
ORDER_HIDDEN = 96
HEADS, HEAD, INNER, LAST_INNER = 5, 63, 320, 8  # the units of BERT's layer, and of textAtt
# the second part's length while it learns from the teacher, by source; of others LENGTH
LENGTH, LENGTHS = 1.2, {'names': 0.12, 'words': 0.15, 'drawn': 0.15, 'wordnet_zh': 0.5}
BAG_RATE, WHOLE_RATE, DECAY = 2e-3, 7e-4, 0.01
# how much the pairs' goal weighs, that they are told apart, their order's length, that of names
ORDERED, CONFUSED, HEARD, SILENT = 2.0, 0.5, 0.3, 1.0
ORDER_LENGTH = 0.5      # of the order, in that of the second part
NAMES = ('words', 'names', 'kinds', 'wordnet_zh', 'drawn')  # sources that have no order


def split(x):
    return x[:, :I.DIM], x[:, I.DIM:I.DIM + SECOND], x[:, I.DIM + SECOND:]


class Layer(nn.Module):
    """Attention and a feed-forward part that read [n,L,BERT + OWN] and add to the last OWN; nothing at first."""

    def __init__(self, inner, activation):
        super().__init__()
        both, self.activation = T.BERT + OWN, activation
        self.qkv, self.out = nn.Linear(both, 3 * HEADS * HEAD), nn.Linear(HEADS * HEAD, OWN)
        self.up, self.down = nn.Linear(both, inner), nn.Linear(inner, OWN)
        nn.init.normal_(self.qkv.weight, std=0.7 * both ** -0.5)
        for end in (self.out, self.down):
            nn.init.zeros_(end.weight)
            nn.init.zeros_(end.bias)

    def forward(self, first, second, keep):
        n, length = first.shape[:2]
        x = torch.cat([first, second], -1)
        q, k, v = (p.view(n, length, HEADS, HEAD).transpose(1, 2) for p in self.qkv(x).chunk(3, -1))
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=keep[:, None, None], scale=(HEAD + 1) ** -0.5)
        second = second + self.out(x.transpose(1, 2).reshape(n, length, -1))
        return second + self.down(self.activation(self.up(torch.cat([first, second], -1))))


def word_vectors(pieces):
    """`pieces` [V,512] of the teacher, zero where there is none -> [V,OWN], their principal components."""
    known = pieces.norm(dim=1) > 0
    centred = (pieces - pieces[known].mean(0)) * known[:, None]
    u, s, _ = torch.pca_lowrank(centred, OWN, center=False, niter=4)
    return u * s / (u * s).std()


class SecondText(nn.Module):
    """`gain` is set here and by joint.py, so that the second part has its length."""

    def __init__(self, first, token, position, pieces):
        """`first`: FirstText; token, position: its tables; `pieces` [V,512] of the teacher."""
        super().__init__()
        self.first, self.drop = first.requires_grad_(False), 0.0  # of the new units, in joint.py
        mean, size = token.mean(0), token.std(0)
        for name, value in (('token', (token - mean) / size), ('position', position / size),
                            ('first_mean', mean), ('first_size', size), ('gain', torch.tensor(1.0))):
            self.register_buffer(name, value)
        old = first.textFC.fc1.out_features
        self.register_buffer('old_mean', torch.zeros(old))
        self.register_buffer('old_size', torch.ones(old))
        self.word = nn.Embedding.from_pretrained(word_vectors(pieces), freeze=False)
        self.place = nn.Parameter(torch.zeros(T.LENGTH, OWN))
        self.layers = nn.ModuleList([Layer(INNER, F.gelu), Layer(LAST_INNER, F.relu)])
        self.input_gain = nn.Parameter(torch.tensor(2.0))
        self.units, self.from_units = nn.Linear(T.BERT + OWN, HIDDEN), nn.Linear(HIDDEN, SECOND)
        self.order_units, self.from_order = nn.Linear(T.BERT + OWN, ORDER_HIDDEN), nn.Linear(ORDER_HIDDEN, ORDER)
        self.from_old = nn.Linear(old, SECOND, bias=False)
        for units in (self.units, self.order_units):
            nn.init.normal_(units.weight, std=(2 / (T.BERT + OWN)) ** 0.5)
        nn.init.zeros_(self.from_old.weight)

    def head(self):
        """What joint.py trains."""
        return [p for m in (self.units, self.from_units, self.from_old, self.order_units, self.from_order)
                for p in m.parameters()]

    def own(self):
        return [p for p in self.parameters() if p.requires_grad]

    def streams(self, ids, used, whole):
        """[n, BERT + OWN], the mean over tokens; `whole`: with the layers."""
        length = ids.shape[1]
        first, second = self.token[ids] + self.position[:length], self.word(ids) + self.place[:length]
        keep = torch.arange(length)[None] < used[:, None]
        for layer in self.layers if whole else ():
            second = layer(first, second, keep)
        return mean_over(torch.cat([first, second], -1).float(), used)

    def pooled(self, ids, used, whole, size=None):
        """The same; short texts apart from long ones, almost without padding: `size` at once, or a sixth."""
        order, parts = used.argsort(), []
        for rows in order.split(size or -(-len(order) // (6 if len(order) >= 96 else 1))):
            parts.append(self.streams(ids[rows, :int(used[rows].max())].long(), used[rows], whole))
        return torch.cat(parts)[order.argsort()]

    def old_units(self, x):
        return self.first.hidden(x[:, :T.BERT] * self.first_size + self.first_mean)

    def of_pooled(self, x):
        """Both parts and the order."""
        with torch.no_grad():
            old = self.old_units(x)
            first = self.first.said(old)
        x = x * self.input_gain
        new = F.dropout(F.relu(self.units(x)), self.drop, self.training)
        old = F.dropout((old - self.old_mean) / self.old_size, 0.1, self.training)
        order = self.from_order(F.relu(self.order_units(x)))
        return torch.cat([first, self.gain * (self.from_units(new) + self.from_old(old)), self.gain * order], 1)

    def forward(self, ids, used, whole=True):
        return self.of_pooled(self.pooled(ids, used, whole))

    @torch.no_grad()
    def level(self, ids, used):
        """Brings what is read and given for these texts to a like size."""
        self.eval()
        x = self.pooled(ids, used, False)
        old = self.old_units(x)
        self.old_mean.copy_(old.mean(0))
        size = old.std(0)
        self.old_size.copy_(size.clamp(min=size.median() / 2))
        self.gain *= LENGTH / split(self.of_pooled(x))[1].norm(dim=1).mean()
        self.train()


def trained(args, name, steps, size, rate, text, texts, table, reading, ordered):
    """One stage of it; `texts`: training_texts.Encoded; `ordered`: word_order.Encoded."""
    whole, names = name == 'whole', torch.tensor(texts.of(*NAMES))
    lengths = torch.full([len(texts.texts)], LENGTH)
    for source, length in LENGTHS.items():
        lengths[texts.of(source)] = length
    kinds = {texts.texts[r] for r in texts.of('kinds')}  # a name of a place may be a word, too
    lengths[[t in kinds for t in texts.texts]] = LENGTH

    def losses(step):
        rng = np.random.default_rng(1000 * len(name) + step)
        rows = texts.draw(rng, size)
        ids, used = texts.ids[rows], texts.used[rows]
        if whole:
            *pieces, order_goal = ordered.draw(rng, args.whole_pairs)
            ids, used = (torch.cat(p) for p in zip((ids, used), pieces))
        goal = F.normalize(torch.tensor(table[texts.teacher[rows].numpy()]).float() @ reading.T, dim=1)
        with torch.autocast('cpu', torch.bfloat16, enabled=whole):
            _, second, order = split(text.of_pooled(text.pooled(ids, used, whole)))
        second, order = second[:size].float(), order.float()
        unit = F.normalize(second, dim=1)
        cosine = (unit * goal).sum(1).mean()
        apart = contrast(unit, goal, 15.0, (goal @ goal.T > 0.999).float())
        length = (second.norm(dim=1) / lengths[rows]).log().square().mean()
        parts = {'cosine with the teacher': cosine, 'apart': apart, 'length off': length}
        loss = 2 * (1 - cosine) + 0.1 * apart + 0.1 * length
        if whole:
            parts.update(word_order.losses(order[size:], order_goal))
            parts['order off'] = (order[size:].norm(dim=1) - ORDER_LENGTH * LENGTH).square().mean()
            parts['order of names'] = order[:size][torch.isin(rows, names)].square().sum(1).mean()
            loss = loss + ORDERED * parts['disorder'] + CONFUSED * parts['confused'] + \
                HEARD * parts['order off'] + SILENT * parts['order of names']
        return loss, parts

    modules = nn.ModuleDict({'text': text})
    loop = Loop(os.path.join(args.work, f'text-{name}.pt'), steps, modules,
                [{'params': text.own(), 'rate': rate}], DECAY, clip=1.0)
    loop.run(losses)
    return text


def train(args, first, token, position, pieces, texts, table, reading, ordered):
    torch.manual_seed(0)
    text = SecondText(first, token, position, pieces)
    some = torch.randperm(len(texts.ids))[:3000]
    text.first.level(text.pooled(texts.ids[some], texts.used[some], False)[:, :T.BERT] * text.first_size
                     + text.first_mean)
    text.level(texts.ids[some], texts.used[some])
    said = (text, texts, table, reading, ordered)
    trained(args, 'bag', args.bag_steps, args.bag_batch, BAG_RATE, *said)
    return trained(args, 'whole', args.whole_steps, args.whole_batch, WHOLE_RATE, *said)

"""The shipped model's first part of the joint space, in a form that the second part can be built beside.

  FirstImage   mean of the 37 boxes [n,1280] -> imgFC's input [n,WIDTH], its hidden units, the first part.
               max_pool.0 and the norms of imgAtt, which pass through, are brought to one line:
               out = gain * (W x - centre) + offset, fitted on the tokens of some pictures
  FirstText    textFC's input [n,BERT] -> hidden units, the first part
  tables       token [V,BERT], position [LENGTH,BERT]: textFC's input is nearly the mean over the tokens of
               their sum, though the tower norms each token several times. Alternating least squares on
               names and texts; what is said of names of classes then has a cosine of 0.9998 with the tower's

First parts come with a mean length of one."""
import os

import torch
import torch.nn.functional as F
from torch import nn

import text_tower as T
from training import save

ROUNDS, NAME_WEIGHT = 4, 8.0    # of the fit; how often a name counts as a text
USUAL = {1: 0.3, 2: 0.25, 3: 0.2, 4: 0.1, 5: 0.1, 6: 0.05}  # where a piece stands of which nothing is known


class FirstImage(nn.Module):
    def __init__(self, head, tokens):
        """`tokens` [n,37,1280] of pictures, on which the line is fitted."""
        super().__init__()
        attention = head.imgAtt.layers[0]
        assert not attention.self_attn.out_proj.weight.any() and not attention.linear2.weight.any(), \
            'the attention over boxes is no pass-through'
        self.imgFC = head.imgFC
        self.register_buffer('weight', head.max_pool[0].weight[:-1].clone())  # the last one is constant
        with torch.no_grad():
            found = torch.cat([head.imgAtt(F.normalize(head.max_pool(t), dim=-1)).mean(1)
                               for t in tokens.split(50)])
            seen, wanted = F.linear(tokens.mean(1), self.weight), found[:, :-1]
            centre, offset = seen.mean(0), wanted.mean(0)
            gain = ((wanted - offset) * (seen - centre)).sum() / (seen - centre).square().sum()
            length = head.imgFC(found).norm(dim=1).mean()
        for name, value in (('centre', centre), ('offset', offset), ('gain', gain),
                            ('constant', found[:, -1].mean()), ('length', length)):
            self.register_buffer(name, value)

    def read(self, pooled):
        """imgFC's input."""
        x = (F.linear(pooled, self.weight) - self.centre) * self.gain + self.offset
        return torch.cat([x, self.constant.expand(len(x), 1)], 1)

    def hidden(self, x):
        return F.relu(self.imgFC.fc1(x))

    def said(self, hidden):
        return self.imgFC.fc2(hidden) / self.length


class FirstText(nn.Module):
    def __init__(self, textFC):
        super().__init__()
        self.textFC = textFC
        self.register_buffer('length', torch.tensor(1.0))

    def hidden(self, x):
        return F.relu(self.textFC.fc1(x))

    def said(self, hidden):
        return self.textFC.fc2(hidden) / self.length

    @torch.no_grad()
    def level(self, x):
        """`x`: textFC's input of some texts, whose first part then has a mean length of one."""
        self.length *= self.said(self.hidden(x)).norm(dim=1).mean()


def mean_over(tokens, used):
    """[n,L,d] -> [n,d], without padding."""
    keep = (torch.arange(tokens.shape[1])[None] < used[:, None]).to(tokens.dtype)
    return (tokens * keep[..., None]).sum(1) / used[:, None]


def counts(vocabulary, parts):
    """[V,LENGTH]: how often each piece stands where; `parts`: (ids, used, weight)."""
    times = torch.zeros(vocabulary, T.LENGTH)
    for place, share in USUAL.items():
        times[:, place] = 0.3 * share
    for ids, used, weight in parts:
        for place in range(T.LENGTH):
            here = ids[place < used, place].long()
            times[:, place].index_add_(0, here, torch.full((len(here),), weight))
    return times


@torch.no_grad()
def tables(args, tower, names, texts):
    """`names`, `texts`: (ids, used). Kept in WORK."""
    path = os.path.join(args.work, 'tables.pt')
    if os.path.exists(path):
        state = torch.load(path)
        return state['token'], state['position']
    e = tower.backbone.bert.embeddings
    words = e.word_embeddings.weight + e.token_type_embeddings.weight[0]
    times = counts(len(words), [(*names, NAME_WEIGHT), (*texts, 1.0)])
    wanted = lambda place: T.passed(tower, words + e.position_embeddings.weight[place])
    position = torch.zeros(T.LENGTH, T.BERT)
    for _ in range(ROUNDS):
        token = torch.zeros(len(words), T.BERT)
        for place in range(T.LENGTH):
            token += times[:, place, None] * (wanted(place) - position[place])
        token /= times.sum(1, keepdim=True)
        for place in range(T.LENGTH):
            weight = times[:, place, None]
            position[place] = (weight * (wanted(place) - token)).sum(0) / weight.sum()
    ids, used = names
    told = tower.learnable.textFC(mean_over(token[ids] + position, used))
    like = F.cosine_similarity(told, T.bag(tower, ids, used)).mean()
    print(f'tables: names have a cosine of {like:.5f} with what the tower says', flush=True)
    save(path, token=token, position=position)
    return token, position

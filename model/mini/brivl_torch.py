"""BriVL in PyTorch, read from the same cfg and .safetensors as the program: the reference for
golden values, for training the shipped model, and for dreaming beside it.

Shapes follow the official code: images [n,3,S,S] normalised, ids [n,L], embeddings [n,D].
Needs: torch, timm, safetensors, pyyaml (all from PyPI)."""
import json
import os

import timm
import torch
import torch.nn.functional as F
import yaml
from torch import nn


def mspp_matrix(box_grid, grid_size, image_size, side):
    """The constant matrix [box_grid^2 + 1, side^2] of multi-scale patch pooling, in double."""
    ratio, step, rows = image_size / side, image_size / box_grid, []
    boxes = [(i * step, j * step, (i + 1) * step, (j + 1) * step)
             for i in range(box_grid) for j in range(box_grid)] + [(0, 0, image_size, image_size)]
    u = (2 * torch.arange(grid_size, dtype=torch.float64) + 1) / grid_size - 1
    for box in boxes:
        x1, y1, x2, y2 = (v / ratio for v in box)

        def axis(low, high):
            g = (high - low) / (side - 1) * u + (low + high - side + 1) / (side - 1)
            p = ((g + 1) * side - 1) / 2
            return torch.clamp(1 - (p[:, None] - torch.arange(side)).abs(), min=0)  # bilinear

        rows.append((axis(y1, y2).mean(0)[:, None] * axis(x1, x2).mean(0)[None]).flatten())
    return torch.stack(rows)


def resize(layer, out, into):
    """A convolution without bias of other widths, or a batch norm of `out` channels; zeros."""
    for name, old in list(layer.named_parameters()) + list(layer.named_buffers()):
        if old.dim() == 0:
            continue  # batches counted
        new = old.new_zeros([out, into, *old.shape[2:]] if old.dim() == 4 else [out])
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, old.requires_grad)
        setattr(layer, name, new)
    if isinstance(layer, nn.Conv2d):
        layer.out_channels, layer.in_channels = out, into * layer.groups
    else:
        layer.num_features = out


def trunk(c):
    """timm's network of a cfg's MODEL, as wide at its end as the cfg has it: CNN_LAST_EXPANDED,
    CNN_LAST_CHANNELS and CNN_HEAD (../nets/brivl.h). Layers that grow are zero until loaded."""
    net = timm.create_model(c['CNN'])
    block = net.blocks[-1][-1]
    own = [block.conv_pw.out_channels, block.conv_pwl.out_channels, net.conv_head.out_channels]
    wide = [c.get(key, n) for key, n in
            zip(('CNN_LAST_EXPANDED', 'CNN_LAST_CHANNELS', 'CNN_HEAD'), own)]
    if wide == own:
        return net
    assert all(n <= w <= 4 * n for n, w in zip(own, wide)), (own, wide)
    assert wide[1] == own[1] or not block.has_skip, 'the last block adds its input'
    expanded, channels, head = wide
    resize(block.conv_pw, expanded, block.conv_pw.in_channels)
    block.conv_dw.groups = expanded
    resize(block.conv_dw, expanded, 1)
    resize(block.bn1, expanded, None)
    resize(block.bn2, expanded, None)
    resize(block.conv_pwl, channels, expanded)
    resize(block.bn3, channels, None)
    resize(net.conv_head, head, channels)
    resize(net.bn2, head, None)
    if not isinstance(block.se, nn.Identity):
        reduce, expand = block.se.conv_reduce, block.se.conv_expand
        squeezed = reduce.out_channels
        resize(reduce, squeezed, expanded)
        resize(expand, expanded, squeezed)
    net.num_features = net.head_hidden_size = head
    return net


class MLP(nn.Module):
    def __init__(self, d, hidden, out):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, hidden), nn.Linear(hidden, out)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x)))


def encoder(d, heads, layers, wide):
    layer = nn.TransformerEncoderLayer(d, heads, wide, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


class ImageHead(nn.Module):
    """MSPP tokens [n,T,C] -> embedding; the names are the checkpoint's."""

    def __init__(self, channels, d, heads, layers, wide, hidden, out):
        super().__init__()
        self.max_pool = nn.Sequential(nn.Linear(channels, d))
        self.imgAtt = encoder(d, heads, layers, wide)
        self.imgFC = MLP(d, hidden, out)

    def forward(self, boxes):
        x = F.normalize(self.max_pool(boxes), dim=-1)
        return F.normalize(self.imgFC(self.imgAtt(x).mean(1)), dim=-1)


class Bert(nn.Module):
    """BertModel without mask, token type 0, erf GELU; the names are transformers'."""

    def __init__(self, c):
        super().__init__()
        d = c['hidden_size']
        self.heads = c['num_attention_heads']
        eps = c['layer_norm_eps']
        e = self.embeddings = nn.Module()
        e.word_embeddings = nn.Embedding(c['vocab_size'], d)
        e.position_embeddings = nn.Embedding(c['max_position_embeddings'], d)
        e.token_type_embeddings = nn.Embedding(2, d)
        e.LayerNorm = nn.LayerNorm(d, eps)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList()
        for _ in range(c['num_hidden_layers']):
            l = nn.Module()
            l.attention, l.intermediate, l.output = nn.Module(), nn.Module(), nn.Module()
            l.attention.self, l.attention.output = nn.Module(), nn.Module()
            for name in ('query', 'key', 'value'):
                setattr(l.attention.self, name, nn.Linear(d, d))
            l.attention.output.dense = nn.Linear(d, d)
            l.attention.output.LayerNorm = nn.LayerNorm(d, eps)
            l.intermediate.dense = nn.Linear(d, c['intermediate_size'])
            l.output.dense = nn.Linear(c['intermediate_size'], d)
            l.output.LayerNorm = nn.LayerNorm(d, eps)
            self.encoder.layer.append(l)

    def forward(self, ids):
        e, h = self.embeddings, self.heads
        n, t = ids.shape
        x = e.word_embeddings(ids) + e.position_embeddings.weight[:t]
        x = e.LayerNorm(x + e.token_type_embeddings.weight[0])
        for l in self.encoder.layer:
            s = l.attention.self
            q, k, v = (f(x).view(n, t, h, -1).transpose(1, 2) for f in (s.query, s.key, s.value))
            a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, -1)
            x = l.attention.output.LayerNorm(l.attention.output.dense(a) + x)
            x = l.output.LayerNorm(l.output.dense(F.gelu(l.intermediate.dense(x))) + x)
        return x


class TextHead(nn.Module):
    def __init__(self, d, heads, layers, wide, hidden, out):
        super().__init__()
        self.textAtt = encoder(d, heads, layers, wide)
        self.textFC = MLP(d, hidden, out)

    def forward(self, x, used):
        keep = (torch.arange(x.shape[1])[None] < used[:, None]).to(x.dtype)
        x = self.textAtt(F.normalize(x, dim=-1), src_key_padding_mask=keep == 0)
        x = (x * keep[..., None]).sum(1) / used[:, None]
        return F.normalize(self.textFC(x), dim=-1)


class TextTower(nn.Module):
    def __init__(self, bert, head):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.bert = bert
        self.learnable = head

    def forward(self, ids, used):
        return self.learnable(self.backbone.bert(ids), used)


class ImageTower(nn.Module):
    def __init__(self, backbone, head, matrix):
        super().__init__()
        self.backbone, self.learnable = backbone, head
        self.register_buffer('matrix', matrix, persistent=False)

    def boxes(self, x):
        f = self.backbone.forward_features(x)
        # not einsum, whose gradient for one picture has strides that PyTorch 2.15 goes wrong with
        return (f.flatten(2) @ self.matrix.to(f.dtype).T).transpose(1, 2)

    def forward(self, x):
        return self.learnable(self.boxes(x))


class BriVL(nn.Module):
    """Both towers with the weights of a cfg; `weights` replaces what CHECKPOINT names."""

    def __init__(self, cfg_path, weights=None, root=''):
        super().__init__()
        folder = os.path.dirname(os.path.abspath(cfg_path))
        with open(cfg_path, encoding='utf-8') as f:
            c = self.config = yaml.safe_load(f)['MODEL']
        if weights is None:
            from safetensors.torch import load_file
            weights = load_file(os.path.join(folder, c['CHECKPOINT']))
        w = {k[len(root):]: v.float() for k, v in weights.items() if k.startswith(root)}

        def shape(name):
            return list(w[name].shape)

        i, t = 'imgencoder.learnable.', 'textencoder.learnable.'
        d, channels = shape(i + 'max_pool.0.weight')[:2]
        side = (c['IMG_SIZE'] + 31) // 32
        out, hidden = shape(i + 'imgFC.fc2.weight')
        backbone = trunk(c)
        head = ImageHead(channels, d, c['IMG_TRANSFORMER_HEAD'], c['IMG_TRANSFORMER_LAYER'],
                         shape(i + 'imgAtt.layers.0.linear1.weight')[0], hidden, out)
        self.imgencoder = ImageTower(backbone, head, mspp_matrix(
            c.get('BOX_GRID', 6), c.get('GRID_SIZE', 4), c['IMG_SIZE'], side).float())
        with open(os.path.join(folder, c['ENCODER'], 'config.json'), encoding='utf-8') as f:
            bert = Bert(json.load(f))
        out, hidden = shape(t + 'textFC.fc2.weight')
        self.textencoder = TextTower(bert, TextHead(
            bert.embeddings.word_embeddings.embedding_dim, c['TEXT_TRANSFORMER_HEAD'],
            c['TEXT_TRANSFORMER_LAYER'], shape(t + 'textAtt.layers.0.linear1.weight')[0], hidden,
            out))
        w = {k: v.flatten(1) if 'max_pool' in k and v.dim() == 4 else v for k, v in w.items()}
        missing, _ = self.load_state_dict(w, strict=False)
        missing = [m for m in missing if 'classifier' not in m]
        assert not missing, missing[:5]
        self.mean = torch.tensor(c.get('IMG_MEAN', [0.485, 0.456, 0.406]))[:, None, None]
        self.std = torch.tensor(c.get('IMG_STD', [0.229, 0.224, 0.225]))[:, None, None]
        self.length = min(c['MAX_TEXT_LEN'], 32)
        self.eval().requires_grad_(False)

    def image(self, pixels):
        """pixels [n,3,S,S] in 0..1."""
        return self.imgencoder((pixels - self.mean.to(pixels)) / self.std.to(pixels))

    def text(self, ids, used):
        return self.textencoder(ids, used)

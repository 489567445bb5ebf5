"""Writes a BriVL checkpoint of the official layout and size (2.2 GB) with random weights.

    python3 tests/bench/make_b5.py FOLDER            writes FOLDER/b5.pth and FOLDER/b5.yml
    python3 tests/bench/make_b5.py FOLDER --lean     the two towers alone (0.97 GB)
    python3 tests/bench/make_b5.py FOLDER --blank    b5.safetensors of zeros, a file with a hole:
                                                     enough to count launches and memory

Weights are drawn so that activations keep their size through the network, which is all that
speed and memory depend on. Needs torch and timm."""
import json
import os
import struct
import sys

import timm
import torch

CFG = """MODEL:
    NAME: VL
    TITLE: random weights
    CHECKPOINT: b5.pth
    ENCODER: '.'
    TEXT_FEATURE_DIM: 768
    TEXT_TRANSFORMER_HEAD: 4
    TEXT_TRANSFORMER_LAYER: 4
    MAX_TEXT_LEN: 80
    CNN: tf_efficientnet_b5_ns
    IMG_SIZE: 456
    IMG_FEATURE_DIM: 2048
    IMG_TRANSFORMER_HEAD: 4
    IMG_TRANSFORMER_LAYER: 4
    MAX_IMG_LEN: 37
    BOX_GRID: 6
    GRID_SIZE: 4
"""
BERT = ('{"hidden_size": 768, "num_attention_heads": 12, "num_hidden_layers": 12, '
        '"intermediate_size": 3072, "vocab_size": 21128, "max_position_embeddings": 512, '
        '"layer_norm_eps": 1e-12}')


def linear(w, name, out, width):
    w[name + '.weight'] = torch.randn(out, width) / width ** 0.5
    w[name + '.bias'] = torch.randn(out) * 0.1


def norm(w, name, width):
    w[name + '.weight'] = 1 + 0.1 * torch.randn(width)
    w[name + '.bias'] = 0.1 * torch.randn(width)


def encoder(w, name, d, layers, wide=2048):
    for i in range(layers):
        p = f'{name}.layers.{i}.'
        linear(w, p + 'in_proj', 3 * d, d)
        for part in ('weight', 'bias'):
            w[p + 'self_attn.in_proj_' + part] = w.pop(p + 'in_proj.' + part)
        linear(w, p + 'self_attn.out_proj', d, d)
        linear(w, p + 'linear1', wide, d)
        linear(w, p + 'linear2', d, wide)
        norm(w, p + 'norm1', d)
        norm(w, p + 'norm2', d)


def bert(w, name, d=768, wide=3072, layers=12):
    w[name + 'embeddings.word_embeddings.weight'] = torch.randn(21128, d)
    w[name + 'embeddings.position_embeddings.weight'] = torch.randn(512, d)
    w[name + 'embeddings.token_type_embeddings.weight'] = torch.randn(2, d)
    norm(w, name + 'embeddings.LayerNorm', d)
    for i in range(layers):
        p = f'{name}encoder.layer.{i}.'
        for part in ('query', 'key', 'value'):
            linear(w, p + 'attention.self.' + part, d, d)
        linear(w, p + 'attention.output.dense', d, d)
        norm(w, p + 'attention.output.LayerNorm', d)
        linear(w, p + 'intermediate.dense', wide, d)
        linear(w, p + 'output.dense', d, wide)
        norm(w, p + 'output.LayerNorm', d)


def weights():
    torch.manual_seed(0)
    w, i, t = {}, 'imgencoder.learnable.', 'textencoder.learnable.'
    cnn = timm.create_model('tf_efficientnet_b5')
    for name, value in cnn.state_dict().items():
        w['imgencoder.backbone.' + name] = value
    linear(w, i + 'max_pool.0', 2048, 2048)
    encoder(w, i + 'imgAtt', 2048, 4)
    linear(w, i + 'imgFC.fc1', 2048, 2048)
    linear(w, i + 'imgFC.fc2', 2048, 2048)
    bert(w, 'textencoder.backbone.bert.')
    encoder(w, t + 'textAtt', 768, 4)
    linear(w, t + 'textFC.fc1', 2048, 768)
    linear(w, t + 'textFC.fc2', 2048, 2048)
    return w


def write_blank(path, shapes):
    """A safetensors file whose numbers are a hole: zeros that take no room."""
    header, at = {}, 0
    for name, shape in shapes.items():
        count = 1
        for n in shape:
            count *= n
        header[name] = {'dtype': 'F32', 'shape': list(shape), 'data_offsets': [at, at + 4 * count]}
        at += 4 * count
    text = json.dumps(header).encode()
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)
        f.truncate(8 + len(text) + at)


def write_weights(path, lean):
    w = weights()
    # the official file holds more than the two towers (its queues and momentum copies)
    size = sum(v.numel() * v.element_size() for v in w.values())
    rest = int((2.2e9 - size) / 4)
    if rest > 0 and not lean:
        w['img_queue'] = torch.randn(rest // 2048 * 2048).view(-1, 2048)
    torch.save({'learnable.' + k: v for k, v in w.items()}, path)


def main():
    folder, blank = sys.argv[1], '--blank' in sys.argv
    os.makedirs(folder, exist_ok=True)
    name = 'b5.safetensors' if blank else 'b5.pth'
    if blank:
        with torch.device('meta'):
            write_blank(os.path.join(folder, name),
                        {'learnable.' + k: v.shape for k, v in weights().items()})
    else:
        write_weights(os.path.join(folder, name), '--lean' in sys.argv)
    for file, text in (('b5.yml', CFG.replace('b5.pth', name)), ('config.json', BERT)):
        with open(os.path.join(folder, file), 'w', encoding='utf-8') as f:
            f.write(text)


if __name__ == '__main__':
    main()

"""Writes a VQGAN checkpoint of the published size and layout (f16, 1024 codes; 867 MB with Adam's moments)
with random weights.

    python3 tests/bench/make_vqgan.py FOLDER           writes FOLDER/vqgan.ckpt and FOLDER/vqgan.yaml

Weights are drawn so that activations keep their size through the network, which is all that speed
and memory depend on. Needs torch."""
import os
import sys
import types

import torch

CH, MULT, BLOCKS, Z, DIM, CODES = 128, (1, 1, 2, 2, 4), 2, 256, 256, 1024
YAML = """model:
  base_learning_rate: 4.5e-06
  target: taming.models.vqgan.VQModel
  params:
    embed_dim: 256
    n_embed: 1024
    ddconfig: {double_z: False, z_channels: 256, resolution: 256, in_channels: 3, out_ch: 3, ch: 128,
               ch_mult: [1, 1, 2, 2, 4], num_res_blocks: 2, attn_resolutions: [16], dropout: 0.0}
    lossconfig: {target: taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator}
"""


def conv(w, name, out, width, k, gain=1.0):
    w[name + '.weight'] = torch.randn(out, width, k, k) * gain / (width * k * k) ** 0.5
    w[name + '.bias'] = 0.05 * torch.randn(out)


def norm(w, name, width):
    w[name + '.weight'] = 1 + 0.1 * torch.randn(width)
    w[name + '.bias'] = 0.1 * torch.randn(width)


def block(w, name, width, out):
    norm(w, name + '.norm1', width)
    conv(w, name + '.conv1', out, width, 3, 1.5)
    norm(w, name + '.norm2', out)
    conv(w, name + '.conv2', out, out, 3, 0.9)
    if width != out:
        conv(w, name + '.nin_shortcut', out, width, 1)
    return out


def attention(w, name, width):
    norm(w, name + '.norm', width)
    for part in ('q', 'k', 'v', 'proj_out'):
        conv(w, f'{name}.{part}', width, width, 1)


def middle(w, half, width):
    block(w, half + '.mid.block_1', width, width)
    attention(w, half + '.mid.attn_1', width)
    block(w, half + '.mid.block_2', width, width)


def encoder(w, side=256):
    conv(w, 'encoder.conv_in', CH, 3, 3)
    c, last = CH, len(MULT) - 1
    for i, m in enumerate(MULT):
        for j in range(BLOCKS):
            c = block(w, f'encoder.down.{i}.block.{j}', c, CH * m)
            if side == 16:
                attention(w, f'encoder.down.{i}.attn.{j}', c)
        if i != last:
            conv(w, f'encoder.down.{i}.downsample.conv', c, c, 3)
            side //= 2
    middle(w, 'encoder', c)
    norm(w, 'encoder.norm_out', c)
    conv(w, 'encoder.conv_out', Z, c, 3, 1.4)


def decoder(w, side=16):
    c = CH * MULT[-1]
    conv(w, 'decoder.conv_in', c, Z, 3)
    middle(w, 'decoder', c)
    for i in reversed(range(len(MULT))):
        for j in range(BLOCKS + 1):
            c = block(w, f'decoder.up.{i}.block.{j}', c, CH * MULT[i])
            if side == 16:
                attention(w, f'decoder.up.{i}.attn.{j}', c)
        if i:
            conv(w, f'decoder.up.{i}.upsample.conv', c, c, 3)
            side *= 2
    norm(w, 'decoder.norm_out', c)
    conv(w, 'decoder.conv_out', 3, c, 3, 0.55)


def weights():
    torch.manual_seed(0)
    w = {}
    encoder(w)
    decoder(w)
    conv(w, 'quant_conv', DIM, Z, 1)
    conv(w, 'post_quant_conv', Z, DIM, 1)
    w['quantize.embedding.weight'] = torch.randn(CODES, DIM)
    return w


def callback():
    """The class that PyTorch Lightning's files name as a key."""
    name = 'pytorch_lightning.callbacks.model_checkpoint'
    for part in ('pytorch_lightning', 'pytorch_lightning.callbacks', name):
        sys.modules.setdefault(part, types.ModuleType(part))
    made = type('ModelCheckpoint', (), {'__module__': name})
    sys.modules[name].ModelCheckpoint = made
    return made


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    w = weights()
    moments = {i: {'step': 10, 'exp_avg': torch.zeros_like(v), 'exp_avg_sq': torch.zeros_like(v)}
               for i, v in enumerate(w.values())}
    torch.save({'epoch': 8, 'global_step': 297000, 'pytorch-lightning_version': '1.0.8',
                'callbacks': {callback(): {'best_model_score': torch.tensor(0.5)}},
                'optimizer_states': [{'state': moments, 'param_groups': [{'lr': 5.4e-05}]}],
                'lr_schedulers': [], 'state_dict': w}, os.path.join(folder, 'vqgan.ckpt'))
    with open(os.path.join(folder, 'vqgan.yaml'), 'w', encoding='utf-8') as f:
        f.write(YAML)


if __name__ == '__main__':
    main()

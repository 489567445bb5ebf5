"""A step of the official BriVL image tower on one GPU: feavis against PyTorch, in one run.

    python3 tests/bench/make_b5.py FOLDER
    python3 tests/bench/bench_cuda.py FOLDER [--batch 1 16] [--bench build/release/tests/bench]

A step is forward, gradient to the pixels, and Adam on the pixels. PyTorch's tower has the same
layers and sizes (EfficientNet-B5 of timm at 456 pixels with batch norm in eval mode, multi-scale
pooling as one constant matrix, four post-norm encoder layers, two linear layers), frozen, with
random weights; every variant runs with the same batch:

    eager       float32, NCHW, as it is usually written
    eager16     float16, channels_last
    graph16     float16, channels_last, the step captured in a CUDA graph
    compile     float16, channels_last, torch.compile(mode="max-autotune"), CUDA graphs within

Turns alternate, so that a card that grows warm or is shared slows all of them alike; medians are
printed with what they are times feavis. Needs torch and timm with CUDA, and a build with nvcc."""
import argparse
import os
import statistics
import time

import timm
import torch

from server import Server

SIDE, TOKENS, WIDTH, GRID = 456, 37, 2048, 15


class Tower(torch.nn.Module):
    """pixels {n,3,456,456} -> unit embeddings {n,2048}"""

    def __init__(self):
        super().__init__()
        self.cnn = timm.create_model('tf_efficientnet_b5', pretrained=False)
        self.register_buffer('mspp', torch.rand(TOKENS, GRID * GRID) / (GRID * GRID))
        self.project = torch.nn.Linear(WIDTH, WIDTH)
        layer = torch.nn.TransformerEncoderLayer(WIDTH, 4, 2048, dropout=0, batch_first=True)
        self.attend = torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU(),
                                        torch.nn.Linear(WIDTH, WIDTH))

    def forward(self, x):
        x = self.cnn.forward_features(x).flatten(2).transpose(1, 2)
        x = torch.nn.functional.normalize(self.project(self.mspp @ x), dim=-1)
        return torch.nn.functional.normalize(self.head(self.attend(x).mean(1)), dim=-1)


def make_step(variant, batch):
    """A function that does one step."""
    half = variant != 'eager'
    kind = torch.float16 if half else torch.float32
    layout = torch.channels_last if half else torch.contiguous_format
    torch.manual_seed(0)
    tower = Tower().cuda().eval().to(kind).to(memory_format=layout).requires_grad_(False)
    pixels = torch.rand(batch, 3, SIDE, SIDE, device='cuda').to(memory_format=layout)
    pixels.requires_grad_(True)
    target = torch.nn.functional.normalize(torch.randn(WIDTH, device='cuda'), dim=0)
    optimiser = torch.optim.Adam([pixels], lr=1e-3, fused=True, capturable=True)
    scale = 1024.0 if half else 1.0

    def loss_of(x):
        return -(tower(x.to(kind)).float() @ target).mean() * scale

    if variant == 'compile':
        loss_of = torch.compile(loss_of, mode='max-autotune')

    def step():
        optimiser.zero_grad(set_to_none=False)
        loss_of(pixels).backward()
        pixels.grad.mul_(1 / scale)
        optimiser.step()

    pixels.grad = torch.zeros_like(pixels)
    if variant != 'graph16':
        return step
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def timed(step):
    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)


def compare(options, batch):
    cfg = os.path.join(options.folder, 'b5.yml')
    own = {f'feavis {b}': Server(options.bench, cfg, step=1, batch=batch, backend='cuda:' + b)
           for b in options.precisions}
    for server in own.values():
        print('feavis:', server.facts)
    takers = {name: server.run for name, server in own.items()}
    for variant in options.variants:
        try:
            step = make_step(variant, batch)
            for _ in range(5):
                step()
            takers['torch ' + variant] = lambda step=step: timed(step)
        except (RuntimeError, ImportError) as error:
            print(f'torch {variant}: not measured: {str(error).splitlines()[0]}')
    times = {name: [] for name in takers}
    for _ in range(options.turns):
        for name, take in takers.items():
            times[name].append(take())
    first = statistics.median(next(iter(times.values())))
    print(f'batch {batch}, {torch.cuda.get_device_name()}, torch {torch.__version__}, '
          f'medians of {options.turns} turns')
    for name, values in times.items():
        median = statistics.median(values)
        print(f'  {name:16} {median:8.3f} ms  {median / first:6.2f} x  (best {min(values):.3f})')
    for server in own.values():
        server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder')
    parser.add_argument('--bench', default='build/release/tests/bench')
    parser.add_argument('--batch', type=int, nargs='+', default=[1, 16])
    parser.add_argument('--turns', type=int, default=50)
    parser.add_argument('--precisions', nargs='+', default=['fp16', 'tf32'])
    parser.add_argument('--variants', nargs='+',
                        default=['eager', 'eager16', 'graph16', 'compile'])
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit('bench_cuda.py: torch sees no GPU: nothing can be measured here')
    for batch in options.batch:
        compare(options, batch)


if __name__ == '__main__':
    main()

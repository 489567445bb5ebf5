"""Measures this program and PyTorch side by side on the same cores.

    python3 tests/bench/bench.py [--b5 FOLDER] [--quick] [--threads N] [--only WORD] [--out NAME]

Both run in turns, so that whatever else the machine does meets both. A turn is a short rest (after
its last parallel region OpenMP's threads spin for some milliseconds, on the core that the next one
wants), one run that warms the caches as the step before would have, and runs that count for a fifth
of a second, one at least: a session is steps after steps, and short ones need more luck to meet a
quiet moment. For every case PyTorch's best of {eager, channels_last, batch norm folded,
torch.compile} is the number to beat;
its weights are frozen and only the pixels require a gradient. Prints a table, and writes NAME.csv
and NAME.png (bench.csv and bench.png in the build folder by default).

--cpu compares processor time on one thread instead of the clock on the wall: on a machine that
others use too, threads that wait for each other measure the neighbours.

FOLDER holds b5.yml and b5.pth (make_b5.py writes them with random weights). Build first:
    ./test release; cmake --build build/release --target bench
Needs torch, timm, safetensors, pyyaml and matplotlib (PyPI)."""
import argparse
import contextlib
import csv
import os
import statistics
import sys
import time

from server import Server

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, 'model', 'mini'))
clock = time.perf_counter
REST, TURN = 0.05, 0.2  # seconds: before a turn, and of runs that count
BENCH = os.path.join(ROOT, 'build', 'release', 'tests', 'bench')
MINI = os.path.join(ROOT, 'model', 'mini', 'mini.yml')


def serve(cfg, threads, **settings):
    """This program, as something that can be run."""
    if clock is time.process_time:
        settings['cpu'] = 1
    return Server(BENCH, cfg, threads=threads, **settings)


def fold(module):
    """Batch norms of a timm EfficientNet into the convolutions before them."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_weights
    conv = None
    for name, child in list(module.named_children()):
        if isinstance(child, torch.nn.Conv2d):
            conv = child
        elif isinstance(child, torch.nn.BatchNorm2d) and conv is not None:
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, child.running_mean, child.running_var, child.eps,
                child.weight, child.bias)
            conv.requires_grad_(False)
            setattr(module, name, child.act if hasattr(child, 'act') else torch.nn.Identity())
            conv = None
        else:
            fold(child)
    return module


class Torch:
    """One way of running a tower in PyTorch."""

    def __init__(self, name, function, inputs, gradient):
        self.name, self.function, self.inputs, self.gradient = name, function, inputs, gradient

    def run(self):
        import torch
        start = clock()
        if self.gradient:
            self.inputs[0].grad = None
            self.function(*self.inputs).sum().backward()
        else:
            with torch.no_grad():
                self.function(*self.inputs)
        return 1e3 * (clock() - start)


def image_variants(cfg, weights, batch, size, gradient, compile_too):
    import copy

    import torch
    from brivl_torch import BriVL, mspp_matrix
    model = BriVL(cfg, weights, 'learnable.' if weights else '')
    side = (size + 31) // 32
    model.imgencoder.matrix = mspp_matrix(6, 4, size, side).float()
    eager, folded = model.image, None
    folded_model = copy.deepcopy(model)
    folded_model.imgencoder.backbone = fold(folded_model.imgencoder.backbone)
    folded = folded_model.image

    def pixels(last):
        x = torch.rand(batch, 3, size, size)
        x = x.contiguous(memory_format=torch.channels_last) if last else x
        return (x.requires_grad_(gradient),)

    with torch.no_grad():
        x = pixels(False)[0]
        assert torch.nn.functional.cosine_similarity(eager(x), folded(x)).min() > 0.9999
    yield Torch('eager', eager, pixels(False), gradient)
    yield Torch('folded', folded, pixels(False), gradient)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    yield Torch('channels_last', last.image, pixels(True), gradient)
    last = copy.deepcopy(folded_model).to(memory_format=torch.channels_last)
    yield Torch('folded, channels_last', last.image, pixels(True), gradient)
    if compile_too:
        yield Torch('compile, folded', torch.compile(folded), pixels(False), gradient)
        yield Torch('compile, folded, channels_last', torch.compile(last.image), pixels(True),
                    gradient)


def text_variants(cfg, weights, compile_too):
    import torch
    from brivl_torch import BriVL
    model = BriVL(cfg, weights, 'learnable.' if weights else '')
    vocabulary = model.textencoder.backbone.bert.embeddings.word_embeddings.num_embeddings
    ids = torch.randint(vocabulary, (1, model.length))
    inputs = (ids, torch.tensor([model.length]))
    yield Torch('eager', model.text, inputs, False)
    if compile_too:
        yield Torch('compile', torch.compile(model.text), inputs, False)


def turn(contestant):
    """Milliseconds of each run that counts."""
    time.sleep(REST)
    contestant.run()
    times = [contestant.run()]
    while sum(times) < 1e3 * TURN:
        times.append(contestant.run())
    return times


def measure(ours, peers, rounds):
    """Times of every contestant, in turns; peers that are far behind after two rounds rest."""
    times = {ours: []} | {p: [] for p in peers}
    for p in peers:
        for _ in range(2):
            p.run()
    for i in range(rounds):
        best = min([min(times[p]) for p in peers if times[p]], default=0)
        for p in times:
            slow = p is not ours and i >= 2 and min(times[p]) > 1.5 * best and p.name != 'eager'
            if not slow:
                times[p] += turn(p)
    return times


def sgemm_peak(threads):
    """GFLOP/s of PyTorch's own matrix product: the yardstick for both."""
    import torch
    a, b = torch.randn(1536, 1536), torch.randn(1536, 1536)
    best = 1e9
    for _ in range(40):
        start = clock()
        a @ b
        best = min(best, clock() - start)
    return 2e-9 * 1536 ** 3 / best


def cases(args):
    for batch in (1, 4, 8):
        for gradient in (1, 0):
            for size in (224, 320):
                yield f'Lite0@{size}', 'image', MINI, None, batch, size, gradient
            if args.b5:
                yield ('B5@456 + head', 'image', os.path.join(args.b5, 'b5.yml'),
                       os.path.join(args.b5, 'b5.pth'), batch, 456, gradient)
    yield 'text, mini', 'text', MINI, None, 1, 0, 0
    if args.b5:
        yield ('text, BERT + head', 'text', os.path.join(args.b5, 'b5.yml'),
               os.path.join(args.b5, 'b5.pth'), 1, 0, 0)


def run_case(args, case, rows):
    import torch
    name, tower, cfg, checkpoint, batch, size, gradient = case
    large = size == 456
    weights = torch.load(checkpoint, mmap=True, weights_only=True) if checkpoint else None
    compile_too = not args.no_compile and (batch == 1 or not args.quick)
    if tower == 'text':
        peers = list(text_variants(cfg, weights, compile_too))
        ours = serve(cfg, args.threads, tower='text')
    else:
        peers = list(image_variants(cfg, weights, batch, size, bool(gradient), compile_too))
        ours = serve(cfg, args.threads, batch=batch, size=size, gradient=gradient)
    rounds = (12 if large else 25) // (2 if args.quick else 1)
    times = measure(ours, peers, max(3, rounds))
    ours.close()
    work = 2e-6 * float(ours.facts['gmac']) * 1e9 * (2 if gradient else 1) * 1e-3
    mine = min(times[ours])
    best = min(peers, key=lambda p: min(times[p]))
    row = {'case': name, 'batch': batch, 'pass': 'step' if gradient else 'forward',
           'ours_best_ms': mine, 'ours_median_ms': statistics.median(times[ours]),
           'torch_best': best.name, 'torch_best_ms': min(times[best]),
           'torch_median_ms': statistics.median(times[best]),
           'eager_best_ms': min(times[peers[0]]),
           'ratio': min(times[best]) / mine,
           'ratio_median': statistics.median(times[best]) / statistics.median(times[ours]),
           'ratio_eager': min(times[peers[0]]) / mine,
           'ours_gflops': work / mine * 1e3, 'torch_gflops': work / min(times[best]) * 1e3,
           'arena_mb': ours.facts['arena_mb'], 'rss_mb': ours.facts['rss_mb'],
           'load_s': ours.facts['load_s']}
    for p in peers:
        print(f'    {p.name:32} {min(times[p]):9.2f} ms')
    print(f"{name:18} batch {batch} {row['pass']:8} ours {mine:8.2f} ms  "
          f"{best.name} {row['torch_best_ms']:8.2f} ms  ratio {row['ratio']:5.2f} "
          f"(median {row['ratio_median']:.2f}, eager {row['ratio_eager']:.2f})  "
          f"{row['ours_gflops']:.0f} GFLOP/s", flush=True)
    rows.append(row)


def scaling(args):
    """Our time on 1, 2, 4 threads, in turns."""
    counts = [n for n in (1, 2, 4) if n <= (os.cpu_count() or 1)]
    for name, size in (('Lite0@224', 224), ('Lite0@320', 320)):
        servers = {n: serve(MINI, n, size=size) for n in counts}
        best = {n: min(t) for n, t in
                zip(counts, zip(*[[min(turn(servers[n])) for n in counts] for _ in range(25)]))}
        for s in servers.values():
            s.close()
        print(f'{name} step on threads: ' +
              ', '.join(f'{n}: {best[n]:.2f} ms ({best[counts[0]] / best[n]:.2f}x)'
                        for n in counts), flush=True)


def plot(rows, peak, path):
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    labels = [f"{r['case']}, {r['pass']}, batch {r['batch']}" for r in rows]
    at = range(len(rows))
    figure, axes = plt.subplots(figsize=(9, 1.5 + 0.42 * len(rows)))
    axes.barh([i - 0.2 for i in at], [r['ours_gflops'] for r in rows], 0.4, label='feavis')
    axes.barh([i + 0.2 for i in at], [r['torch_gflops'] for r in rows], 0.4,
              label="PyTorch's best")
    for i, r in enumerate(rows):
        axes.text(r['ours_gflops'], i - 0.2, f" {r['ratio']:.2f}x", va='center', fontsize=8)
    axes.axvline(peak, color='black', linewidth=1, linestyle=':', label='sgemm')
    axes.set_yticks(list(at), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel('GFLOP/s')
    axes.legend(loc='lower right', fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--b5', help='folder with b5.yml and b5.pth')
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--quick', action='store_true', help='fewer runs, compile at batch 1 only')
    parser.add_argument('--no-compile', action='store_true')
    parser.add_argument('--only', default='', help='cases whose name and batch contain this')
    parser.add_argument('--out', default=os.path.join(ROOT, 'build', 'bench'))
    parser.add_argument('--cpu', action='store_true', help='processor time, one thread')
    args = parser.parse_args()
    if args.cpu:
        global clock
        clock, args.threads = time.process_time, 1
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    peak = sgemm_peak(args.threads)
    print(f'PyTorch {torch.__version__}, {args.threads} threads, '
          f"{'processor time' if args.cpu else 'wall clock'}, sgemm {peak:.0f} GFLOP/s")
    rows = []
    for case in cases(args):
        if args.only in f'{case[0]} batch {case[4]} {"step" if case[6] else "forward"}':
            torch._dynamo.reset()
            with contextlib.suppress(KeyboardInterrupt):
                run_case(args, case, rows)
    if not args.only and not args.cpu:
        scaling(args)
    print(f'sgemm after all: {sgemm_peak(args.threads):.0f} GFLOP/s')
    with open(args.out + '.csv', 'w', newline='', encoding='utf-8') as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, peak, args.out + '.png')


if __name__ == '__main__':
    main()

"""Steps of several networks on one GPU: feavis against PyTorch, in one run, and a table of ops with the roofline.

    python3 tests/bench/make_b5.py FOLDER/b5 --lean
    python3 tests/bench/make_vqgan.py FOLDER/vqgan
    python3 tests/clip_official.py make FOLDER/clip --only vit_b32
    python3 tests/bench/bench_cuda.py --folder FOLDER [--bench build/release/tests/bench] [--seconds N] [--csv FILE]

A step is forward, gradient to the pixels (of a decoder: to the latent), and Adam on them. PyTorch's networks read
the same files or have the same layers with random weights, frozen (peers.py); every variant has the same batch:

    eager       float32, NCHW, as it is usually written
    eager16     float16, channels_last, batch norms folded
    graph16     the same, the step captured in a CUDA graph
    compile     the same, torch.compile(mode="max-autotune"), CUDA graphs within

feavis runs with cuDNN, without (blas), and in other precisions. Turns alternate, so that a card that grows warm or
is shared slows all of them alike; medians are printed with what they are times feavis. Compiling comes last, in
the order of cases, for as long as --seconds allows; what was measured is in the CSV at once.

The roofline is measured, too: a large product in fp16 and a large copy, by PyTorch. An op's floor is the larger of
what it computes and what it moves (each operand once) at these rates; "gap" is its time over that floor.

--rehearse: the same on the processor, in float, at half the size. Needs torch and timm."""
import argparse
import copy
import csv
import os
import statistics
import subprocess
import tempfile
import time

import peers
import torch
from server import Server

# name, batch: in the order of what would be missed most
REHEARSED = [('VQGAN f16 decode@256', 1), ('ViT-B/32', 1), ('Lite0@224', 1), ('B5@456 + head', 1)]
CASES = [('B5@456 + head', 1), ('VQGAN f16 decode@256', 1), ('ViT-B/32', 1), ('Lite0@224', 1), ('B5@456 + head', 16),
         ('Lite0@224', 16)]
SPECS = {'Lite0@224': ['fp32', 'tf32', 'fp16'], 'VQGAN f16 decode@256': ['fp16', 'fp16:blas', 'tf32']}
PRECISIONS = ['fp16', 'bf16', 'tf32']


class Results:
    """Rows of the CSV, written at once."""

    def __init__(self, path):
        self.file = open(path, 'a', newline='', encoding='utf-8') if path else None

    def row(self, *values):
        if self.file:
            csv.writer(self.file).writerow(values)
            self.file.flush()


class Device:
    def __init__(self, rehearse):
        self.gpu = not rehearse
        self.name = torch.cuda.get_device_name() if self.gpu else 'processor (rehearsal)'

    def to(self, x):
        return x.cuda() if self.gpu else x

    def wait(self):
        if self.gpu:
            torch.cuda.synchronize()


def make_step(device, family, variant, batch):
    """A function that does one step."""
    half = variant != 'eager' and device.gpu
    kind = torch.float16 if half else torch.float32
    last = variant != 'eager' and family.convolutions
    torch.manual_seed(0)
    net = copy.deepcopy(family.module())
    if last:
        net = peers.fold(net)
    net = device.to(peers.frozen(net)).to(kind)
    x = device.to(family.inputs(batch)[0])
    if last:
        net = net.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_(True)
    optimiser = torch.optim.Adam([x], lr=1e-3, **(dict(fused=True, capturable=True) if device.gpu else {}))
    scale = 1024.0 if half else 1.0

    def loss_of(x):
        return -net(x.to(kind)).float().flatten(1).sum(1).mean() * scale

    if variant == 'compile':
        loss_of = torch.compile(loss_of, mode='max-autotune' if device.gpu else 'default')

    def step():
        optimiser.zero_grad(set_to_none=False)
        loss_of(x).backward()
        x.grad.mul_(1 / scale)
        optimiser.step()

    x.grad = torch.zeros_like(x)
    return captured(step) if variant == 'graph16' else step


def captured(step):
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


def timed(device, step):
    device.wait()
    start = time.perf_counter()
    step()
    device.wait()
    return 1e3 * (time.perf_counter() - start)


class Case:
    """One network at one batch: who takes turns, and their times."""

    def __init__(self, options, device, family, batch):
        self.o, self.device, self.family, self.batch = options, device, family, batch
        self.label = f'{family.name} batch {batch}'
        self.takers, self.servers = {}, []

    def open_ours(self):
        for spec in SPECS.get(self.family.name, PRECISIONS):
            backend = 'cuda:' + spec if self.device.gpu else 'cpu'
            settings = dict(self.family.settings, step=1, batch=self.batch, backend=backend,
                            threads=0 if self.device.gpu else 1)
            try:
                server = Server(self.o.bench, self.family.file, **settings)
                server.run()
            except (ValueError, OSError) as error:
                print(f'feavis {spec}: not measured: {error}')
                continue
            self.servers.append(server)
            self.takers['feavis ' + server.facts.get('backend', spec)] = server.run
            print('feavis:', server.facts, flush=True)
            if not self.device.gpu:
                return

    def open_peer(self, variant):
        try:
            step = make_step(self.device, self.family, variant, self.batch)
            for _ in range(5 if self.device.gpu else 1):
                step()
            self.device.wait()
        except Exception as error:  # whatever PyTorch says of a variant, the others are measured
            print(f'torch {variant}: not measured: {(str(error).splitlines() or [repr(error)])[0]}', flush=True)
            return
        self.takers['torch ' + variant] = lambda step=step: timed(self.device, step)

    def measure(self, results):
        times = {name: [] for name in self.takers}
        for _ in range(self.o.turns):
            for name, take in self.takers.items():
                times[name].append(take())
        if not times:
            return
        first = statistics.median(next(iter(times.values())))
        print(f'{self.label}, {self.device.name}, torch {torch.__version__}, medians of {self.o.turns} turns')
        for name, values in times.items():
            median = statistics.median(values)
            print(f'  {name:24} {median:9.3f} ms  {median / first:6.2f} x  (best {min(values):.3f})', flush=True)
            results.row('step', self.label, f'{median:.4f}', 'ms', f'{name}, best {min(values):.4f}')

    def close(self):
        for server in self.servers:
            server.close()
        self.takers, self.servers = {}, []
        if self.device.gpu:
            torch.cuda.empty_cache()


def ceilings(device, results):
    """TFLOP/s of a product and TB/s of a copy, as PyTorch reaches them here."""
    kind, side, count = (torch.float16, 8192, 1 << 30) if device.gpu else (torch.float32, 1024, 1 << 24)
    a, b = (device.to(torch.randn(side, side)).to(kind) for _ in range(2))
    x = device.to(torch.zeros(count))
    y = torch.empty_like(x)
    ways = {'product': lambda: torch.mm(a, b), 'copy': lambda: y.copy_(x)}
    best = {name: min(timed(device, way) for _ in range(12)) for name, way in ways.items()}
    tflops, tbytes = 2e-9 * side ** 3 / best['product'], 8e-9 * count / best['copy']
    print(f'ceilings: {tflops:.3f} TFLOP/s of products, {tbytes:.3f} TB/s copied')
    results.row('ceiling', 'product', f'{tflops:.2f}', 'TFLOP/s', '')
    results.row('ceiling', 'copy', f'{tbytes:.3f}', 'TB/s', '')
    return tflops, tbytes


def roofline(options, device, family, batch, rates, results):
    """What each op takes beside what it would take at the ceilings."""
    with tempfile.NamedTemporaryFile(suffix='.csv') as f:
        backend = 'cuda:' + SPECS.get(family.name, PRECISIONS)[0] if device.gpu else 'cpu'
        settings = dict(family.settings, batch=batch, backend=backend, table=f.name, runs=10 if device.gpu else 1)
        done = subprocess.run([options.bench, family.file] + [f'{k}={v}' for k, v in settings.items()],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            print(f'{family.name}: no table: {done.stderr.strip()}')
            return
        rows = list(csv.DictReader(open(f.name, encoding='utf-8')))
    gaps, totals = [], {}
    for r in rows:
        for way in ('forward', 'backward'):
            ms, mb = float(r[way + '_ms']), float(r[way + '_mb'])
            floor = max(float(r['gflop']) / rates[0], mb / rates[1] * 1e-3) if ms else 0
            floor = max(floor, 1e-6)
            gaps.append((ms - floor, ms, floor, mb, r, way))
            total = totals.setdefault((r['op'], way), [0, 0, 0])
            for i, v in enumerate((ms, floor, 1)):
                total[i] += v
    print(f'{family.name} batch {batch} on {backend}, op by op: ms, ms at the ceilings, number')
    for (op, way), (ms, floor, count) in sorted(totals.items(), key=lambda t: -t[1][0]):
        print(f'  {op:16} {way:8} {ms:9.3f} {floor:9.3f} {count:4}')
        results.row('ops', f'{family.name} batch {batch} {op} {way}', f'{ms:.4f}', 'ms', f'floor {floor:.4f}')
    print('  furthest from them:')
    for _, ms, floor, mb, r, way in sorted(gaps, key=lambda g: -g[0])[:12]:
        print(f"  {r['op']:16} {way:8} {ms:9.4f} {floor:9.4f} {mb:8.2f} MB  {{{r['n']},{r['h']},{r['w']},{r['c']}}} "
              f"{r['name'][-40:]}")
    for _, ms, floor, mb, r, way in gaps:
        results.row('op', f"{family.name} batch {batch} {r['name']} {way}", f'{ms:.5f}', 'ms',
                    f"{r['op']} floor {floor:.5f} moves {mb} MB computes {r['gflop']} GFLOP")


def rehearsed(families):
    """The same rows at half the size."""
    for f in families:
        if 'size' in f.settings and 'tower' not in f.settings:
            side = f.settings['size'] // 2 // 32 * 32
            f.settings['size'], f.inputs = side, peers.pictures(side)
            f.module = lambda f=f, side=side: peers.Image(peers.brivl(f.file, side))
    return families


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--folder', required=True)
    parser.add_argument('--bench', default='build/release/tests/bench')
    parser.add_argument('--turns', type=int, default=40)
    parser.add_argument('--seconds', type=float, default=260)
    parser.add_argument('--csv')
    parser.add_argument('--rehearse', action='store_true')
    options = parser.parse_args()
    if not options.rehearse and not torch.cuda.is_available():
        raise SystemExit('bench_cuda.py: torch sees no GPU: nothing can be measured here')
    end = time.monotonic() + options.seconds
    device, results = Device(options.rehearse), Results(options.csv)
    rows = {f.name: f for f in peers.families(options.folder)}
    if options.rehearse:
        rehearsed(rows.values())
        options.turns = 2
        torch.set_num_threads(1)
    rates = ceilings(device, results)
    cases = [Case(options, device, rows[name], batch) for name, batch in (REHEARSED if options.rehearse else CASES)
             if name in rows]
    for variants in (['eager', 'eager16'] + (['graph16'] if device.gpu else []), ['compile']):
        for case in cases:
            if time.monotonic() > end - 30 and not options.rehearse:
                print(f'{case.label}, {variants}: no time left')
                continue
            case.open_ours()
            for v in variants:
                case.open_peer(v)
            case.measure(results)
            case.close()
        if variants[0] == 'eager':
            for name, batch in CASES[:4]:
                if name in rows:
                    roofline(options, device, rows[name], batch, rates, results)


if __name__ == '__main__':
    main()

"""Measures this program and PyTorch side by side on the same cores: every family of networks.

    python3 tests/bench/bench.py FOLDER [--only WORD ...] [--minutes N] [--threads N] [--cpu] [--out NAME]

Both run in turns, so that whatever else the machine does meets both. A turn is a short rest (after its last parallel
region OpenMP's threads spin for some milliseconds, on the core that the next one wants), one run that warms the caches
as the step before would have, and runs that count for a fifth of a second, one at least. For every case PyTorch's best
of {eager, channels_last, batch norm folded, both, torch.compile} is the number to beat; its weights are frozen and only
the pixels (of a decoder: the latent) require a gradient. All ways run at batch 1; at larger ones the two that were best
there. torch.compile, which takes minutes, runs at batch 1 and while half of the time is left: both layouts of B5, one of the
others; --compile all: everywhere. A network of seconds a step is measured at batches 4 and 8 only with --large.
Prints a table, and writes NAME.csv and NAME.png (bench.csv, bench.png in the build folder by default).

--only   cases whose "name batch N step" holds all these words: --only B5 step
--minutes  what all cases together may take (default 15): a case gets its share, and one turn at least
--cpu    processor time on one thread instead of the clock on the wall: on a machine that others use too, threads
         that wait for each other measure the neighbours

On AMD's processors MKL, with which PyTorch multiplies, takes its kernels for AVX2 unless it is told otherwise; this
tells it (a one-line library in LD_PRELOAD, which needs cc), as PyTorch's best is the number to beat: 99 -> 231 GFLOP/s
on a Zen 5. --plain-mkl leaves it as people have it.

FOLDER holds random weights of full size; cases without are left out:
    python3 tests/bench/make_b5.py FOLDER/b5; python3 tests/bench/make_vqgan.py FOLDER/vqgan
    python3 tests/clip_official.py make FOLDER/clip --only vit_b32      (and rn50)
Build first:  ./test release; cmake --build build/release --target bench
Needs torch, timm, safetensors, pyyaml and matplotlib (PyPI)."""
import argparse
import contextlib
import copy
import csv
import os
import statistics
import subprocess
import sys
import time

from server import Server

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
clock = time.perf_counter
REST, TURN = 0.05, 0.2  # seconds: before a turn, and of runs that count
BENCH = os.path.join(ROOT, 'build', 'release', 'tests', 'bench')
SLOW = ('B5', 'VQGAN')  # at batches above 1 with --large only
BATCHES = (1, 4, 8)


def serve(file, threads, **settings):
    """This program, as something that can be run."""
    if clock is time.process_time:
        settings['cpu'] = 1
    return Server(BENCH, file, threads=threads, **settings)


class Torch:
    """One way of running a network in PyTorch."""

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


def ways(family, batch, gradient, compiled, wanted):
    """Torch objects; wanted: their names, or None for all."""
    import peers
    import torch
    eager = peers.frozen(family.module())
    nets = {'eager': eager}
    if family.convolutions:
        nets['channels_last'] = copy.deepcopy(eager).to(memory_format=torch.channels_last)
        if any(isinstance(m, torch.nn.BatchNorm2d) for m in eager.modules()):
            nets['folded'] = peers.fold(copy.deepcopy(eager))
            nets['folded, channels_last'] = copy.deepcopy(nets['folded']).to(memory_format=torch.channels_last)
            x = family.inputs(1)[0]
            with torch.no_grad():
                same = torch.nn.functional.cosine_similarity(eager(x).flatten(1), nets['folded'](x).flatten(1))
            assert same.min() > 0.9999
    if compiled:
        last = [name for name in nets if 'eager' not in name][-2 if family.name.startswith('B5') else -1:]
        for name in last or ['eager']:
            nets['compile, ' + name] = torch.compile(nets[name])
    for name, net in nets.items():
        if wanted and name not in wanted:
            continue
        x = family.inputs(batch)
        if 'channels_last' in name:
            x = (x[0].contiguous(memory_format=torch.channels_last),)
        if gradient:
            x[0].requires_grad_(True)
        yield Torch(name, net, x, gradient)


def turn(contestant):
    """Milliseconds of each run that counts."""
    time.sleep(REST)
    contestant.run()
    times = [contestant.run()]
    while sum(times) < 1e3 * TURN:
        times.append(contestant.run())
    return times


def measure(ours, peers, rounds, seconds=1e9):
    """Times of every contestant, in turns; peers that are far behind after two rounds rest."""
    times = {ours: []} | {p: [] for p in peers}
    end = time.monotonic() + seconds
    for p in peers:
        p.run()
    for i in range(rounds):
        if i and time.monotonic() > end:
            break
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
    import peers
    for family in peers.families(args.folder):
        for batch in (1,) if family.text else BATCHES:
            for gradient in (True, False) if family.gradient and batch == 1 else (family.gradient,):
                label = f'{family.name} batch {batch} {"step" if gradient else "forward"}'
                large = batch > 1 and family.name.startswith(SLOW)
                if all(word in label for word in args.only) and (args.large or not large):
                    yield family, batch, gradient, label


def run_case(args, case, seconds, early, best_ways, rows):
    family, batch, gradient, label = case
    compiled = args.compile == 'all' or (args.compile == 'one' and batch == 1 and gradient and early)
    wanted = best_ways.get(family.name) if batch > 1 and not args.compile == 'all' else None
    peers = list(ways(family, batch, gradient, compiled, wanted))
    settings = dict(family.settings, batch=batch)
    if not family.text:
        settings['gradient'] = int(gradient)
    ours = serve(family.file, args.threads, **settings)
    times = measure(ours, peers, 25, seconds)
    ours.close()
    if batch == 1 and gradient:
        order = sorted((p for p in peers if 'compile' not in p.name), key=lambda p: min(times[p]))
        best_ways[family.name] = {'eager'} | {p.name for p in order[:2]}
    work = 2e-6 * float(ours.facts['gmac']) * 1e9 * (2 if gradient else 1) * 1e-3
    mine, best = min(times[ours]), min(peers, key=lambda p: min(times[p]))
    row = {'case': family.name, 'batch': batch, 'pass': 'step' if gradient else 'forward', 'ours_best_ms': mine,
           'ours_median_ms': statistics.median(times[ours]), 'torch_best': best.name, 'torch_best_ms': min(times[best]),
           'torch_median_ms': statistics.median(times[best]), 'eager_best_ms': min(times[peers[0]]),
           'ratio': min(times[best]) / mine,
           'ratio_median': statistics.median(times[best]) / statistics.median(times[ours]),
           'ratio_eager': min(times[peers[0]]) / mine, 'ours_gflops': work / mine * 1e3,
           'torch_gflops': work / min(times[best]) * 1e3, 'arena_mb': ours.facts['arena_mb'],
           'rss_mb': ours.facts['rss_mb'], 'load_s': ours.facts['load_s'],
           'ways': '; '.join(f'{p.name} {min(times[p]):.2f}' for p in peers)}
    print(f"{label:36} ours {mine:8.2f} ms  {best.name} {row['torch_best_ms']:8.2f} ms  ratio {row['ratio']:5.2f} "
          f"(median {row['ratio_median']:.2f}, eager {row['ratio_eager']:.2f})  {row['ours_gflops']:.0f} GFLOP/s  "
          f"[{row['ways']}]", flush=True)
    rows.append(row)


def save(rows, peak, out):
    with open(out + '.csv', 'w', newline='', encoding='utf-8') as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with contextlib.suppress(ImportError):
        plot(rows, peak, out + '.png')


def plot(rows, peak, path):
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    labels = [f"{r['case']}, {r['pass']}, batch {r['batch']}" for r in rows]
    at = range(len(rows))
    figure, axes = plt.subplots(figsize=(9, 1.5 + 0.42 * len(rows)))
    axes.barh([i - 0.2 for i in at], [r['ours_gflops'] for r in rows], 0.4, label='feavis')
    axes.barh([i + 0.2 for i in at], [r['torch_gflops'] for r in rows], 0.4, label="PyTorch's best")
    for i, r in enumerate(rows):
        axes.text(r['ours_gflops'], i - 0.2, f" {r['ratio']:.2f}x", va='center', fontsize=8)
    axes.axvline(peak, color='black', linewidth=1, linestyle=':', label='sgemm')
    axes.set_yticks(list(at), labels, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.1)
    axes.set_xlabel('GFLOP/s, of multiply-adds as in direct sums')
    axes.legend(loc='lower right', fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def tell_mkl():
    """Runs this program again with MKL told that it may use all of this processor."""
    with open('/proc/cpuinfo', encoding='ascii', errors='replace') as f:
        amd = 'AuthenticAMD' in f.read()
    if not amd or 'FEAVIS_MKL' in os.environ:
        return
    library = os.path.join(ROOT, 'build', 'mkl.so')
    made = subprocess.run(['cc', '-shared', '-fPIC', '-x', 'c', '-o', library, '-'], text=True, check=False,
                          input='int mkl_serv_intel_cpu_true(void) { return 1; }\n')
    if made.returncode == 0:
        os.environ.update(FEAVIS_MKL='told', LD_PRELOAD=library)
        os.execv(sys.executable, [sys.executable] + sys.argv)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder')
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--only', nargs='+', default=[])
    parser.add_argument('--minutes', type=float, default=15)
    parser.add_argument('--compile', choices=['no', 'one', 'all'], default='one', help='at batch 1, or everywhere')
    parser.add_argument('--large', action='store_true')
    parser.add_argument('--plain-mkl', action='store_true')
    parser.add_argument('--cpu', action='store_true', help='processor time, one thread')
    parser.add_argument('--out', default=os.path.join(ROOT, 'build', 'bench'))
    args = parser.parse_args()
    if not args.plain_mkl:
        tell_mkl()
    os.environ.pop('LD_PRELOAD', None)
    if args.cpu:
        global clock
        clock, args.threads = time.process_time, 1
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    peak = sgemm_peak(args.threads)
    print(f'PyTorch {torch.__version__}, {args.threads} threads, '
          f"{'processor time' if args.cpu else 'wall clock'}, sgemm {peak:.0f} GFLOP/s", flush=True)
    rows, best_ways = [], {}
    all_cases = sorted(cases(args), key=lambda c: not c[0].name.startswith('B5'))  # what compiling matters for first
    end = time.monotonic() + 60 * args.minutes
    for i, case in enumerate(all_cases):
        share = max(0, end - time.monotonic()) / (len(all_cases) - i)
        torch._dynamo.reset()
        early = end - time.monotonic() > 30 * args.minutes
        run_case(args, case, min(20, 0.6 * share), early, best_ways, rows)
        save(rows, peak, args.out)
    print(f'sgemm after all: {sgemm_peak(args.threads):.0f} GFLOP/s')


if __name__ == '__main__':
    main()

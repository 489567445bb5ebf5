"""Compares ways of imagining at equal numbers of views: which pictures does somebody else recognise?

  python3 tests/bench/compare.py --feavis build/release/app/feavis --folder /tmp/compare      # a GROUP: --only views,size
  python3 tests/bench/compare.py --folder /tmp/compare --table                               # only print

Every setting makes the same texts: each sixth of presets/things.yml (16 of them), and two that name no thing; seed 1,
160 views of 224 pixels (--views: another number, with which steps grow). What one setting changes is listed in SETTINGS;
all else is what the program does without flags. Then `feavis judge` looks: how often its first class is the thing (first),
among its first five (five), the probability it gives to the thing (prob., mean, and of its logarithm), and the
dreamer's own cosine before and after a blur (survival) and in views that it was not asked to please (unseen).
Pictures that are there are not made again. The first one, `default`, is what others differ from; +- is the
standard error of the paired difference of log prob. over texts. One seed: differences of one or two texts mean nothing."""
import argparse
import csv
import math
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
THINGS = os.path.join(HERE, '../../presets/things.yml')
ABSTRACT = ['梦', '时间']
VIEWS = 160

SETTINGS = {
    'default': '',
    # what is optimised
    'param/multires': '--param multires',
    'param/multires-rate.03': '--param multires --rate 0.03',
    'param/pixel': '--param pixel --rate 0.02 --start-noise 0.05',
    'param/paper': '--preset paper --views 1 --steps 160',
    'param/maco': '--param maco --contrast 1',
    'param/maco-unit': '--param maco --contrast 1 --start-noise 1 --rate 0.2',
    'param/maco-1.5': '--param maco --contrast 1.5',
    'param/decay1.3': '--decay 1.3',
    'param/decay0.9': '--decay 0.9',
    # what a view shows
    'view/shift0': '--shift 0',
    'view/shift64': '--shift 64',
    'view/rotate0': '--rotate 0',
    'view/scale.5': '--scale-min 0.5',
    'view/scale1': '--scale-min 1',
    'view/shrink': '--scale-end 0.5',
    'view/noise0': '--noise 0 --noise-end 0',
    'view/noise.3': '--noise 0.3 --noise-end 0.02',
    'view/colour0': '--colour-shift 0',
    'view/colour.3': '--colour-shift 0.3',
    # views a step against steps
    'views/1x160': '--views 1 --steps 160',
    'views/4x40': '--views 4 --steps 40',
    'views/8x20': '--views 8 --steps 20',
    # the picture's side
    'size/160': '--size 160',
    'size/320': '--size 320',
    'size/448': '--size 448',
    # step size
    'rate/.03': '--rate 0.03',
    'rate/.1': '--rate 0.1',
    'rate/flat': '--rate-end 1',
    'rate/to0': '--rate-end 0.02',
    # smoothness
    'smooth/blur0': '--blur 0 --blur-end 0',
    'smooth/blur2-1': '--blur 2',
    'smooth/blur4-2': '--blur 4 --blur-end 2',
    'smooth/tv0': '--tv 0',
    'smooth/tv2': '--tv 2',
    # which state is kept
    'keep/best': '--keep best',
}


def texts():
    found = re.findall(r'- text: (.*)', open(THINGS, encoding='utf-8').read())
    return found[2::6][:16] + ABSTRACT


def make(args, name, wanted):
    """The pictures of one setting, and what the judge says of them."""
    folder = os.path.join(args.folder, name.replace('/', '-'))
    table = folder + '.csv'
    if os.path.exists(table):
        return
    os.makedirs(folder, exist_ok=True)
    scale = args.views / VIEWS
    flags = f'--views 2 --steps 80 --size 224 {SETTINGS[name]}'.split()
    for i, flag in enumerate(flags):
        if flag == '--steps':
            flags[i + 1] = str(max(1, round(int(flags[i + 1]) * scale)))
    quiet = ['--threads', '1', '--quiet']
    run = ['nice', '-n', '19', args.feavis]
    for i, text in enumerate(wanted):
        path = os.path.join(folder, f'{i:02d}.png')
        if os.path.exists(path):
            continue
        subprocess.run(run + ['imagine', text, '--out', path] + flags + quiet, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(run + ['judge', folder, '--csv', table + '.part', '--sheet', folder + '.png'] + quiet, check=True,
                   stdout=subprocess.DEVNULL)
    os.rename(table + '.part', table)


def read(args, name):
    table = os.path.join(args.folder, name.replace('/', '-') + '.csv')
    if not os.path.exists(table):
        return None
    return {row['text']: row for row in csv.DictReader(open(table, encoding='utf-8'))}


def mean(numbers):
    numbers = list(numbers)
    return sum(numbers) / len(numbers) if numbers else math.nan


def show(args):
    base = read(args, 'default')
    print(f'{"setting":24} first  five  prob.  log p  against default  survival  cosine  unseen')
    for name in SETTINGS:
        rows = read(args, name)
        if not rows:
            continue
        named = [t for t, r in rows.items() if int(r['rank'])]
        log_p = {t: math.log(max(float(rows[t]['probability']), 1e-4)) for t in named}
        gain = ''
        if base and name != 'default':
            d = [log_p[t] - math.log(max(float(base[t]['probability']), 1e-4)) for t in named if t in base]
            error = math.sqrt(mean((x - mean(d)) ** 2 for x in d) / (len(d) - 1))
            gain = f'{mean(d):+.2f} +- {error:.2f}'
        ranks = [int(rows[t]['rank']) for t in named]
        figures = [mean(float(r[k]) for r in rows.values()) for k in ('survival', 'cosine', 'unseen')]
        print(f'{name:24} {sum(r == 1 for r in ranks):2d}/{len(ranks)} {sum(r <= 5 for r in ranks):2d}/{len(ranks)}'
              f'  {mean(float(rows[t]["probability"]) for t in named):5.2f}  {mean(log_p.values()):5.2f}  {gain:15}'
              f'  {figures[0]:8.2f}  {figures[1]:6.2f}  {figures[2]:6.2f}')


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--feavis', default='build/release/app/feavis')
    a.add_argument('--folder', required=True)
    a.add_argument('--only', default='', help='settings or their groups, comma-separated')
    a.add_argument('--views', type=int, default=VIEWS)
    a.add_argument('--jobs', type=int, default=2)
    a.add_argument('--table', action='store_true')
    args = a.parse_args()
    only = [x for x in args.only.split(',') if x]
    groups = only or list(SETTINGS)
    names = [n for x in groups for n in SETTINGS if n == x or n.startswith(x + '/')]
    if not args.table:
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(lambda n: make(args, n, texts()), names))
    show(args)


if __name__ == '__main__':
    main()

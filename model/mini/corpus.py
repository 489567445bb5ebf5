"""Pictures and texts that BriVL-mini learns from, read from a folder; what is held back is said here.

  FOLDER/GROUP.tar or FOLDER/GROUP/    pictures; flickr8k lies flat, in the others a folder is a kind
  FOLDER/flickr8k_captions.tsv.gz      picture, train or val, en or zh, caption
  FOLDER/captions_*.txt.gz             captions without pictures, one a line
  FOLDER/poem_lines_zh.txt.gz          lines of verse
  FOLDER/wordnet_zh.tab.gz             Chinese Open WordNet
  scenes.tsv (beside this file)        group, kind, English names, Chinese names

Held back, never seen in training: Flickr8k's val split, and of every other kind the last fifth of
its pictures by name, but for the groups of MORE. A group that is missing is left out.
"""
import glob
import gzip
import os
import re
import tarfile
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
GROUPS = ['flickr8k', 'places', 'caltech101', 'flowers', 'weather', 'paintings', 'aerial_rsscn7',
          'aerial_nwpu12', 'sports', 'places_more']
MORE = {'places_more': 'places'}    # further pictures of the same kinds, of which none is held back
TEMPLATES = {'en': ['{}', 'a photo of {}', 'a picture of {}'],
             'zh': ['{}', '一张{}的照片', '{}的图片']}


@dataclass
class Picture:
    path: str
    group: str
    kind: str
    held: bool
    texts: dict = field(default_factory=lambda: {'en': [], 'zh': []})


def unpack(folder, work):
    """Tars of FOLDER below WORK, once; {group: folder of its pictures}."""
    places = {}
    for group in GROUPS:
        tar, out = os.path.join(folder, group + '.tar'), os.path.join(folder, group)
        if not os.path.isdir(out) and os.path.exists(tar):
            out = os.path.join(work, 'data', group)
            if not os.path.isdir(out):
                with tarfile.open(tar) as t:
                    t.extractall(out + '.part', filter='data')
                os.rename(out + '.part', out)
        if os.path.isdir(out):
            places[group] = out
    return places


def lines(path):
    """Stripped lines of a .gz; none where there is no file."""
    if not os.path.exists(path):
        return []
    with gzip.open(path, 'rt', encoding='utf-8') as f:
        return [line.strip() for line in f if line.strip()]


def scenes():
    """{(group, kind): {'en': names, 'zh': names}}"""
    table = {}
    for line in open(os.path.join(HERE, 'scenes.tsv'), encoding='utf-8'):
        if line.startswith('#') or not line.strip():
            continue
        group, kind, english, chinese = line.rstrip('\n').split('\t')
        table[group, kind] = {'en': english.split(';'), 'zh': chinese.split(';')}
    return table


def tidy(caption):
    """Without the blanks before full stops that tokenised captions have."""
    return re.sub(r'\s+([.,!?])', r'\1', caption).strip()


def pictures(folder, work):
    """Every picture in a fixed order."""
    result, names = [], scenes()
    captions = {}
    for line in lines(os.path.join(folder, 'flickr8k_captions.tsv.gz')):
        name, split, language, text = line.split('\t')[:4]
        held, texts = captions.setdefault(name, (split == 'val', {'en': [], 'zh': []}))
        texts[language].append(tidy(text))
    for group, place in unpack(folder, work).items():
        if group == 'flickr8k':
            result += [Picture(os.path.join(place, n), group, '', *captions[n])
                       for n in sorted(captions) if os.path.exists(os.path.join(place, n))]
            continue
        for kind in sorted(os.listdir(place)):
            files = sorted(glob.glob(os.path.join(place, kind, '*.jpg')))
            train = len(files) - (0 if group in MORE else len(files) // 5)
            texts = names.get((MORE.get(group, group), kind), {'en': [], 'zh': []})
            result += [Picture(p, group, kind, i >= train, texts) for i, p in enumerate(files)]
    assert result, 'no pictures in ' + folder
    return result


def plain_texts(folder):
    """{source: texts} without pictures."""
    read = lambda name: lines(os.path.join(folder, name))
    senses = {}
    for line in read('wordnet_zh.tab.gz'):
        parts = line.split('\t')
        if len(parts) == 3 and parts[1].endswith('lemma'):
            senses.setdefault(parts[2].replace('+', ''), None)
    return {'coco_zh': read('captions_coco_zh.txt.gz'),
            'coco_en': [tidy(t) for t in read('captions_coco_en.txt.gz')],
            'multi30k_en': [tidy(t) for t in read('captions_multi30k_en.txt.gz')],
            'poems': read('poem_lines_zh.txt.gz'),
            'wordnet_zh': [w for w in senses if re.fullmatch(r'[\u4e00-\u9fff]{1,6}', w)]}


def texts_of(picture, language):
    """What may be said of a picture."""
    if picture.group == 'flickr8k':
        return picture.texts[language]
    return [t.format(n) for n in picture.texts[language] for t in TEMPLATES[language]]

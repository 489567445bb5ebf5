"""Writes text_vocab.txt and text_cases.json: texts and the ids that HuggingFace's BertTokenizer
gives them with a small vocabulary of our own.

  pip install transformers
  python make_text.py
"""
import json
import os

from transformers import BertTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
PIECES = ('[PAD] [UNK] [CLS] [SEP] [MASK] the a an of in moon lake dream mountain butter butterfly '
          '##fly ##s ##ing ##ed un ##believ ##able cafe naive resume strasse , . ! ? : ; " \' ( ) [ ] '
          '- _ / # % & * + = @ ^ ` ~ { } | < > $ ， 。 ！ ？ 《 》 — … · “ ” 2 0 4 24 ##24 ##0 ##2 ##4 '
          '梦 山 水 月 光 床 前 明 疑 是 地 上 霜 白 日 依 尽 黄 河 入 海 流 竹 外 桃 花 三 两 枝 𠀀 に ほ ん こ ##ん ##ほ 한 '
          'ᄒ ##ᅡ ##ᆫ α ##λ ##φ ##α σ ##σ i ##i ##x x ß ##ß é e ##e ñ п ##р ##и ##в ##е ##т ☃ 😀 ① ½').split()
TEXTS = [
    '', ' ', '\t\n', 'moon', 'The Moon', 'THE MOON', 'butterfly', 'butterflies', 'butterflys', 'dreaming',
    'unbelievable', '床前明月光，疑是地上霜。', '白日依山尽，黄河入海流', '竹外桃花三两枝', '梦moon山', '2024', '2024年',
    'Moon 2024!', 'café', 'cafe\u0301', 'naïve résumé', 'NAÏVE', 'Straße', 'a-b_c', 'moon...lake', '《梦》', '“梦”',
    '𠀀山', '\uf900山', '\u3000梦\u3000', 'moon\u00a0lake', 'moon\u200blake',
    'moon\u2028lake', '\ufeffmoon', 'moon\x07lake', 'moon\ufffdlake', '한', 'にほん', 'привет',
    'ПРИВЕТ', 'αλφα', 'İx', '☃', '😀', '①', '½', 'x' * 100, 'x' * 101, 'i' * 99 + ' moon', 'ﬁ', 'Ａ', '１２',
    'moon ' * 20, '山' * 40, '$moon', '~the`moon^', 'e\u0301\u0302\u0303', '\u0301', 'a\u0301 \u0301b',
    '[MASK]和[SEP]', 'moon[SEP]lake', '[mask]', '[[SEP]]', '[ SEP ]', '[UNK] [PAD]moon', '[CLS', 'moon [MASK] lake',
]


def quoted(text):
    """JSON, with characters outside the BMP as they are (YAML knows no surrogate pairs)."""
    return '"%s"' % ''.join(c if ord(c) > 0xffff else json.dumps(c)[1:-1] for c in text)


def main():
    vocab = os.path.join(HERE, 'text_vocab.txt')
    pieces = list(dict.fromkeys(PIECES))
    with open(vocab, 'w', encoding='utf-8') as f:
        f.writelines(p + '\n' for p in pieces)
    t = BertTokenizer(vocab, do_lower_case=True)
    cases = []
    for text in TEXTS:
        ids = {n: t(text, padding='max_length', truncation=True, max_length=n)['input_ids']
               for n in (32, 12)}
        cases.append('{"text": %s, "ids32": %s, "ids12": %s}' % (quoted(text), ids[32], ids[12]))
    with open(os.path.join(HERE, 'text_cases.json'), 'w', encoding='utf-8') as f:
        f.write('[\n' + ',\n'.join(cases) + '\n]\n')
    print(len(cases), 'cases,', len(pieces), 'pieces')


if __name__ == '__main__':
    main()

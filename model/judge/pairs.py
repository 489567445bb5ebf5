"""Do colour and light words move a picture the right way? Reads the CSV of

  feavis imagine --preset colours --gallery FOLDER
  feavis judge FOLDER --csv FILE
  python pairs.py FILE

and holds each picture against the scene without the word."""
import csv
import sys

# word -> what should be greater than without it
RISES = {
    '红色的': ('red', lambda p: p['red'] - (p['green'] + p['blue']) / 2),
    '蓝色的': ('blue', lambda p: p['blue'] - (p['red'] + p['green']) / 2),
    '绿色的': ('green', lambda p: p['green'] - (p['red'] + p['blue']) / 2),
    '金色的': ('gold', lambda p: (p['red'] + p['green']) / 2 - p['blue']),
    '夜里的': ('night', lambda p: -p['light']),
    '日出时的': ('sunrise', lambda p: p['red'] - p['blue']),
    '雪中的': ('snow', lambda p: p['light']),
    '雾中的': ('fog', lambda p: -p['vivid']),
}


def main():
    with open(sys.argv[1], encoding='utf-8') as f:
        pictures = {row['text']: {k: float(row[k]) for k in
                                  ('red', 'green', 'blue', 'light', 'vivid')}
                    for row in csv.DictReader(f)}
    right = total = 0
    for text, p in sorted(pictures.items()):
        for word, (name, figure) in RISES.items():
            base = pictures.get(text[len(word):]) if text.startswith(word) else None
            if not base:
                continue
            moved = figure(p) - figure(base)
            print(f'{text}\t{name}\t{moved:+.3f}')
            right += moved > 0
            total += 1
    print(f'{right} of {total} move the right way')


if __name__ == '__main__':
    main()

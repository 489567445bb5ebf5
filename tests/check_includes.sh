#!/bin/sh
# Folders depend one way, app -> feavis -> model -> kernels, and app sees the public headers only.
# Inside them the same, floor by floor:
#   model    files, text < weights, plan < nets
#   feavis   image, settings < imagine < gallery, search, inspect; each sees the public headers of
#            its own floor and of those below, and those see each other only
#   app      worker, cli < window
# No file of theirs has more than 600 lines.
#   tests/check_includes.sh [SOURCE]     names every #include, and file, that breaks this; 1 if there
#                                        is any
set -eu
cd "${1:-$(dirname "$0")/..}"

# allow WHERE PATTERN: quoted includes of the files (WHERE may be a glob, or a folder with those
# below it) have to match the extended regular expression
broken=0
allow() {
    # shellcheck disable=SC2086  # a glob
    files=$(find $1 -name '*.[ch]' -o -name '*.cpp' -o -name '*.cc' -o -name '*.cu' \
        -o -name '*.cuh' 2>/dev/null) || return 0
    [ -n "$files" ] || return 0
    # shellcheck disable=SC2086  # names of sources hold no spaces
    if grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' $files |
        grep -vE "\"($2)\"" >&2; then
        echo "$1 may include only $2" >&2
        broken=1
    fi
}

public='feavis/[a-z]+\.h'
drawn='feavis/(codes|film|gif|picture|plot|sheet)\.h'
set='feavis/(option|preset|settings)\.h'
plain='feavis/(files|lists|names)\.h'
grown='feavis/(history|loss|model|recipe|session)\.h'
program="$public|kernels/(status|number)\.h"
allow kernels 'kernels/.+'
allow model '(model|kernels)/.+'
allow model/files 'model/files/.+|kernels/.+'
allow model/text 'model/(text|files)/.+|kernels/.+'
allow model/weights 'model/(weights|files|text)/.+|kernels/.+'
allow model/plan 'model/(plan|text)/.+|kernels/.+'
allow model/nets '(model|kernels)/.+'
allow feavis '(feavis|model|kernels)/.+'
allow 'feavis/*.h' "$public|kernels/status\.h"
allow feavis/image "$drawn|$plain|feavis/image/.+|(model/(files|weights|text)|kernels)/.+"
allow feavis/settings "$set|$plain|feavis/settings/.+|(model/(files|text)|kernels)/.+"
allow feavis/imagine "feavis/feavis\.h|$grown|$drawn|$set|$plain|feavis/(imagine|settings|image)/.+|(model|kernels)/.+"
allow feavis/gallery "$public|feavis/(gallery|imagine|settings|image)/.+|(model|kernels)/.+"
allow feavis/search "$public|feavis/(search|imagine|settings|image)/.+|(model|kernels)/.+"
allow feavis/inspect "$public|feavis/(inspect|imagine|settings|image)/.+|(model|kernels)/.+"
allow app "app/.+|$program"
allow app/worker "app/worker/.+|$program"
allow app/cli "app/cli/.+|$program"
# system brackets are no way round; examples are programs of others
if grep -rnE '#[[:space:]]*include[[:space:]]*<(app|feavis|model|kernels)/' app feavis model kernels \
    --include='*.[ch]' --include='*.cpp' --include='*.cu' --exclude-dir=examples >&2 2>/dev/null
then
    echo "the project's own headers are included with quotes" >&2
    broken=1
fi
for file in $(find app feavis model kernels -name '*.[ch]' -o -name '*.cpp' -o -name '*.cc' \
    -o -name '*.cu' -o -name '*.cuh' -o -name '*.py' 2>/dev/null); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 600 ] || { echo "$file has $lines lines, more than 600" >&2; broken=1; }
done
exit $broken

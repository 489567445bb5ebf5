#!/bin/sh
# Folders depend one way, app -> feavis -> model -> kernels, and app sees the public headers only.
# Inside them the same, floor by floor:
#   model    files, text < weights, plan < nets
#   feavis   image, settings < imagine < gallery, search, inspect
#   app      worker, cli < window
#   tests/check_includes.sh [SOURCE]     names every #include that breaks this; 1 if there is any
set -eu
cd "${1:-$(dirname "$0")/..}"

# allow FOLDER PATTERN: quoted includes in FOLDER have to match the extended regular expression
broken=0
allow() {
    [ -d "$1" ] || return 0
    files=$(find "$1" -name '*.[ch]' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')
    [ -n "$files" ] || return 0
    # shellcheck disable=SC2086  # names of sources hold no spaces
    if grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' $files |
        grep -vE "\"($2)\"" >&2; then
        echo "$1 may include only $2" >&2
        broken=1
    fi
}

public='feavis/[a-z]+\.h'
program='feavis/feavis\.h|kernels/(status|number)\.h'
allow kernels 'kernels/.+'
allow model '(model|kernels)/.+'
allow model/files 'model/files/.+|kernels/.+'
allow model/text 'model/(text|files)/.+|kernels/.+'
allow model/weights 'model/(weights|files|text)/.+|kernels/.+'
allow model/plan 'model/(plan|text)/.+|kernels/.+'
allow model/nets '(model|kernels)/.+'
allow feavis '(feavis|model|kernels)/.+'
allow feavis/image "$public|feavis/image/.+|(model/(files|weights|text)|kernels)/.+"
allow feavis/settings "$public|feavis/settings/.+|(model/(files|text)|kernels)/.+"
allow feavis/imagine "$public|feavis/(imagine|settings|image)/.+|(model|kernels)/.+"
allow feavis/gallery "$public|feavis/(gallery|imagine|settings|image)/.+|(model|kernels)/.+"
allow feavis/search "$public|feavis/(search|imagine|settings|image)/.+|(model|kernels)/.+"
allow feavis/inspect "$public|feavis/(inspect|imagine|settings|image)/.+|(model|kernels)/.+"
allow app "app/.+|$program"
allow app/worker "app/worker/.+|$program"
allow app/cli "app/cli/.+|$program"
# system brackets are no way round
if grep -rnE '#[[:space:]]*include[[:space:]]*<(app|feavis|model|kernels)/' app feavis model kernels \
    --include='*.[ch]' --include='*.cpp' --include='*.cu' >&2 2>/dev/null; then
    echo "the project's own headers are included with quotes" >&2
    broken=1
fi
exit $broken

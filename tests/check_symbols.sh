#!/bin/sh
# What libfeavis.so shows is what the public headers declare with FV_API, all of it and nothing else.
#   tests/check_symbols.sh LIBRARY [SOURCE]    names every symbol that is missing or leaked; 1 if
#                                              there is any
set -eu
library=$1
cd "${2:-$(dirname "$0")/..}"
export LC_ALL=C
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for header in feavis/*.h; do echo "#include \"$header\""; done |
    ${CC:-cc} -E -P -I. -DFV_API=FV_SHOWN -x c - | tr '\n' ' ' | tr ';' '\n' |
    sed -nE 's/.*FV_SHOWN ([^(]*[ *])?(fv_[a-z0-9_]+) *[([].*/\2/p' | sort -u >"$scratch/declared"
nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    sort -u >"$scratch/shown"
[ -s "$scratch/declared" ] || { echo "no declaration was found" >&2; exit 1; }

comm -23 "$scratch/declared" "$scratch/shown" >"$scratch/missing"
comm -13 "$scratch/declared" "$scratch/shown" >"$scratch/leaked"
sed 's/^/declared, but not in the library: /' "$scratch/missing" >&2
sed 's/^/in the library, but not public: /' "$scratch/leaked" >&2
# every function at the start of a line of a public header is FV_API
if grep -nE '^(const |struct |unsigned )?[a-z_0-9]+ \**fv_[a-z0-9_]+\(' feavis/*.h >&2; then
    echo "without FV_API" >&2
    exit 1
fi
[ ! -s "$scratch/missing" ] && [ ! -s "$scratch/leaked" ]

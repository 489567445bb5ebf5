#!/bin/sh
# No file calls, through any number of others, a file that calls it: sources stand one on the other.
# Who calls whom is what the linker sees, so callbacks are free.
#   tests/check_circles.sh SOURCE BUILD FOLDER...     names the files of a circle in the objects that
#                                                     are below BUILD/FOLDER; 1 if there is any
set -eu
source=$(cd "$1" && pwd) build=$2
shift 2
cd "$build"

# "tests/CMakeFiles/emulated.dir/__/kernels/a.c.o": kernels/a.c
to_source='s|CMakeFiles/[^/]*/||; s|[^/]*/__/||; s/\.o$//'

# what was compiled from a file that has gone since is no part of the program
objects=$(find "$@" -name '*.o' | sed 'p' | sed "n; $to_source" |
    while read -r object && read -r file; do
        [ ! -f "$source/$file" ] || echo "$object"
    done)
[ -n "$objects" ] || { echo "no objects in $*" >&2; exit 1; }

# A line a call: the object that needs a symbol, and the one that defines it. Inline functions of
# C++ (W) are in all that use them.
calls() {
    # shellcheck disable=SC2086  # names of objects hold no spaces
    nm -A $objects | awk '
        { colon = index($0, ":"); file = substr($0, 1, colon - 1)
          n = split(substr($0, colon + 1), field, " "); kind = field[n - 1]; name = field[n] }
        kind ~ /^[TDBRC]$/ { defines[name] = file }
        kind == "U"        { user[++users] = file; needs[users] = name }
        END { for (i = 1; i <= users; i++)
                  if (needs[i] in defines && defines[needs[i]] != user[i])
                      print user[i], defines[needs[i]] }'
}

if ! loops=$(calls | sort -u | tsort 2>&1 >/dev/null); then
    echo "$loops" | sed 's/^tsort: //; s/^-: .*/these call each other in a circle:/' | sed "$to_source" >&2
    exit 1
fi

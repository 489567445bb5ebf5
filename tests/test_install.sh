#!/bin/sh
# An installed tree by itself: headers, libfeavis.so, pkg-config, CMake package, models; the examples
# built by both ways and run; the tree moved elsewhere.
#   tests/test_install.sh SOURCE BUILD
set -eu
source=$1 build=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() {
    echo "$*" >&2
    exit 1
}
unset FEAVIS_HOME LD_LIBRARY_PATH PKG_CONFIG_PATH

cmake --install "$build" --prefix "$scratch/first" >"$scratch/log" || {
    cat "$scratch/log"
    fail "cmake --install"
}
mv "$scratch/first" "$scratch/here" # nothing in it knows where it was put
here=$scratch/here
lib=$(dirname "$(find "$here" -name libfeavis.so)")
if grep -rlF -e "$source/" -e "$scratch/first" "$here/include" "$lib/pkgconfig" "$lib/cmake"; then
    fail "names the folder it was built in, or put into first"
fi
if find "$here" -name '*.py' -o -name scenes.tsv -o -name '*.c' | grep .; then
    fail "that should not be installed"
fi

# whose the weights are and what they are given under, as the files themselves say it
notices="$source/LICENSE"
debian="$source/app/package/copyright"
for file in "$here"/share/feavis/model/*/*.safetensors; do
    path=model/$(basename "$(dirname "$file")")/$(basename "$file")
    said=$(head -c 1000 "$file" | grep -ao '"license":"[^"(]*' | sed 's/.*:"//; s/ *$//; s/ /-/g')
    grep -qE "^$path, " "$notices" || fail "LICENSE has no notice of $path"
    stanza=$(sed -n "\\,^Files: $path\$,,/^\$/p" "$debian" | sed -n 's/^License: //p')
    [ -n "$said" ] && [ "$said" = "$stanza" ] || fail "$path says '$said', $debian '$stanza'"
    [ -f "$here/share/doc/feavis/$(dirname "$path")/README.md" ] || fail "no README of $path"
    ! [ "$said" = MIT ] || grep -q Permission "$(dirname "$file")/LICENSE" || fail "$path: no LICENSE"
done
# a licence that a stanza names has its text, and none is there for nothing
stated=$(sed -n '/^Files:/,/^$/s/^License: //p' "$debian" | sort -u)
texts=$(awk '/^License: / { name = $2; getline; if (/^ /) print name }' "$debian" | sort -u)
[ "$stated" = "$texts" ] || fail "licences in $debian: $stated; texts: $texts"
[ -n "${path-}" ] || fail "no weights are installed"

# each header alone, without any of the source's
export PKG_CONFIG_PATH="$lib/pkgconfig"
cd "$scratch"
for header in "$here"/include/feavis/*.h; do
    name=$(basename "$header")
    for as in "c -std=c11" "c++ -std=c++17"; do
        # shellcheck disable=SC2046,SC2086
        echo "#include <feavis/$name>" | ${CC:-cc} -x $as -Wall -Wextra -Wpedantic -Werror \
            -fsyntax-only $(pkg-config --cflags feavis) - || fail "$name as ${as%% *}"
    done
done
[ "$(pkg-config --modversion feavis)" = "$("$here/bin/feavis" --version | grep -oE '[0-9]+\.[0-9.]+')" ] ||
    fail "the version of feavis.pc is not the program's"

# by pkg-config, with warnings as errors
flags="-Wall -Wextra -Werror"
# shellcheck disable=SC2046,SC2086
${CC:-cc} -std=c11 $flags "$source/feavis/examples/imagine.c" \
    $(pkg-config --cflags --libs feavis) "-Wl,-rpath,$lib" -o imagine_c
# shellcheck disable=SC2046,SC2086
${CXX:-c++} -std=c++17 $flags "$source/feavis/examples/imagine.cpp" \
    $(pkg-config --cflags --libs feavis) "-Wl,-rpath,$lib" -o imagine_cpp
readelf -d imagine_c | grep -q 'NEEDED.*\[libfeavis\.so\.0\]' || fail "not linked by its soname"

# by find_package
cmake -S "$source/feavis/examples" -B "$scratch/examples" "-DCMAKE_PREFIX_PATH=$here" \
    >"$scratch/log" && cmake --build "$scratch/examples" >>"$scratch/log" || {
    cat "$scratch/log"
    fail "the examples by find_package"
}

small="size=64 steps=4 views=1 threads=1 device=cpu"
is_png() {
    [ "$(head -c 4 "$1" | tail -c 3)" = PNG ] || fail "$1 is no PNG"
}
# a program's number format is its own business; a picture's bytes are not
# shellcheck disable=SC2086
./imagine_c 蝴蝶 c.png $small >c.log
grep -q "step 4 of 4: cosine -\?0\." c.log || fail "no progress: $(cat c.log)"
is_png c.png
# shellcheck disable=SC2086
LC_ALL=de_DE.UTF-8 ./examples/imagine_cpp 蝴蝶 cpp.png $small >cpp.log
grep -q "蝴蝶: cosine -*0\." cpp.log || fail "no cosine: $(cat cpp.log)"
cmp c.png cpp.png || fail "C and C++ made other pictures"
# shellcheck disable=SC2086
./imagine_cpp 蝴蝶 cpp2.png $small >/dev/null
cmp c.png cpp2.png
"$here/bin/feavis" again c.png --out again.png >/dev/null 2>&1
cmp c.png again.png || fail "the program makes another picture of the example's recipe"

# failures are one line and no picture
if ./imagine_c 蝴蝶 no.png colour=red 2>err; then fail "an unknown option was taken"; fi
grep -q "colour" err || fail "the message names no option: $(cat err)"
[ "$(wc -l <err)" = 1 ] && [ ! -e no.png ] || fail "more than a line, or a picture"
if FEAVIS_HOME=/nowhere ./imagine_c 蝴蝶 no.png 2>err; then fail "FEAVIS_HOME is not looked at"; fi
grep -q /nowhere err || fail "the message names no folder: $(cat err)"

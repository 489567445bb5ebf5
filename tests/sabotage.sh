#!/bin/sh
# sabotage.sh SOURCE BUILD [LIBRARY...]: breaks the source in a copy, one way at a time, and each has to be found:
# by the compiler, by the linker, or by the check of a finished plan (model/plan/verify.c).
#   an activation or an op that a backend or a rule has forgotten; a penalty that a switch has
#   an operand left out of a lifetime; a live span laid over another
set -eu
source=$(cd "$1" && pwd) build=$(cd "$2" && pwd)
shift 2
# what libfv_kernels.a was built with is needed to link it
libraries="$* -lcmocka -lyaml -lutf8proc -lz -lm -lpthread"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
cp -r "$source/kernels" "$source/model" "$work/tree/"
ln -s "$source" "$work/source" # a name without spaces, for words of $c
cd "$work/tree"
cc=${CC:-cc} cxx=${CXX:-c++}
c="-std=c11 -D_GNU_SOURCE -I. -I$work/source -Wall -Werror=switch"
failed=0

# compiles LANGUAGE FILE: whether it does
compiles() {
    case $1 in
    c) $cc $c -fsyntax-only "$2" ;;
    cpu) $cc $c -O1 -march=x86-64-v3 -DFV_ISA=v3 -fsyntax-only "$2" ;;
    cuda) $cxx -std=c++17 -D_GNU_SOURCE -I. -Wall -Werror=switch -fsyntax-only -x c++ "$2" ;;
    esac >"$work/log" 2>&1
}

# found NAME LANGUAGE FILE...: each file compiles as it is, and not as it has become
found() {
    name=$1 language=$2
    shift 2
    for file in "$@"; do
        if compiles "$language" "$file"; then
            echo "not found: $name in $file"
            failed=1
        elif ! (cd "$source" && compiles "$language" "$file"); then
            echo "does not compile as it is: $file"
            cat "$work/log"
            failed=1
        else
            echo "found: $name in $file"
        fi
    done
}

change() { # FILE SED-SCRIPT: the file has to be another one afterwards
    sed "$2" "$1" >"$work/changed"
    cmp -s "$1" "$work/changed" && { echo "$1: nothing to change by $2"; exit 1; }
    cp "$work/changed" "$1"
}

restore() {
    cp "$source/$1" "$1"
}

change kernels/op.h 's/^    ROW(RELU6, /    ROW(HARD_SWISH, hard_swish, FV_KEEP_AUX, true) \\\n&/'
found "an activation that is forgotten" c kernels/ref/elementwise.c
found "an activation that is forgotten" cuda kernels/cuda/elementwise.cu
case $(uname -m) in x86_64) found "an activation that is forgotten" cpu kernels/cpu/activation.c ;; esac
restore kernels/op.h

# A penalty is one row, which every backend computes; a place of its own that names the others has
# to name it.
change kernels/op.h 's/^    ROW(GREY, /    ROW(CUBE, cube, false, x * x * x, 3 * x * x, NUM(1)) \\\n&/'
for file in c:kernels/op.c c:kernels/ref/picture.c cuda:kernels/cuda/picture.cu; do
    if compiles "${file%%:*}" "${file#*:}"; then
        echo "enough: a row for a penalty in ${file#*:}"
    else
        echo "a row is not enough for a penalty in ${file#*:}:"
        cat "$work/log"
        failed=1
    fi
done
change kernels/ref/picture.c '0,/FV_PENALTIES(FV_PENALTY_SLOPE)/s//case FV_PENALTY_TV: case FV_PENALTY_RANGE: case FV_PENALTY_GREY: case FV_PENALTY_SQUARE:/'
found "a penalty that is forgotten" c kernels/ref/picture.c
restore kernels/ref/picture.c
restore kernels/op.h

change kernels/op.h 's/^    ROW(ADD, /    ROW(TWICE, twice, BACKWARD, same_shape, keeps_nothing, NULL) \\\n&/'
found "an op that is forgotten" c kernels/op.c "$(grep -l '^    switch (kind)' model/plan/*.c)"
found "an op that is forgotten" cuda kernels/cuda/table.cu
printf 'void fv_ref_table(void *); int main(void) { fv_ref_table(0); return 0; }\n' >"$work/main.c"
$cc $c -c -o "$work/table.o" kernels/ref/table.c
if $cc -o "$work/linked" "$work/main.c" "$work/table.o" "$build/kernels/libfv_kernels.a" \
    $libraries >"$work/log" 2>&1; then
    echo "not found: an op that the reference has forgotten"
    failed=1
elif grep -q fv_ref_twice "$work/log"; then
    echo "found: an op that is forgotten in kernels/ref/table.c"
else
    cat "$work/log"
    failed=1
fi
restore kernels/op.h

# A plan of every kind is planned by the broken planner; the rest is the library's.
# planned FILE
planned() {
    $cc $c -O1 -c -o "$work/broken.o" "$1"
    $cc $c -w -c -o "$work/test.o" "$source/tests/test_verify.c"
    $cc -o "$work/planned" "$work/test.o" "$work/broken.o" "$build/model/libfv_model.a" \
        "$build/kernels/libfv_kernels.a" $libraries || return 1
    (cd "$work" && ./planned) >"$work/log" 2>&1
}
planner=$(grep -l '^static fv_status operands_live_at' model/plan/*.c)
planned "$planner" || { echo "the planner as it is does not pass"; cat "$work/log"; exit 1; }
for operand in X X2 Y AUX DY DX MEAN_Y DY_GATE DY_MEAN; do
    change "$planner" "s/if (!t || member == FV_CONSTANT ||/if (o == FV_OPERAND_$operand || !t || member == FV_CONSTANT ||/"
    if planned "$planner"; then
        echo "not found: $operand is left out of lifetimes"
        failed=1
    else
        grep -m 1 -o 'checking a plan: .*' "$work/log" >"$work/said" ||
            { echo "$operand: found, but not by the check:"; cat "$work/log"; failed=1; }
        echo "found: $operand is left out of lifetimes: $(cat "$work/said")"
    fi
    restore "$planner"
done

change model/plan/memory.c 's/if (offset + span->bytes <= placed\[i\]->offset) break;/break;/'
if planned model/plan/memory.c; then
    echo "not found: a live span over another"
    failed=1
else
    grep -q 'share memory' "$work/log" || { cat "$work/log"; failed=1; }
    echo "found: a live span over another"
fi
exit $failed

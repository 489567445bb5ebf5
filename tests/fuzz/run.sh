#!/bin/sh
# Fuzzes the loaders, one after another, with libFuzzer under AddressSanitizer and UBSan:
#
#   tests/fuzz/run.sh [seconds for each] [target...]        60 seconds, all targets
#
# FEAVIS_FUZZ_RUNS=N stops a target after N inputs. The grown corpora are build/fuzz/corpus, what is
# found is in build/fuzz/found/TARGET: a crash, a leak, a broken promise, over 2 seconds, too much
# memory. Ends with 1 if anything was.
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=60
case ${1:-} in [0-9]*) seconds=$1 && shift ;; esac
command -v clang >/dev/null && command -v clang++ >/dev/null || {
    echo "fuzzing needs clang with libFuzzer: apt-get install clang libclang-rt-dev" >&2
    exit 1
}
all=$(ls tests/fuzz | sed -n 's/^fuzz_\(.*\)\.c$/\1/p' | tr '\n' ' ')
[ $# -gt 0 ] || set -- $all
for target; do
    [ -f "tests/fuzz/fuzz_$target.c" ] || {
        echo "there is no target $target; there are: $all" >&2
        exit 1
    }
done
mkdir -p build/fuzz
{ cmake --preset fuzz && cmake --build build/fuzz --target fuzzers; } >build/fuzz.log 2>&1 || {
    tail -n 40 build/fuzz.log >&2
    echo "the build failed; the whole log is build/fuzz.log" >&2
    exit 1
}
export FEAVIS_SOURCE="$PWD" FEAVIS_HOME="$PWD"
export ASAN_OPTIONS=quarantine_size_mb=4:detect_leaks=1:allocator_may_return_null=1
printf '%-13s %10s %8s %8s %9s  %s\n' target inputs seconds covered MB result
bad=0
for target; do
    kept=build/fuzz/corpus/$target found=build/fuzz/found/$target log=build/fuzz/$target.log
    mkdir -p "$kept" "$found"
    set -- "$kept" "tests/fuzz/corpus/$target"
    [ -d "tests/fuzz/found/$target" ] && set -- "$@" "tests/fuzz/found/$target"
    [ -f "tests/fuzz/$target.dict" ] && set -- "-dict=tests/fuzz/$target.dict" "$@"
    begin=$(date +%s)
    build/fuzz/tests/fuzz/fuzz_$target -max_total_time="$seconds" \
        -runs="${FEAVIS_FUZZ_RUNS:--1}" -timeout=30 -rss_limit_mb=1024 -max_len=4096 \
        -artifact_prefix="$found/" -print_final_stats=1 "$@" </dev/null >"$log" 2>&1
    code=$? result=clean
    if [ $code -ne 0 ]; then
        result="ended with $code: $log, $found" bad=1
    fi
    printf '%-13s %10s %8s %8s %9s  %s\n' "$target" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" $(($(date +%s) - begin)) \
        "$(sed -n 's/.*DONE *cov: \([0-9]*\).*/\1/p' "$log")" \
        "$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")" "$result"
done
exit $bad

#!/bin/sh
# ./run of a small checkout with the true ./run, .ci/setup and presets, and a program of ten lines:
#   test_run.sh SOURCE [BUILD]     BUILD: also runs the true program, if BUILD is SOURCE/build/release
set -eu
source=$1
scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
failed=0
unset FEAVIS_HOME CDPATH

fail() {
    echo "FAILED: $*" >&2
    failed=1
}

# holds WORDS FILE
holds() {
    grep -qF -- "$1" "$2" || fail "expected '$1' in $(basename "$2"): $(cat "$2")"
}

empty() {
    [ ! -s "$1" ] || fail "$(basename "$1") should be empty: $(cat "$1")"
}

checkout="$scratch/a checkout of 山"
make_checkout() {
    mkdir -p "$checkout/.ci"
    cp "$source/run" "$checkout/"
    cp "$source/.ci/setup" "$checkout/.ci/"
    cp "$source/CMakePresets.json" "$checkout/"
    for folder in kernels model feavis app shaders; do mkdir -p "$checkout/$folder"; done
    cat >"$checkout/app/main.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **args)
{
    char folder[4096];
    printf("in %s\n", getcwd(folder, sizeof folder));
    for (int i = 1; i < count; i++) printf("arg %s\n", args[i]);
    printf("home %s\n", getenv("FEAVIS_HOME") ? getenv("FEAVIS_HOME") : "none");
    return 0;
}
C
    cat >"$checkout/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.22)
project(small C)
option(FEAVIS_TESTS "" ON)
if(FEAVIS_TESTS)
    message(FATAL_ERROR "run asks for tests")
endif()
add_custom_target(never ALL COMMAND false)
add_custom_target(slow COMMAND sleep 1)
add_executable(feavis app/main.c)
add_dependencies(feavis slow)
set_target_properties(feavis PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/app)
C
}

# try [COMMAND ...] from a folder elsewhere: into out and err
elsewhere="$scratch/else where"
mkdir "$elsewhere"
try() {
    if ! (cd "$elsewhere" && "$@") >"$scratch/out" 2>"$scratch/err"; then
        fail "$*: $(cat "$scratch/err")"
    fi
}

# as somebody who owns nothing here
somebody() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$scratch/home" \
            XDG_CACHE_HOME="$scratch/home/cache" "$@"
    else
        env HOME="$scratch/home" XDG_CACHE_HOME="$scratch/home/cache" "$@"
    fi
}
mkdir "$scratch/home"
[ "$(id -u)" != 0 ] || chown 65534:65534 "$scratch/home"

builds_where_it_is_and_runs_where_the_caller_is() {
    make_checkout
    try "$checkout/run" imagine "two words" 蝴蝶
    printf 'in %s\narg imagine\narg two words\narg 蝴蝶\nhome none\n' "$elsewhere" |
        cmp - "$scratch/out" || fail "stdout is not the program's alone: $(cat "$scratch/out")"
    holds "feavis: building" "$scratch/err"
    holds " of " "$scratch/err"
}

says_nothing_when_built() {
    mkdir "$scratch/no"
    printf '#!/bin/sh\nexit 9\n' >"$scratch/no/cmake"
    chmod +x "$scratch/no/cmake"
    try env PATH="$scratch/no:$PATH" "$checkout/run"
    holds "in $elsewhere" "$scratch/out"
    empty "$scratch/err"
}

a_changed_source_is_built() {
    sleep 0.01
    sed -i 's/"in %s/"now in %s/' "$checkout/app/main.c"
    try "$checkout/run"
    holds "now in $elsewhere" "$scratch/out"
}

works_through_links() {
    mkdir "$scratch/bin"
    ln -s "../a checkout of 山/run" "$scratch/bin/first"
    ln -s "$scratch/bin/first" "$elsewhere/second"
    try ./second
    holds "in $elsewhere" "$scratch/out"
    rm "$elsewhere/second"
}

works_after_a_move() {
    mv "$checkout" "$scratch/moved"
    checkout=$scratch/moved
    try "$checkout/run"
    holds "in $elsewhere" "$scratch/out"
    holds "made elsewhere" "$scratch/err"
}

somebody_else_uses_what_is_built() {
    chmod -R a-w "$checkout"
    try somebody "$checkout/run"
    chmod -R u+w "$checkout"
    holds "in $elsewhere" "$scratch/out"
    empty "$scratch/err"
    [ ! -e "$scratch/home/cache" ] || fail "built again for somebody else"
}

a_checkout_that_cannot_be_written_is_built_in_the_cache() {
    rm -rf "$checkout/build"
    chmod -R a-w "$checkout"
    try somebody "$checkout/run"
    holds "in $elsewhere" "$scratch/out"
    holds "home $checkout" "$scratch/out"
    holds "cannot be written; building in $scratch/home/cache/feavis/" "$scratch/err"
    try somebody "$checkout/run"
    empty "$scratch/err"
    if somebody env XDG_CACHE_HOME=/proc/none "$checkout/run" >"$scratch/out" 2>"$scratch/err"; then
        fail "built nowhere"
    fi
    holds "nowhere to build" "$scratch/err"
    chmod -R u+w "$checkout"
}

two_first_runs_wait_for_each_other() {
    rm -rf "$checkout/build"
    "$checkout/run" >"$scratch/out1" 2>"$scratch/err1" &
    first=$!
    "$checkout/run" >"$scratch/out2" 2>"$scratch/err2" || fail "one of two: $(cat "$scratch/err2")"
    wait $first || fail "the other of two: $(cat "$scratch/err1")"
    [ "$(cat "$scratch/err1" "$scratch/err2" | grep -c 'waiting for it')" = 1 ] ||
        fail "one should wait: $(cat "$scratch/err1" "$scratch/err2")"
    [ "$(cat "$scratch/err1" "$scratch/err2" | grep -c 'once')" = 1 ] || fail "built twice"
}

a_build_that_fails_shows_its_log() {
    echo 'int main(void) { return nothing_of_this_name; }' >"$checkout/app/main.c"
    if "$checkout/run" >"$scratch/out" 2>"$scratch/err"; then fail "ran what was not built"; fi
    holds nothing_of_this_name "$scratch/err"
    holds "the whole log is $checkout/build/release.log" "$scratch/err"
    empty "$scratch/out"
}

missing_packages_are_named_in_one_line() {
    rm -rf "$checkout/build"
    printf '#!/bin/sh\nexit 1\n' >"$scratch/no/dpkg-query"
    printf '#!/bin/sh\nexit 1\n' >"$scratch/no/sudo"
    chmod +x "$scratch/no/dpkg-query" "$scratch/no/sudo"
    if somebody env PATH="$scratch/no:$PATH" "$checkout/run" </dev/null >"$scratch/out" \
        2>"$scratch/err"; then
        fail "ran without packages"
    fi
    holds "only root can install them: build-essential cmake ninja-build" "$scratch/err"
    ! grep -q cmocka "$scratch/err" || fail "the program needs no cmocka"
}

builds_where_it_is_and_runs_where_the_caller_is
says_nothing_when_built
a_changed_source_is_built
works_through_links
works_after_a_move
somebody_else_uses_what_is_built
a_checkout_that_cannot_be_written_is_built_in_the_cache
two_first_runs_wait_for_each_other
a_build_that_fails_shows_its_log
missing_packages_are_named_in_one_line
if [ "${2:-}" = "$source/build/release" ]; then
    try "$source/run" info "$source/gallery/penguin-1.png"
    holds penguin "$scratch/out"
fi
exit $failed

#!/bin/sh
# run.sh FEAVIS SCRIPT SOURCE UNPACKED: one script under Xvfb, in ./NAME, with the toy model.
set -eu
feavis=$1 script=$2 source=$3 unpacked=$4
name=$(basename "$script" .txt)
rm -rf "$name"
mkdir -p "$name"
cd "$name"
command -v xvfb-run >/dev/null || { echo "skipped: there is no xvfb-run"; exit 77; }
command -v xauth >/dev/null || { echo "skipped: there is no xauth"; exit 77; }
cp "$source"/tests/ui/*.png . 2>/dev/null || true
export FEAVIS_STATE=$PWD/state FEAVIS_HOME=$source LIBGL_ALWAYS_SOFTWARE=1 LP_NUM_THREADS=1 LANG=C.UTF-8
# LeakSanitizer blames 112 bytes, whatever the input, on a driver that is unloaded by then and so
# cannot be named in a list of exceptions
export ASAN_OPTIONS="detect_leaks=0"
case $name in *-sdl) export FEAVIS_RENDERER=sdl ;; esac
work() {
    xvfb-run -a -s "-screen 0 3840x2160x24" "$feavis" window --script "$1" --gallery gallery \
        --config "$source/tests/golden/towers/lite0/cfg.yml" --checkpoint "$unpacked/lite0.pth" \
        --vocab "$source/tests/golden/text_vocab.txt" --size 64 --steps 24 --shift 8 \
        --views 1 --threads 1
}
# NAME.then: what has to hold after the first script's crash, with the same state
then=${script%.txt}.then
if [ -f "$then" ]; then
    status=0
    work "$script" || status=$?
    [ "$status" = 137 ] || { echo "the first script ended with $status, not by SIGKILL"; exit 1; }
    script=$then
fi
work "$script"

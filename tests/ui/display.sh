# Sourced by the others: an Xvfb of its own in $DISPLAY until the script ends, and work(). Expects
# $build and $here; writes into the folder it is called in.

command -v Xvfb >/dev/null || { echo "skipped: there is no Xvfb"; exit 77; }
export LIBGL_ALWAYS_SOFTWARE=1 LP_NUM_THREADS=1 LANG=C.UTF-8

# The server picks a number that is free and writes it down.
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT
trap 'exit 1' INT TERM
rm -f number
mkfifo number
Xvfb -displayfd 3 -screen 0 3840x2160x24 -nolisten tcp 3>number >server.log 2>&1 &
server=$!
read -r number <number || { echo "Xvfb does not start:"; cat server.log; exit 1; }
export DISPLAY=:$number

# A sanitized program looks for leaks when it ends; the list names what others leak.
export LSAN_OPTIONS="suppressions=$here/leaks.supp:print_suppressions=0"
preload=
stay=$build/tests/libui_stay_loaded.so
[ ! -f "$stay" ] || preload=$(ldd "$build/app/feavis" | sed -n 's/.*libasan.* => \([^ ]*\).*/\1/p'):$stay

# The shipped model looking at 72 pixels instead of 224: a step takes some milliseconds. What it sees
# is worth little; the window does not mind.
ln -sfn "$here/../../model/mini" mini
sed -e 's/\(TITLE\): .*/\1: BriVL-mini at 72/' -e 's/\(IMG_SIZE\): .*/\1: 72/' \
    -e 's/\(ENCODER\): .*/\1: mini/' -e 's/\(CHECKPOINT\|VOCAB\|WORDS\): /&mini\//' \
    mini/mini.yml >small.yml

# work SCRIPT [WRAPPER...]: the window with a small model. "#: ..." in a script: more arguments.
work() {
    work_script=$1
    shift
    set -- "$@" env ${preload:+LD_PRELOAD=$preload}
    "$@" "$build/app/feavis" window --script "$work_script" --gallery gallery \
        --config small.yml --size 64 --steps 24 --shift 8 --views 1 --threads 1 \
        $(sed -n 's/^#: //p' "$work_script")
}

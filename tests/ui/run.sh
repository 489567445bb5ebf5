#!/bin/sh
# run.sh BUILD NAME [renderer]: NAME.txt in the real window under Xvfb, with the toy model and an
# empty state, in BUILD/tests/ui/NAME. Then its screenshots are compared with those of expect/NAME.
#   FEAVIS_UI_WRITE=1   makes the references of expect/NAME anew instead (look at them)
#   FEAVIS_TRACE=1      prints the script's lines as they come
# A line "#$ COMMAND" of NAME.txt is for the shell, before the window opens. NAME.beside works a
# window that is open first, on the same state, and is killed at the end; NAME.after one that opens
# after that.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd) name=$2
script=$here/$name.txt source=$here/../..
[ -f "$script" ] || { echo "there is no $script"; exit 1; }
[ -z "${3:-}" ] || { export FEAVIS_RENDERER=$3; name=$name-$3; }
rm -rf "$build/tests/ui/$name"
mkdir -p "$build/tests/ui/$name/gallery" "$build/tests/ui/$name/state/queue"
cd "$build/tests/ui/$name"
cp "$here"/*.png .
export FEAVIS_STATE=$PWD/state FEAVIS_HOME=$source
. "$here/display.sh"

whole() {
    for png in gallery/*.png; do
        [ ! -f "$png" ] || "$build/tests/ui_same" --write /dev/null "$png" || exit 1 # reads it
    done
}
count() {
    ls "$1" | grep -c "$2" || true
}

# A script with a NAME.then is killed, at a moment each, and the .then is what a second start has
# to find: every picture that was finished, byte for byte, and all that was asked for made.
moments="gallery:4:0 gallery:6:0 gallery:7:0 gallery:8:0 queue:2:0 queue:6:0"
moments="$moments gallery:3:$(shuf -i 0-300 -n 1) queue:$(shuf -i 8-11 -n 1):$(shuf -i 0-60 -n 1)"
if [ -f "$here/$name.then" ]; then
    for moment in $moments; do
        rm -rf gallery state
        mkdir -p gallery state/queue
        where=${moment%%:*} when=${moment#*:}
        [ "$where" = gallery ] || where=state/$where
        status=0
        work "$script" "$build/tests/ui_kill_when" $where ${when%:*} ${when#*:} || status=$?
        [ $status = 137 ] || { echo "$moment: it ended with $status, not by SIGKILL"; exit 1; }
        whole
        made=$(count gallery '\.png$') asked=$(count state/queue '\.yml$')
        echo "killed at $moment: $made pictures made, $asked in the queue"
        [ $where != gallery ] || [ $((made + asked)) -ge 3 ] || { echo "something is lost"; exit 1; }
        (cd gallery && cksum ./*.png >../made 2>/dev/null) || true
        work "$here/$name.then"
        whole
        (cd gallery && cksum ./*.png) >after
        grep -vxFf after made && { echo "a finished picture is another one or gone"; exit 1; }
        [ "$(count gallery '\.png$')" -ge $((made + asked)) ] || { echo "not all is made"; exit 1; }
        [ "$(count state/queue '\.yml$')" = 0 ] || { echo "the queue is not empty"; exit 1; }
    done
    exit 0
fi

eval "$(sed -n 's/^#\$ //p' "$script")"
if [ -f "$here/$name.beside" ]; then
    work "$here/$name.beside" sh -c 'echo $$ >beside.pid; exec "$@"' beside >beside.log 2>&1 &
    beside=$!
    tries=0
    until grep -q '^phase' beside.log 2>/dev/null; do # its last line but one prints that
        [ $((tries += 1)) -lt 600 ] || { echo "no window beside:"; cat beside.log; exit 1; }
        sleep 0.1
    done
    status=0
    work "$script" || status=$?
    [ $status = 0 ] || [ $status = 137 ] || exit $status
    kill -9 "$(cat beside.pid)"
    wait $beside || true
else
    work "$script"
fi
[ ! -f "$here/$name.after" ] || work "$here/$name.after"
# with another font every text is another one
font=/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc
[ -f $font ] || { echo "screenshots are not compared: there is no $font"; exit 0; }
failed=0
for expected in "$here/expect/$name"/*.png; do
    [ -f "$expected" ] || continue
    if [ -n "${FEAVIS_UI_WRITE:-}" ]; then
        "$build/tests/ui_same" --write "$expected" "$(basename "$expected")"
    else
        "$build/tests/ui_same" "$expected" "$(basename "$expected")" || failed=1
    fi
done
exit $failed

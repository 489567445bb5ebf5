#!/bin/sh
# soak.sh BUILD SEED SECONDS [renderer]: random input for so long, in BUILD/tests/ui/soak-SEED.
# soak.sh BUILD rounds N [renderer]: one round of ordinary work N times, to see what memory does.
#
# Both print the memory of the process as they go. With a sanitized BUILD a bad access, undefined
# behaviour or a leak ends it with a report and an exit status other than zero.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd) seed=$2 amount=$3 source=$here/../..
folder=$build/tests/ui/soak-$seed
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
cp "$here"/*.png .
export FEAVIS_STATE=$PWD/state FEAVIS_HOME=$source
[ -z "${4:-}" ] || export FEAVIS_RENDERER=$4
. "$here/display.sh"

random_input() {
    piece=0
    while [ $piece -lt 12 ]; do
        echo "monkey $((seed * 100 + piece)) $((amount / 12))s"
        echo "print memory saves queue"
        piece=$((piece + 1))
    done
}
# A poem, ways to look, nine seeds, the gallery, similarity, sizes; then memory.
rounds() {
    round=0
    printf '%s\n' 'click text' 'type moon' 'key Return' 'type snow'
    while [ $round -lt "$amount" ]; do
        printf '%s\n' 'note saves' 'click imagine' 'wait saves = noted+2' 'click heat' \
            'click activation' 'click difference' 'click difference' 'key Left' 'key Left' \
            'click film' 'wait saves = noted+3' 'click page-seeds' 'click fill' \
            'wait phase = seeds' 'wait board = 9' 'wait phase = idle' 'click page-gallery' \
            'frames 20' 'click saved-0' 'click delete' 'frames 5' 'click page-match' \
            'drop start.png' 'click match-texts' 'type moon' 'key Escape' 'click compute' \
            'frames 5' 'click clear' 'click match-texts' 'key Ctrl+A' 'key Delete' 'key Escape' \
            'click page-imagine' 'resize 1600 1000' 'frames 5' 'resize 1280 800' 'frames 5' \
            'click language' 'click theme' 'frames 5' 'print memory'
        round=$((round + 1))
    done
}
{
    echo "wait phase = idle"
    if [ "$seed" = rounds ]; then rounds; else random_input; fi
    echo "compose "
    echo "frames 5"
    echo "quit"
} >soak.txt
work soak.txt

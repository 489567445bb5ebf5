#!/bin/sh
# measure.sh BUILD [SCRIPT]: how long from a key to the screen while the shipped model works on both
# cores, how soon it pauses, and what handing the picture over costs. Not a test: it needs a machine
# with nothing else to do. Prints milliseconds; the figures in SPEED.md are from here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd) source=$here/../..
rm -rf "$build/tests/ui/measure"
mkdir -p "$build/tests/ui/measure"
cd "$build/tests/ui/measure"
export FEAVIS_STATE=$PWD/state FEAVIS_HOME=$source
. "$here/display.sh"
cat >measure.txt <<END
#: --config $source/model/mini/mini.yml --size 224 --steps 100000 --views 2 --threads 2
wait phase = idle
click text
type a lighthouse
latency 50 text type x
key Ctrl+A
type a lighthouse
click imagine
wait step >= 10
click text
latency 100 text type x
latency 1 text type 海
latency 1 text type 山
latency 1 text type 雪
latency 1 text type 夜
latency 1 text type 光
key Escape
latency 40 phase key Space
wait step >= 100
print rate stepping handing order-lag step
quit
END
work measure.txt

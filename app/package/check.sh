#!/bin/sh
# Builds the Debian packages into FOLDER, asks lintian, and installs them with apt alone in a bare
# Debian (debootstrap, as root), where the program has to dream without a compiler.
#   app/package/check.sh FOLDER [SUITE]
set -eu
folder=${1:?which folder}
top=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$top/.ci/setup"
need $packages dpkg-dev lintian
mkdir -p "$folder"
folder=$(cd "$folder" && pwd -P)
suite=${2:-$(. /etc/os-release && echo "$VERSION_CODENAME")}

build="$folder/build"
cmake -S "$top" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr \
    -DFEAVIS_TESTS=OFF -DFEAVIS_CUDA=OFF
cmake --build "$build"
(cd "$build" && cpack -G DEB -B "$folder")
lintian --fail-on error "$folder"/*.deb

command -v debootstrap >/dev/null || exit 0
bare="$folder/bare"
[ -x "$bare/usr/bin/apt-get" ] || debootstrap --variant=minbase "$suite" "$bare"
cp "$folder"/*.deb "$bare/tmp/"
mount -t proc proc "$bare/proc"
trap 'umount "$bare/proc"' EXIT
chroot "$bare" apt-get update -q
chroot "$bare" sh -c 'apt-get install -y --no-install-recommends /tmp/feavis_*.deb /tmp/feavis-data_*.deb'
! chroot "$bare" sh -c 'command -v cc gcc clang c++ python3'
chroot "$bare" sh -c 'cd /tmp && feavis imagine 蝴蝶 --steps 20 --out 蝴蝶.png && feavis info 蝴蝶.png'
chroot "$bare" sh -c 'apt-get install -y --no-install-recommends /tmp/libfeavis0_*.deb /tmp/python3-feavis_*.deb'
chroot "$bare" python3 -c 'import feavis; print(feavis.imagine("梦", steps=5, size=64).scores)'
chroot "$bare" apt-get remove -y feavis feavis-data python3-feavis
! chroot "$bare" test -e /usr/share/feavis

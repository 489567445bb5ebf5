#!/bin/sh
# Puts what the program is linked with, headers and shared objects, into a folder (12 MB), for a build
# on a machine that has a compiler and nothing to install from.
#   tests/gpu/carry.sh FOLDER        then there: cmake -DFEAVIS_CARRIED=FOLDER ...
set -eu
[ $# = 1 ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 2; }
HEADERS="yaml.h utf8proc.h zlib.h zconf.h jpeglib.h jconfig.h jmorecfg.h jerror.h png.h pngconf.h pnglibconf.h
    webp libexif freetype2 fontconfig cmocka.h stb"
LIBRARIES="yaml utf8proc z jpeg png16 webp webpdemux webpmux exif freetype fontconfig cmocka"
cc=${CC:-cc}
folder=$1
rm -rf "$folder/include" "$folder/lib"
mkdir -p "$folder/include" "$folder/lib"

for name in $HEADERS; do
    found=
    for at in /usr/local/include /usr/include /usr/include/libpng16 "/usr/include/$($cc -print-multiarch)"; do
        [ -z "$found" ] && [ -e "$at/$name" ] || continue
        cp -RL "$at/$name" "$folder/include/" && found=yes
    done
    [ -n "$found" ] || { echo "carry.sh: no header $name here" >&2; exit 1; }
done

# what these need in turn, but not the C library's own
needed() {
    ldd "$1" | awk '/=> \// { print $3 }' |
        grep -vE '/(libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+)\.so'
}
for name in $LIBRARIES; do
    file=$($cc -print-file-name="lib$name.so")
    [ -e "$file" ] || { echo "carry.sh: no library $name here" >&2; exit 1; }
    cp -L "$file" "$folder/lib/lib$name.so"
    soname=$(objdump -p "$file" | awk '/SONAME/ { print $2 }')
    cp -L "$file" "$folder/lib/$soname"
    needed "$file" | while read -r other; do cp -L "$other" "$folder/lib/$(basename "$other")"; done
done
du -sh "$folder" | awk '{ print $1 " to carry" }'

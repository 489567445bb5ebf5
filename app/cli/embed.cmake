# cmake -D OUT=page.h -D FILE=page.html -D NAME=page -P embed.cmake: a file as bytes, a zero behind it.
file(READ ${FILE} hex HEX)
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
get_filename_component(from ${FILE} NAME)
file(WRITE ${OUT} "/* made of ${from} by embed.cmake */\nstatic const unsigned char ${NAME}[] = {\n${hex}0};\n")

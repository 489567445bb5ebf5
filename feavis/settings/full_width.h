/* Full-width forms, as Chinese input methods type them, in the syntax of options. */
#ifndef FV_FULL_WIDTH_H
#define FV_FULL_WIDTH_H

/* The ASCII twin of the character at `at`, if it is one of U+FF01 to U+FF5E or U+3000, a space:
 * three bytes of UTF-8 in each case; 0: it has none. */
static inline char fv_full_width(const char *at)
{
    const unsigned char *u = (const unsigned char *)at;
    if (u[0] == 0xe3 && u[1] == 0x80 && u[2] == 0x80) return ' ';
    if (u[0] != 0xef || (u[1] != 0xbc && u[1] != 0xbd) || u[2] < 0x80) return 0;
    unsigned code = (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
    return code >= 0xf01 && code <= 0xf5e ? (char)(code - 0xf00 + 0x20) : 0;
}

#endif

/* Text as a double-quoted YAML scalar. See yaml.h. */
#include <stdio.h>
#include <utf8proc.h>

#include "model/files/yaml.h"

/* Stands for itself in YAML (1.2, section 5.1) and is no line break, which would be folded. */
static bool is_plain(utf8proc_int32_t c)
{
    return (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') || (c >= 0xa0 && c < 0x2028) ||
           (c > 0x2029 && c < 0xfeff) || (c > 0xfeff && c < 0xfffe) || c >= 0x10000;
}

/* Bytes that are not UTF-8 stay as they are. */
void fv_yaml_quote(FILE *f, const char *text)
{
    fputc('"', f);
    for (const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text; *at;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(at, -1, &c);
        if (n <= 0 || is_plain(c))
            fwrite(at, 1, n <= 0 ? 1 : (size_t)n, f);
        else
            fprintf(f, "\\u%04X", (unsigned)c);
        at += n <= 0 ? 1 : n;
    }
    fputc('"', f);
}

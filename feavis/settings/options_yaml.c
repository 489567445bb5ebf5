/* Options in YAML maps: those of presets, recipes, saved states and queues. A file sets what
 * decides the picture and nothing else (FV_OPTION_RECIPE); of the rest only a notice is taken.
 *
 *   text: "梦"
 *   start: "moon.png"
 *   start%: "caf%E9.png"        # a path that is not UTF-8, in its place */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/settings/options.h"
#include "model/files/yaml.h"
#include "model/text/text.h"

/* --- out --- */

static void print_bytes(FILE *f, const char *path)
{
    for (const unsigned char *at = (const unsigned char *)path; *at; at++)
        if (*at > 0x20 && *at < 0x7f && !strchr("%\"\\", *at))
            fputc(*at, f);
        else
            fprintf(f, "%%%02X", *at);
}

void fv_options_print_yaml(FILE *f, const fv_option *row, const char *value)
{
    bool bytes = (row->flags & FV_OPTION_FILE) && fv_utf8_check(value, strlen(value), "path") < 0;
    fprintf(f, "%s%s: ", row->name, bytes ? "%" : "");
    if (bytes) {
        fputc('"', f);
        print_bytes(f, value);
        fputs("\"\n", f);
        return;
    }
    if (row->kind == FV_OPTION_TEXT)
        fv_yaml_quote(f, value);
    else
        fputs(value, f);
    fputc('\n', f);
}

/* --- in --- */

static int digit(char c)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* %XX in place, but no zero byte. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        int high = *s == '%' ? digit(s[1]) : -1, low = high < 0 ? -1 : digit(s[2]);
        bool escaped = low >= 0 && high * 16 + low > 0;
        *to++ = escaped ? (char)(high * 16 + low) : *s;
        if (escaped) s += 2;
    }
    *to = 0;
}

/* The row that a key names, also as "start%"; NULL: there is none. */
static const fv_option *row_of(const char *key, bool *bytes)
{
    char name[32];
    size_t n = strlen(key);
    *bytes = n > 1 && n < sizeof name && key[n - 1] == '%';
    if (!*bytes) return fv_option_find(key);
    snprintf(name, sizeof name, "%.*s", (int)n - 1, key);
    const fv_option *row = fv_option_find(name);
    return row && (row->flags & FV_OPTION_FILE) ? row : NULL;
}

static fv_status copy_value(char **out, const fv_yaml *doc, const char *key,
                            const fv_yaml_node *value, bool bytes)
{
    if (!fv_yaml_is_scalar(value))
        return fv_fail(FV_ERR_FORMAT, "%s:%d: %s should be one value", fv_yaml_name(doc),
                       fv_yaml_line(value), key);
    char *copy = strdup(fv_yaml_text(value));
    if (!copy) return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", fv_yaml_name(doc));
    if (bytes) unescape(copy);
    *out = copy;
    return FV_OK;
}

fv_status fv_options_value(char **out, const fv_yaml *doc, const fv_yaml_node *map,
                           const fv_option *row)
{
    *out = NULL;
    for (int i = 0; i < fv_yaml_count(map); i++) {
        bool bytes;
        const char *key = fv_yaml_key(map, i);
        if (row_of(key, &bytes) != row) continue;
        free(*out);
        *out = NULL;
        FV_TRY(copy_value(out, doc, key, fv_yaml_at(map, i), bytes));
    }
    return FV_OK;
}

static bool listed(const char *key, const char *const *list)
{
    for (; list && *list; list++)
        if (strcmp(key, *list) == 0) return true;
    return false;
}

/* "evil.png sets out, threads: left, ..." behind what other files said. */
static fv_status add_notice(fv_options *o, const char *file, const char *names)
{
    char *notice;
    if (!*names) return FV_OK;
    if (asprintf(&notice, "%s%s%s sets %s: left, as no file says where to write or to compute",
                 o->notice ? o->notice : "", o->notice ? "; " : "", file, names) < 0)
        return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", file);
    free(o->notice);
    o->notice = notice;
    return FV_OK;
}

const char *fv_options_notice(const fv_options *o)
{
    return o->notice ? o->notice : "";
}

static fv_status set_value(fv_options *o, const fv_yaml *doc, const char *key, const char *name,
                           const fv_yaml_node *node, bool bytes, bool written)
{
    char *value;
    FV_TRY(copy_value(&value, doc, key, node, bytes));
    fv_status s = (written ? fv_options_set_written : fv_options_set)(o, name, value);
    free(value);
    if (s < 0) return fv_fail_context(s, "%s:%d", fv_yaml_name(doc), fv_yaml_line(node));
    return FV_OK;
}

fv_status fv_options_from_yaml(fv_options *o, const fv_yaml *doc, const fv_yaml_node *map,
                               const char *const *skip, unsigned but)
{
    char left[256] = "";
    /* a preset is typed by a person; a recipe's text means what it meant when it was written */
    bool written = fv_yaml_find(map, "feavis") != NULL;
    for (int i = 0; i < fv_yaml_count(map); i++) {
        bool bytes;
        const char *key = fv_yaml_key(map, i);
        if (listed(key, skip)) continue;
        const fv_option *row = row_of(key, &bytes);
        size_t n = strlen(left);
        if (row && !(row->flags & FV_OPTION_RECIPE))
            snprintf(left + n, sizeof left - n, "%s%s", n ? ", " : "", row->name);
        else if (!row || !(row->flags & but))
            FV_TRY(
                set_value(o, doc, key, row ? row->name : key, fv_yaml_at(map, i), bytes, written));
    }
    return add_notice(o, fv_yaml_name(doc), left);
}

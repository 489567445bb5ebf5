/* See json.h. */
#include "app/cli/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/names.h"

static bool wanted;

void json_ask(bool on)
{
    wanted = on;
}

bool json_on(void)
{
    return wanted;
}

/* U+202a to U+202e and U+2066 to U+2069, at two bytes behind e2, show letters in another order. */
static int reorders(const unsigned char *at)
{
    bool overrides = at[1] == 0x80 && at[2] >= 0xaa && at[2] <= 0xae;
    bool isolates = at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9;
    return overrides || isolates ? 0x2000 | (at[1] & 0x3f) << 6 | (at[2] & 0x3f) : 0;
}

/* Controls past 0x7f are two bytes of UTF-8, c2 and theirs; a terminal obeys them too. */
static void quote(const char *text)
{
    putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
            printf("\\u%04x", *++at);
        else if (*at == 0xe2 && reorders(at)) {
            printf("\\u%04x", reorders(at));
            at += 2;
        } else if (*at == '"' || *at == '\\')
            printf("\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            printf("\\u%04x", *at);
        else
            putchar(*at);
    }
    putchar('"');
}

static void key_of(const char *key)
{
    putchar(',');
    quote(key);
    putchar(':');
}

void json_begin(const char *kind)
{
    fputs("{\"kind\":", stdout);
    quote(kind);
}

void json_text(const char *key, const char *text)
{
    key_of(key);
    if (text)
        quote(text);
    else
        fputs("null", stdout);
}

void json_path(const char *key, const char *path)
{
    char *name = fv_name_escaped(path);
    json_text(key, name);
    free(name);
}

void json_number(const char *key, double x)
{
    key_of(key);
    if (isfinite(x))
        printf("%.9g", x);
    else
        fputs("null", stdout);
}

void json_whole(const char *key, long long x)
{
    key_of(key);
    printf("%lld", x);
}

void json_flag(const char *key, bool x)
{
    key_of(key);
    fputs(x ? "true" : "false", stdout);
}

void json_end(void)
{
    fputs("}\n", stdout);
}

void json_file(const char *kind, const char *folder, const char *name)
{
    char *path = NULL;
    if (folder && asprintf(&path, "%s/%s", folder, name) < 0) path = NULL;
    json_begin(kind);
    json_path("path", path ? path : name);
    json_end();
    free(path);
}

/* --- what others print --- */

fv_status json_open(json_capture *c)
{
    *c = (json_capture){.to = stdout};
    if (!wanted) return FV_OK;
    c->to = open_memstream(&c->text, &c->size);
    return c->to ? FV_OK : fv_fail(FV_ERR_MEMORY, "printing: out of memory");
}

static void print_line(const char *kind, char *line, bool named)
{
    json_begin(kind);
    if (named) {
        char *value = line + strcspn(line, " ");
        while (*value == ' ') *value++ = 0;
        json_text("name", line);
        json_text("value", value);
    } else {
        json_text("text", line);
    }
    json_end();
}

void json_close(json_capture *c, const char *kind, bool named)
{
    if (c->to == stdout || !c->to) return;
    fclose(c->to);
    char *rest = c->text, *line;
    while ((line = strsep(&rest, "\n")))
        if (*line) print_line(kind, line, named);
    free(c->text);
}

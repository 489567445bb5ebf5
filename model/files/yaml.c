/* YAML and JSON through libyaml's events, as a tree. See yaml.h. */
#include "model/files/yaml.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "kernels/number.h"

enum { MAX_BYTES = 4 << 20, MAX_NODES = 100000, MAX_DEPTH = 32, MAX_TAGS = 100 };

typedef enum node_kind { SCALAR, LIST, MAP } node_kind;

struct fv_yaml_node {
    node_kind kind;
    int line, count, room;
    char *text;           /* of a scalar */
    char **keys;          /* of a map */
    fv_yaml_node **items; /* of a list or map */
};

struct fv_yaml {
    char *name;
    fv_yaml_node *root;
};

/* --- building --- */

typedef struct reader {
    yaml_parser_t parser;
    const char *name;
    int nodes;
} reader;

static void free_node(fv_yaml_node *n)
{
    if (!n) return;
    for (int i = 0; i < n->count; i++) {
        if (n->keys) free(n->keys[i]);
        free_node(n->items[i]);
    }
    free(n->keys);
    free(n->items);
    free(n->text);
    free(n);
}

static fv_status out_of_memory(const reader *r)
{
    return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", r->name);
}

static fv_status next_event(reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event)) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "%s:%zu: not YAML: %s", r->name, r->parser.problem_mark.line + 1,
                   r->parser.problem ? r->parser.problem : "unreadable");
}

static fv_status new_node(reader *r, const yaml_event_t *event, node_kind kind, fv_yaml_node **out)
{
    int line = (int)event->start_mark.line + 1;
    if (++r->nodes > MAX_NODES)
        return fv_fail(FV_ERR_FORMAT, "%s:%d: more than %d values", r->name, line, MAX_NODES);
    fv_yaml_node *n = calloc(1, sizeof *n);
    if (!n) return out_of_memory(r);
    n->kind = kind;
    n->line = line;
    *out = n;
    return FV_OK;
}

/* Makes room for one more entry; the key, if any, stays the caller's until it is stored. */
static bool grow(fv_yaml_node *n)
{
    if (n->count < n->room) return true;
    int room = n->room ? 2 * n->room : 8;
    fv_yaml_node **items = realloc(n->items, (size_t)room * sizeof *items);
    if (items) n->items = items;
    char **keys = n->kind == MAP ? realloc(n->keys, (size_t)room * sizeof *keys) : NULL;
    if (keys) n->keys = keys;
    if (!items || (n->kind == MAP && !keys)) return false;
    n->room = room;
    return true;
}

static fv_status read_node(reader *r, yaml_event_t *event, int depth, fv_yaml_node **out);

static fv_status read_list(reader *r, fv_yaml_node *list, int depth)
{
    for (;;) {
        yaml_event_t event;
        FV_TRY(next_event(r, &event));
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return FV_OK;
        }
        fv_yaml_node *item = NULL;
        fv_status s = read_node(r, &event, depth, &item);
        if (s < 0) return s;
        if (!grow(list)) {
            free_node(item);
            return out_of_memory(r);
        }
        list->items[list->count++] = item;
    }
}

static fv_status read_key(reader *r, const yaml_event_t *event, char **out)
{
    int line = (int)event->start_mark.line + 1;
    if (event->type != YAML_SCALAR_EVENT)
        return fv_fail(FV_ERR_FORMAT, "%s:%d: a key should be plain text", r->name, line);
    const char *key = (const char *)event->data.scalar.value;
    if (strlen(key) != event->data.scalar.length)
        return fv_fail(FV_ERR_FORMAT, "%s:%d: a key holds a zero byte", r->name, line);
    *out = strdup(key);
    return *out ? FV_OK : out_of_memory(r);
}

static int by_key(const void *a, const void *b, void *map)
{
    int i = *(const int *)a, k = *(const int *)b;
    int order = strcmp(((const fv_yaml_node *)map)->keys[i], ((const fv_yaml_node *)map)->keys[k]);
    return order ? order : i - k;
}

/* Once the map is whole, so that many keys do not take their square in time. */
static fv_status check_keys(const reader *r, fv_yaml_node *map)
{
    if (map->count < 2) return FV_OK;
    int *order = malloc((size_t)map->count * sizeof *order), twice = map->count;
    if (!order) return out_of_memory(r);
    for (int i = 0; i < map->count; i++) order[i] = i;
    qsort_r(order, (size_t)map->count, sizeof *order, by_key, map);
    for (int i = 1; i < map->count; i++)
        if (strcmp(map->keys[order[i - 1]], map->keys[order[i]]) == 0 && order[i] < twice)
            twice = order[i];
    free(order);
    if (twice == map->count) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "%s:%d: the key %.80s stands there twice", r->name,
                   map->items[twice]->line, map->keys[twice]);
}

static fv_status read_map(reader *r, fv_yaml_node *map, int depth)
{
    for (;;) {
        yaml_event_t event;
        char *key = NULL;
        fv_yaml_node *value = NULL;
        FV_TRY(next_event(r, &event));
        bool end = event.type == YAML_MAPPING_END_EVENT;
        fv_status s = end ? FV_OK : read_key(r, &event, &key);
        yaml_event_delete(&event);
        if (end) return check_keys(r, map);
        if (s < 0) return s;
        s = next_event(r, &event);
        if (s >= 0) s = read_node(r, &event, depth, &value);
        if (s >= 0 && !grow(map)) s = out_of_memory(r);
        if (s < 0) {
            free(key);
            free_node(value);
            return s;
        }
        map->keys[map->count] = key;
        map->items[map->count++] = value;
    }
}

static fv_status read_scalar(reader *r, const yaml_event_t *event, fv_yaml_node *n)
{
    const char *text = (const char *)event->data.scalar.value;
    if (strlen(text) != event->data.scalar.length)
        return fv_fail(FV_ERR_FORMAT, "%s:%d: a value holds a zero byte", r->name, n->line);
    n->text = strdup(text);
    return n->text ? FV_OK : out_of_memory(r);
}

static bool anchored(const yaml_event_t *event)
{
    return (event->type == YAML_SCALAR_EVENT && event->data.scalar.anchor) ||
           (event->type == YAML_SEQUENCE_START_EVENT && event->data.sequence_start.anchor) ||
           (event->type == YAML_MAPPING_START_EVENT && event->data.mapping_start.anchor);
}

/* The node that begins with `event`, which is consumed. */
static fv_status read_node(reader *r, yaml_event_t *event, int depth, fv_yaml_node **out)
{
    fv_yaml_node *n = NULL;
    fv_status s;
    int line = (int)event->start_mark.line + 1;
    if (depth >= MAX_DEPTH) {
        s = fv_fail(FV_ERR_FORMAT, "%s:%d: nested more than %d deep", r->name, line, MAX_DEPTH);
        yaml_event_delete(event);
        return s;
    }
    switch (anchored(event) ? YAML_ALIAS_EVENT : event->type) {
    case YAML_SCALAR_EVENT:
        s = new_node(r, event, SCALAR, &n);
        if (s >= 0) s = read_scalar(r, event, n);
        yaml_event_delete(event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        s = new_node(r, event, LIST, &n);
        yaml_event_delete(event);
        if (s >= 0) s = read_list(r, n, depth + 1);
        break;
    case YAML_MAPPING_START_EVENT:
        s = new_node(r, event, MAP, &n);
        yaml_event_delete(event);
        if (s >= 0) s = read_map(r, n, depth + 1);
        break;
    default:
        s = fv_fail(FV_ERR_FORMAT, "%s:%d: anchors and aliases are not read", r->name, line);
        yaml_event_delete(event);
    }
    if (s < 0) {
        free_node(n);
        return s;
    }
    *out = n;
    return FV_OK;
}

static fv_status read_stream(reader *r, fv_yaml_node **root)
{
    yaml_event_t event;
    for (;;) {
        FV_TRY(next_event(r, &event));
        yaml_event_type_t type = event.type;
        if (type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&event);
            return FV_OK;
        }
        if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_END_EVENT ||
            (type == YAML_DOCUMENT_START_EVENT && !*root)) {
            yaml_event_delete(&event);
            continue;
        }
        if (type == YAML_DOCUMENT_START_EVENT) {
            int line = (int)event.start_mark.line + 1;
            yaml_event_delete(&event);
            return fv_fail(FV_ERR_FORMAT, "%s:%d: a second document begins", r->name, line);
        }
        FV_TRY(read_node(r, &event, 0, root));
    }
}

/* libyaml compares each %TAG with all before it: 4 MiB of them would take minutes. Zero bytes are
 * those of UTF-16. */
static bool has_many_tags(const char *text, size_t bytes)
{
    static const char word[] = "%TAG";
    size_t found = 0, matched = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (!text[i]) continue;
        matched = text[i] == word[matched] ? matched + 1 : text[i] == word[0];
        if (matched < sizeof word - 1) continue;
        found++;
        matched = 0;
    }
    return found > MAX_TAGS;
}

fv_status fv_yaml_parse(fv_yaml **out, const char *text, size_t bytes, const char *what)
{
    if (bytes > MAX_BYTES)
        return fv_fail(FV_ERR_FORMAT, "%s has %zu bytes, expected at most %d", what, bytes,
                       MAX_BYTES);
    if (has_many_tags(text, bytes))
        return fv_fail(FV_ERR_FORMAT, "%s: more than %d %%TAG directives", what, MAX_TAGS);
    fv_yaml *doc = calloc(1, sizeof *doc);
    if (doc) doc->name = strdup(what);
    reader r = {.name = what};
    if (!doc || !doc->name || !yaml_parser_initialize(&r.parser)) {
        fv_yaml_free(doc);
        return out_of_memory(&r);
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, bytes);
    fv_status s = read_stream(&r, &doc->root);
    yaml_parser_delete(&r.parser);
    if (s < 0) {
        fv_yaml_free(doc);
        return s;
    }
    *out = doc;
    return FV_OK;
}

/* Up to MAX_BYTES + 1 of a file, which may be a pipe. */
static fv_status read_bytes(FILE *f, const char *path, char **text, size_t *bytes)
{
    for (size_t room = 1 << 14;; room *= 4) {
        if (room > MAX_BYTES + 1) room = MAX_BYTES + 1;
        char *more = realloc(*text, room);
        if (!more) return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", path);
        *text = more;
        *bytes += fread(*text + *bytes, 1, room - *bytes, f);
        if (ferror(f)) return fv_fail(FV_ERR_IO, "reading %s: %s", path, strerror(errno));
        if (*bytes < room || room > MAX_BYTES) return FV_OK;
    }
}

fv_status fv_yaml_open(fv_yaml **out, const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f) return fv_fail(FV_ERR_IO, "opening %s: %s", path, strerror(errno));
    char *text = NULL;
    size_t bytes = 0;
    fv_status s;
    if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode))
        s = fv_fail(FV_ERR_IO, "opening %s: it is a folder", path);
    else
        s = read_bytes(f, path, &text, &bytes);
    fclose(f);
    if (s >= 0) s = fv_yaml_parse(out, text, bytes, path);
    free(text);
    return s;
}

void fv_yaml_free(fv_yaml *doc)
{
    if (!doc) return;
    free_node(doc->root);
    free(doc->name);
    free(doc);
}

/* --- looking --- */

const fv_yaml_node *fv_yaml_root(const fv_yaml *doc)
{
    return doc->root;
}

const char *fv_yaml_name(const fv_yaml *doc)
{
    return doc->name;
}

bool fv_yaml_is_map(const fv_yaml_node *n)
{
    return n && n->kind == MAP;
}

bool fv_yaml_is_list(const fv_yaml_node *n)
{
    return n && n->kind == LIST;
}

bool fv_yaml_is_scalar(const fv_yaml_node *n)
{
    return n && n->kind == SCALAR;
}

int fv_yaml_line(const fv_yaml_node *n)
{
    return n->line;
}

int fv_yaml_count(const fv_yaml_node *n)
{
    return n ? n->count : 0;
}

const char *fv_yaml_key(const fv_yaml_node *map, int i)
{
    return map->keys[i];
}

const fv_yaml_node *fv_yaml_at(const fv_yaml_node *n, int i)
{
    return i >= 0 && i < n->count ? n->items[i] : NULL;
}

const fv_yaml_node *fv_yaml_find(const fv_yaml_node *map, const char *key)
{
    for (int i = 0; fv_yaml_is_map(map) && i < map->count; i++)
        if (strcmp(map->keys[i], key) == 0) return map->items[i];
    return NULL;
}

const char *fv_yaml_text(const fv_yaml_node *n)
{
    return n->text;
}

/* --- typed --- */

static fv_status wrong(const fv_yaml *doc, const fv_yaml_node *n, const char *key,
                       const char *expected)
{
    return fv_fail(FV_ERR_FORMAT, "%s:%d: %s is \"%.60s\", expected %s", doc->name, n->line, key,
                   n->kind == SCALAR ? n->text
                   : n->kind == LIST ? "[...]"
                                     : "{...}",
                   expected);
}

static bool read_double(const fv_yaml_node *n, double *out)
{
    char *end;
    if (n->kind != SCALAR || !*n->text) return false;
    double x = fv_to_double(n->text, &end);
    if (*end || !isfinite(x)) return false;
    *out = x;
    return true;
}

fv_status fv_yaml_int(const fv_yaml *doc, const fv_yaml_node *map, const char *key, int *out)
{
    const fv_yaml_node *n = fv_yaml_find(map, key);
    if (!n) return FV_OK;
    char *end = NULL;
    errno = 0;
    long x = n->kind == SCALAR ? strtol(n->text, &end, 10) : 0;
    if (!end || end == n->text || *end || errno || x < INT_MIN || x > INT_MAX)
        return wrong(doc, n, key, "a whole number");
    *out = (int)x;
    return FV_OK;
}

fv_status fv_yaml_double(const fv_yaml *doc, const fv_yaml_node *map, const char *key, double *out)
{
    const fv_yaml_node *n = fv_yaml_find(map, key);
    if (!n || read_double(n, out)) return FV_OK;
    return wrong(doc, n, key, "a number");
}

fv_status fv_yaml_bool(const fv_yaml *doc, const fv_yaml_node *map, const char *key, bool *out)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on"};
    const fv_yaml_node *n = fv_yaml_find(map, key);
    if (!n) return FV_OK;
    for (int i = 0; n->kind == SCALAR && i < 6; i++) {
        if (!fv_same_word(n->text, words[i])) continue;
        *out = i % 2;
        return FV_OK;
    }
    return wrong(doc, n, key, "yes or no");
}

fv_status fv_yaml_string(const fv_yaml *doc, const fv_yaml_node *map, const char *key,
                         const char **out)
{
    const fv_yaml_node *n = fv_yaml_find(map, key);
    if (!n) return FV_OK;
    if (n->kind != SCALAR) return wrong(doc, n, key, "text");
    *out = n->text;
    return FV_OK;
}

fv_status fv_yaml_floats(const fv_yaml *doc, const fv_yaml_node *map, const char *key, float *out,
                         int count)
{
    const fv_yaml_node *n = fv_yaml_find(map, key);
    if (!n) return FV_OK;
    char expected[48];
    snprintf(expected, sizeof expected, "a list of %d numbers", count);
    if (n->kind != LIST || n->count != count) return wrong(doc, n, key, expected);
    for (int i = 0; i < count; i++) {
        double x;
        if (!read_double(n->items[i], &x)) return wrong(doc, n->items[i], key, "a number");
        out[i] = (float)x;
    }
    return FV_OK;
}

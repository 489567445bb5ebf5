/* A queue of pictures to make, on disk: one file an item, NNNNNNNN.yml, in the order of their
 * names. A file appears whole or not at all, under a name that no file has, and goes only when its
 * picture is saved: whatever kills the program, and whoever else adds to the folder, nothing asked
 * for is lost. An item with number 0 has no file. See feavis.h. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/recipe.h"
#include "feavis/queue.h"
#include "model/files/files.h"
#include "model/files/read_file.h"

enum { ITEM_LIMIT = 1 << 20, LAST_NUMBER = 99999999 };

typedef struct item {
    fv_options *options;
    unsigned number; /* of its file; 0: in memory only */
    unsigned id;     /* goes with the options when two items change places */
} item;

struct fv_queue {
    char *folder; /* NULL: in memory only */
    item *items;
    int count;
    int unreadable;
    unsigned last_id, last_number; /* ever given, or found in the folder */
};

static fv_status item_path(char out[4096], const fv_queue *q, unsigned number)
{
    int n = snprintf(out, 4096, "%s/%08u.yml", q->folder, number);
    return n > 0 && n < 4096
               ? FV_OK
               : fv_fail(FV_ERR_ARGUMENT, "queue: the path %s is too long", q->folder);
}

/* Behind the last of all there can be, the first that is free. */
static unsigned next_number(unsigned number)
{
    return number % LAST_NUMBER + 1;
}

static fv_status write_item(const fv_queue *q, const item *it)
{
    char path[4096], *text;
    if (!it->number) return FV_OK;
    FV_TRY(item_path(path, q, it->number));
    FV_TRY(fv_recipe_write_options(&text, it->options));
    fv_status s = fv_file_save(path, text, strlen(text));
    free(text);
    return s;
}

/* The first number at or after it->number whose name is free. */
static fv_status write_new_item(const fv_queue *q, item *it)
{
    char path[4096], *text;
    fv_file_writer *w;
    FV_TRY(fv_recipe_write_options(&text, it->options));
    fv_status s = fv_file_begin_in(&w, q->folder);
    if (s >= 0) {
        s = fv_file_write(w, text, strlen(text));
        if (s >= 0) s = item_path(path, q, it->number);
        if (s < 0) fv_file_abandon(w);
        for (bool taken = true; s >= 0 && taken;) {
            s = fv_file_commit_new(w, path, &taken);
            if (s >= 0 && taken) s = item_path(path, q, it->number = next_number(it->number));
        }
    }
    free(text);
    return s;
}

static char *read_text(const char *path)
{
    unsigned char *text;
    size_t size;
    return fv_read_file(&text, &size, path, "queue", ITEM_LIMIT) < 0 ? NULL : (char *)text;
}

/* Of "00000012.yml"; 0: it is the name of no item. */
static unsigned number_of(const char *name)
{
    bool digits = strspn(name, "0123456789") == 8 && strcmp(name + 8, ".yml") == 0;
    return digits ? (unsigned)strtoul(name, NULL, 10) : 0;
}

static fv_status append(fv_queue *q, item it)
{
    item *more = realloc(q->items, ((size_t)q->count + 1) * sizeof *more);
    if (!more) return fv_fail(FV_ERR_MEMORY, "queue: out of memory");
    it.id = ++q->last_id;
    q->items = more;
    q->items[q->count++] = it;
    return FV_OK;
}

/* An item that cannot be read stays where it is, for a person to look at. */
static fv_status load_item(fv_queue *q, const char *name)
{
    char path[4096];
    item it = {.number = number_of(name)};
    if (!it.number) return FV_OK;
    FV_TRY(item_path(path, q, it.number));
    if (it.number > q->last_number) q->last_number = it.number;
    char *text = read_text(path);
    fv_status s = fv_options_new(&it.options);
    if (s >= 0 && (!text || fv_recipe_read_options(it.options, text, path) < 0)) {
        fv_options_free(it.options);
        q->unreadable++;
    } else if (s >= 0) {
        s = append(q, it);
        if (s < 0) fv_options_free(it.options);
    }
    free(text);
    return s;
}

static int by_number(const void *a, const void *b)
{
    const item *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static fv_status load(fv_queue *q)
{
    if (!q->folder) return FV_OK;
    FV_TRY(fv_file_make_folder(q->folder));
    DIR *d = opendir(q->folder);
    if (!d) return fv_fail(FV_ERR_IO, "reading the folder %s: %s", q->folder, strerror(errno));
    fv_status s = FV_OK;
    char path[4096];
    if (item_path(path, q, 0) >= 0) fv_file_clean_beside(path);
    for (struct dirent *e; s >= 0 && (e = readdir(d));) s = load_item(q, e->d_name);
    closedir(d);
    if (q->count) qsort(q->items, (size_t)q->count, sizeof *q->items, by_number);
    for (int i = 0; i < q->count; i++) q->items[i].id = (unsigned)i + 1;
    return s;
}

fv_status fv_queue_open(fv_queue **out, const char *folder)
{
    fv_queue *q = calloc(1, sizeof *q);
    if (q && folder) q->folder = strdup(folder);
    bool whole = q && (!folder || q->folder);
    fv_status s = whole ? load(q) : fv_fail(FV_ERR_MEMORY, "opening a queue: out of memory");
    if (s < 0) {
        fv_queue_close(q);
        return s;
    }
    *out = q;
    return FV_OK;
}

void fv_queue_close(fv_queue *q)
{
    if (!q) return;
    for (int i = 0; i < q->count; i++) fv_options_free(q->items[i].options);
    free(q->items);
    free(q->folder);
    free(q);
}

int fv_queue_count(const fv_queue *q)
{
    return q->count;
}

const fv_options *fv_queue_at(const fv_queue *q, int i)
{
    return q->items[i].options;
}

unsigned fv_queue_id(const fv_queue *q, int i)
{
    return q->items[i].id;
}

int fv_queue_find(const fv_queue *q, unsigned id)
{
    for (int i = 0; i < q->count; i++)
        if (q->items[i].id == id) return i;
    return -1;
}

static fv_status remove_file(const fv_queue *q, unsigned number)
{
    char path[4096];
    if (!number) return FV_OK;
    FV_TRY(item_path(path, q, number));
    return fv_file_remove(path);
}

fv_status fv_queue_add(fv_queue *q, const fv_options *o)
{
    if (!q->folder) return fv_queue_hold(q, o);
    item it = {.number =
                   next_number(q->last_number)}; /* never that of a file which could not be read */
    FV_TRY(fv_options_copy(&it.options, o));
    fv_status s = write_new_item(q, &it);
    if (s >= 0) {
        q->last_number = it.number;
        s = append(q, it);
        if (s < 0) remove_file(q, it.number);
    }
    if (s < 0) fv_options_free(it.options);
    return s;
}

fv_status fv_queue_hold(fv_queue *q, const fv_options *o)
{
    item it = {0};
    FV_TRY(fv_options_copy(&it.options, o));
    fv_status s = append(q, it);
    if (s < 0) fv_options_free(it.options);
    return s;
}

fv_status fv_queue_remove(fv_queue *q, int i)
{
    item gone = q->items[i];
    memmove(&q->items[i], &q->items[i + 1], (size_t)(q->count - i - 1) * sizeof *q->items);
    q->count--;
    fv_options_free(gone.options);
    return remove_file(q, gone.number);
}

fv_status fv_queue_set(fv_queue *q, int i, const char *name, const char *value)
{
    item changed = q->items[i];
    FV_TRY(fv_options_copy(&changed.options, q->items[i].options));
    fv_status s = fv_options_set(changed.options, name, value);
    if (s >= 0) s = write_item(q, &changed);
    if (s < 0) {
        fv_options_free(changed.options);
        return s;
    }
    fv_options_free(q->items[i].options);
    q->items[i] = changed;
    return FV_OK;
}

/* The files keep their names and change what is in them. While they do, the first item has a third
 * file: being killed in between may leave an item twice, never none. */
fv_status fv_queue_swap(fv_queue *q, int i, int j)
{
    const item x = q->items[i], y = q->items[j];
    if (!x.number || !y.number) { /* the one file stays with its item */
        q->items[i] = y;
        q->items[j] = x;
        return FV_OK;
    }
    const item first = {y.options, x.number, y.id}, second = {x.options, y.number, x.id};
    item spare = {x.options, next_number(q->last_number), x.id};
    fv_status s = write_new_item(q, &spare);
    if (s < 0) return s;
    q->last_number = spare.number;
    s = write_item(q, &first);
    bool half = s >= 0;
    if (s >= 0) s = write_item(q, &second);
    if (s < 0) {
        char why[1024];
        snprintf(why, sizeof why, "%s", fv_error());
        if (!half || write_item(q, &x) >= 0) remove_file(q, spare.number);
        return fv_fail(s, "%s", why);
    }
    q->items[i] = first;
    q->items[j] = second;
    return remove_file(q, spare.number);
}

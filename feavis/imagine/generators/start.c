/* A picture to start from: its file and its pixels. See start.h. */
#include "feavis/imagine/generators/start.h"

#include <stdlib.h>
#include <string.h>

#include "feavis/codes.h"
#include "feavis/picture.h"

bool fv_start_is_codes(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".csv") == 0;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    return (h ^ x) * 1099511628211u; /* FNV-1a */
}

static uint64_t hash_size(int width, int height)
{
    return mix(mix(14695981039346656037u, (uint64_t)width), (uint64_t)height);
}

static void print_hash(uint64_t h, char out[17])
{
    snprintf(out, 17, "%016llx", (unsigned long long)h);
}

static void hash_picture(const fv_picture *p, char out[17])
{
    uint64_t h = hash_size(p->width, p->height);
    size_t n = (size_t)p->width * (size_t)p->height * 3;
    for (size_t i = 0; i < n; i++) h = mix(h, p->rgb[i]);
    print_hash(h, out);
}

static fv_status hash_codes(const char *path, char out[17])
{
    fv_codes c;
    FV_TRY(fv_codes_read(&c, path));
    uint64_t h = hash_size(c.width, c.height);
    for (int i = 0; i < c.width * c.height; i++) h = mix(h, (uint64_t)c.at[i]);
    print_hash(h, out);
    fv_codes_free(&c);
    return FV_OK;
}

fv_status fv_start_hash(const char *path, char out[17])
{
    fv_picture p;
    if (fv_start_is_codes(path)) return hash_codes(path, out);
    FV_TRY(fv_picture_read(&p, path));
    hash_picture(&p, out);
    fv_picture_free(&p);
    return FV_OK;
}

fv_status fv_start_note(fv_options *o)
{
    char hash[17];
    if (!*o->start) return FV_OK;
    FV_TRY(fv_options_check_lost(o, FV_OPTION_ONE));
    FV_TRY(fv_start_hash(o->start, hash));
    if (*o->start_hash && strcmp(o->start_hash, hash) != 0)
        return fv_fail(
            FV_ERR_FORMAT, "start %s %s is not the one of the recipe (its hash is %s, not %s)",
            fv_start_is_codes(o->start) ? "codes" : "picture", o->start, hash, o->start_hash);
    char *path = realpath(o->start, NULL);
    if (path) {
        free(o->start);
        o->start = path;
    }
    return fv_options_set(o, "start-hash", hash);
}

fv_status fv_start_read(const fv_options *o, float *out)
{
    fv_picture p, middle;
    FV_TRY(fv_picture_read(&p, o->start));
    int64_t w = fv_width(o), h = fv_height(o);
    bool wide = p.width * h > p.height * w;
    int width = wide ? (int)(p.height * w / h) : p.width;
    int height = wide ? p.height : (int)(p.width * h / w);
    if (width < 1) width = 1;
    if (height < 1) height = 1;
    int left = (p.width - width) / 2, top = (p.height - height) / 2;
    middle = (fv_picture){width, height, malloc((size_t)width * (size_t)height * 3)};
    if (middle.rgb) {
        for (int y = 0; y < height; y++)
            memcpy(middle.rgb + (size_t)y * (size_t)width * 3,
                   p.rgb + ((size_t)(top + y) * (size_t)p.width + (size_t)left) * 3,
                   (size_t)width * 3);
        fv_picture_resize(&middle, fv_width(o), fv_height(o), out);
    }
    fv_picture_free(&p);
    bool ok = middle.rgb != NULL;
    fv_picture_free(&middle);
    return ok ? FV_OK : fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
}

/* A picture to start from: its file and its pixels. See start.h. */
#include "feavis/imagine/generators/start.h"

#include <stdlib.h>
#include <string.h>

#include "feavis/picture.h"

static void hash_picture(const fv_picture *p, char out[17])
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    size_t n = (size_t)p->width * (size_t)p->height * 3;
    h = (h ^ (uint64_t)p->width) * 1099511628211u;
    h = (h ^ (uint64_t)p->height) * 1099511628211u;
    for (size_t i = 0; i < n; i++) h = (h ^ p->rgb[i]) * 1099511628211u;
    snprintf(out, 17, "%016llx", (unsigned long long)h);
}

fv_status fv_start_hash(const char *path, char out[17])
{
    fv_picture p;
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
        return fv_fail(FV_ERR_FORMAT,
                       "start picture %s is not the one of the recipe (its hash is %s, not %s)",
                       o->start, hash, o->start_hash);
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

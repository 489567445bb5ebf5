/* Album: what a gallery holds, for looking through it, and taking a picture away with a way back.
 * Functions alone, from any thread. */
#ifndef FEAVIS_ALBUM_H
#define FEAVIS_ALBUM_H

#include <stdint.h>

#include "feavis/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_saved {
    char *path;
    const char *name; /* within path */
    char *recipe;
    char *text;          /* in the recipe, as it was asked for; "" without */
    int64_t nanoseconds; /* of the file, since 1970 */
} fv_saved;
/* The pictures of a folder that hold a recipe, newest first. A folder that is not there: none. */
FV_API fv_status fv_gallery_list(fv_saved **out, int *count, const char *folder);
FV_API void fv_gallery_list_free(fv_saved *list, int count);
/* Moves a picture aside, into .removed in its folder; *undo, which the caller frees, takes it
 * back: fv_gallery_restore gives the path it has then. */
FV_API fv_status fv_gallery_remove(const char *path, char **undo);
FV_API fv_status fv_gallery_restore(const char *undo, char **path);

#ifdef __cplusplus
}
#endif
#endif

/* Plain files, written whole or not at all. Any thread. */
#ifndef FEAVIS_FILES_H
#define FEAVIS_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "feavis/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A whole file, a zero behind it; caller frees. Fails on an empty one and on one of 1 GiB. */
FV_API fv_status fv_text_read(char **out, const char *path);
FV_API fv_status fv_text_save(const char *path, const char *text, size_t size);
/* A folder and those above it, as far as they are not there. */
FV_API fv_status fv_folders_make(const char *path);
/* .npy of '<f4', C order. */
FV_API fv_status fv_array_save(const char *path, const float *values, int ndim,
                               const int64_t *dims);

#ifdef __cplusplus
}
#endif
#endif

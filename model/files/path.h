/* Names within paths. */
#ifndef FV_PATH_H
#define FV_PATH_H

#include "kernels/status.h"

/* The name without folders: what follows the last slash. */
const char *fv_path_name(const char *path);
/* The path of `name` in the folder of the file `of`. Caller frees. */
fv_status fv_path_beside(char **out, const char *of, const char *name);

#endif

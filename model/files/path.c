/* See path.h. */
#include "model/files/path.h"

#include <stdio.h>
#include <string.h>

const char *fv_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

fv_status fv_path_beside(char **out, const char *of, const char *name)
{
    char *path;
    if (asprintf(&path, "%.*s%s", (int)(fv_path_name(of) - of), of, name) < 0)
        return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", of);
    *out = path;
    return FV_OK;
}

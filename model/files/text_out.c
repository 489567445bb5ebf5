/* See text_out.h. */
#include "model/files/text_out.h"

#include <stdbool.h>
#include <stdlib.h>

fv_status fv_text_begin(fv_text_out *t, const char *what)
{
    *t = (fv_text_out){.what = what};
    t->to = open_memstream(&t->text, &t->size);
    return t->to ? FV_OK : fv_fail(FV_ERR_MEMORY, "%s: out of memory", what);
}

fv_status fv_text_end(char **out, fv_text_out *t, fv_status s)
{
    bool failed = ferror(t->to) != 0;
    failed = fclose(t->to) != 0 || failed;
    if (s >= 0 && failed) s = fv_fail(FV_ERR_MEMORY, "%s: out of memory", t->what);
    if (s < 0)
        free(t->text);
    else
        *out = t->text;
    return s;
}

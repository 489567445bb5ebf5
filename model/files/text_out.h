/* A text that is written as a file is, and handed out as a string. */
#ifndef FV_TEXT_OUT_H
#define FV_TEXT_OUT_H

#include <stdio.h>

#include "kernels/status.h"

typedef struct fv_text_out {
    FILE *to;
    char *text;
    size_t size;
    const char *what; /* "describing a model", for messages */
} fv_text_out;

fv_status fv_text_begin(fv_text_out *t, const char *what);
/* s: how the writing went; it, or want of memory, is what is returned. The caller frees *out. */
fv_status fv_text_end(char **out, fv_text_out *t, fv_status s);

#endif

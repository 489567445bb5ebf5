/* fv_name_escaped, into a file. */
#ifndef FV_NAME_WRITE_H
#define FV_NAME_WRITE_H

#include <stdio.h>

void fv_name_write(FILE *to, const char *name);

#endif

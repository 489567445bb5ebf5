/* Recipes: YAML that reproduces a picture, as stored in PNG files and saved states. */
#ifndef FV_RECIPE_H
#define FV_RECIPE_H

#include "feavis/model.h"

/* Every option that decides the picture, the changes made while it grew, what model and version
 * it was, and after how many steps it was taken. Caller frees. */
fv_status fv_recipe_write(char **out, const fv_options *o, const fv_model *m, int step);

/* The options alone, all that are not default: what a queue keeps. Read by fv_recipe_apply. */
fv_status fv_recipe_write_options(char **out, const fv_options *o);

/* Double-quoted YAML: quotes, backslashes and control characters escaped. */
void fv_recipe_quote(FILE *f, const char *text);

#endif

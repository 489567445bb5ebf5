/* Recipes: YAML that reproduces a picture, as stored in PNG files and saved states. */
#ifndef FV_RECIPE_H
#define FV_RECIPE_H

#include "feavis/imagine/model.h"

/* Every option that decides the picture, the changes made while it grew, what model and version
 * it was, and after how many steps it was taken. What belongs to the model is said by the model,
 * and files by their names without folders: recipes travel in pictures. Caller frees. */
fv_status fv_recipe_write(char **out, const fv_options *o, const fv_model *m, int step);

/* For the program's own files, with whole paths. A queue keeps all options that a file may set and
 * that are not default; what may not be set is left, as of a recipe. */
fv_status fv_recipe_write_options(char **out, const fv_options *o);
fv_status fv_recipe_read_options(fv_options *o, const char *text, const char *what);
/* A state keeps beside its recipe where the files were; those that are there still are taken. */
fv_status fv_recipe_write_files(char **out, const fv_options *o, const fv_model *m);
fv_status fv_recipe_read_files(fv_options *o, const char *text, const char *what);

/* The option guide with its files as recipes name them, without folders; or, whole, with real
 * paths. Caller frees. */
fv_status fv_recipe_guides(char **out, const char *guide, bool whole);

/* Sets the files that a recipe's map names: recipe_files.c. See fv_recipe_apply in feavis.h. */
fv_status fv_recipe_find_files(fv_options *o, const fv_yaml *doc, const fv_yaml_node *map);
/* And those that its terms name, once its changes are read. */
fv_status fv_recipe_find_terms(fv_options *o, const fv_yaml *doc, const fv_yaml_node *map);

#endif

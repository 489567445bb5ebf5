/* Files that terms name (vector=, like=, unlike=): read, hashed, found again.
 *
 *   typed      blocks.3.1:like=/home/me/moon.jpg *0.5
 *   noted      blocks.3.1:like=/home/me/moon.jpg#0123456789abcdef *0.5      in a session
 *   bare       blocks.3.1:like=moon.jpg#0123456789abcdef *0.5               in recipes
 *
 * The hash is over the pixels of a picture, over the numbers of a .npy. Only regular files are
 * opened, and one whose hash is said has to have it. */
#ifndef FV_TERM_FILES_H
#define FV_TERM_FILES_H

#include <stdio.h>

#include "feavis/imagine/model.h"
#include "feavis/settings/terms_syntax.h"

/* Reads what the file holds: the numbers of a .npy, made unit length, or a picture as the model
 * sees it, [image_size^2 * 3]. Caller frees. */
fv_status fv_term_file_read(const fv_term *t, const fv_model *m, float **out, size_t *count);

/* Other forms of what the option `term` says; caller frees. Without files it is a copy. */
fv_status fv_terms_noted(char **out, const char *text);
fv_status fv_terms_bare(char **out, const char *text);
/* Whole paths, as far as the syntax can say them: for the program's own files. */
fv_status fv_terms_whole(char **out, const char *text);
/* Whether two mean the same: files by their hashes, wherever they lie and however they are named. */
fv_status fv_terms_same(bool *same, const char *a, const char *b);

/* The option in the form that a session keeps. */
fv_status fv_options_note_terms(fv_options *o);

/* For every file that the terms of a recipe and of its changes name: the first of `places` where it
 * is, with the right hash, else its bare name. */
typedef struct fv_places {
    const char *beside;      /* a file in whose folder to look; NULL: nowhere */
    const fv_yaml_node *own; /* a list of whole paths, the program's own; NULL: a recipe's, which
                                has to say hashes, and whose folders are not looked at */
    bool only_changes;       /* the option itself is not the recipe's */
} fv_places;
fv_status fv_options_find_term_files(fv_options *o, const fv_places *places);
/* A YAML list of the whole paths of these files; nothing if there are none. */
fv_status fv_options_print_term_files(FILE *f, const fv_options *o);

#endif

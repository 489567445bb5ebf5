/* What the commands about many pictures share: match, classify, embed, search. */
#ifndef APP_MANY_H
#define APP_MANY_H

#include "app/cli/cli.h"
#include "feavis/plot.h"

/* Progress on stderr, and a line for each picture that cannot be read. */
typedef struct many_progress {
    const char *what; /* "pictures" */
    bool quiet, terminal;
    double start, last; /* seconds */
    int first;          /* done before this run; -1: not known yet */
    int failures;
} many_progress;
many_progress many_progress_of(const cli *c, const char *what);
bool many_show(void *user, int done, int count, const char *failure); /* an fv_embed_fn */

/* The exit status of a command that ended with s: says what failed; 130 after Ctrl-C. */
int many_exit(fv_status s);

/* A list and its embeddings; what could not be read has been dropped from both. */
typedef struct many {
    fv_list list;
    int *origin; /* [list.count] place in the list as it was given */
    int asked;   /* entries of that list */
    float *rows; /* [list.count][fv_embed_dim] */
} many;
void many_clear(many *x);
/* The paths that --images asks for; a line on stderr for what is left out. */
fv_status many_list_pictures(fv_list *out, const cli *c);
fv_status many_pictures(many *out, const cli *c, fv_model *m);
fv_status many_texts(many *out, const cli *c, fv_model *m, const char *path);

/* Embeds texts into rows [count][fv_embed_dim]; warns of those that are cut or have unknown tokens.
 * progress: NULL for none. */
fv_status many_embed_texts(float *rows, fv_model *m, char *const *texts, int count,
                           many_progress *progress);

/* What results are of: all guides together, or one of several. */
typedef struct many_view {
    int guide;       /* from 0; -1: all */
    char title[512]; /* "CLIP ViT-B/32", "BriVL-mini + CLIP ViT-B/32" */
} many_view;
int many_views(const fv_model *m); /* 1 of a model alone, else all together and then each */
many_view many_view_of(fv_model *m, int i);
/* The name of a view's file: "matrix.csv", "matrix-guide2.csv"; returns out. */
const char *many_view_file(const many_view *v, const char *name, char out[64]);
/* A line that says whose results follow, where there are several. */
void many_view_heading(const many_view *v, const fv_model *m);
/* The member "guide" of an object of --json: 0 all together, 1 the first; of a model alone none. */
void many_view_json(const many_view *v, const fv_model *m);
/* Says on stdout, with --json, that the view's own of these files are there; NULL ends them. */
void many_view_files(const many_view *v, const char *folder, const char *const *names);
/* out [n][k]: cosines of rows in the eyes of the view. */
fv_status many_view_scores(const many_view *v, fv_model *m, const float *a, int n, const float *b,
                           int k, float *out);

/* The folder for results: --out, or the first of NAME, NAME-2, ... that is not there. Makes it.
 * Caller frees. */
fv_status many_folder(char **out, const cli *c, const char *name);
/* Draws a heat map into folder/name. One too large to draw is said on stderr, no failure. */
fv_status many_heat_map(const fv_heat *h, const char *folder, const char *name);
/* Says on stdout that folder/name is there. */
void many_tell(const char *folder, const char *name);
/* Writes a picture without a recipe to folder/name. */
fv_status many_picture(const fv_picture *p, const char *folder, const char *name);
/* "folder/name"; caller frees. */
fv_status many_path(char **out, const char *folder, const char *name);

/* Writes `text` padded to `width` columns of a terminal; of a longer one the start and "…". Chinese
 * letters take two. */
void many_pad(FILE *to, const char *text, int width);
int many_width(const char *text);
/* One field of a CSV, quoted if it must be. */
void many_field(FILE *to, const char *text);
/* The same of a file's name, as fv_name_escaped has it; and the name as it is there. */
void many_name(FILE *to, const char *path);
void many_print_name(FILE *to, const char *path);
/* The file name without folder and ending, as fv_name_escaped has it, in a ring of a few buffers.
 */
const char *many_stem(const char *path);

/* Opens memory to print a file into; many_save writes it whole to folder/name and frees it. */
typedef struct many_file {
    FILE *to;
    char *text;
    size_t size;
} many_file;
fv_status many_open(many_file *f);
fv_status many_save(many_file *f, const char *folder, const char *name);
fv_status many_save_as(many_file *f, const char *path);

#endif

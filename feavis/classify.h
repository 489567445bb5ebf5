/* Zero-shot classification: a picture is what the nearest class text says. */
#ifndef FV_CLASSIFY_H
#define FV_CLASSIFY_H

#include "feavis/lists.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fv_model;

typedef struct fv_classes {
    fv_list folders; /* name of the folder that holds a class's pictures */
    fv_list keys;    /* of the folders: see fv_classes_of_path */
    fv_list labels;  /* what it is called in texts and tables */
    fv_list *words;  /* [count] all its labels: synonyms are averaged */
    int count;
    float *rows; /* [count][dim], as embed.h has them; NULL until embedded */
} fv_classes;

/* One class a line: "label", or "folder<TAB>label"; a label may list synonyms "农田|耕地" (also
 * "｜";
 * "\|" is a literal one). Two classes of one folder are refused. Caller clears. */
FV_API fv_status fv_classes_read(fv_classes *out, const char *path);
/* Templates, one a line: fails where one has no {} (or ｛｝). Caller clears. */
FV_API fv_status fv_templates_read(fv_list *out, const char *path);
FV_API void fv_classes_clear(fv_classes *c);

/* The embedding of a class is the mean of the unit embeddings of all templates with all its
 * labels, made a unit again. A template holds {} where the label goes; NULL: the label alone. */
FV_API fv_status fv_classes_embed(fv_classes *c, struct fv_model *m, const fv_list *templates);

/* The class whose folder the picture lies in (case, all but letters and digits, and how accents are
 * composed ignored), -1 if it is none of them. */
FV_API int fv_classes_of_path(const fv_classes *c, const char *path);

typedef struct fv_class_score {
    int pictures, found, guessed; /* of the class; rightly given to it; given to it in all */
} fv_class_score;

typedef struct fv_confusion {
    int count;              /* classes */
    int *cells;             /* [true class][class found] */
    fv_class_score *scores; /* [count] */
    int pictures, right, among_five;
    double accuracy, top5, mean_class_accuracy; /* shares; the last over classes with pictures */
} fv_confusion;

/* scores [pictures][classes]; truth[i] -1: left out. Caller clears. */
FV_API fv_status fv_confusion_of(fv_confusion *out, const float *scores, int pictures, int classes,
                                 const int *truth);
FV_API void fv_confusion_clear(fv_confusion *c);

#ifdef __cplusplus
}
#endif
#endif

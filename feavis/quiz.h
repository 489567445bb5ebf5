/* Quiz: pictures of a gallery with five texts each, one of them their own; and what people have
 * answered on this machine, kept as a study. One thread at a time; fv_study_* and fv_wilson from
 * any. */
#ifndef FEAVIS_QUIZ_H
#define FEAVIS_QUIZ_H

#include <stdint.h>

#include "feavis/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FV_QUIZ_CHOICES = 5 };

typedef struct fv_quiz fv_quiz;
/* Questions about the pictures of a folder whose recipes have a text: one a text, `most` at most,
 * in an order that `seed` says. A picture's own text is the first of its recipe; the four others
 * are of the same script, texts of the folder that no question before was about, then those of the
 * preset "things". FV_ERR_ARGUMENT: there is no such picture, or there are no five texts. */
FV_API fv_status fv_quiz_open(fv_quiz **out, const char *folder, uint64_t seed, int most);
FV_API void fv_quiz_close(fv_quiz *q);
FV_API int fv_quiz_count(const fv_quiz *q);
/* The pixels of question i and nothing else: its file's name and recipe say the text. Caller frees.
 */
FV_API fv_status fv_quiz_picture(const fv_quiz *q, int i, fv_picture *out);
FV_API const char *fv_quiz_choice(const fv_quiz *q, int i, int k); /* UTF-8, on one line */
FV_API int fv_quiz_own(const fv_quiz *q, int i);                   /* the choice that is right */
/* Adds to the study that choice k of question i was taken after so many seconds; on the disk when
 * it returns. */
FV_API fv_status fv_quiz_answer(const fv_quiz *q, int i, int k, double seconds);

/* The study's file: quiz.tsv in $FEAVIS_STATE, else in $XDG_DATA_HOME/feavis, else in
 * ~/.local/share/feavis. A line an answer, which no program changes later; a line that was cut off
 * is left out. Caller frees. */
FV_API fv_status fv_study_path(char **out);
/* Whether answers can be added: makes the study's folder, and opens its file. */
FV_API fv_status fv_study_check(void);
/* Answers by text; the first is of all of them, its text "". The others: least often right first.
 * There is no study yet: the first alone, of 0. Caller frees with fv_study_free. */
typedef struct fv_tally {
    char *text;
    int asked, right;
    double low, high; /* as fv_wilson has it */
} fv_tally;
FV_API fv_status fv_study_read(fv_tally **out, int *count);
FV_API void fv_study_free(fv_tally *tallies, int count);
/* The whole study as CSV (RFC 4180, with a line of names). Caller frees. */
FV_API fv_status fv_study_csv(char **out);
/* The 95 % score interval of a share (Wilson, JASA 22, 1927); of 0 it is 0 to 1. */
FV_API void fv_wilson(int right, int of, double *low, double *high);

#ifdef __cplusplus
}
#endif
#endif

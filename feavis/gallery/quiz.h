/* What the files of the quiz share. */
#ifndef FV_GALLERY_QUIZ_H
#define FV_GALLERY_QUIZ_H

#include "feavis/lists.h"
#include "feavis/quiz.h"

typedef struct quiz_question {
    const char *choices[FV_QUIZ_CHOICES]; /* of the quiz's lists */
    int own;
} quiz_question;

struct fv_quiz {
    uint64_t seed;
    fv_list texts, paths;     /* of pictures, in the order of the questions */
    fv_list things;           /* texts without pictures */
    quiz_question *questions; /* [count], of the first pictures */
    int count;
};

#endif

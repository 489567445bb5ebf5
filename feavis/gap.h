/* The modality gap of a model (Liang et al., Mind the gap, 2022): where its embeddings of
 * photographs lie and where those of their captions, and how near a caption comes to its own
 * photograph. What the option `plausible` takes. One thread at a time, with its model. */
#ifndef FEAVIS_GAP_H
#define FEAVIS_GAP_H

#include "feavis/embed.h"
#include "feavis/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_gap_report {
    int photos, captions; /* that were read, and were of one of those */
    float length;         /* of mean photo less mean caption; embeddings have length 1 */
    /* of the cosines of captions with their photos the percentiles 5, 25, 50, 75 and 95: captions
     * as they are, and moved by the gap */
    float plain[5], moved[5];
} fv_gap_report;

/* Embeds the photos and captions (caption i belongs to photo of[i]) and writes what came of it to
 * `path`, .safetensors. Photos that cannot be read are left out, with their captions. The
 * model is one without guides beside it. fn as of fv_embed_pictures, may be NULL; FV_CANCELLED: it
 * stopped it. */
FV_API fv_status fv_gap_make(fv_gap_report *out, fv_model *m, const fv_list *photos,
                             const fv_list *captions, const int *of, const char *path,
                             fv_embed_fn fn, void *user);

/* Which photo each line of a file of captions belongs to: lines are NAME<TAB>CAPTION, or have more
 * columns between them; NAME is that of a photo's file, with as many of its folders as tell it from
 * others (cat/1.png); one that may be several photos is refused. captions: those of photos that are
 * there; of: their photos, malloc. *missing: lines of others. Caller
 * clears and frees. */
FV_API fv_status fv_gap_captions(fv_list *captions, int **of, int *missing, const fv_list *photos,
                                 const char *path);
/* A caption for each photo out of its name: "000_great_white-shark.jpg" is "great white shark". */
FV_API fv_status fv_gap_names(fv_list *captions, int **of, const fv_list *photos);

#ifdef __cplusplus
}
#endif
#endif

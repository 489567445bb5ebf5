/* Checkpoints, without opening a model. Any thread. */
#ifndef FEAVIS_CHECKPOINT_H
#define FEAVIS_CHECKPOINT_H

#include <stdbool.h>

#include "feavis/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fv_model;

/* Lines: format, size, towers and what else is in the file; with a cfg (NULL: without) the tensors
 * that are missing, of the wrong shape or unexpected. *fits: there are none of those. Caller frees.
 */
FV_API fv_status fv_checkpoint_describe(char **out, const char *checkpoint, const char *config,
                                        bool *fits);
/* Every tensor on a line: "name DTYPE [dims]"; then what was passed over. Any checkpoint. Caller
 * frees. */
FV_API fv_status fv_checkpoint_list(char **out, const char *checkpoint);
/* Writes the towers in use (the online ones, or the momentum towers under their names) to a
 * safetensors file, as F32 or F16, reads it again and compares. *worst: the largest relative
 * difference, 0 for F32. */
FV_API fv_status fv_checkpoint_convert(const char *checkpoint, const char *config, const char *path,
                                       bool momentum, bool half, int *tensors, double *worst);

/* The same of the files that a model was opened from; of several guides, of the one it is given. */
FV_API fv_status fv_checkpoint_convert_model(const struct fv_model *m, const char *path, bool half,
                                             int *tensors, double *worst);

#ifdef __cplusplus
}
#endif
#endif

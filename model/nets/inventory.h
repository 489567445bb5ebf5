/* What a checkpoint holds against what its network needs. */
#ifndef FV_INVENTORY_H
#define FV_INVENTORY_H

#include <stdio.h>

#include "model/nets/manifest.h"

/* The file's format and size, its towers, and what else is in it; where a row recognises the files
 * (BriVL: by a cfg) also the tensors of each tower that are missing, of the wrong shape or
 * unexpected. *problems: how many of those the online towers have. With a cfg it is an error if the
 * network cannot be opened. */
fv_status fv_inventory_print(const fv_network_files *files, FILE *to, int *problems);

/* Every tensor on a line: name, dtype and shape, as in the file; then what was passed over. Needs
 * no cfg: any checkpoint. */
fv_status fv_inventory_list(const char *checkpoint, FILE *to);

/* Writes the towers that the files choose, named as the online ones, without what is not used, to a
 * safetensors file, and reads it again: F32 has to be equal to the bit; with `half` (F16) no number
 * may be further off than rounding takes it. *worst: the largest relative difference. */
fv_status fv_convert(const fv_network_files *files, const char *path, bool half, int *tensors,
                     double *worst);

#endif

/* What is in a checkpoint, and a smaller one made of it. See feavis.h. */
#include "feavis/checkpoint.h"
#include "feavis/imagine/model.h"
#include "model/nets/inventory.h"

fv_status fv_checkpoint_print(const char *checkpoint, const char *config, FILE *to, bool *fits)
{
    int problems;
    fv_network_files files = {.config = config, .checkpoint = checkpoint};
    fv_status s = fv_inventory_print(&files, to, &problems);
    *fits = s >= 0 && problems == 0;
    return s;
}

fv_status fv_checkpoint_list(const char *checkpoint, FILE *to)
{
    return fv_inventory_list(checkpoint, to);
}

fv_status fv_checkpoint_convert(const char *checkpoint, const char *config, const char *path,
                                bool momentum, bool half, int *tensors, double *worst)
{
    fv_network_files files = {.config = config, .checkpoint = checkpoint, .momentum = momentum};
    return fv_convert(&files, path, half, tensors, worst);
}

fv_status fv_checkpoint_convert_model(const fv_model *m, const char *path, bool half, int *tensors,
                                      double *worst)
{
    const fv_network *n = m->network;
    fv_network_files files = {.config = n->config,
                              .checkpoint = fv_weights_path(n->source.weights),
                              .momentum = n->source.momentum};
    return fv_convert(&files, path, half, tensors, worst);
}

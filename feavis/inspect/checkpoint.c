/* What is in a checkpoint, and a smaller one made of it. See feavis.h. */
#include "feavis/checkpoint.h"
#include "feavis/imagine/model.h"
#include "model/files/text_out.h"
#include "model/nets/inventory.h"

fv_status fv_checkpoint_describe(char **out, const char *checkpoint, const char *config, bool *fits)
{
    int problems = 0;
    fv_text_out text;
    fv_network_files files = {.config = config, .checkpoint = checkpoint};
    FV_TRY(fv_text_begin(&text, "describing a checkpoint"));
    FV_TRY(fv_text_end(out, &text, fv_inventory_print(&files, text.to, &problems)));
    *fits = problems == 0;
    return FV_OK;
}

fv_status fv_checkpoint_list(char **out, const char *checkpoint)
{
    fv_text_out text;
    FV_TRY(fv_text_begin(&text, "listing a checkpoint"));
    return fv_text_end(out, &text, fv_inventory_list(checkpoint, text.to));
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

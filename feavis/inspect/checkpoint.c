/* What is in a checkpoint, and a smaller one made of it. See feavis.h. */
#include "feavis/checkpoint.h"
#include "feavis/imagine/model.h"
#include "model/nets/inventory.h"

fv_status fv_checkpoint_print(const char *checkpoint, const char *config, FILE *to, bool *fits)
{
    fv_brivl_config c = {0};
    int problems;
    if (config) FV_TRY(fv_brivl_config_read(&c, config));
    fv_status s = fv_inventory_print(checkpoint, config ? &c : NULL, to, &problems);
    fv_brivl_config_clear(&c);
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
    fv_brivl_config c;
    FV_TRY(fv_brivl_config_read(&c, config));
    fv_status s = fv_convert(checkpoint, &c, path, momentum, half, tensors, worst);
    fv_brivl_config_clear(&c);
    return s;
}

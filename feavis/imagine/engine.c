/* Opening a backend by options, for one network or several. See engine.h. */
#include "feavis/imagine/engine.h"

#include <stdlib.h>
#include <string.h>

/* Whether s is "cuda", or "cuda:N" with a number; *after: what follows. */
static bool names_gpu(const char *s, size_t *after)
{
    *after = 4;
    if (strncmp(s, "cuda", 4) != 0 || (s[4] && s[4] != ':')) return false;
    size_t digits = s[4] ? strspn(s + 5, "0123456789") : 0;
    if (digits && (!s[5 + digits] || s[5 + digits] == ':')) *after = 5 + digits;
    return true;
}

/* --device decides where, --backend how: a device of one kind leaves a backend of the other
 * (that of a recipe, say) aside. */
fv_status fv_options_backend(const fv_options *o, char *out, size_t size)
{
    size_t number, how;
    bool gpu = names_gpu(o->device, &number);
    const char *chosen = o->backend;
    if (strcmp(o->device, "cpu") == 0) {
        if (strcmp(chosen, "auto") == 0 || names_gpu(chosen, &how)) chosen = "cpu";
    } else if (strcmp(o->device, "auto") != 0 && !(gpu && !o->device[number])) {
        return fv_fail(FV_ERR_ARGUMENT, "device is \"%.80s\", expected auto, cpu, cuda or cuda:N",
                       o->device);
    }
    const char *rest = gpu ? names_gpu(chosen, &how) ? chosen + how : "" : chosen;
    int n = snprintf(out, size, "%s%s", gpu ? o->device : "", rest);
    return n >= 0 && (size_t)n < size
               ? FV_OK
               : fv_fail(FV_ERR_ARGUMENT, "backend '%.80s' is not known", chosen);
}

/* relu6 has corners, where a rounded number takes a whole gradient along. Of the shipped model the
 * gradient in fp16 has a cosine of 0.991 to 0.997 to that in float, in tf32 0.996 to 0.998
 * (SPEED.md), and it is too small a network for 16 bits to save time that shows. SiLU has no
 * corners: 0.9999. */
void fv_engine_precision(fv_network *const *networks, int count, char *spec, size_t size)
{
    static const char *const precisions[] = {":fp16", ":bf16", ":tf32", ":fp32"};
    size_t after;
    bool open = strcmp(spec, "auto") == 0 || names_gpu(spec, &after), corners = false;
    for (int i = 0; i < 4; i++) open = open && !strstr(spec, precisions[i]);
    for (int i = 0; i < count; i++) corners = corners || networks[i]->corners;
    size_t used = strlen(spec);
    if (open && corners) snprintf(spec + used, size - used, ":fp32");
}

static fv_status open_engine(fv_engine *e, const fv_options *o, fv_network *const *networks,
                             int count)
{
    char backend[FV_BACKEND_SPEC];
    FV_TRY(fv_options_backend(o, backend, sizeof backend));
    fv_engine_precision(networks, count, backend, sizeof backend);
    FV_TRY(fv_backend_open(&e->backend, backend, o->threads));
    return fv_store_new(&e->store, e->backend);
}

fv_status fv_engine_open(fv_engine **out, const fv_options *o, fv_network *const *networks,
                         int count)
{
    fv_engine *e = calloc(1, sizeof *e);
    if (!e) return fv_fail(FV_ERR_MEMORY, "opening an engine: out of memory");
    fv_status s = open_engine(e, o, networks, count);
    if (s < 0)
        fv_engine_close(e);
    else
        *out = e;
    return s;
}

void fv_engine_close(fv_engine *e)
{
    if (!e) return;
    fv_store_free(e->store);
    fv_backend_close(e->backend);
    fv_network_close(e->decoder);
    free(e);
}

void fv_engine_attach(fv_engine *e, fv_network *n)
{
    e->networks++;
    n->source.store = e->store;
    n->source.key[0] = 0;
    if (e->networks > 1) snprintf(n->source.key, sizeof n->source.key, "%d.", e->networks);
}

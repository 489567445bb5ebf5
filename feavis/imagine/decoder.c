/* The decoder: a network that some generators make their pictures with. It is opened on first use,
 * so that nothing is read for the others. See model.h. */
#include "feavis/imagine/model.h"

static fv_status open_decoder(fv_network **out, const char *path)
{
    const fv_network_files files = {.checkpoint = path};
    const fv_network_kind *kind;
    fv_weights *w;
    FV_TRY(fv_network_detect(&kind, &files));
    if (kind && kind->decode) return fv_network_open(out, &files);
    FV_TRY(fv_weights_open(&w, path)); /* says what is wrong with the file, if anything is */
    fv_weights_close(w);
    return fv_fail(FV_ERR_ARGUMENT, "%s holds no decoder that is known", path);
}

fv_status fv_model_decoder(fv_model *m, const fv_network **out)
{
    fv_engine *e = m->engine;
    if (!e->decoder && *m->opened->decoder) {
        fv_status s = open_decoder(&e->decoder, m->opened->decoder);
        if (s < 0) return fv_fail_context(s, "opening the decoder");
        fv_engine_attach(e, e->decoder);
    }
    *out = e->decoder;
    return FV_OK;
}

/* The decoder: a network that some generators make their pictures with; without --decoder the one
 * that ships. It is opened with the model, since it has a say in the precision of the engine; its
 * weights are read when a plan needs them. See model.h. */
#include "feavis/imagine/model.h"

#include "feavis/imagine/generators/generator.h"
#include "feavis/preset.h"

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

static fv_status open_home(fv_network **out)
{
    char path[4096];
    const char *home = fv_home();
    if (!home)
        return fv_fail(FV_ERR_IO,
                       "the shipped decoder was not found: set FEAVIS_HOME to the folder "
                       "that holds model/vqgan-mini, or give another with --decoder");
    snprintf(path, sizeof path, "%s/model/vqgan-mini/vqgan-mini.safetensors", home);
    return open_decoder(out, path);
}

fv_status fv_decoder_open_shipped(fv_network **out)
{
    fv_status s = open_home(out);
    return s < 0 ? fv_fail_context(s, "opening the decoder") : s;
}

fv_status fv_decoder_open(fv_network **out, const fv_options *o)
{
    *out = NULL;
    if (!*o->decoder && !fv_generator_of(o)->needs_decoder) return FV_OK;
    if (!*o->decoder) return fv_decoder_open_shipped(out);
    fv_status s = open_decoder(out, o->decoder);
    return s < 0 ? fv_fail_context(s, "opening the decoder") : s;
}

/* The generator may have been chosen after the model was opened. */
fv_status fv_model_need_decoder(fv_model *m)
{
    fv_engine *e = m->engine;
    if (e->decoder) return FV_OK;
    FV_TRY(fv_decoder_open_shipped(&e->decoder));
    fv_engine_attach(e, e->decoder);
    return FV_OK;
}

const fv_network *fv_model_decoder(const fv_model *m)
{
    return m->engine->decoder;
}

bool fv_model_decoder_info(const fv_model *m, fv_decoder_info *out)
{
    const fv_network *n = fv_model_decoder(m);
    *out = (fv_decoder_info){.factor = 0};
    if (!n) return false;
    snprintf(out->title, sizeof out->title, "%s", n->title);
    out->factor = n->factor;
    out->codes = n->codes;
    out->channels = n->latent_channels;
    out->encodes = n->encodes;
    return true;
}

bool fv_file_decodes(const char *path)
{
    const fv_network_files files = {.checkpoint = path};
    const fv_network_kind *kind;
    return fv_network_detect(&kind, &files) >= 0 && kind && kind->decode && !kind->map;
}

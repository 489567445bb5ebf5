/* An engine: a backend and the weights that are on it, opened once and shared by any number of
 * networks. */
#ifndef FV_ENGINE_H
#define FV_ENGINE_H

#include "feavis/settings/options.h"
#include "model/nets/network.h"

typedef struct fv_engine {
    fv_backend *backend;
    fv_store *store;     /* weights of all networks, each under keys of its own */
    int networks;        /* attached so far */
    fv_network *decoder; /* of the option decoder, or NULL; the engine's own */
} fv_engine;

/* The backend that the options name, with the precision that suits all of these networks. */
fv_status fv_engine_open(fv_engine **out, const fv_options *o, fv_network *const *networks,
                         int count);
void fv_engine_close(fv_engine *e); /* after every plan and text encoder on it */
/* Gives the network a part of the store. The engine must outlive its plans. */
void fv_engine_attach(fv_engine *e, fv_network *n);

/* Adds to a backend's name (in `spec`, of `size` bytes) the precision that these networks want of a
 * GPU, if the name leaves it open. */
void fv_engine_precision(fv_network *const *networks, int count, char *spec, size_t size);

#endif

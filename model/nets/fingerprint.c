/* What stands for a network's weights in recipes. See network.h. */
#include <stdio.h>
#include <string.h>

#include "model/nets/network.h"

enum { SAMPLE = 64 };

static uint64_t mix(uint64_t h, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 1099511628211u; /* FNV-1a */
    return h;
}

/* Enough to tell two checkpoints apart without reading gigabytes. */
void fv_network_fingerprint(const fv_network *n, char out[FV_FINGERPRINT])
{
    uint64_t h = 14695981039346656037u;
    const fv_weights *w = n->source.weights;
    if (n->source.momentum) h = mix(h, "momentum", 8);
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const fv_entry *e = fv_weights_at(w, i);
        if (n->aside && strncmp(e->name, n->aside, strlen(n->aside)) == 0) continue;
        h = mix(h, e->name, strlen(e->name));
        h = mix(h, &e->dtype, sizeof e->dtype);
        h = mix(h, e->dims, (size_t)e->ndim * sizeof e->dims[0]);
        float first[SAMPLE / sizeof(float)];
        fv_entry sample = *e;
        size_t count = fv_entry_count(e);
        if (count == 0) continue;
        sample.ndim = 1;
        sample.dims[0] = count < SAMPLE / sizeof(float) && e->ndim == 1 ? (int64_t)count : 1;
        sample.strides[0] = e->ndim == 1 ? e->strides[0] : 1;
        fv_entry_read_f32(&sample, first);
        h = mix(h, first, (size_t)sample.dims[0] * sizeof(float));
    }
    snprintf(out, FV_FINGERPRINT, "%016llx", (unsigned long long)h);
}

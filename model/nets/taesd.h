/* Tiny autoencoders of latent diffusion models: see taesd.c. */
#ifndef FV_TAESD_H
#define FV_TAESD_H

#include "model/nets/network.h"

extern const fv_network_kind fv_taesd_kind;

#endif

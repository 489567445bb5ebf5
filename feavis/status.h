/* Status codes and the last message, FV_API: those of kernels/status.h, which is installed in this
 * file's place. */
#ifndef FEAVIS_STATUS_H
#define FEAVIS_STATUS_H

#include "kernels/status.h"

#endif

/* The "cpu" backend: the reference table with its hot rows replaced by BLAS and threads.
 *
 * Results do not depend on the number of threads: work is cut into chunks by its size alone,
 * and sums over chunks are added in a fixed order. */
#ifndef FV_CPU_H
#define FV_CPU_H

#include "kernels/backend.h"

/* Fills name, threads, kernels, adam and impl of `be`, whose memory functions are set already.
 * threads 0: as many as the scheduler allows this process. */
fv_status fv_cpu_init(fv_backend *be, int threads);
/* Undoes fv_cpu_init (stops the threads). */
void fv_cpu_shutdown(fv_backend *be);

#endif

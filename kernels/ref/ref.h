/* The reference kernels: plain loops, forward above backward, one thread.
 *
 * Every file in this folder is compiled twice: as "ref" in float, and with FV_REF_DOUBLE as
 * "ref64" in double. `real` is the working type, REF(name) the external name of either build. */
#ifndef FV_REF_H
#define FV_REF_H

#include "kernels/backend.h"

#ifdef FV_REF_DOUBLE
typedef double real;
#define REF(name) fv_ref64_##name
#else
typedef float real;
#define REF(name) fv_ref_##name
#endif

/* Fill every row of a kernel table. */
void fv_ref_table(fv_kernel rows[FV_OP_COUNT]);
void fv_ref64_table(fv_kernel rows[FV_OP_COUNT]);

/* The adam function of the backend. */
void fv_ref_adam(fv_backend *be, fv_tensor *p, const fv_tensor *g, fv_tensor *m, fv_tensor *v,
                 const fv_tensor *low, const fv_tensor *high, const fv_tensor *numbers,
                 fv_tensor *stats);
void fv_ref64_adam(fv_backend *be, fv_tensor *p, const fv_tensor *g, fv_tensor *m, fv_tensor *v,
                   const fv_tensor *low, const fv_tensor *high, const fv_tensor *numbers,
                   fv_tensor *stats);

#endif

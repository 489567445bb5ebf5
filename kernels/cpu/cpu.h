/* The inside of the "cpu" backend: threads, and kernels compiled once for each level of x86-64.
 *
 * Work is cut into tasks by the shapes alone, and each number is computed by one task in one
 * order: results do not depend on how many threads there are. They may differ in their last
 * bits between levels (isa.h). */
#ifndef FV_CPU_H
#define FV_CPU_H

#include "kernels/backend.h"

/* --- dispatch.c: one table a level --- */

/* name: "cpu" (the best level this processor has) or "cpu-v2", "cpu-v3", "cpu-v4". */
fv_status fv_cpu_open(fv_backend *be, const char *name, int threads);

/* --- threads.c --- */

/* Runs task(context, i) for i in 0 .. tasks-1 on the backend's threads; returns when all are
 * done. Tasks must not overlap in what they write. */
typedef void (*fv_task)(void *context, int i);
void fv_parallel(fv_backend *be, int tasks, fv_task task, void *context);

/* Inside a task: which thread runs it, 0 .. threads-1. */
int fv_thread(void);

fv_status fv_cpu_pool_open(fv_backend *be, int threads);
void fv_cpu_pool_close(fv_backend *be);

#endif

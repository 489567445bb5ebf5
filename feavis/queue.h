/* Queue: pictures to make, on disk, one file each. One thread at a time. */
#ifndef FEAVIS_QUEUE_H
#define FEAVIS_QUEUE_H

#include "feavis/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_queue fv_queue;
/* Makes the folder if need be. folder NULL: in memory only. One thread at a time; what several
 * queues, of any process, add to one folder gets a file each. */
FV_API fv_status fv_queue_open(fv_queue **out, const char *folder);
FV_API void fv_queue_close(fv_queue *q);
FV_API int fv_queue_count(const fv_queue *q);
FV_API const fv_options *fv_queue_at(const fv_queue *q, int i);
FV_API unsigned fv_queue_id(const fv_queue *q, int i);    /* stays the same while i changes */
FV_API int fv_queue_find(const fv_queue *q, unsigned id); /* -1: it is gone */
FV_API fv_status fv_queue_add(fv_queue *q, const fv_options *o);
/* As that, without a file: for where none can be written. */
FV_API fv_status fv_queue_hold(fv_queue *q, const fv_options *o);
/* The item leaves the queue in any case. FV_ERR_IO: its file is still there. */
FV_API fv_status fv_queue_remove(fv_queue *q, int i);
FV_API fv_status fv_queue_set(fv_queue *q, int i, const char *name, const char *value);
FV_API fv_status fv_queue_swap(fv_queue *q, int i, int j);

#ifdef __cplusplus
}
#endif
#endif

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
fv_status fv_queue_open(fv_queue **out, const char *folder);
void fv_queue_close(fv_queue *q);
int fv_queue_count(const fv_queue *q);
const fv_options *fv_queue_at(const fv_queue *q, int i);
unsigned fv_queue_id(const fv_queue *q, int i);    /* stays the same while i changes */
int fv_queue_find(const fv_queue *q, unsigned id); /* -1: it is gone */
fv_status fv_queue_add(fv_queue *q, const fv_options *o);
/* As that, without a file: for where none can be written. */
fv_status fv_queue_hold(fv_queue *q, const fv_options *o);
/* The item leaves the queue in any case. FV_ERR_IO: its file is still there. */
fv_status fv_queue_remove(fv_queue *q, int i);
fv_status fv_queue_set(fv_queue *q, int i, const char *name, const char *value);
fv_status fv_queue_swap(fv_queue *q, int i, int j);

#ifdef __cplusplus
}
#endif
#endif

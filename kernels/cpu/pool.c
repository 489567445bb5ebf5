/* A pool of threads that runs numbered tasks. See fv_parallel in cpu.h.
 *
 * One job at a time: workers sleep until a job's generation appears, take task numbers from one
 * atomic counter, and the caller works with them. */
#include <cblas.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kernels/cpu/cpu.h"

enum { MOST_THREADS = 256, SPINS = 4000 };

typedef struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t begin, end;
    pthread_t threads[MOST_THREADS];
    int workers; /* threads besides the caller */
    bool closing;

    atomic_uint generation; /* of the job; raised under the mutex */
    fv_task task;
    void *context;
    int tasks;
    atomic_int next, busy; /* next task; workers that have not left the job */
} pool;

static void work(pool *p)
{
    for (int i; (i = atomic_fetch_add(&p->next, 1)) < p->tasks;) p->task(p->context, i);
}

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void *worker(void *user)
{
    pool *p = user;
    unsigned seen = 0;
    for (;;) {
        for (int i = 0; i < SPINS && atomic_load(&p->generation) == seen; i++) relax();
        if (atomic_load(&p->generation) == seen) {
            pthread_mutex_lock(&p->mutex);
            while (atomic_load(&p->generation) == seen) pthread_cond_wait(&p->begin, &p->mutex);
            pthread_mutex_unlock(&p->mutex);
        }
        seen = atomic_load(&p->generation);
        if (p->closing) return NULL;
        work(p);
        if (atomic_fetch_sub(&p->busy, 1) == 1) {
            pthread_mutex_lock(&p->mutex);
            pthread_cond_signal(&p->end);
            pthread_mutex_unlock(&p->mutex);
        }
    }
}

static void announce(pool *p)
{
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->generation, 1);
    pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->mutex);
}

void fv_parallel(fv_backend *be, int tasks, fv_task task, void *context)
{
    pool *p = be->impl;
    if (p->workers == 0 || tasks <= 1) {
        for (int i = 0; i < tasks; i++) task(context, i);
        return;
    }
    p->task = task;
    p->context = context;
    p->tasks = tasks;
    atomic_store(&p->next, 0);
    atomic_store(&p->busy, p->workers);
    announce(p);
    work(p);
    for (int i = 0; i < SPINS && atomic_load(&p->busy); i++) relax();
    if (!atomic_load(&p->busy)) return;
    pthread_mutex_lock(&p->mutex);
    while (atomic_load(&p->busy)) pthread_cond_wait(&p->end, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}

/* Processors that the scheduler lets this process use. */
static int processors(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n;
}

fv_status fv_cpu_pool_open(fv_backend *be, int threads)
{
    if (threads <= 0) threads = processors();
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    pool *p = calloc(1, sizeof *p);
    if (!p) return fv_fail(FV_ERR_MEMORY, "opening backend cpu: out of memory");
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->begin, NULL);
    pthread_cond_init(&p->end, NULL);
    be->impl = p;
    openblas_set_num_threads(1); /* the pool's tasks call it */
    while (p->workers < threads - 1 &&
           pthread_create(&p->threads[p->workers], NULL, worker, p) == 0)
        p->workers++;
    be->threads = p->workers + 1;
    return FV_OK;
}

void fv_cpu_pool_close(fv_backend *be)
{
    pool *p = be->impl;
    if (!p) return;
    p->closing = true;
    announce(p);
    for (int i = 0; i < p->workers; i++) pthread_join(p->threads[i], NULL);
    pthread_mutex_destroy(&p->mutex);
    pthread_cond_destroy(&p->begin);
    pthread_cond_destroy(&p->end);
    free(p);
    be->impl = NULL;
}

/* A pool of threads that runs numbered tasks. See fv_parallel in cpu.h.
 *
 * One job at a time: workers wait for the next generation, take task numbers from one atomic
 * counter, and the caller works with them. A plan has hundreds of short jobs a step, so waiting
 * begins with a spin, of some tens of microseconds; then the thread sleeps. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kernels/cpu/cpu.h"

enum { MAX_THREADS = 256, SPINS = 2000 };

typedef struct pool pool;

typedef struct worker {
    pool *pool;
    pthread_t thread;
    int index;
} worker;

struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t begin, end;
    worker workers[MAX_THREADS];
    int count; /* threads besides the caller */
    bool closing;

    atomic_uint generation; /* of the job; raised under the mutex */
    atomic_int asleep;      /* workers that wait for `begin`; changed under the mutex */
    fv_task task;
    void *context;
    int tasks;
    _Alignas(64) atomic_int next; /* task */
    _Alignas(64) atomic_int busy; /* workers that have not left the job */
};

static _Thread_local int this_thread;

int fv_thread(void)
{
    return this_thread;
}

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

static void await_job(pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++, relax())
        if (atomic_load(&p->generation) != seen) return;
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->asleep, 1);
    while (atomic_load(&p->generation) == seen) pthread_cond_wait(&p->begin, &p->mutex);
    atomic_fetch_sub(&p->asleep, 1);
    pthread_mutex_unlock(&p->mutex);
}

static void *run_worker(void *user)
{
    worker *w = user;
    pool *p = w->pool;
    this_thread = w->index;
    for (unsigned seen = 0;; seen++) {
        await_job(p, seen);
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
    if (atomic_load(&p->asleep)) pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->mutex);
}

void fv_parallel(fv_backend *be, int tasks, fv_task task, void *context)
{
    pool *p = be->impl;
    this_thread = 0;
    if (p->count == 0 || tasks <= 1) {
        for (int i = 0; i < tasks; i++) task(context, i);
        return;
    }
    p->task = task;
    p->context = context;
    p->tasks = tasks;
    atomic_store(&p->next, 0);
    atomic_store(&p->busy, p->count);
    announce(p);
    work(p);
    for (int i = 0; i < SPINS; i++, relax())
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
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    pool *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
    if (!p) return fv_fail(FV_ERR_MEMORY, "opening backend cpu: out of memory");
    *p = (pool){.count = 0};
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->begin, NULL);
    pthread_cond_init(&p->end, NULL);
    be->impl = p;
    for (; p->count < threads - 1; p->count++) {
        worker *w = &p->workers[p->count];
        *w = (worker){.pool = p, .index = p->count + 1};
        if (pthread_create(&w->thread, NULL, run_worker, w) != 0) break;
    }
    be->threads = p->count + 1;
    return FV_OK;
}

void fv_cpu_pool_close(fv_backend *be)
{
    pool *p = be->impl;
    if (!p) return;
    p->closing = true;
    announce(p);
    for (int i = 0; i < p->count; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_mutex_destroy(&p->mutex);
    pthread_cond_destroy(&p->begin);
    pthread_cond_destroy(&p->end);
    free(p);
    be->impl = NULL;
}

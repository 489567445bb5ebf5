/* See fibers.h. */
#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>

#include <deque>
#include <vector>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/fibers.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define FIBER_LEAVE(save, bottom, size) __sanitizer_start_switch_fiber(save, bottom, size)
#define FIBER_ARRIVE(save)              __sanitizer_finish_switch_fiber(save, nullptr, nullptr)
#else
#define FIBER_LEAVE(save, bottom, size) (void)(save)
#define FIBER_ARRIVE(save)              (void)(save)
#endif

namespace fv_emulated
{

coordinates emulated;

enum { STACK = 64 * 1024 };

struct barrier {
    unsigned size, count, generation;
};

struct fiber {
    ucontext_t context;
    jmp_buf jump;
    char *stack;
    unsigned thread;
    bool begun, done;
    void *fake_stack;
};

struct fibers {
    std::deque<fiber> all;
    ucontext_t home;
    jmp_buf home_jump;
    void *home_fake;
    const void *home_bottom; /* of the scheduler's own stack, for AddressSanitizer */
    size_t home_size;
    fiber *now;
    const std::function<void()> *kernel;
    barrier block;
    std::vector<barrier> warps;
    std::vector<float> exchange;
    bool progress;
};

static fibers *running;

/* Contexts switch by _setjmp, which unlike swapcontext asks the kernel for nothing; with
 * AddressSanitizer, which follows only the latter, by that. */
static __attribute__((noinline)) void leave_fiber(fiber *f)
{
#if defined(__SANITIZE_ADDRESS__)
    swapcontext(&f->context, &running->home);
#else
    if (!_setjmp(f->jump)) _longjmp(running->home_jump, 1);
#endif
}

static __attribute__((noinline)) void enter_fiber(fiber *f)
{
#if defined(__SANITIZE_ADDRESS__)
    swapcontext(&running->home, &f->context);
#else
    if (_setjmp(running->home_jump)) return;
    if (f->begun) _longjmp(f->jump, 1);
    f->begun = true;
    setcontext(&f->context);
#endif
}

static void yield_fiber()
{
    fibers *r = running;
    fiber *f = r->now;
    FIBER_LEAVE(&f->fake_stack, r->home_bottom, r->home_size);
    leave_fiber(f);
    FIBER_ARRIVE(f->fake_stack);
}

/* A fiber lives as long as the device and runs one thread of block after block. */
static void fiber_main()
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &running->home_bottom, &running->home_size);
#endif
    for (;;) {
        (*running->kernel)();
        running->now->done = true;
        running->progress = true;
        yield_fiber();
    }
}

static void meet(barrier *b)
{
    unsigned generation = b->generation;
    if (++b->count == b->size) {
        b->count = 0;
        b->generation++;
        running->progress = true;
        return;
    }
    while (b->generation == generation) yield_fiber();
}

void block_barrier()
{
    meet(&running->block);
}

static barrier *my_warp()
{
    return &running->warps[running->now->thread / WARP];
}

void warp_barrier()
{
    meet(my_warp());
}

float warp_exchange(float value, int mask)
{
    unsigned own = running->now->thread;
    running->exchange[own] = value;
    warp_barrier();
    float other = running->exchange[own ^ (unsigned)mask];
    warp_barrier();
    return other;
}

/* On its own, as getcontext returns twice: nothing else may live in registers across it. */
static __attribute__((noinline)) void begin_fiber(fiber &f)
{
    f.stack = static_cast<char *>(aligned_alloc(64, STACK));
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack;
    f.context.uc_stack.ss_size = STACK;
    f.context.uc_link = nullptr;
    makecontext(&f.context, fiber_main, 0);
}

fibers *fibers_new()
{
    return new fibers();
}

void fibers_free(fibers *r)
{
    if (!r) return;
    for (fiber &f : r->all) ::free(f.stack);
    delete r;
}

bool fibers_run(fibers *r, const std::function<void()> &kernel, unsigned threads)
{
    while (r->all.size() < threads) {
        r->all.emplace_back();
        begin_fiber(r->all.back());
    }
    running = r;
    r->kernel = &kernel;
    r->block = {threads, 0, 0};
    r->warps.assign((threads + WARP - 1) / WARP, barrier{WARP, 0, 0});
    if (threads % WARP) r->warps.back().size = threads % WARP;
    r->exchange.assign(threads, 0);
    for (unsigned t = 0; t < threads; t++) {
        fiber *f = &r->all[t];
        f->thread = t;
        f->done = false;
    }
    unsigned left = threads;
    while (left) {
        r->progress = false;
        for (unsigned t = 0; t < threads; t++) {
            fiber *f = &r->all[t];
            if (f->done) continue;
            r->now = f;
            emulated.thread = dim3(t);
            FIBER_LEAVE(&r->home_fake, f->stack, STACK);
            enter_fiber(f);
            FIBER_ARRIVE(r->home_fake);
            if (f->done) left--;
        }
        if (left && !r->progress) return false;
    }
    return true;
}

} // namespace fv_emulated

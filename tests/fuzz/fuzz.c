/* See fuzz.h. Files are memfds, reached through /proc/self/fd or a link to it; the heap is counted
 * by the hooks of the sanitizers' allocator. */
#include "tests/fuzz/fuzz.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "model/nets/inventory.h"
#include "model/weights/weights_internal.h"

#define SHIPPED "model/mini/mini.yml"
enum { READ_LIMIT = 1 << 16, SLOTS = 4, MESSAGE_LIMIT = 1024, MAX_SECONDS = 2 };

_Noreturn void fuzz_stop(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s (last message: \"%s\")\n", file, line, condition,
            fv_error());
    abort();
}

/* --- memory --- */

int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void *, size_t),
                                              void (*)(const volatile void *))
    __attribute__((weak));
size_t __sanitizer_get_allocated_size(const volatile void *) __attribute__((weak));

static atomic_llong live, peak;
static long long live_before;
static size_t claimed;
static double begun; /* seconds of this process's own time: a loaded machine is no hang */

static double own_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void taken(const volatile void *p, size_t size)
{
    (void)p;
    long long now = atomic_fetch_add_explicit(&live, (long long)size, memory_order_relaxed);
    now += (long long)size;
    if (now > atomic_load_explicit(&peak, memory_order_relaxed))
        atomic_store_explicit(&peak, now, memory_order_relaxed);
}

static void given_back(const volatile void *p)
{
    if (p)
        atomic_fetch_sub_explicit(&live, (long long)__sanitizer_get_allocated_size(p),
                                  memory_order_relaxed);
}

void fuzz_begin(size_t size)
{
    static bool hooked;
    if (!hooked && __sanitizer_install_malloc_and_free_hooks) {
        FUZZ_CHECK(__sanitizer_install_malloc_and_free_hooks(taken, given_back));
        hooked = true;
    }
    claimed = size;
    live_before = atomic_load(&live);
    atomic_store(&peak, live_before);
    fv_fail(FV_OK, "stale message");
    begun = own_seconds();
}

void fuzz_claim(size_t bytes)
{
    if (bytes > claimed) claimed = bytes;
}

int fuzz_end(void)
{
    FUZZ_CHECK(own_seconds() - begun < MAX_SECONDS);
    long long used = atomic_load(&peak) - live_before;
    if (used > (64LL << 20) + 16 * (long long)claimed) {
        fprintf(stderr, "%lld bytes of heap for an input worth %zu\n", used, claimed);
        abort();
    }
    return 0;
}

/* --- what a failure says --- */

bool fuzz_refused(fv_status status)
{
    if (status >= 0) return false;
    const char *message = fv_error();
    size_t n = strlen(message);
    FUZZ_CHECK(status != FV_ERR_MEMORY);
    FUZZ_CHECK(n >= 10 && n < MESSAGE_LIMIT);
    FUZZ_CHECK(strcmp(message, "stale message") != 0);
    for (size_t i = 0; i < n; i++) FUZZ_CHECK((unsigned char)message[i] >= 0x20);
    return true;
}

/* --- files --- */

static char folder[64];

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (*folder && system(command) != 0) fprintf(stderr, "%s stays\n", folder);
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/feavis-fuzz-XXXXXX");
    FUZZ_CHECK(mkdtemp(folder));
    atexit(remove_folder);
}

const char *fuzz_file(int slot, const char *ending, const void *data, size_t size)
{
    static struct {
        int fd;
        char path[128], target[64];
    } slots[SLOTS];
    if (!slots[slot].fd) {
        slots[slot].fd = memfd_create("fuzz", MFD_CLOEXEC);
        FUZZ_CHECK(slots[slot].fd > 0);
        snprintf(slots[slot].target, sizeof slots[slot].target, "/proc/self/fd/%d", slots[slot].fd);
    }
    for (size_t at = 0; at < size;) {
        ssize_t n = pwrite(slots[slot].fd, (const char *)data + at, size - at, (off_t)at);
        FUZZ_CHECK(n > 0);
        at += (size_t)n;
    }
    FUZZ_CHECK(ftruncate(slots[slot].fd, (off_t)size) == 0);
    if (!*ending) return slots[slot].target;
    if (!*folder) make_folder();
    char path[128];
    snprintf(path, sizeof path, "%s/file%s", folder, ending);
    if (strcmp(path, slots[slot].path) != 0) {
        unlink(path);
        FUZZ_CHECK(symlink(slots[slot].target, path) == 0);
        memcpy(slots[slot].path, path, sizeof path);
    }
    return slots[slot].path;
}

const char *fuzz_source(const char *name)
{
    static char path[4096];
    const char *source = getenv("FEAVIS_SOURCE");
    snprintf(path, sizeof path, "%s/%s", source ? source : ".", name);
    return path;
}

FILE *fuzz_nowhere(void)
{
    static FILE *f;
    if (!f) f = fopen("/dev/null", "w");
    FUZZ_CHECK(f);
    return f;
}

/* --- tensors --- */

void fuzz_read_entry(const fv_entry *e)
{
    static double values64[READ_LIMIT];
    static float values32[READ_LIMIT];
    FUZZ_CHECK(e->ndim >= 0 && e->ndim <= FV_MAX_DIMS && e->data);
    FUZZ_CHECK(fv_file_dtype_name(e->dtype));
    size_t n = fv_entry_count(e);
    if (n > READ_LIMIT) return;
    fv_entry_read_f64(e, values64);
    fv_entry_read_f32(e, values32);
    const float *floats = fv_entry_floats(e);
    volatile float last = floats && n ? floats[n - 1] : 0;
    (void)last;
}

void fuzz_read_weights(const fv_weights *w)
{
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const fv_entry *e = fv_weights_at(w, i);
        fuzz_read_entry(e);
        FUZZ_CHECK(fv_weights_find(w, e->name) == e);
        fv_weights_forget(w, e);
    }
    FUZZ_CHECK(fv_weights_format(w) && fv_weights_path(w));
    fv_weights_metadata(w, "feavis.recipe");
}

void fuzz_checkpoint(const uint8_t *data, size_t size)
{
    fv_weights *w;
    fv_status s = fv_weights_open_memory(&w, data, size, "the input");
    if (fuzz_refused(s)) {
        FUZZ_CHECK(!w);
        return;
    }
    fuzz_read_weights(w);
    fv_weights_close(w);
    if (size % 8) return; /* now and then the way of `feavis info` as well, which takes longer */
    int problems;
    fv_network_files files = {.config = fuzz_source(SHIPPED),
                              .checkpoint = fuzz_file(0, "", data, size)};
    s = fv_inventory_print(&files, fuzz_nowhere(), &problems);
    fuzz_refused(s);
}

uint32_t fuzz_random(unsigned *seed, uint32_t below)
{
    uint64_t x = *seed * 2654435761u + 0x9e3779b9u; /* a step, then a mix of its bits */
    *seed = (unsigned)x;
    x = (x ^ x >> 15) * 0x2c1b3c6du;
    return below ? (uint32_t)((x ^ x >> 12) & 0x7fffffff) % below : 0;
}

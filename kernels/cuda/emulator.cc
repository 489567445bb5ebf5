/* The emulator: kernels run block by block on the host, and everything that a GPU takes on trust
 * is checked: limits of a launch, alignment and bounds of a product's operands, what may be done
 * while capturing. Threads that meet at barriers are fibers (fibers.cc); see
 * grid.cuh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <deque>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/fibers.h"

namespace fv_emulated
{

/* --- the device --- */

enum { SHARED_LIMIT = 48 * 1024, GRID_LIMIT = 65535 };

struct allocation {
    size_t bytes;
    bool mapped;
};

/* Freed memory is kept for a while, so that a pointer to it is known for what it is. */
static const size_t most_kept = (size_t)256 << 20;

struct emulated_device : device {
    std::map<char *, allocation> memory, freed;
    std::deque<char *> freed_in_order;
    size_t kept = 0; /* bytes in `freed` */
    std::map<std::string, long> counts;
    struct picture { /* on its way to the host */
        std::vector<char> aside;
        bool there;
    } pictures[2] = {};
    int newest = 0;
    fibers *block = nullptr; /* made by the first launch that needs them */
    std::string faults;
    fv_emulated_stats stats = {};
    bool capturing = false;
    bool own = false;  /* no library */
    bool blas = false; /* none for convolutions */
    std::vector<std::function<void()>> *graph = nullptr;
    char name[64];

    emulated_device()
    {
        stats.memory_limit = (size_t)1 << 40;
    }

    ~emulated_device() override
    {
        fibers_free(block);
        for (auto &m : memory) release(m.first, m.second);
        for (auto &m : freed) release(m.first, m.second);
    }

    static void release(char *p, const allocation &a)
    {
        if (a.mapped)
            munmap(p, a.bytes);
        else
            ::free(p);
    }

    void fault(const std::string &what)
    {
        faults += what + "\n";
        stats.faults = faults.c_str();
        if (failed == FV_OK) {
            failed = FV_ERR_DEVICE;
            snprintf(message, sizeof message, "%s", what.c_str());
        }
    }

    void not_capturing(const char *what)
    {
        if (capturing) fault(std::string(what) + " while capturing");
    }

    /* Where nothing runs nothing is touched: pages that are only promised will do. */
    static void *zeros(size_t bytes, bool mapped)
    {
        if (mapped) {
            void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            return p == MAP_FAILED ? nullptr : p;
        }
        void *p = aligned_alloc(256, bytes);
        if (p) memset(p, 0, bytes);
        return p;
    }

    fv_status alloc(size_t bytes, void **out) override
    {
        not_capturing("allocating");
        size_t rounded = bytes ? (bytes + 255) / 256 * 256 : 256;
        *out = nullptr;
        if (stats.allocated + bytes > stats.memory_limit || rounded < bytes ||
            !(*out = zeros(rounded, stats.dry)))
            return fv_fail(FV_ERR_MEMORY, "emulated device: cannot allocate %zu bytes", bytes);
        memory[static_cast<char *>(*out)] = {bytes, stats.dry};
        stats.allocated += bytes;
        if (stats.allocated > stats.most_allocated) stats.most_allocated = stats.allocated;
        return FV_OK;
    }

    void free(void *p) override
    {
        if (!p) return;
        not_capturing("freeing");
        auto it = memory.find(static_cast<char *>(p));
        if (it == memory.end()) {
            fault("freeing memory that is not allocated");
            return;
        }
        stats.allocated -= it->second.bytes;
        freed.insert(*it);
        freed_in_order.push_back(it->first);
        kept += it->second.bytes;
        if (!it->second.mapped) memset(p, 0xff, it->second.bytes); /* NaN */
        memory.erase(it);
        while (kept > most_kept) {
            auto oldest = freed.find(freed_in_order.front());
            kept -= oldest->second.bytes;
            release(oldest->first, oldest->second);
            freed.erase(oldest);
            freed_in_order.pop_front();
        }
    }

    fv_status room(size_t *free_bytes, size_t *total) override
    {
        *total = stats.memory_limit;
        *free_bytes =
            stats.memory_limit > stats.allocated ? stats.memory_limit - stats.allocated : 0;
        return FV_OK;
    }

    /* Whether all these bytes lie in one of these allocations. */
    static bool inside(const std::map<char *, allocation> &all, const void *p, size_t bytes)
    {
        char *at = static_cast<char *>(const_cast<void *>(p));
        auto it = all.upper_bound(at);
        if (it == all.begin()) return false;
        --it;
        return at >= it->first && at + bytes <= it->first + it->second.bytes;
    }

    void see_pointer(const char *what, const void *p)
    {
        if (inside(freed, p, 1)) fault(std::string(what) + ": a pointer to memory that was freed");
        if (stats.on_pointer && inside(memory, p, 1)) stats.on_pointer(stats.user, what, p);
    }

    void see(const char *what, const void *argument, size_t bytes) override
    {
        for (size_t at = 0; at + sizeof(void *) <= bytes; at += sizeof(void *)) {
            void *p;
            memcpy(&p, static_cast<const char *>(argument) + at, sizeof p);
            see_pointer(what, p);
        }
    }

    void must_be_inside(const char *what, const void *p, size_t bytes)
    {
        see_pointer(what, p);
        if (!inside(memory, p, bytes)) fault(std::string(what) + ": bytes outside device memory");
    }

    fv_status copy_in(void *to, const void *host, size_t bytes) override
    {
        not_capturing("uploading");
        must_be_inside("upload", to, bytes);
        if (failed == FV_OK) memcpy(to, host, bytes);
        return result();
    }

    fv_status copy_out(void *host, const void *from, size_t bytes) override
    {
        not_capturing("downloading");
        stats.waits++;
        must_be_inside("download", from, bytes);
        if (failed == FV_OK) memcpy(host, from, bytes);
        return result();
    }

    void copy(void *to, const void *from, size_t bytes) override
    {
        stats.copies++;
        counts["copy"]++;
        must_be_inside("copy", to, bytes);
        must_be_inside("copy", from, bytes);
        enqueue([=]() { memcpy(to, from, bytes); });
    }

    fv_status result()
    {
        return failed == FV_OK ? FV_OK : fv_fail(failed, "backend %s: %s", name, message);
    }

    fv_status sync() override
    {
        not_capturing("waiting");
        stats.waits++;
        return result();
    }

    /* The copy is made at once, like all work here; the host gets it no sooner than it asks. */
    fv_status show(const void *from, size_t bytes) override
    {
        not_capturing("showing");
        must_be_inside("show", from, bytes);
        if (failed != FV_OK) return result();
        picture &p = pictures[newest ^= 1];
        const char *bytes_of = static_cast<const char *>(from);
        p.aside.assign(bytes_of, bytes_of + bytes);
        p.there = true;
        return result();
    }

    fv_status shown(void *host, size_t bytes) override
    {
        picture &p = pictures[newest];
        if (!p.there || p.aside.size() != bytes)
            return fv_fail(FV_ERR_ARGUMENT, "backend %s: no such picture is on its way", name);
        memcpy(host, p.aside.data(), bytes);
        return result();
    }

    /* Now, or into the graph. */
    void enqueue(std::function<void()> work)
    {
        if (failed != FV_OK || stats.dry) return;
        if (capturing)
            graph->push_back(std::move(work));
        else
            work();
    }

    void run(const char *what, dim3 grid, dim3 size, size_t shared, bool together,
             std::function<void()> kernel) override
    {
        stats.launches++;
        counts[what]++;
        unsigned threads = size.x * size.y * size.z;
        if (!threads || threads > FIBERS_MAX || !grid.x || !grid.y || !grid.z ||
            grid.y > GRID_LIMIT || grid.z > GRID_LIMIT || grid.x > 0x7fffffffu ||
            shared > SHARED_LIMIT)
            fault(std::string(what) + ": a launch over the limits");
        if (together && (threads % WARP || size.y != 1 || size.z != 1))
            fault(std::string(what) + ": blocks that meet must be whole warps in a row");
        enqueue([=]() { run_grid(what, grid, size, shared, together, kernel); });
    }

    void run_grid(const char *what, dim3 grid, dim3 size, size_t shared, bool together,
                  const std::function<void()> &kernel)
    {
        unsigned threads = size.x;
        if (together && !block) block = fibers_new();
        /* exactly as large as asked for, so that AddressSanitizer sees its end */
        char *room = static_cast<char *>(malloc(shared ? shared : 1));
        emulated.shared = room;
        emulated.grid_size = grid;
        emulated.block_size = size;
        for (unsigned z = 0; z < grid.z; z++)
            for (unsigned y = 0; y < grid.y; y++)
                for (unsigned x = 0; x < grid.x && failed == FV_OK; x++) {
                    emulated.block = dim3(x, y, z);
                    if (together) {
                        memset(room, 0xff, shared); /* NaN */
                        if (!fibers_run(block, kernel, threads))
                            fault(std::string(what) + ": threads wait at different barriers");
                        continue;
                    }
                    for (unsigned t = 0; t < threads; t++) {
                        emulated.thread = dim3(t);
                        kernel();
                    }
                }
        ::free(room);
    }

    /* --- products as the library does them --- */

    void *product_plan(const product &p) override
    {
        /* the library takes operands of one format, 16-byte aligned */
        const void *all[] = {p.a.p, p.b.p, p.c.p, p.addend};
        for (const void *at : all)
            if (reinterpret_cast<uintptr_t>(at) % 16) return nullptr;
        bool same =
            p.a.format == p.b.format && (p.c.format == p.a.format || p.c.format == FV_FORMAT_F32);
        return same && !own ? new product(p) : nullptr;
    }

    void product_forget(void *plan) override
    {
        delete static_cast<product *>(plan);
    }

    static size_t extent(const matrix &m, int rows, int columns, int batch)
    {
        if (m.transposed) std::swap(rows, columns);
        return ((size_t)(batch - 1) * m.stride + (size_t)(rows - 1) * (size_t)m.ld +
                (size_t)columns) *
               format_bytes(m.format);
    }

    void product_run(void *plan, const product &p) override
    {
        const product &was = *static_cast<const product *>(plan);
        stats.products++;
        counts["product"]++;
        if (was.m != p.m || was.n != p.n || was.k != p.k || was.batch != p.batch ||
            was.a.format != p.a.format || was.b.format != p.b.format ||
            was.c.format != p.c.format || was.a.ld != p.a.ld || was.b.ld != p.b.ld ||
            was.c.ld != p.c.ld || !was.addend != !p.addend || was.relu != p.relu ||
            !was.bias != !p.bias)
            fault("a product that is not the one it was planned as");
        const void *pointers[] = {p.a.p, p.b.p, p.c.p, p.addend};
        for (const void *q : pointers)
            if (reinterpret_cast<uintptr_t>(q) % 16) fault("a product of unaligned operands");
        must_be_inside("product", p.a.p, extent(p.a, p.m, p.k, p.batch));
        must_be_inside("product", p.b.p, extent(p.b, p.k, p.n, p.batch));
        must_be_inside("product", p.c.p, extent(p.c, p.m, p.n, p.batch));
        if (p.addend) must_be_inside("addend", p.addend, extent(p.c, p.m, p.n, p.batch));
        if (p.bias) must_be_inside("bias", p.bias, (size_t)p.n * format_bytes(p.c.format));
        product copy = p;
        bool rounds = tf32 && p.a.format == FV_FORMAT_F32;
        enqueue([copy, rounds]() { multiply_on_host(copy, rounds); });
    }

    /* To the 10 bits that tensor cores read of a float in tf32. */
    static float tf32_of(float x)
    {
        uint32_t bits = float_bits(x);
        return is_finite(x) ? bits_float((bits + 0x1000u) & ~0x1fffu) : x;
    }

    static void to_floats(const matrix &m, int rows, int columns, int at, bool rounds,
                          std::vector<float> *out)
    {
        mixed v{m.p, m.format};
        out->resize((size_t)rows * (size_t)columns);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++)
                (*out)[(size_t)i * (size_t)columns + (size_t)j] =
                    v.get((size_t)at * m.stride +
                          (m.transposed ? (size_t)j * m.ld + i : (size_t)i * m.ld + j));
        for (float &x : *out)
            if (rounds) x = tf32_of(x);
    }

    static void multiply_on_host(const product &p, bool rounds)
    {
        std::vector<float> a, b, row((size_t)p.n);
        mixed c{p.c.p, p.c.format}, addend{const_cast<void *>(p.addend), p.c.format},
            bias{const_cast<void *>(p.bias), p.c.format};
        for (int at = 0; at < p.batch; at++) {
            to_floats(p.a, p.m, p.k, at, rounds, &a);
            to_floats(p.b, p.k, p.n, at, rounds, &b);
            for (int i = 0; i < p.m; i++) {
                size_t to = (size_t)at * p.c.stride + (size_t)i * (size_t)p.c.ld;
                for (int j = 0; j < p.n; j++)
                    row[(size_t)j] = (p.addend ? addend.get(to + (size_t)j) : 0) +
                                     (p.bias ? bias.get((size_t)j) : 0);
                for (int k = 0; k < p.k; k++) {
                    float v = a[(size_t)i * (size_t)p.k + (size_t)k];
                    const float *from = &b[(size_t)k * (size_t)p.n];
                    for (int j = 0; j < p.n; j++) row[(size_t)j] += v * from[j];
                }
                for (int j = 0; j < p.n; j++)
                    c.set(to + (size_t)j, p.relu && row[(size_t)j] < 0 ? 0 : row[(size_t)j]);
            }
        }
    }

    /* --- convolutions as the library does them --- */

    enum { CONVOLUTION_SCRATCH = 1000 };

    static bool aligned(const convolution &c)
    {
        const void *all[] = {c.x_data, c.w, c.y_data, c.addend};
        for (const void *at : all)
            if (reinterpret_cast<uintptr_t>(at) % 16) return false;
        return true;
    }

    void *convolution_plan(const convolution &c, size_t *scratch) override
    {
        bool fits = c.y.h == (c.x.h + 2 * c.pad - c.k) / c.stride + 1 &&
                    c.y.w == (c.x.w + 2 * c.pad - c.k) / c.stride + 1;
        if (own || blas || !fits || !aligned(c)) return nullptr;
        *scratch = CONVOLUTION_SCRATCH;
        return new convolution(c);
    }

    void convolution_forget(void *plan) override
    {
        delete static_cast<convolution *>(plan);
    }

    void convolution_run(void *plan, const convolution &c, void *scratch) override
    {
        const convolution &was = *static_cast<const convolution *>(plan);
        stats.products++;
        counts[c.gradient ? "convolution backward" : "convolution"]++;
        if (was.format != c.format || was.gradient != c.gradient || was.relu != c.relu ||
            !was.addend != !c.addend || !was.bias != !c.bias || was.x_data != c.x_data ||
            was.y_data != c.y_data || was.w != c.w)
            fault("a convolution that is not the one it was planned as");
        if (!aligned(c)) fault("a convolution of unaligned operands");
        size_t each = format_bytes(c.format), columns = (size_t)(c.k * c.k * c.x.c);
        must_be_inside("convolution", c.x_data, fv_count(c.x) * each);
        must_be_inside("convolution", c.y_data, fv_count(c.y) * each);
        must_be_inside("convolution", c.w, columns * (size_t)c.y.c * each);
        must_be_inside("convolution's scratch", scratch, CONVOLUTION_SCRATCH);
        if (c.addend) must_be_inside("addend", c.addend, fv_count(c.gradient ? c.x : c.y) * each);
        if (c.bias) must_be_inside("bias", c.bias, (size_t)c.y.c * each);
        convolution copy = c;
        bool rounds = tf32 && c.format == FV_FORMAT_F32;
        enqueue([copy, rounds]() { convolve_on_host(copy, rounds); });
    }

    /* x, y and w in floats: a tap at a time, either way round. */
    static void convolve_on_host(const convolution &c, bool rounds)
    {
        std::vector<float> x, y, w;
        int in = c.x.c, out = c.y.c, taps = c.k * c.k;
        matrix xs = {c.x_data, c.format, in, 0, false}, ys = {c.y_data, c.format, out, 0, false};
        matrix ws = {const_cast<void *>(c.w), c.format, taps * in, 0, false};
        int x_rows = (int)fv_rows(c.x), y_rows = (int)fv_rows(c.y);
        to_floats(ws, out, taps * in, 0, rounds, &w);
        if (c.gradient)
            to_floats(ys, y_rows, out, 0, rounds, &y);
        else
            to_floats(xs, x_rows, in, 0, rounds, &x);
        (c.gradient ? x : y).assign(c.gradient ? fv_count(c.x) : fv_count(c.y), 0);
        for (int row = 0; row < y_rows; row++)
            for (int tap = 0; tap < taps; tap++) {
                int i = row / c.y.w % c.y.h * c.stride + tap / c.k - c.pad;
                int j = row % c.y.w * c.stride + tap % c.k - c.pad;
                if (i < 0 || i >= c.x.h || j < 0 || j >= c.x.w) continue;
                float *px = &x[(((size_t)(row / c.y.w / c.y.h) * c.x.h + i) * c.x.w + j) * in];
                float *py = &y[(size_t)row * out];
                for (int o = 0; o < out; o++) {
                    const float *from = &w[((size_t)o * taps + tap) * in];
                    for (int k = 0; k < in; k++)
                        if (c.gradient)
                            px[k] += py[o] * from[k];
                        else
                            py[o] += px[k] * from[k];
                }
            }
        store_convolved(c, c.gradient ? x : y);
    }

    static void store_convolved(const convolution &c, const std::vector<float> &result)
    {
        mixed to{c.gradient ? c.x_data : c.y_data, c.format};
        mixed addend{const_cast<void *>(c.addend), c.format},
            bias{const_cast<void *>(c.bias), c.format};
        for (size_t e = 0; e < result.size(); e++) {
            float v = result[e] + (c.addend ? addend.get(e) : 0) +
                      (c.bias ? bias.get(e % (size_t)c.y.c) : 0);
            to.set(e, c.relu && v < 0 ? 0 : v);
        }
    }

    /* --- graph capture --- */

    fv_status capture_begin() override
    {
        not_capturing("capturing");
        stats.captures++;
        capturing = true;
        graph = new std::vector<std::function<void()>>;
        return result();
    }

    fv_status capture_end(void **out) override
    {
        capturing = false;
        *out = graph;
        graph = nullptr;
        return result();
    }

    fv_status replay(void *captured) override
    {
        not_capturing("replaying");
        stats.replays++;
        for (auto &work : *static_cast<std::vector<std::function<void()>> *>(captured)) work();
        return result();
    }

    void free_graph(void *captured) override
    {
        delete static_cast<std::vector<std::function<void()>> *>(captured);
    }

    void mark(int) override
    {
    }

    double milliseconds(int, int) override
    {
        return 0;
    }
};

} // namespace fv_emulated

extern "C" fv_status fv_cuda_emulated_open(fv_backend *be, const char *spec)
{
    int number;
    char precision[8];
    fv_cuda_libraries libraries;
    FV_TRY(fv_cuda_parse(spec, &number, precision, &libraries));
    auto *d = new (std::nothrow) fv_emulated::emulated_device;
    if (!d) return fv_fail(FV_ERR_MEMORY, "opening the emulator: out of memory");
    d->stats.faults = d->faults.c_str();
    d->own = libraries == FV_CUDA_OWN;
    d->blas = libraries == FV_CUDA_BLAS;
    snprintf(d->name, sizeof d->name, "emulated:%s", precision);
    be->name = d->name;
    return fv_emulated::wire(be, d, precision);
}

extern "C" const char *fv_cuda_emulated_launch(fv_backend *be, int i, long *count)
{
    auto *d = static_cast<fv_emulated::emulated_device *>(fv_emulated::device_of(be));
    for (auto &entry : d->counts)
        if (i-- == 0) {
            *count = entry.second;
            return entry.first.c_str();
        }
    return nullptr;
}

extern "C" fv_emulated_stats *fv_cuda_emulated_stats(fv_backend *be)
{
    return &static_cast<fv_emulated::emulated_device *>(fv_emulated::device_of(be))->stats;
}

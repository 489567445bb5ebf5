/* Opening backends by name, and the memory functions that all CPU backends share. */
#include "kernels/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "kernels/cpu/cpu.h"
#include "kernels/cuda/cuda.h"
#include "kernels/ref/ref.h"

/* Large blocks begin on a huge page and ask for more of them: a step walks through hundreds of
 * megabytes in strides, and small pages would miss the address cache at every one. What is left at
 * the end takes small pages: a huge one for every tail was 60 MB of a B5. */
enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20, LARGE = 64 << 20 };

static fv_status host_alloc(fv_backend *be, size_t bytes, void **out)
{
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
#if defined(__GLIBC__)
    if (bytes >= LARGE) malloc_trim(0); /* first what loading has freed goes back */
#endif
    size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    *out = rounded >= bytes && rounded ? aligned_alloc(alignment, rounded) : NULL;
    if (!*out)
        return fv_fail(FV_ERR_MEMORY, "backend %s: cannot allocate %zu bytes", be->name, bytes);
    if (alignment == HUGE_PAGE) madvise(*out, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    memset(*out, 0, bytes);
    return FV_OK;
}

static void host_free(fv_backend *be, void *memory)
{
    (void)be;
    free(memory);
}

static fv_status wrong_type(const fv_tensor *t)
{
    return fv_fail(FV_ERR_ARGUMENT, "moving tensor %s: the host type does not fit its type",
                   t->name);
}

/* Numbers of `from` bytes each to numbers of `to` bytes each: float or double. */
static void convert(void *to, size_t to_bytes, const void *from, size_t from_bytes, size_t count)
{
    if (to_bytes == from_bytes) {
        memcpy(to, from, count * to_bytes);
    } else if (to_bytes == sizeof(float)) {
        for (size_t i = 0; i < count; i++) ((float *)to)[i] = (float)((const double *)from)[i];
    } else {
        for (size_t i = 0; i < count; i++) ((double *)to)[i] = ((const float *)from)[i];
    }
}

static fv_status host_upload(fv_backend *be, fv_tensor *dst, fv_dtype type, const void *host)
{
    size_t count = fv_count(dst->shape);
    if (type == FV_REAL || (dst->type == FV_I32) != (type == FV_I32)) return wrong_type(dst);
    if (type == FV_I32)
        memcpy(dst->data, host, count * sizeof(int32_t));
    else
        convert(dst->data, be->real_bytes, host, type == FV_F32 ? 4 : 8, count);
    return FV_OK;
}

static fv_status host_download(fv_backend *be, const fv_tensor *src, fv_dtype type, void *host)
{
    size_t count = fv_count(src->shape);
    if (type == FV_REAL || (src->type == FV_I32) != (type == FV_I32)) return wrong_type(src);
    if (type == FV_I32)
        memcpy(host, src->data, count * sizeof(int32_t));
    else
        convert(host, type == FV_F32 ? 4 : 8, src->data, be->real_bytes, count);
    return FV_OK;
}

static fv_status host_sync(fv_backend *be)
{
    (void)be;
    return FV_OK;
}

const char *fv_backend_names(void)
{
    return "auto, cpu, cuda, cuda:N, cpu-v2, cpu-v3, cpu-v4, ref, ref64";
}

static fv_status open_ref(fv_backend *be)
{
    be->name = "ref";
    be->real_bytes = sizeof(float);
    be->recomputes = true;
    be->threads = 1; /* the reference runs on the calling thread */
    be->adam = fv_ref_adam;
    fv_ref_table(be->kernels);
    return FV_OK;
}

static fv_status open_ref64(fv_backend *be)
{
    open_ref(be);
    be->name = "ref64";
    be->real_bytes = sizeof(double);
    be->adam = fv_ref64_adam;
    fv_ref64_table(be->kernels);
    return FV_OK;
}

static fv_status open_cpu(fv_backend *be, const char *name, int threads)
{
    open_ref(be);
    be->fuses_dwconv = true;
    be->microbatch_bytes = (size_t)4 << 20; /* what a core shares of L3 */
    be->recompute_bytes = (size_t)11 << 20;
    return fv_cpu_open(be, name, threads);
}

/* No GPU is no failure here: whoever asked for "auto" gets the cpu, and may say why. name is
 * "auto[:PRECISION]", of a GPU. */
static fv_status open_auto(fv_backend *be, const char *name, int threads)
{
    fv_backend host = *be;
    char gpu[64];
    snprintf(gpu, sizeof gpu, "cuda%s", name + strlen("auto"));
    if (fv_cuda_open(be, gpu) >= 0) return FV_OK;
    *be = host;
#ifdef FV_WITH_CUDA
    snprintf(be->without_gpu, sizeof be->without_gpu, "%.*s", (int)strcspn(fv_error(), ";"),
             fv_error());
#endif
    return open_cpu(be, "cpu", threads);
}

fv_status fv_backend_open(fv_backend **out, const char *name, int threads)
{
    *out = NULL;
    fv_backend *be = calloc(1, sizeof *be);
    if (!be) return fv_fail(FV_ERR_MEMORY, "opening backend %s: out of memory", name);
    *be = (fv_backend){.alloc = host_alloc,
                       .free = host_free,
                       .upload = host_upload,
                       .download = host_download,
                       .sync = host_sync};
    fv_status s;
    if (strncmp(name, "auto", 4) == 0 && (name[4] == 0 || name[4] == ':'))
        s = open_auto(be, name, threads);
    else if (strncmp(name, "cpu", 3) == 0)
        s = open_cpu(be, name, threads);
    else if (strncmp(name, "cuda", 4) == 0 && (name[4] == 0 || name[4] == ':'))
        s = fv_cuda_open(be, name);
    else if (strcmp(name, "ref") == 0)
        s = open_ref(be);
    else if (strcmp(name, "ref64") == 0)
        s = open_ref64(be);
    else
        s = fv_fail(FV_ERR_ARGUMENT, "backend '%s' is not known; known are %s", name,
                    fv_backend_names());
    if (s < 0) {
        free(be);
        return s;
    }
    *out = be;
    return FV_OK;
}

void fv_backend_close(fv_backend *be)
{
    if (!be) return;
    if (be->close) be->close(be);
    free(be);
}

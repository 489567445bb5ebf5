/* Libraries of NVIDIA through dlopen: the program has none among its dependencies, and runs its own
 * kernels where one is missing. */
#ifndef FV_CUDA_LIBRARY_CUH
#define FV_CUDA_LIBRARY_CUH

#include <dlfcn.h>
#include <stdio.h>

/* lib<name>.so.<major>, where the loader finds it or where CUDA is installed; NULL if nowhere. */
static inline void *library_open(const char *name, int major)
{
    static const char *const folders[] = {"", "/usr/local/cuda/lib64/"};
    void *handle = nullptr;
    for (const char *folder : folders) {
        char path[96];
        snprintf(path, sizeof path, "%slib%s.so.%d", folder, name, major);
        if (!handle) handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return handle;
}

#endif

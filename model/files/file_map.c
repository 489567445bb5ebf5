/* Memory mapping of checkpoints: MAP_PRIVATE, PROT_READ. See file_map.h. */
#include "model/files/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AROUND = 64 << 10 }; /* what one fault may map: Linux's fault_around_bytes */
static const uint8_t nothing[1];

static fv_status map_descriptor(fv_file_map *map, int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return fv_fail(FV_ERR_IO, "opening %s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return fv_fail(FV_ERR_IO, "opening %s: it is a directory, expected a file", path);
    if (!S_ISREG(st.st_mode))
        return fv_fail(FV_ERR_IO, "opening %s: it is a pipe or a device, expected a file", path);
    if (st.st_size == 0) {
        *map = (fv_file_map){nothing, 0};
        return FV_OK;
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return fv_fail(FV_ERR_IO, "mapping %s (%lld bytes): %s", path, (long long)st.st_size,
                       strerror(errno));
    *map = (fv_file_map){data, (size_t)st.st_size};
    return FV_OK;
}

fv_status fv_file_map_open(fv_file_map *map, const char *path)
{
    *map = (fv_file_map){NULL, 0};
    /* O_NONBLOCK: opening a pipe must fail below, not wait for a writer */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fv_fail(FV_ERR_IO, "opening %s: %s", path, strerror(errno));
    fv_status st = map_descriptor(map, fd, path);
    close(fd);
    return st;
}

void fv_file_map_close(fv_file_map *map)
{
    if (map->size > 0) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (fv_file_map){NULL, 0};
}

void fv_file_map_scattered(const fv_file_map *map, int scattered)
{
    if (map->size > 0)
        madvise((void *)(uintptr_t)map->data, map->size, scattered ? MADV_RANDOM : MADV_NORMAL);
}

void fv_file_map_prefetch(const fv_file_map *map, uint64_t offset, size_t size)
{
    if (offset >= map->size || size > map->size - offset) return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), start = (size_t)offset / page * page;
    madvise((void *)(uintptr_t)(map->data + start), (size_t)offset - start + size, MADV_WILLNEED);
}

void fv_file_map_forget(const fv_file_map *map, const void *begin, size_t size)
{
    size_t offset = (size_t)((uintptr_t)begin - (uintptr_t)map->data);
    if (offset >= map->size || size > map->size - offset) return;
    size_t around = AROUND, first = offset / around * around;
    size_t last = (offset + size + around - 1) / around * around;
    if (last > map->size) last = map->size;
    madvise((void *)(uintptr_t)(map->data + first), last - first, MADV_DONTNEED);
}

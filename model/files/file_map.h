/* A whole regular file as read-only memory. Pages are loaded when they are touched; the file
 * must not be made shorter while it is mapped. */
#ifndef FV_FILE_MAP_H
#define FV_FILE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/status.h"

typedef struct fv_file_map {
    const uint8_t *data; /* never NULL after opening, also for an empty file */
    size_t size;
} fv_file_map;

fv_status fv_file_map_open(fv_file_map *map, const char *path);
/* Zeroes the struct; a zeroed struct may be closed. */
void fv_file_map_close(fv_file_map *map);

/* While headers are read here and there, reading ahead would fetch far more than is used. */
void fv_file_map_scattered(const fv_file_map *map, int scattered);

/* Starts loading the pages of a range without waiting; one outside the file is ignored. */
void fv_file_map_prefetch(const fv_file_map *map, uint64_t offset, size_t size);

/* Gives back the memory of the pages of a range, and of those that the system may have mapped
 * around it when they were touched; touching any of them loads it again. A range outside the file
 * is ignored. */
void fv_file_map_forget(const fv_file_map *map, const void *begin, size_t size);

#endif

/* Zip archives of stored entries, for mutators and targets: read without trust, written right. */
#ifndef FV_FUZZ_ZIP_H
#define FV_FUZZ_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ZIP_MAX = 24 };

typedef struct zip_part {
    const uint8_t *name, *data;
    size_t name_size, size;
} zip_part;

/* The entries that the central directory names and the file holds; views into data. */
int zip_read(zip_part parts[ZIP_MAX], const uint8_t *data, size_t size);
/* The size written; 0 if `most` bytes are not enough. */
size_t zip_write(uint8_t *out, size_t most, const zip_part *parts, int count, bool zip64);

#endif

/* See png.h. */
#include "tests/fuzz/png.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tests/fuzz/fuzz.h"

enum { START = 8, MAX_CHUNKS = 48, MAX_BYTES = 1 << 16 };

typedef struct chunk {
    uint8_t type[4];
    const uint8_t *data;
    size_t size;
} chunk;

static void put32(uint8_t *p, size_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static int read_chunks(chunk *chunks, const uint8_t *data, size_t size)
{
    int count = 0;
    for (size_t at = START; count < MAX_CHUNKS && at < size && size - at >= 12;) {
        size_t n = (size_t)data[at] << 24 | (size_t)data[at + 1] << 16 | (size_t)data[at + 2] << 8 |
                   data[at + 3];
        if (n > size - at - 12) n = size - at - 12; /* a length that lies is put right */
        memcpy(chunks[count].type, data + at + 4, 4);
        chunks[count].data = data + at + 8;
        chunks[count++].size = n;
        at += n + 12;
    }
    return count;
}

static size_t write_chunks(uint8_t *out, size_t most, const chunk *chunks, int count)
{
    size_t at = START;
    for (int i = 0; i < count; i++) {
        const chunk *c = &chunks[i];
        if (most - at < c->size + 12) return 0;
        put32(out + at, c->size);
        memcpy(out + at + 4, c->type, 4);
        if (c->size) memcpy(out + at + 8, c->data, c->size);
        put32(out + at + 8 + c->size, crc32(0, out + at + 4, (uInt)c->size + 4));
        at += c->size + 12;
    }
    return at;
}

/* Behind `skip` bytes lies a zlib stream: its content is changed. 0: it cannot be. */
static size_t change_inside(uint8_t *room, size_t most, const chunk *c, size_t skip)
{
    static uint8_t inside[MAX_BYTES];
    uLongf n = MAX_BYTES / 2, packed = (uLongf)(most > skip ? most - skip : 0);
    if (c->size <= skip || uncompress(inside, &n, c->data + skip, c->size - skip) != Z_OK) return 0;
    n = LLVMFuzzerMutate(inside, n, MAX_BYTES);
    memcpy(room, c->data, skip);
    return compress2(room + skip, &packed, inside, n, 1) == Z_OK ? skip + packed : 0;
}

/* Where the zlib stream of a chunk begins; 0 is for IDAT, SIZE_MAX: it has none. */
static size_t compressed_from(const chunk *c)
{
    if (memcmp(c->type, "IDAT", 4) == 0) return 0;
    if (memcmp(c->type, "iTXt", 4) != 0 || c->size < 11 || c->data[7] == 0) return SIZE_MAX;
    size_t at = 9; /* "feavis", 0, compressed, method, then two strings */
    for (int zeros = 0; zeros < 2 && at < c->size; at++) zeros += c->data[at] == 0;
    return at;
}

static size_t change(uint8_t *data, size_t most, chunk *chunks, int count, uint8_t *room,
                     unsigned *seed)
{
    int i = (int)fuzz_random(seed, (uint32_t)count);
    chunk *c = &chunks[i], other = chunks[fuzz_random(seed, (uint32_t)count)];
    switch (fuzz_random(seed, 10)) {
    case 0:
        memmove(c, c + 1, (size_t)(--count - i) * sizeof *c);
        break;
    case 1:
        if (count == MAX_CHUNKS) break;
        memmove(c + 1, c, (size_t)(count++ - i) * sizeof *c);
        *c = other;
        break;
    case 2:
        LLVMFuzzerMutate(c->type, 4, 4);
        break;
    default: {
        size_t from = compressed_from(c), n = 0;
        if (from != SIZE_MAX && fuzz_random(seed, 2)) n = change_inside(room, most, c, from);
        if (n == 0) {
            memcpy(room, c->data, c->size);
            n = LLVMFuzzerMutate(room, c->size, most);
        }
        c->data = room;
        c->size = n;
    }
    }
    return write_chunks(data, most, chunks, count);
}

size_t png_mutate(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    chunk chunks[MAX_CHUNKS + 1];
    uint8_t *from = malloc(size + 1), *room = malloc(most + size + 1);
    size_t n = 0;
    if (from && room && size > START && most >= size && fuzz_random(&seed, 12)) {
        memcpy(from, data, size);
        int count = read_chunks(chunks, from, size);
        if (count) n = change(data, most, chunks, count, room, &seed);
        if (!n) memcpy(data, from, size); /* what was half written */
    }
    free(from);
    free(room);
    return n ? n : LLVMFuzzerMutate(data, size, most);
}

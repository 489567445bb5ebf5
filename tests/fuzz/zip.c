/* See zip.h. The layout is that of model/weights/torch_zip.c. */
#include "tests/fuzz/zip.h"

#include <string.h>
#include <zlib.h>

enum { LOCAL = 30, CENTRAL = 46, END = 22, END64 = 56, LOCATOR = 20 };

static uint64_t get(const uint8_t *p, int n)
{
    uint64_t v = 0;
    while (n-- > 0) v = v << 8 | p[n];
    return v;
}

static void put(uint8_t *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++, v >>= 8) p[i] = (uint8_t)v;
}

int zip_read(zip_part parts[ZIP_MAX], const uint8_t *data, size_t size)
{
    int count = 0;
    if (size < END) return 0;
    size_t end = size - END;
    while (end > 0 && get(data + end, 4) != 0x06054b50) end--;
    size_t at = (size_t)get(data + end + 16, 4);
    if (at == UINT32_MAX && end >= LOCATOR + END64)
        at = (size_t)get(data + end - LOCATOR - END64 + 48, 8);
    while (count < ZIP_MAX && at < size && size - at >= CENTRAL &&
           get(data + at, 4) == 0x02014b50) {
        size_t name = (size_t)get(data + at + 28, 2), place = (size_t)get(data + at + 42, 4);
        size_t bytes = (size_t)get(data + at + 20, 4), next = at + CENTRAL + name;
        next += (size_t)(get(data + at + 30, 2) + get(data + at + 32, 2));
        if (next > size) break;
        at = next;
        if (place > size || size - place < LOCAL) continue;
        size_t from = place + LOCAL;
        from += (size_t)(get(data + place + 26, 2) + get(data + place + 28, 2));
        if (from > size || bytes > size - from || place + LOCAL + name > size) continue;
        parts[count++] = (zip_part){data + place + LOCAL, data + from, name, bytes};
    }
    return count;
}

size_t zip_write(uint8_t *out, size_t most, const zip_part *parts, int count, bool zip64)
{
    size_t needed = END + (zip64 ? END64 + LOCATOR : 0), at = 0, place = 0;
    for (int i = 0; i < count; i++)
        needed += LOCAL + CENTRAL + 2 * parts[i].name_size + parts[i].size;
    if (needed > most) return 0;
    memset(out, 0, needed);
    for (int i = 0; i < count; i++) {
        const zip_part *p = &parts[i];
        put(out + at, 0x04034b50, 4);
        put(out + at + 14, crc32(0, p->size ? p->data : out, (uInt)p->size), 4);
        put(out + at + 18, p->size, 4);
        put(out + at + 22, p->size, 4);
        put(out + at + 26, p->name_size, 2);
        if (p->name_size) memcpy(out + at + LOCAL, p->name, p->name_size);
        if (p->size) memcpy(out + at + LOCAL + p->name_size, p->data, p->size);
        at += LOCAL + p->name_size + p->size;
    }
    size_t directory = at;
    for (int i = 0; i < count; i++) {
        const zip_part *p = &parts[i];
        put(out + at, 0x02014b50, 4);
        memcpy(out + at + 16, out + place + 14, 12); /* CRC and sizes */
        put(out + at + 28, p->name_size, 2);
        put(out + at + 42, place, 4);
        if (p->name_size) memcpy(out + at + CENTRAL, p->name, p->name_size);
        at += CENTRAL + p->name_size;
        place += LOCAL + p->name_size + p->size;
    }
    size_t bytes = at - directory;
    if (zip64) {
        put(out + at, 0x06064b50, 4);
        put(out + at + 4, END64 - 12, 8);
        put(out + at + 24, (uint64_t)count, 8);
        put(out + at + 32, (uint64_t)count, 8);
        put(out + at + 40, bytes, 8);
        put(out + at + 48, directory, 8);
        put(out + at + END64, 0x07064b50, 4);
        put(out + at + END64 + 8, at, 8);
        put(out + at + END64 + 16, 1, 4);
        at += END64 + LOCATOR;
    }
    put(out + at, 0x06054b50, 4);
    put(out + at + 8, (uint64_t)count, 2);
    put(out + at + 10, (uint64_t)count, 2);
    put(out + at + 12, bytes, 4);
    put(out + at + 16, directory, 4);
    return at + END;
}

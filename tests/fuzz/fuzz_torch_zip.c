/* PyTorch checkpoints in a zip archive. The mutator takes the archive apart, changes one entry or
 * its name, leaves one out or doubles one, and writes it again with right sizes; now and then it
 * changes bytes of the archive itself. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(size);
    fuzz_checkpoint(data, size);
    return fuzz_end();
}

/* The entries are views into `from`, a copy; `room` takes the changed one. */
static size_t change(uint8_t *data, size_t most, zip_part *parts, int count, uint8_t *room,
                     unsigned *seed)
{
    int i = (int)fuzz_random(seed, (uint32_t)count);
    if (fuzz_random(seed, 3)) i = 0; /* data.pkl comes first, and says most */
    zip_part *p = &parts[i];
    switch (fuzz_random(seed, 12)) {
    case 0:
        if (count > 1) *p = parts[--count];
        break;
    case 1:
        if (count < ZIP_MAX) {
            parts[count] = *p;
            parts[count].name = parts[fuzz_random(seed, (uint32_t)count)].name;
            count++;
        }
        break;
    case 2:
        if (p->name_size > 200) break;
        memcpy(room, p->name, p->name_size);
        p->name_size = LLVMFuzzerMutate(room, p->name_size, p->name_size + 8);
        p->name = room;
        break;
    default:
        if (p->size > most) break;
        memcpy(room, p->data, p->size);
        p->size = LLVMFuzzerMutate(room, p->size, most);
        p->data = room;
    }
    return zip_write(data, most, parts, count, fuzz_random(seed, 2));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    zip_part parts[ZIP_MAX];
    uint8_t *from = malloc(size + 1), *room = malloc(most + 256);
    size_t n = 0;
    if (from && room && fuzz_random(&seed, 8)) {
        memcpy(from, data, size);
        int count = zip_read(parts, from, size);
        if (count) n = change(data, most, parts, count, room, &seed);
    }
    free(from);
    free(room);
    return n ? n : LLVMFuzzerMutate(data, size, most);
}

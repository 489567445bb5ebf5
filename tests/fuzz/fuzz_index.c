/* An index and a search in it. The input: its kind (.npy if odd) and the length of the list of
 * names (3 bytes), the list, the rows. The mutator changes one of both parts. */
#include <stdlib.h>
#include <string.h>

#include "feavis/index.h"
#include "feavis/match.h"
#include "tests/fuzz/model.h"

enum { HEAD = 3, HITS = 3 };

static void search(const fv_index *x)
{
    size_t dim = (size_t)fv_index_dim(x), wanted = (size_t)fv_model_dim(fuzz_model());
    float *query = calloc(dim > wanted ? dim : wanted, sizeof *query);
    fv_hit hits[HITS];
    int found = 0;
    FUZZ_CHECK(query);
    query[0] = 1;
    for (int i = 0; i < fv_index_count(x) && i < 32; i++) FUZZ_CHECK(fv_index_name(x, i));
    if (!fuzz_refused(fv_index_search(x, fuzz_model(), query, 1, HITS, hits, &found))) {
        FUZZ_CHECK(found >= 0 && found <= HITS);
        for (int i = 0; i < found; i++)
            FUZZ_CHECK(hits[i].index >= 0 && hits[i].index < fv_index_count(x));
    }
    free(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD) return 0;
    size_t names = (size_t)data[1] | (size_t)data[2] << 8;
    if (names > size - HEAD) names = size - HEAD;
    fuzz_model();
    fuzz_begin(size);
    const char *kind = data[0] & 1 ? ".npy" : ".safetensors";
    fuzz_file(data[0] & 1 ? 1 : 3, data[0] & 1 ? ".npy.txt" : ".safetensors.txt", data + HEAD,
              names);
    const char *path =
        fuzz_file(data[0] & 1 ? 0 : 2, kind, data + HEAD + names, size - HEAD - names);
    fv_index *x;
    if (!fuzz_refused(fv_index_open(&x, path))) {
        search(x);
        fv_index_close(x);
    }
    return fuzz_end();
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    size_t names = size < HEAD ? 0 : (size_t)data[1] | (size_t)data[2] << 8;
    if (size <= HEAD || names > size - HEAD || fuzz_random(&seed, 10) == 0 || most <= size)
        return LLVMFuzzerMutate(data, size, most);
    uint8_t *rows = data + HEAD + names;
    size_t rest = size - HEAD - names;
    if (fuzz_random(&seed, 2))
        return HEAD + names + LLVMFuzzerMutate(rows, rest, most - HEAD - names);
    uint8_t *kept = malloc(rest + 1);
    if (!kept) return size;
    memcpy(kept, rows, rest);
    size_t room = most - HEAD - rest, n;
    n = LLVMFuzzerMutate(data + HEAD, names, room < 0xffff ? room : 0xffff);
    memcpy(data + HEAD + n, kept, rest);
    free(kept);
    data[1] = (uint8_t)n;
    data[2] = (uint8_t)(n >> 8);
    return HEAD + n + rest;
}

"""An index of feavis in engines for collections that no memory holds: FAISS (IVF-PQ) and Milvus.

    feavis embed --images DIR --out index.npy
    pip install faiss-cpu numpy "pymilvus>=2.5" milvus-lite

    engines.py ivfpq index.npy index.ivfpq          train and fill an IVF-PQ index of FAISS
    engines.py milvus index.npy index.db NAMES.txt  fill a collection of Milvus Lite (or a server's address)
    engines.py search index.ivfpq QUERIES.npy       the nearest rows of each query (also index.db)
    engines.py mix index.npy 1000000 many.npy       more rows out of these: mixtures of two or three, and noise
    engines.py measure many.npy QUERIES.npy ...     recall@10 beside the exact search, and time a query

QUERIES.npy is float [n][dim]: a row of an index, or text_embedding.npy of feavis probe. Rows are unit
vectors, so that the inner product is the cosine.
"""
import os
import sys
import time

import numpy as np

TOP, BLOCK = 10, 100_000


def rows_of(path):
    """[count][dim] float32, mapped: no more than is used is in memory."""
    return np.load(path, mmap_mode="r")


def blocks(rows):
    for at in range(0, len(rows), BLOCK):
        yield at, np.ascontiguousarray(rows[at:at + BLOCK], dtype=np.float32)


def make_ivfpq(rows, lists=None, bytes_a_row=64, seed=1):
    """IVF-PQ: `lists` cells, bytes_a_row codes of 8 bits. Trained on at most 64 rows a cell.
    "np": without the order of codes for Hamming distances, which is most of the training, and not asked here."""
    import faiss
    lists = lists or int(min(4096, max(1, 4 * len(rows) ** 0.5 // 4)))
    index = faiss.index_factory(rows.shape[1], f"IVF{lists},PQ{bytes_a_row}np", faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.seed = 10, seed
    index.cp.max_points_per_centroid = 64
    chosen = np.random.default_rng(seed).choice(len(rows), min(len(rows), 64 * max(lists, 256)), replace=False)
    index.train(np.ascontiguousarray(rows[np.sort(chosen)], dtype=np.float32))
    for _, block in blocks(rows):
        index.add(block)
    return index


def milvus_index(client, kind, lists):
    """Of the vectors. Milvus Lite makes `lists` cells a segment (about 60,000 rows of 512), a server in all."""
    index = client.prepare_index_params()
    parameters = {"nlist": lists} if kind.startswith("IVF") else {}
    index.add_index("vector", index_type=kind, metric_type="IP", params=parameters)
    return index


def fill_milvus(rows, uri, names=None, kind="IVF_FLAT", lists=1024):
    """A collection "feavis": id is the row, name its picture. The last
    segments may still be without their index when it returns."""
    from pymilvus import DataType, MilvusClient
    client = MilvusClient(uri)
    if client.has_collection("feavis"):
        client.drop_collection("feavis")
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=rows.shape[1])
    schema.add_field("name", DataType.VARCHAR, max_length=1024)
    client.create_collection("feavis", schema=schema, index_params=milvus_index(client, kind, lists))
    for at, block in blocks(rows):
        for start in range(0, len(block), 5000):
            part = block[start:start + 5000]
            client.insert("feavis", [{"id": at + start + i, "vector": v,
                                      "name": names[at + start + i] if names else ""}
                                     for i, v in enumerate(part)])
    client.flush("feavis")
    return client


def change_milvus_index(client, kind, lists):
    """Another index of the same vectors; made when it returns."""
    client.release_collection("feavis")
    client.drop_index("feavis", "vector")
    client.create_index("feavis", milvus_index(client, kind, lists))
    client.load_collection("feavis")


def exact(rows, queries, top=TOP):
    """The best rows of each query, block by block."""
    best = np.full((len(queries), top), -np.inf, np.float32)
    where = np.zeros((len(queries), top), np.int64)
    for at, block in blocks(rows):
        scores = queries @ block.T
        part = np.argpartition(-scores, min(top, scores.shape[1] - 1), axis=1)[:, :top]
        both = np.concatenate([best, np.take_along_axis(scores, part, 1)], 1)
        places = np.concatenate([where, part + at], 1)
        order = np.argsort(-both, axis=1, kind="stable")[:, :top]
        best, where = np.take_along_axis(both, order, 1), np.take_along_axis(places, order, 1)
    return best, where


def rescored(rows, queries, candidates, top=TOP):
    """Of an engine's candidates the best by their true vectors, read from the file."""
    found = np.empty((len(queries), top), np.int64)
    for i, ids in enumerate(candidates):
        ids = np.unique(ids[ids >= 0])
        found[i] = ids[np.argsort(-(np.asarray(rows[ids], np.float32) @ queries[i]))[:top]]
    return found


def recall(found, truth):
    return float(np.mean([len(set(f[:TOP]) & set(t)) / len(t) for f, t in zip(found, truth)]))


def timed(function, queries):
    """Answers of each query alone, and milliseconds a query (the median)."""
    answers, times = [], []
    for query in queries:
        start = time.perf_counter()
        answers.append(function(query[None]))
        times.append(time.perf_counter() - start)
    return answers, 1e3 * float(np.median(times))


def mix(rows, count, out, seed=1):
    """Mixtures of two or three rows with noise of a third of their length, normalised."""
    random = np.random.default_rng(seed)
    rows = np.asarray(rows, np.float32)
    made = np.lib.format.open_memmap(out, "w+", np.float32, (count, rows.shape[1]))
    for at in range(0, count, BLOCK):
        n = min(BLOCK, count - at)
        weights = random.dirichlet([1, 1, 0.5], n).astype(np.float32)
        block = sum(weights[:, k:k + 1] * rows[random.integers(len(rows), size=n)] for k in range(3))
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        noise = random.standard_normal(block.shape, np.float32)
        block += noise / np.linalg.norm(noise, axis=1, keepdims=True) / 3
        made[at:at + n] = block / np.linalg.norm(block, axis=1, keepdims=True)
    made.flush()


def measure(rows, sets, folder, lists=256):
    """sets: {name: queries}. Each engine is built once and asked all of them."""
    import faiss
    truth = {}
    for name, queries in sets.items():
        start = time.time()
        truth[name] = exact(rows, queries)[1]
        print(f"exact, {name}: {1e3 * (time.time() - start) / len(queries):.1f} ms a query, all at once; "
              f"{timed(lambda q: exact(rows, q), queries[:3])[1]:.0f} ms alone", flush=True)

    def report(what, function):
        for name, queries in sets.items():
            found, ms = timed(function, queries)
            print(f"  {what:24} {name:12} recall@10 {recall(found, truth[name]):.3f}  {ms:.2f} ms", flush=True)

    start = time.time()
    index = make_ivfpq(rows, lists)
    file = os.path.join(folder, "index.ivfpq")
    faiss.write_index(index, file)
    print(f"FAISS, {index.nlist} cells, PQ64: {time.time() - start:.0f} s to build, "
          f"{os.path.getsize(file) / 2**20:.0f} MB; rows {rows.nbytes / 2**20:.0f} MB", flush=True)
    for probes in (4, 16, 64):
        index.nprobe = probes
        report(f"nprobe {probes}", lambda q: index.search(q, TOP)[1][0])
        for candidates in (100, 1000, 5000):
            report(f"nprobe {probes}, of {candidates}",
                   lambda q: rescored(rows, q, index.search(q, candidates)[1])[0])
    start = time.time()
    client = fill_milvus(rows, os.path.join(folder, "index.db"), kind="FLAT")
    print(f"Milvus Lite: {time.time() - start:.0f} s to fill", flush=True)
    lists = max(1, min(64, len(rows) // 64))
    for kind, tries in (("FLAT", (0,)), ("IVF_FLAT", (1, 4, 16))):
        start = time.time()
        change_milvus_index(client, kind, lists)
        print(f"Milvus Lite, {kind}: {time.time() - start:.0f} s to index", flush=True)
        for probes in tries:
            def ask(q):
                hits = client.search("feavis", q, limit=TOP,
                                     search_params={"metric_type": "IP",
                                                    "params": {"nprobe": probes} if probes else {}})
                return np.array([h["id"] for h in hits[0]])
            report(f"nprobe {probes} of {lists}" if probes else kind, ask)


def search(path, queries):
    if path.endswith(".ivfpq"):
        import faiss
        index = faiss.read_index(path)
        index.nprobe = 32
        scores, ids = index.search(queries, TOP)
        for q in range(len(queries)):
            for score, i in zip(scores[q], ids[q]):
                print(f"{q}\t{i}\t{score:.4f}")
        return
    from pymilvus import MilvusClient
    for q, hits in enumerate(MilvusClient(path).search("feavis", queries, limit=TOP, output_fields=["name"])):
        for hit in hits:
            print(f"{q}\t{hit['id']}\t{hit['distance']:.4f}\t{hit['entity']['name']}")


def main(command=None, *a):
    if command == "ivfpq" and len(a) == 2:
        import faiss
        faiss.write_index(make_ivfpq(rows_of(a[0])), a[1])
    elif command == "milvus" and len(a) in (2, 3):
        names = open(a[2], encoding="utf-8").read().splitlines() if len(a) == 3 else None
        fill_milvus(rows_of(a[0]), a[1], names, lists=128)
    elif command == "search" and len(a) == 2:
        search(a[0], np.atleast_2d(np.load(a[1])).astype(np.float32))
    elif command == "mix" and len(a) == 3:
        mix(rows_of(a[0]), int(a[1]), a[2])
    elif command == "measure" and len(a) >= 2:
        sets = {os.path.basename(f)[:-4]: np.atleast_2d(np.load(f)).astype(np.float32) for f in a[1:]}
        measure(rows_of(a[0]), sets, os.path.dirname(a[0]) or ".")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])

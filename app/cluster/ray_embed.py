"""A folder of pictures embedded by Ray: map_batches, a model for each actor.

    pip install "ray[data]" ./feavis/python
    python3 app/cluster/ray_embed.py FOLDER OUT.npy [ACTORS]

OUT.npy is float32 [pictures][dim], and OUT.npy.txt has their names: what feavis search takes as an index.
"""
import os
import sys
import time

import numpy as np
import ray


class Embed:
    def __init__(self):
        import feavis
        self.model = feavis.Model(threads=1)

    def __call__(self, batch):
        return {"path": batch["path"], "row": self.model.embed_image([str(p) for p in batch["path"]])}


def main(folder, out, actors=1):
    paths = sorted(os.path.join(folder, n) for n in os.listdir(folder)
                   if n.lower().endswith((".jpg", ".jpeg", ".png", ".webp")))
    ray.init(num_cpus=actors, include_dashboard=False, log_to_driver=False)
    start = time.time()
    rows = ray.data.from_items([{"path": p} for p in paths]).map_batches(
        Embed, batch_size=16, concurrency=actors).take_all()
    rows.sort(key=lambda r: r["path"])
    np.save(out, np.stack([r["row"] for r in rows]).astype(np.float32))
    with open(out + ".txt", "w", encoding="utf-8") as f:
        f.writelines(r["path"] + "\n" for r in rows)
    print(f"{len(rows)} pictures by {actors} actors: {time.time() - start:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1)

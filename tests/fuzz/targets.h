/* The names of all targets: fuzz_NAME.c, corpus/NAME, found/NAME. */
#ifndef FV_FUZZ_TARGETS_H
#define FV_FUZZ_TARGETS_H

#define FUZZ_TARGETS(X)                                                                            \
    X(safetensors)                                                                                 \
    X(torch_zip)                                                                                   \
    X(torch_legacy)                                                                                \
    X(pickle)                                                                                      \
    X(npy)                                                                                         \
    X(cfg)                                                                                         \
    X(preset)                                                                                      \
    X(recipe)                                                                                      \
    X(png)                                                                                         \
    X(jpeg)                                                                                        \
    X(webp)                                                                                        \
    X(gif)                                                                                         \
    X(bitmap)                                                                                      \
    X(vocab)                                                                                       \
    X(bpe)                                                                                         \
    X(lists)                                                                                       \
    X(index)

#endif

/* THE list of generators: each name is a word of the option `param`, and a row fv_generator_NAME of
 * feavis/imagine/generators/. It stands here because the option table does, which knows no more of
 * them. A file adds them in this order; those of fv_generator_register follow. */
#ifndef FV_SETTINGS_GENERATORS_H
#define FV_SETTINGS_GENERATORS_H

#define FV_GENERATORS(X) X(fourier) X(multires) X(pixel) X(maco) X(vqgan)

#endif

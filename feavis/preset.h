/* Presets: YAML files with options, and perhaps a list of pictures; and where the program's own
 * files are. One thread at a time; fv_home from any. */
#ifndef FEAVIS_PRESET_H
#define FEAVIS_PRESET_H

#include "feavis/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_preset fv_preset;
/* name: "draft", found in the presets folder, or the path of a .yml file. */
fv_status fv_preset_open(fv_preset **out, const char *name);
void fv_preset_close(fv_preset *p);
const char *fv_preset_title(const fv_preset *p);
/* Sets the options of the preset (those of the presets it uses first). */
fv_status fv_preset_apply(const fv_preset *p, fv_options *o);
int fv_preset_picture_count(const fv_preset *p); /* 0: settings only */
fv_status fv_preset_picture(const fv_preset *p, int i, fv_options *o);
/* Names of the presets in the presets folder, sorted; caller frees with fv_names_free. */
fv_status fv_preset_names(char ***out, int *count);
void fv_names_free(char **names, int count);

/* The folder with presets/, model/mini/ and model/text/clip/: $FEAVIS_HOME, or the nearest folder above the
 * program that has them, or share/feavis beside its bin. NULL if not found. */
const char *fv_home(void);

#ifdef __cplusplus
}
#endif
#endif

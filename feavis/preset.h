/* Presets: YAML files with options, and perhaps a list of pictures; and where the program's own
 * files are. One thread at a time; fv_home and
 * fv_set_home from any. */
#ifndef FEAVIS_PRESET_H
#define FEAVIS_PRESET_H

#include "feavis/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_preset fv_preset;
/* name: "draft", found in the presets folder, or the path of a .yml file. */
FV_API fv_status fv_preset_open(fv_preset **out, const char *name);
FV_API void fv_preset_close(fv_preset *p);
FV_API const char *fv_preset_title(const fv_preset *p);
/* Sets the options of the preset (those of the presets it uses first). */
FV_API fv_status fv_preset_apply(const fv_preset *p, fv_options *o);
/* The same where another generator is asked for, a word of the option param (NULL: that of the
 * preset): a preset may name another for that (other-generators), whose settings suit it. */
FV_API fv_status fv_preset_apply_for(const fv_preset *p, const char *generator, fv_options *o);
/* False: pictures alone, which are made with whatever settings there are. */
FV_API bool fv_preset_has_options(const fv_preset *p);
FV_API int fv_preset_picture_count(const fv_preset *p); /* 0: settings only */
FV_API fv_status fv_preset_picture(const fv_preset *p, int i, fv_options *o);
/* Names of the presets in the presets folder, sorted; caller frees with fv_names_free. */
FV_API fv_status fv_preset_names(char ***out, int *count);
FV_API void fv_names_free(char **names, int count);

/* The folder with presets/, model/mini/ and model/text/clip/: that of fv_set_home, $FEAVIS_HOME, or
 * the nearest folder above the library or the program that has them or whose share/feavis has. NULL
 * if not found. Valid until this thread asks again. */
FV_API const char *fv_home(void);
/* For the whole process, from now on; NULL or "": to be found again. Fails where the folder has no
 * model/mini. From any thread. */
FV_API fv_status fv_set_home(const char *folder);

#ifdef __cplusplus
}
#endif
#endif

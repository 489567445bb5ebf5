/* Settings: what a program remembers from one start to the next. One thread at a time. */
#ifndef FEAVIS_SETTINGS_H
#define FEAVIS_SETTINGS_H

#include "feavis/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_settings fv_settings;
/* A file that is not there yet: empty. path NULL: in memory only. */
FV_API fv_status fv_settings_open(fv_settings **out, const char *path);
FV_API void fv_settings_close(fv_settings *s);
FV_API const char *fv_settings_get(const fv_settings *s, const char *name, const char *otherwise);
FV_API fv_status fv_settings_set(fv_settings *s, const char *name, const char *value);
/* If anything has changed since the last time. */
FV_API fv_status fv_settings_save(fv_settings *s);

#ifdef __cplusplus
}
#endif
#endif

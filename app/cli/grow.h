/* Growing one picture on a terminal: progress on stderr, and Ctrl-C, SIGTERM and SIGHUP (the
 * terminal is closed) stop it where it stands. */
#ifndef APP_GROW_H
#define APP_GROW_H

#include "app/cli/cli.h"

/* Before the first picture. From then on a signal stops the run, and those that follow. */
void grow_catch_interrupts(void);
bool grow_interrupted(void);
/* All steps; as fv_session_run. */
fv_status grow_run(fv_session *s, bool quiet);
/* The same; `after` is called behind each step, and false stops the run. */
typedef bool (*grow_fn)(void *user, fv_session *s, const fv_progress *p);
fv_status grow_run_with(fv_session *s, bool quiet, grow_fn after, void *user);
/* The finished picture, with its recipe, into a folder under a name made of `title` and the seed,
 * which stdout is told. *path, which the caller frees: where it is. */
fv_status grow_save(fv_session *s, const char *folder, const char *title, fv_picture *picture,
                    char **path);
/* What a picture is called by: its text, channels, terms and places; a style (terms of texts beside
 * a text) aside. */
const char *grow_title(const fv_options *o, char *buffer, size_t size);
/* Fails where pictures of these options cannot start from a picture: their decoder has no encoder.
 * what: who would have them start so, "walk". */
fv_status grow_check_start(const fv_model *m, const fv_options *o, const char *what);
/* Texts that are cut, or that a model knows little about, on stderr. */
void grow_warn(const fv_session *s, fv_model *m);

#endif

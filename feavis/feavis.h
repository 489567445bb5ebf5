/* feavis: what an image-text model imagines. This header is the core: a text becomes a picture.
 *
 *   option    settings by name: one table drives flags, presets, controls and recipes
 *   preset    YAML files with options                     model     networks on a backend
 *   session   one picture that grows on a model           picture   8-bit RGB; PNG with its recipe
 *   recipe    what reproduces a picture to the byte       gallery   a folder of such PNG files
 *
 *     fv_options *o; fv_model *m; fv_session *s; fv_picture picture; char *recipe, *path;
 *     fv_options_new(&o);
 *     fv_options_set(o, "text", "a lighthouse");
 *     fv_model_open(&m, o);
 *     fv_session_open(&s, m, o);
 *     fv_session_run(s, NULL, NULL);
 *     fv_session_picture(s, &picture, NULL);
 *     fv_session_recipe(s, &recipe);
 *     fv_gallery_add("gallery", "a lighthouse", 1, &picture, recipe, &path);
 *
 * A program that is linked to libfeavis.so.0 works with every later one of that number: structs
 * keep their sizes and what is in them (`reserved` is for what comes), functions and numbers what
 * they mean. Options are known by name: fv_option_at, fv_options_set.
 *
 * What else there is has headers of its own, to be included where it is used:
 *   for windows            history loss album queue settings
 *   measuring              critic judge layers atlas probe checkpoint
 *   many at once           lists names embed match classify index plot
 *   out of many pictures   film gif sheet; files: plain files, written whole or not at all
 *
 * Whoever called _open or _new calls _close or _free; a string that the caller frees is given to
 * fv_free; every other pointer is borrowed and lives as long as its owner. Out-parameters are
 * written only on success. Strings are UTF-8. Failures return a negative fv_status and leave one
 * line in fv_error().
 *
 * Threads. Two threads may use two objects at once, but one model at a time is used by one of them:
 * its sessions, critics and embedders take turns with it. _open, _new, _close and _free are never
 * called while another thread uses the object. */
/* clang-format off */
/*
 *   object                          from any thread, at any time    one thread at a time
 *   ------------------------------  ------------------------------  ----------------------------------
 *   fv_error                        each thread has its own         -
 *   option table, fv_home,          all                             -
 *   fv_set_home, fv_free
 *   options, presets, recipes       -                               all; reading may be shared
 *   pictures, lists, classes        -                               all; reading may be shared
 *   film, gif, sheet, plot, match   -                               all, as the pictures and lists
 *   files, gallery, album, names    all                             -
 *   queue, settings, checkpoint     -                               all
 *   model                           -                               all, with all that uses it
 *   session                         _set, _cancel (from a signal    all else; _picture, _recipe, _save,
 *                                   handler too), _preview,         _option, _text, _text_report,
 *                                   _parts, _gradient               _dropped, _take_snapshot, _restore
 *                                                                   and _want_gradient not in a run or step
 *   snapshot kept in memory         -                               all; reading may be shared
 *   history                         -                               all, on the session's thread
 *   critic, embedder, probe,        -                               all, with their model
 *   layers, image encoder
 *   judge                           -                               all; its backend is its own
 *   index                           -                               all; with the model it searches by
 */
/* clang-format on */
#ifndef FEAVIS_H
#define FEAVIS_H

#include "feavis/gallery.h"
#include "feavis/model.h"
#include "feavis/option.h"
#include "feavis/picture.h"
#include "feavis/preset.h"
#include "feavis/recipe.h"
#include "feavis/session.h"

#ifdef __cplusplus
extern "C" {
#endif

FV_API const char *fv_version(void);

/* Frees a string or an array that a function of the library has given its caller; NULL: nothing. */
FV_API void fv_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif

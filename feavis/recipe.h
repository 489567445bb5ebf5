/* Recipes: YAML that reproduces a picture to the byte. They come from anywhere, so they are data:
 * a recipe sets what has FV_OPTION_RECIPE and nothing else. fv_recipe_read (picture.h) takes one
 * out of a PNG, fv_session_recipe (session.h) writes one. Any thread. */
#ifndef FEAVIS_RECIPE_H
#define FEAVIS_RECIPE_H

#include "feavis/lists.h"
#include "feavis/model.h"
#include "feavis/option.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Options (and live changes) from recipe text. what: the picture or state it is from. An option
 * that is not the recipe's to choose stays as it is in `o`, see fv_options_notice. Files (start
 * picture, model) are named without their folders; they are looked for in the folder of `what`,
 * then in the current one, and a start picture has to have the hash that the recipe says. Of a path
 * only the name counts; that of a start picture is tried first, as older recipes have it. Only
 * regular files are taken. One that is not found leaves what `o` names already; where that is
 * nothing, opening the model or the session says so. */
FV_API fv_status fv_recipe_apply(fv_options *o, const char *recipe, const char *what);
/* Whether a recipe is of this model, its cfg and its vocabulary, and of its decoder if it names
 * one: FV_ERR_ARGUMENT says it is not. */
FV_API fv_status fv_recipe_check_model(const char *recipe, fv_model *m);

/* What a recipe says, for a person: [count] names and values in their order, quotes and escapes
 * resolved; a change of the text at step 40 is "text @40". Caller clears both. */
FV_API fv_status fv_recipe_list(fv_list *names, fv_list *values, const char *recipe,
                                const char *what);
/* Of these lists; "" if it is not there. */
FV_API const char *fv_recipe_value(const fv_list *names, const fv_list *values, const char *name);

#ifdef __cplusplus
}
#endif
#endif

/* A text becomes a picture: imagine TEXT OUT.png [OPTION=VALUE ...]
 *
 *     cc imagine.c $(pkg-config --cflags --libs feavis) -o imagine
 *     ./imagine "a lighthouse" lighthouse.png size=128 steps=32 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <feavis/feavis.h>

static bool progress(void *user, const fv_progress *p)
{
    (void)user;
    if (p->step % 8 == 0 || p->step == p->steps)
        printf("step %d of %d: cosine %.3f\n", p->step, p->steps, (double)p->cosine);
    return true; /* false stops */
}

/* "size=128" */
static fv_status set(fv_options *o, char *pair)
{
    char *value = strchr(pair, '=');
    if (!value) return fv_fail(FV_ERR_ARGUMENT, "%s should be OPTION=VALUE", pair);
    *value = 0;
    return fv_options_set(o, pair, value + 1);
}

int main(int argc, char **argv)
{
    fv_options *options = NULL;
    fv_model *model = NULL;
    fv_session *session = NULL;
    fv_picture picture = {0, 0, NULL};
    char *recipe = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: %s TEXT OUT.png [OPTION=VALUE ...]\n", argv[0]);
        return EXIT_FAILURE;
    }
    fv_status s = fv_options_new(&options);
    if (s >= 0) s = fv_options_set(options, "text", argv[1]);
    for (int i = 3; s >= 0 && i < argc; i++) s = set(options, argv[i]);
    if (s >= 0) s = fv_model_open(&model, options);
    if (s >= 0) s = fv_session_open(&session, model, options);
    if (s >= 0) s = fv_session_run(session, progress, NULL);
    if (s >= 0) s = fv_session_picture(session, &picture, NULL);
    if (s >= 0) s = fv_session_recipe(session, &recipe);
    if (s >= 0) s = fv_picture_write(&picture, argv[2], recipe);
    if (s >= 0)
        printf("%s: %d x %d, by %s on %s\n", argv[2], picture.width, picture.height,
               fv_model_title(model), fv_model_backend(model));
    else
        fprintf(stderr, "%s: %s\n", argv[0], fv_error());
    fv_free(recipe);
    fv_picture_free(&picture);
    fv_session_close(session);
    fv_model_close(model);
    fv_options_free(options);
    return s >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

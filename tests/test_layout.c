/* The structs of the public headers are part of what a linked program relies on: their sizes, and
 * where their members are, stay as they are while the soname does. One that has to change takes
 * FEAVIS_SOVERSION (feavis/package/install.cmake) and these numbers with it; what comes later goes
 * into `reserved`, or has a function of its own. On machines of 64 bits. */
#include "feavis/album.h"
#include "feavis/classify.h"
#include "feavis/codes.h"
#include "feavis/critic.h"
#include "feavis/history.h"
#include "feavis/judge.h"
#include "feavis/layers.h"
#include "feavis/lists.h"
#include "feavis/loss.h"
#include "feavis/match.h"
#include "feavis/model.h"
#include "feavis/option.h"
#include "feavis/picture.h"
#include "feavis/plot.h"
#include "feavis/probe.h"
#include "feavis/quiz.h"
#include "feavis/session.h"
#include "feavis/top.h"
#include "feavis/two.h"
#include "tests/check.h"

#define SIZE(type, bytes)                                                                          \
    {                                                                                              \
#type, sizeof(type), bytes                                                                 \
    }
#define PLACE(type, member, bytes)                                                                 \
    {                                                                                              \
#type "." #member, offsetof(type, member), bytes                                           \
    }

typedef struct layout {
    const char *what;
    size_t found, expected;
} layout;

static const layout all[] = {
    SIZE(fv_saved, 40),
    SIZE(fv_classes, 96),
    SIZE(fv_class_score, 12),
    SIZE(fv_confusion, 64),
    SIZE(fv_codes, 24),
    SIZE(fv_robustness, 12),
    SIZE(fv_channel, 12),
    SIZE(fv_frame, 32),
    SIZE(fv_branch, 16),
    SIZE(fv_verdict, 108),
    SIZE(fv_map, 24),
    SIZE(fv_list, 24),
    SIZE(fv_bad_lines, 776),
    SIZE(fv_part, 80),
    SIZE(fv_recall, 56),
    SIZE(fv_text_report, 188),
    SIZE(fv_option, 72),
    SIZE(fv_activations, 32),
    SIZE(fv_picture, 16),
    SIZE(fv_heat, 120),
    SIZE(fv_probe, 72),
    SIZE(fv_progress, 80),
    SIZE(fv_hit, 8),
    SIZE(fv_tally, 32),
    SIZE(fv_two, 116),
    PLACE(fv_progress, seconds, 24),
    PLACE(fv_progress, moved, 48),
    PLACE(fv_progress, reserved, 56),
    PLACE(fv_option, kind, 56),
    PLACE(fv_heat, values, 16),
    PLACE(fv_probe, folder, 32),
    PLACE(fv_activations, channels, 28),
};

static void layouts_stay_as_they_are(void **state)
{
    (void)state;
    if (sizeof(void *) != 8) skip();
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].found != all[i].expected)
            fail_msg("%s: %zu bytes, programs that are linked already know %zu", all[i].what,
                     all[i].found, all[i].expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(layouts_stay_as_they_are)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

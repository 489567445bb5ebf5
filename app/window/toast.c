/* The line that the window shows for some seconds. */
#include <string.h>

#include "app/window/app.h"

void app_toast(app *a, const char *text, bool bad)
{
    size_t n = strnlen(text, sizeof a->toast - 1);
    while (n && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80) n--; /* whole characters */
    memcpy(a->toast, text, n);
    a->toast[n] = 0;
    a->toast_until = (double)SDL_GetTicks64() / 1000 + (bad ? 8 : 4);
    a->toast_bad = bad;
}

void app_fail(app *a)
{
    app_toast(a, fv_error(), true);
}

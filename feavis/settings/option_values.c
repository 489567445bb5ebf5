/* Values of options as text. See option_values.h. */
#include "feavis/settings/option_values.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "kernels/number.h"
#include "model/text/text.h"

fv_status fv_option_number(const fv_option *row, const char *value, double *out)
{
    char *end;
    double x = fv_to_double(value, &end);
    bool found = end != value;
    while (*end == ' ') end++;
    bool whole = row->kind != FV_OPTION_INT || x == floor(x);
    if (!found || *end || !whole || !(x >= row->low && x <= row->high))
        return fv_fail(FV_ERR_ARGUMENT, "%s is \"%.80s\", expected %s from %g to %.10g", row->name,
                       value, row->kind == FV_OPTION_INT ? "a whole number" : "a number", row->low,
                       row->high);
    *out = x;
    return FV_OK;
}

/* "256", "320x224"; a whole number may have any spelling of one. */
fv_status fv_option_size(const fv_option *row, const char *value, int out[2])
{
    const char *at = value;
    double sides[2];
    bool good = true;
    int n = 0;
    for (; good && n < 2; n++) {
        char *end;
        sides[n] = fv_to_double(at, &end);
        good = end != at && sides[n] == floor(sides[n]) && sides[n] >= row->low &&
               sides[n] <= row->high;
        at = end;
        while (*at == ' ') at++;
        int cross = *at == 'x' || *at == 'X' ? 1 : strncmp(at, "×", 2) == 0 ? 2 : 0;
        if (n || !cross) break;
        at += cross;
    }
    if (!good || *at)
        return fv_fail(FV_ERR_ARGUMENT,
                       "%s is \"%.80s\", expected a whole number from %g to %g, or two: 320x224",
                       row->name, value, row->low, row->high);
    out[0] = (int)sides[0];
    out[1] = (int)sides[n];
    return FV_OK;
}

static bool only_digits(const char *s)
{
    return *s && strspn(s, "0123456789") == strlen(s);
}

/* Digits are read whole; other spellings ("1e3") as long as a double says them exactly. */
fv_status fv_option_seed(const fv_option *row, const char *value, uint64_t *out)
{
    if (strcmp(value, "random") == 0) {
        uint32_t drawn; /* short enough to be told to somebody */
        if (getrandom(&drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn)
            return fv_fail(FV_ERR_IO, "drawing a seed: %s", strerror(errno));
        *out = drawn;
        return FV_OK;
    }
    errno = 0;
    uint64_t x = only_digits(value) ? strtoull(value, NULL, 10) : 0;
    char *end;
    double number = fv_to_double(value, &end);
    bool found = end != value;
    while (*end == ' ') end++;
    bool exact = number == floor(number) && number >= 0 && number <= 9007199254740992.0;
    if (errno || !found || *end || (!only_digits(value) && !exact))
        return fv_fail(FV_ERR_ARGUMENT,
                       "%s is \"%.80s\", expected a whole number from 0 to 18446744073709551615, "
                       "or random",
                       row->name, value);
    *out = only_digits(value) ? x : (uint64_t)number;
    return FV_OK;
}

fv_status fv_option_bool(const fv_option *row, const char *value, bool *out)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (int i = 0; i < 8; i++) {
        if (!fv_same_word(value, words[i])) continue;
        *out = i % 2;
        return FV_OK;
    }
    return fv_fail(FV_ERR_ARGUMENT, "%s is \"%.80s\", expected yes or no", row->name, value);
}

int fv_option_choice(const fv_option *row, const char *value)
{
    size_t n = strlen(value);
    int index = 0;
    for (const char *c = row->choices; n && *c; index++) {
        size_t length = strcspn(c, " ");
        if (length == n && strncmp(c, value, n) == 0) return index;
        c += length + (c[length] == ' ');
    }
    return -1;
}

/* See number.h. The thread's locale is set to C for the length of a call. */
#include "kernels/number.h"

#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The locale before; (locale_t)0 if there is no memory for a C locale, and then nothing changes. */
static locale_t enter(locale_t *own)
{
    *own = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* glibc has it ready: nothing is allocated */
    return *own ? uselocale(*own) : (locale_t)0;
}

static void leave(locale_t own, locale_t before)
{
    if (!own) return;
    uselocale(before);
    freelocale(own);
}

double fv_to_double(const char *text, char **end)
{
    locale_t own, before = enter(&own);
    double x = strtod(text, end);
    leave(own, before);
    return x;
}

float fv_to_float(const char *text, char **end)
{
    locale_t own, before = enter(&own);
    float x = strtof(text, end);
    leave(own, before);
    return x;
}

int fv_print(char *out, size_t size, const char *format, ...)
{
    va_list args;
    locale_t own, before = enter(&own);
    va_start(args, format);
    int n = vsnprintf(out, size, format, args);
    va_end(args);
    leave(own, before);
    return n;
}

int fv_scan(const char *text, const char *format, ...)
{
    va_list args;
    locale_t own, before = enter(&own);
    va_start(args, format);
    int n = vsscanf(text, format, args);
    va_end(args);
    leave(own, before);
    return n;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool fv_same_start(const char *a, const char *b, size_t n)
{
    for (; n; a++, b++, n--) {
        if (lower(*a) != lower(*b)) return false;
        if (!*a) return true;
    }
    return true;
}

bool fv_same_word(const char *a, const char *b)
{
    return fv_same_start(a, b, SIZE_MAX);
}

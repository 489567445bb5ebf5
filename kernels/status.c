/* Last-message store, one buffer a thread. See status.h. */
#include "kernels/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024 };

static _Thread_local char message[MESSAGE_BYTES];

/* Makes a message one clean line: control characters out, no half character at the end. */
static void tidy(char *text, int cut)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) text[i] = '?';
    if (!cut) return;
    size_t end = n; /* drop an incomplete UTF-8 sequence left by the cut */
    while (end > 0 && ((unsigned char)text[end - 1] & 0xC0) == 0x80) end--;
    if (end > 0 && ((unsigned char)text[end - 1] & 0x80)) text[end - 1] = '\0';
}

fv_status fv_fail(fv_status code, const char *fmt, ...)
{
    char text[MESSAGE_BYTES]; /* arguments may point into `message` */
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    tidy(text, n >= MESSAGE_BYTES);
    memcpy(message, text, sizeof text);
    return code;
}

fv_status fv_fail_context(fv_status code, const char *fmt, ...)
{
    char context[MESSAGE_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(context, sizeof context, fmt, args);
    va_end(args);
    char text[2 * MESSAGE_BYTES + 4];
    snprintf(text, sizeof text, "%s: %s", context, message);
    return fv_fail(code, "%s", text);
}

const char *fv_error(void)
{
    return message;
}

const char *fv_status_name(fv_status code)
{
    switch (code) {
    case FV_OK:
        return "ok";
    case FV_CANCELLED:
        return "cancelled";
    case FV_ERR_IO:
        return "io";
    case FV_ERR_FORMAT:
        return "format";
    case FV_ERR_SHAPE:
        return "shape";
    case FV_ERR_MEMORY:
        return "memory";
    case FV_ERR_DEVICE:
        return "device";
    case FV_ERR_UNSUPPORTED:
        return "unsupported";
    case FV_ERR_ARGUMENT:
        return "argument";
    case FV_ERR_STOPPED:
        return "stopped";
    }
    return "unknown";
}

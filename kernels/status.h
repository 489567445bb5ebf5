/* Status codes and the last message.
 *
 * Every fallible function of the library returns fv_status. Values >= 0 are success; on failure
 * the calling thread holds one line of text that says what was being done, to which file or
 * tensor, what was found and what was expected. Nothing here prints or exits. */
#ifndef FV_STATUS_H
#define FV_STATUS_H

/* What libfeavis.so shows; all else in it is hidden. */
#ifndef FV_API
#define FV_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fv_status {
    FV_OK = 0,
    FV_CANCELLED = 1,        /* stopped on request; results so far are valid */
    FV_ERR_IO = -1,          /* a file could not be opened, read or written */
    FV_ERR_FORMAT = -2,      /* a file's content is broken or not what it should be */
    FV_ERR_SHAPE = -3,       /* a tensor has other dimensions than the model needs */
    FV_ERR_MEMORY = -4,      /* an allocation failed */
    FV_ERR_DEVICE = -5,      /* a backend failed while running */
    FV_ERR_UNSUPPORTED = -6, /* well formed, but not something this program can do */
    FV_ERR_ARGUMENT = -7,    /* the caller's or the user's value is out of range */
    FV_ERR_STOPPED = -8      /* inside the library: stopped on request; outside FV_CANCELLED */
} fv_status;

/* Stores the formatted message for this thread and returns `code`. Messages over 1023 bytes are
 * cut on a character boundary; control characters from hostile files are shown as '?'. */
FV_API fv_status fv_fail(fv_status code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "context: " in front of this thread's message and returns `code`. */
FV_API fv_status fv_fail_context(fv_status code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Last message of this thread; "" if none. Valid until the next failure in this thread. */
FV_API const char *fv_error(void);

/* Short name of a code, e.g. "io". */
FV_API const char *fv_status_name(fv_status code);

#define FV_TRY(call)                                                                               \
    do {                                                                                           \
        fv_status fv_try_status_ = (call);                                                         \
        if (fv_try_status_ < 0) return fv_try_status_;                                             \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif

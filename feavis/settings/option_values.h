/* What a row's value says: numbers, sizes, seeds, words. FV_ERR_ARGUMENT with the row's name, what
 * was found and what is expected. */
#ifndef FV_OPTION_VALUES_H
#define FV_OPTION_VALUES_H

#include <stdint.h>

#include "feavis/option.h"

fv_status fv_option_number(const fv_option *row, const char *value, double *out);
fv_status fv_option_size(const fv_option *row, const char *value, int out[2]);
fv_status fv_option_seed(const fv_option *row, const char *value, uint64_t *out);
fv_status fv_option_bool(const fv_option *row, const char *value, bool *out);
/* The index of `value` among the choices; -1 if it is none of them. */
int fv_option_choice(const fv_option *row, const char *value);

#endif

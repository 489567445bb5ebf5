/* A YAML (or JSON) document as a read-only tree, through libyaml.
 *
 * Anchors and aliases are refused (no billion laughs), depth and size are bounded: depth 32,
 * file 4 MiB, 100,000 nodes. Duplicate keys are an error that names the line. */
#ifndef FV_YAML_H
#define FV_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "kernels/status.h"

typedef struct fv_yaml fv_yaml;           /* the document; owns everything below */
typedef struct fv_yaml_node fv_yaml_node; /* a scalar, list or map in it */

fv_status fv_yaml_open(fv_yaml **out, const char *path);
/* Parses text in memory; `what` stands for the file name in messages. */
fv_status fv_yaml_parse(fv_yaml **out, const char *text, size_t bytes, const char *what);
void fv_yaml_free(fv_yaml *doc);

const fv_yaml_node *fv_yaml_root(const fv_yaml *doc); /* NULL: empty document */
bool fv_yaml_is_map(const fv_yaml_node *n);
bool fv_yaml_is_list(const fv_yaml_node *n);
bool fv_yaml_is_scalar(const fv_yaml_node *n);
int fv_yaml_line(const fv_yaml_node *n); /* from 1 */

int fv_yaml_count(const fv_yaml_node *n); /* entries of a map or list, 0 for a scalar */
const char *fv_yaml_key(const fv_yaml_node *map, int i);
const fv_yaml_node *fv_yaml_at(const fv_yaml_node *n, int i); /* i-th value; NULL past the last */
const fv_yaml_node *fv_yaml_find(const fv_yaml_node *map, const char *key); /* NULL if absent */

/* The scalar's text (UTF-8, quotes resolved); NULL if not a scalar. */
const char *fv_yaml_text(const fv_yaml_node *n);

/* Typed look-ups in a map. Absent: *out is untouched and FV_OK is returned. Present but of the
 * wrong kind: an error naming file, line, key and what was expected. */
fv_status fv_yaml_int(const fv_yaml *doc, const fv_yaml_node *map, const char *key, int *out);
fv_status fv_yaml_double(const fv_yaml *doc, const fv_yaml_node *map, const char *key, double *out);
fv_status fv_yaml_bool(const fv_yaml *doc, const fv_yaml_node *map, const char *key, bool *out);
fv_status fv_yaml_string(const fv_yaml *doc, const fv_yaml_node *map, const char *key,
                         const char **out); /* borrowed */
/* A list of exactly n numbers. */
fv_status fv_yaml_floats(const fv_yaml *doc, const fv_yaml_node *map, const char *key, float *out,
                         int n);
const char *fv_yaml_name(const fv_yaml *doc); /* file name or `what` */

/* Double-quoted YAML: quotes, backslashes and control characters escaped. */
void fv_yaml_quote(FILE *f, const char *text);

#endif

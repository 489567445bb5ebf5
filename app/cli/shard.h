/* --shard I/N: worker I of N makes its share of many pictures, into a folder that all share.
 *
 * Every picture of the run has a number and a name that follows from it, 00007-蝴蝶-1.png; worker I
 * makes those whose number leaves I - 1 when divided by N. One that is there is not made again,
 * whoever made it, so the same command goes on after a kill, with another N too. A picture that is
 * interrupted leaves its state beside it, 00007-蝴蝶-1.state.safetensors, and grows on from there.
 * run.csv in the folder says what all of them are: workers of another run are refused. */
#ifndef APP_SHARD_H
#define APP_SHARD_H

#include "app/cli/many.h"

typedef struct shard {
    int part, of;       /* from 1; of 0: there are no shards */
    const char *folder; /* the gallery */
    many_file run;      /* what run.csv has to say */
} shard;

/* What the flag says; fails where workers could not agree. Caller calls shard_end. */
fv_status shard_read(shard *s, const cli *c);
void shard_end(shard *s);
bool shard_mine(const shard *s, int number); /* number: from 0 */
/* Where picture `number` goes, and its state if it is interrupted. Caller frees. */
fv_status shard_path(char **out, const shard *s, int number, const char *title,
                     const fv_options *o);
fv_status shard_state(char **out, const char *path);
/* Whether that picture is made: a file that can be read, whose recipe has this text, llp and seed
 * (NULL: any). If not, *why is "", if there is no file, or what is wrong with it; shard_other: it
 * is a good picture, but of another recipe. */
extern const char shard_other[];
bool shard_made(const char *path, const char *text, const char *llp, const char *seed,
                const char **why);
/* The same with these options. */
bool shard_made_of(const char *path, const fv_options *o, const char **why);
/* Makes room for a picture that is not made: one of another recipe gets another name. */
fv_status shard_clear(const char *path, const char *why);
/* A line of run.csv for each picture, in order; then the whole is held against the folder's. */
fv_status shard_note(shard *s, const char *path, const fv_options *o);
fv_status shard_agree(shard *s);

#endif

/* The command line: one struct that all commands read. */
#ifndef APP_CLI_H
#define APP_CLI_H

#include <stdio.h>

#include "feavis/feavis.h"

/* EXIT_UNREAD: as of a program that SIGPIPE ends. */
enum { EXIT_USAGE = 2, EXIT_INTERRUPTED = 130, EXIT_UNREAD = 141 };

struct cli_command;

typedef struct cli {
    const struct cli_command *commands; /* all of them, ended by one without a name */
    fv_options *options;
    fv_preset *preset;                           /* NULL without --preset */
    char *words;                                 /* the positional arguments, joined by spaces */
    const char *file;                            /* --file: one text a line */
    const char *image, *ids, *taps;              /* probe */
    const char *images, *texts, *pairs, *folder; /* many pictures and texts: see many.h */
    const char *labels, *prompts, *index, *captions;
    const char *carry, *style;       /* series: from one picture to the next, and of all */
    const char *title, *seal;        /* scroll */
    const char *export;              /* search: the file of another engine, to --out */
    const char *shard;               /* I/N: see shard.h */
    const char *layer, *channels;    /* atlas: see atlas.h */
    const char *photos, *words_file; /* atlas: a folder, and a list of words */
    const char *script;              /* window: what works it instead of a person */
    const char *judge, *csv, *sheet; /* judge: its file, and where results go; csv also: steps.h */
    const char *against;             /* two: options of the second picture */
    int questions;                   /* quiz: 0: not given */
    int frames;                      /* walk: from one stop to the next; 0: not given */
    int top, batch, seeds;           /* 0: not given */
    const char *diversity;           /* imagine, neuron: see seeds.h */
    bool quiet, plan, layers, half, tensors, json, page;
    /* options given as flags, applied over presets and recipes: name, value, name, value ... */
    const char **flags;
    int flag_count;
    char **joined; /* values of flags that were given more than once */
    int joined_count;
    char told[512]; /* the last notice */
    char seed[24];  /* --seed, once it is drawn */
    char *start;    /* where the start picture of standard input was put */
} cli;

/* A command, and what it has a use for: what it has none for is refused, not ignored. */
typedef struct cli_command {
    const char *name;
    int (*run)(cli *c);
    const char *options; /* names and @groups of the option table, with a space behind each; "*" */
    const char *words; /* the option that words are ("text"), "" for those of its own; NULL: none */
    const char *help;  /* one line */
} cli_command;

/* A flag, of the option table or of the command line's own. */
typedef struct cli_flag {
    const char *name, *help;
    const char *value;    /* "FILE", "N", ...; "": a switch */
    const char *choices;  /* with spaces between; NULL: anything */
    const char *commands; /* that take it, with a space behind each; NULL: all, or an option */
    const char *standard; /* the default; "" */
    const char *group;    /* NULL: of the command line */
} cli_flag;
/* Flag i; false past the last. */
bool cli_flag_at(int i, cli_flag *out);
bool cli_flag_used(const cli_command *k, const char *name);

/* Reads arguments behind the command. Caller clears, also after a failure. */
fv_status cli_parse(cli *c, const cli_command *k, int argc, char **argv);
void cli_clear(cli *c);
/* Sets what the flags said. */
fv_status cli_apply_flags(const cli *c, fv_options *o);

/* --start -: the picture on standard input goes to the gallery, or beside --out, so that recipes
 * can name it. Nothing without. */
fv_status cli_take_start(cli *c);
/* --shard I/N, or 0 and 0 without. */
fv_status cli_read_shard(const cli *c, int *part, int *of);
/* Whether this option was given as a flag. */
bool cli_has_flag(const cli *c, const char *name);
/* Fails where a picture would go to a file whose ending is of no format that is written. */
fv_status cli_check_picture(const char *path);
/* What files were not allowed to set, on stderr, unless the same was said before. */
void cli_tell(cli *c, const fv_options *o);

/* Text of a file or a recipe, as it goes to a terminal: fv_text_shown. In a ring of sixteen. */
const char *cli_shown(const char *text);
/* The same of several lines. */
void cli_show_lines(FILE *to, const char *text);

/* One line on stderr, "feavis: ..."; gives the exit status. */
int cli_fail(void);
/* Writes out what is printed so far; false if it could not all be written, now or before. */
bool cli_flush(void);
/* Nobody reads standard output any more (a closed pipe). */
bool cli_unread(void);
/* The exit status of the program: `status`, unless it is 0 and stdout could not be written: then
 * EXIT_FAILURE with a line on stderr, or EXIT_UNREAD without one. */
int cli_end(int status);
void cli_help(void);
/* Ctrl-C, SIGTERM and a closed terminal call this, and a second Ctrl-C ends the program. */
void cli_catch_interrupts(void (*handler)(int));
void cli_help_options(void);
/* On one thing by name; false: there is no such help. */
bool cli_help_on(const char *name);
/* The name of topic i; NULL past the last. */
const char *cli_help_topic(int i);
/* help_command.c: on a command, with its flags; behind what is printed already or not; false: there
 * is none of that name. */
bool cli_help_command(const struct cli_command *commands, const char *name, bool behind);

int command_window(cli *c);
int command_imagine(cli *c);
int command_neuron(cli *c);
int command_again(cli *c);
int command_resume(cli *c);
int command_info(cli *c);
int command_probe(cli *c);
int command_presets(cli *c);
int command_match(cli *c);
int command_series(cli *c);
int command_classify(cli *c);
int command_compare(cli *c);
int command_two(cli *c);
int command_quiz(cli *c);
int command_embed(cli *c);
int command_search(cli *c);
int command_convert(cli *c);
int command_codes(cli *c);
int command_gather(cli *c);
int command_completion(cli *c);
int command_man(cli *c);
int command_judge(cli *c);
int command_walk(cli *c);
int command_places(cli *c);
int command_xray(cli *c);
int command_receipt(cli *c);
int command_gap(cli *c);
int command_scroll(cli *c);
int command_atlas(cli *c);

/* info on a file that is no picture */
int info_of_checkpoint(const cli *c, const char *path);

#endif

/* feavis: the program. Each command is a function; see cli.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"

static const struct {
    const char *name;
    int (*run)(cli *c);
} commands[] = {
    {"window", command_window},     {"imagine", command_imagine}, {"neuron", command_neuron},
    {"again", command_again},       {"resume", command_resume},   {"info", command_info},
    {"probe", command_probe},       {"presets", command_presets}, {"match", command_match},
    {"classify", command_classify}, {"embed", command_embed},     {"search", command_search},
    {"convert", command_convert},   {"judge", command_judge},
};

static int help(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[2], "options") == 0)
        cli_help_options();
    else
        cli_help();
    return EXIT_SUCCESS;
}

static int run(const char *name, int argc, char **argv)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(name, commands[i].name) != 0) continue;
        cli c;
        int status = cli_parse(&c, argc, argv) < 0 ? cli_fail() : commands[i].run(&c);
        cli_clear(&c);
        return status;
    }
    fprintf(stderr, "feavis: there is no command %s; feavis --help lists them\n", name);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a file over its size limit is an error like any other */
    if (argc < 2) return run("window", 0, NULL);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return i == 1 ? help(argc, argv) : (cli_help(), cli_help_options(), EXIT_SUCCESS);
    if (strcmp(argv[1], "help") == 0) return help(argc, argv);
    if (strcmp(argv[1], "--version") == 0) {
        printf("feavis %s\n", fv_version());
        return EXIT_SUCCESS;
    }
    return run(argv[1], argc - 2, argv + 2);
}

/* feavis: the program. Each command is a function; see cli.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/cli.h"
#include "feavis/names.h"

#define SEEN "@What-to-imagine @Picture @Views @Optimiser @Model "
static const cli_command commands[] = {
    {"window", command_window, "*", "text", "type, watch, steer, keep"},
    {"imagine", command_imagine, "*", "text", "let the picture of a text grow"},
    {"compare", command_compare, SEEN "out ", "text", "the same text by several models"},
    {"two", command_two, SEEN "out ", "", "two pictures side by side, and what differs"},
    {"series", command_series, SEEN "out ", "", "a picture a sentence: sheet, scroll and film"},
    {"scroll", command_scroll, SEEN "out ", "", "a poem as a painted hand scroll"},
    {"walk", command_walk, SEEN "out ", "", "from one text or picture to the next, as a loop"},
    {"places", command_places, "@Model at ", "", "what the model sees in parts of a picture"},
    {"xray", command_xray, "@Model text out ", "", "what each word is worth, and where it pulls"},
    {"receipt", command_receipt, "@Model start out ", "", "one page about a picture"},
    {"neuron", command_neuron, "*", "llp", "what channels of the last layer want"},
    {"atlas", command_atlas, "@Model size steps seed text out ", "text",
     "every channel of a layer as one page; with a text: those nearest to it"},
    {"again", command_again, "*", "", "the same picture from its recipe"},
    {"resume", command_resume, "*", "", "go on from a saved state"},
    {"info", command_info, SEEN, "", "a model, a checkpoint, or the recipe of a picture"},
    {"probe", command_probe, "@Model text out ", "text",
     "numbers as .npy: embeddings, cosine, gradient"},
    {"presets", command_presets, "", NULL, "list the presets"},
    {"match", command_match, "@Model guide-weights out ", NULL, "similarity of pictures and texts"},
    {"classify", command_classify, "@Model guide-weights out ", NULL,
     "zero-shot classes of pictures"},
    {"embed", command_embed, "@Model out ", NULL, "embeddings of many pictures"},
    {"search", command_search, "@Model guide-weights text out ", "text",
     "the pictures nearest to a text"},
    {"convert", command_convert, "config tower out guide ", "",
     "a checkpoint with only the towers in use"},
    {"codes", command_codes, "decoder size out backend device threads ", "",
     "a picture as a VQGAN's codes, and back"},
    {"gap", command_gap, "@Model out ", "", "how far photos lie from their captions"},
    {"gather", command_gather, "", "", "what workers of --shard have made"},
    {"judge", command_judge, "@Model gallery ", "gallery", "what an independent classifier sees"},
    {"quiz", command_quiz, "seed gallery ", "gallery", "which of five texts was it?"},
    {"completion", command_completion, "", "", "what a shell completes: bash, zsh or fish"},
    {"man", command_man, "", NULL, "the manual page"},
    {0},
};

/* Says so, with the nearest of the commands; of help also of its topics. */
static int unknown(const char *name, bool of_help)
{
    enum { MOST = 80 };
    const char *names[MOST] = {"help"};
    int count = 1;
    for (size_t i = 0; commands[i].name && count < MOST; i++) names[count++] = commands[i].name;
    for (int i = 0; of_help && cli_help_topic(i) && count < MOST; i++)
        names[count++] = cli_help_topic(i);
    const char *near = fv_name_nearest(name, names, count);
    fprintf(stderr, "feavis: there is no command %s%s; %s%s%sfeavis --help lists them\n",
            of_help ? "or topic " : "", *name ? cli_shown(name) : "\"\"",
            near ? "did you mean " : "", near ? near : "", near ? "? " : "");
    return EXIT_USAGE;
}

static int help(int argc, char **argv)
{
    const char *on = argc > 2 ? argv[2] : "help";
    bool topic = cli_help_on(on);
    bool command = cli_help_command(commands, on, topic); /* walk is both */
    if (topic || command) return EXIT_SUCCESS;
    if (*on == '-' || strcmp(on, "help") == 0) {
        cli_help();
        return EXIT_SUCCESS;
    }
    return unknown(on, true);
}

static int run(const char *name, int argc, char **argv)
{
    for (size_t i = 0; commands[i].name; i++) {
        if (strcmp(name, commands[i].name) != 0) continue;
        cli c;
        c = (cli){.commands = commands};
        int status = cli_parse(&c, &commands[i], argc, argv) < 0 ? cli_fail() : commands[i].run(&c);
        cli_clear(&c);
        return status;
    }
    return unknown(name, false);
}

/* A descriptor that is closed would be given to the next file that is opened, and what is printed
 * would go there. Standard output is then one that cannot be written, and that is said. */
static void fill_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) return run("window", 0, NULL);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return i == 1 ? help(argc, argv) : help(3, (char *[]){argv[0], "help", argv[1]});
    if (strcmp(argv[1], "help") == 0) return help(argc, argv);
    if (strcmp(argv[1], "--version") == 0) {
        printf("feavis %s\n", fv_version());
        return EXIT_SUCCESS;
    }
    return run(argv[1], argc - 2, argv + 2);
}

/* The locale stays C: what is printed for other programs has a decimal point. */
int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a file over its size limit is an error like any other */
    signal(SIGPIPE, SIG_IGN); /* so is a pipe that nobody reads: a picture is not lost by it */
    fill_descriptors();
    return cli_end(dispatch(argc, argv));
}

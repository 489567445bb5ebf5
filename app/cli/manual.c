/* feavis completion SHELL and feavis man: made of the tables of commands and flags, so that they
 * say what the program takes. The packages hold what these print. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/cli.h"

static const char shells[] = "bash zsh fish";

/* --- bash --- */

static void print_flags_of(const cli_command *k, const char *before)
{
    cli_flag f;
    const char *gap = "";
    for (int i = 0; cli_flag_at(i, &f); i++)
        if (cli_flag_used(k, f.name)) {
            printf("%s%s%s", gap, before, f.name);
            gap = " ";
        }
}

static void print_choices(const char *form, const char *form_presets)
{
    cli_flag f;
    for (int i = 0; cli_flag_at(i, &f); i++)
        if (f.choices) printf(form, f.name, f.choices);
    puts(form_presets);
}

static void bash(const cli_command *commands)
{
    puts("# bash completion of feavis, printed by: feavis completion bash\n"
         "_feavis() {\n"
         "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
         "    COMPREPLY=()\n"
         "    case $prev in");
    print_choices("    --%s) words='%s' ;;\n",
                  "    --preset) words=$(feavis presets 2>/dev/null | cut -d' ' -f1) ;;\n"
                  "    --*) case $cur in -*) ;; *) return ;; esac ;;\n"
                  "    esac\n"
                  "    if [ -z \"$words\" ]; then\n"
                  "        case $COMP_CWORD,${COMP_WORDS[1]} in");
    fputs("        1,*) words='help --help --version", stdout);
    for (const cli_command *k = commands; k->name; k++) printf(" %s", k->name);
    puts("' ;;");
    printf("        2,completion) words='%s' ;;\n", shells);
    for (const cli_command *k = commands; k->name; k++) {
        printf("        *,%s) case $cur in -*) words='", k->name);
        print_flags_of(k, "--");
        puts("' ;; esac ;;");
    }
    puts("        esac\n"
         "    fi\n"
         "    [ -z \"$words\" ] || COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "}\n"
         "complete -o default -F _feavis feavis");
}

/* --- zsh --- */

/* Inside single quotes; `also` is a character that a backslash stands before, or 0. */
static void print_quoted(const char *text, char also)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (*text == also)
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void zsh(const cli_command *commands)
{
    cli_flag f;
    puts("#compdef feavis\n"
         "# zsh completion of feavis, printed by: feavis completion zsh\n"
         "_feavis() {\n"
         "    local -a commands flags names\n"
         "    local -A says\n"
         "    commands=(");
    for (const cli_command *k = commands; k->name; k++) {
        printf("        '%s:", k->name);
        print_quoted(k->help, ':');
        puts("'");
    }
    puts("    )\n"
         "    if (( CURRENT == 2 )); then\n"
         "        _describe command commands\n"
         "        return\n"
         "    fi\n"
         "    case $words[CURRENT-1] in");
    print_choices("    --%s) compadd %s; return ;;\n",
                  "    --preset) compadd $(feavis presets 2>/dev/null | cut -d' ' -f1); return ;;\n"
                  "    --*) [[ $PREFIX == -* ]] || { _files; return } ;;\n"
                  "    esac\n"
                  "    says=(");
    for (int i = 0; cli_flag_at(i, &f); i++) {
        printf("        %s '", f.name);
        print_quoted(f.help, ':');
        puts("'");
    }
    puts("    )\n"
         "    case $words[2] in");
    printf("    completion) compadd %s; return ;;\n", shells);
    for (const cli_command *k = commands; k->name; k++) {
        printf("    %s) names=(", k->name);
        print_flags_of(k, "");
        puts(") ;;");
    }
    puts("    esac\n"
         "    for name in $names; do flags+=(\"--$name:$says[$name]\"); done\n"
         "    if [[ $PREFIX == -* ]]; then _describe flag flags; else _files; fi\n"
         "}\n"
         "_feavis \"$@\"");
}

/* --- fish --- */

static void print_fish(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') putchar('\\');
        putchar(*text);
    }
}

static void fish(const cli_command *commands)
{
    cli_flag f;
    puts("# fish completion of feavis, printed by: feavis completion fish");
    for (const cli_command *k = commands; k->name; k++) {
        printf("complete -c feavis -n __fish_use_subcommand -f -a %s -d '", k->name);
        print_fish(k->help);
        puts("'");
    }
    printf("complete -c feavis -n '__fish_seen_subcommand_from completion' -f -a '%s'\n", shells);
    for (int i = 0; cli_flag_at(i, &f); i++) {
        fputs("complete -c feavis -n '__fish_seen_subcommand_from", stdout);
        for (const cli_command *k = commands; k->name; k++)
            if (cli_flag_used(k, f.name)) printf(" %s", k->name);
        printf("' -l %s", f.name);
        if (strcmp(f.name, "preset") == 0)
            fputs(" -r -a '(feavis presets 2>/dev/null | cut -d\" \" -f1)'", stdout);
        else if (f.choices)
            printf(" -x -a '%s'", f.choices);
        else if (*f.value)
            fputs(strcmp(f.value, "FILE") == 0 ? " -r" : " -x", stdout);
        fputs(" -d '", stdout);
        print_fish(f.help);
        puts("'");
    }
}

int command_completion(cli *c)
{
    const char *shell = c->words ? c->words : "";
    if (strcmp(shell, "bash") == 0)
        bash(c->commands);
    else if (strcmp(shell, "zsh") == 0)
        zsh(c->commands);
    else if (strcmp(shell, "fish") == 0)
        fish(c->commands);
    else
        return fv_fail(FV_ERR_ARGUMENT, "completion is for one of %s, not \"%.80s\"", shells,
                       shell),
               cli_fail();
    return EXIT_SUCCESS;
}

/* --- the manual page (man(7)) --- */

static void roff(const char *text)
{
    for (const char *at = text; *at; at++) {
        if (*at == '\\')
            fputs("\\e", stdout);
        else if (*at == '-')
            fputs("\\-", stdout);
        else if (at == text && (*at == '.' || *at == '\''))
            printf("\\&%c", *at);
        else
            putchar(*at);
    }
}

static void man_flag(const cli *c, const cli_flag *f)
{
    fputs(".TP\n.B \\-\\-", stdout);
    roff(f->name);
    if (*f->value) printf(" \\fI%s\\fR", f->value);
    putchar('\n');
    roff(f->help);
    if (f->choices) {
        fputs(" (", stdout);
        roff(f->choices);
        putchar(')');
    }
    if (*f->standard) {
        fputs(" [", stdout);
        roff(f->standard);
        putchar(']');
    }
    puts(".");
    if (f->group) return;
    int used = 0, all = 0;
    for (const cli_command *k = c->commands; k->name; k++, all++) used += cli_flag_used(k, f->name);
    if (used > all / 2) return;
    fputs("For", stdout);
    for (const cli_command *k = c->commands; k->name; k++)
        if (cli_flag_used(k, f->name)) printf(" %s", k->name);
    puts(".");
}

static void man_flags(const cli *c)
{
    const char *group = "";
    cli_flag f;
    for (int i = 0; cli_flag_at(i, &f); i++) {
        const char *here = f.group ? f.group : "Other flags";
        if (strcmp(group, here) != 0) printf(".SS %s\n", here);
        group = here;
        man_flag(c, &f);
    }
}

int command_man(cli *c)
{
    printf(".\\\" Printed by: feavis man\n"
           ".TH FEAVIS 1 \"\" \"feavis %s\" \"User Commands\"\n",
           fv_version());
    puts(".SH NAME\nfeavis \\- what an image\\-text model imagines\n"
         ".SH SYNOPSIS\n.B feavis\n.RI [ command ]\n.RI [ words ]\n.RI [ flags ]\n"
         ".SH DESCRIPTION\n"
         "Type a word, freeze the model, and climb: from noise, along the gradient of the\n"
         "image\\-text cosine, into a picture. Without a command the window opens. Results go to\n"
         "standard output, progress to standard error.\n"
         ".SH COMMANDS");
    for (const cli_command *k = c->commands; k->name; k++) {
        printf(".TP\n.B %s\n", k->name);
        roff(k->help);
        puts(".");
    }
    puts(".TP\n.B help\nCommands with examples; help options, help terms, help guides, help "
         "places.\n"
         ".SH OPTIONS\n"
         "A flag that a command has no use for is refused. Defaults stand in brackets.");
    man_flags(c);
    puts(".SH EXIT STATUS\n"
         "0: all is done. 1: something failed, said in one line. 2: there is no such command.\n"
         "130: interrupted, after what there was had been saved. 141: nobody reads the output.\n"
         ".SH ENVIRONMENT\n"
         ".TP\n.B FEAVIS_HOME\nThe folder with presets and the shipped models.\n"
         ".TP\n.B FEAVIS_STATE\nWhere the window remembers what it does.\n"
         ".SH FILES\n.TP\n.I gallery/\nPictures, each with its recipe inside.\n"
         ".SH EXAMPLES\n.EX\n"
         "feavis imagine butterfly\n"
         "feavis imagine \"a castle on a mountain\" \\-\\-preset normal \\-\\-seed 7\n"
         "feavis imagine \\-\\-file poem.txt \\-\\-gallery run \\-\\-shard 1/2\n"
         "feavis again gallery/butterfly\\-1.png \\-\\-out copy.png\n"
         ".EE");
    return EXIT_SUCCESS;
}

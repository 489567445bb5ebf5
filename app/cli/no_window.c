/* Stands for window.c where SDL2 or Dear ImGui was not there to build with. */
#include <stdio.h>

#include "app/cli/cli.h"

int command_window(cli *c)
{
    (void)c;
    fprintf(stderr, "feavis: built without a window (libsdl2-dev and libimgui-dev were missing)\n");
    return EXIT_USAGE;
}

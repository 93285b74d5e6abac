/* A command: the host calls _start, which runs main once and exits. */
#include "extism.h"

#include <stdio.h>

static int runs = 0;

int main(int argc, char **argv) {
    (void)argv;
    char input[128], answer[192];
    read_input(input, sizeof input);
    snprintf(answer, sizeof answer, "main run=%d args=%d input=%s", ++runs, argc, input);
    output(answer);
    /* "exit N" ends with that status, which main returns. */
    int status = 0;
    return sscanf(input, "exit %d", &status) == 1 ? status : 0;
}

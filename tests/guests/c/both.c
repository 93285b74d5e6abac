/* Both a command and a reactor: exports _start and _initialize, as some toolchains produce. */
#include "extism.h"

#include <stdio.h>

static int initialized = 0;
static int mains = 0;

EXPORT(_initialize) void initialize(void) { initialized++; }

EXPORT(state) int32_t state(void) {
    char answer[64];
    snprintf(answer, sizeof answer, "initialized=%d mains=%d", initialized, mains);
    output(answer);
    return 0;
}

int main(void) {
    mains++;
    return 0;
}

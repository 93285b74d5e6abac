// flags: -mexec-model=reactor
/* A constructor that uses the host: config, vars and the log work before the first call. */
#include "extism.h"

#include <stdio.h>

static char mode[32];

__attribute__((constructor)) static void construct(void) {
    read_block(host_config_get(text_block("mode")), mode, sizeof mode);
    host_var_set(text_block("early"), text_block("kept"));
    host_log_warn(text_block("constructed"));
}

/* What the constructor read from the config, and what it stored. */
EXPORT(state) int32_t state(void) {
    char kept[32], answer[96];
    read_block(host_var_get(text_block("early")), kept, sizeof kept);
    snprintf(answer, sizeof answer, "mode=%s early=%s", mode, kept);
    output(answer);
    return 0;
}

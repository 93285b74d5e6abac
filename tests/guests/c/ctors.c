// flags: -nostdlib -Wl,--no-entry -Wl,--export=__wasm_call_ctors
/* Neither command nor reactor: the host calls __wasm_call_ctors, as old compilers left it. */
#include "extism.h"

static int constructed = 0;

__attribute__((constructor)) static void construct(void) { constructed++; }

EXPORT(state) int32_t state(void) {
    char answer[] = "constructed=?";
    answer[12] = (char)('0' + constructed);
    host_output_set(block(answer, sizeof answer - 1), sizeof answer - 1);
    return 0;
}

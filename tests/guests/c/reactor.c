// flags: -mexec-model=reactor
/* A reactor: exports _initialize, which runs the constructors, once. */
#include "extism.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <dirent.h>
#include <unistd.h>

static int constructed = 0;
static int calls = 0;

USER(upper) handle host_upper(handle text);
USER(add) int64_t host_add(int64_t left, int64_t right);

__attribute__((constructor)) static void construct(void) { constructed++; }

EXPORT(echo) int32_t echo(void) {
    uint64_t size = host_input_length();
    handle copy = host_alloc(size);
    uint64_t at = 0;
    for (; at + 8 <= size; at += 8) {
        host_store_u64(copy + at, host_input_load_u64(at));
    }
    for (; at < size; at++) {
        host_store_u8(copy + at, host_input_load_u8(at));
    }
    host_output_set(copy, size);
    return 0;
}

EXPORT(count_vowels) int32_t count_vowels(void) {
    static char text[4096];
    char answer[64];
    int count = 0;
    uint64_t size = read_input(text, sizeof text);
    for (uint64_t at = 0; at < size; at++) {
        count += text[at] && strchr("aeiouAEIOU", text[at]) ? 1 : 0;
    }
    snprintf(answer, sizeof answer, "{\"count\": %d}", count);
    output(answer);
    return 0;
}

/* How often the constructor ran, how often this was called. */
EXPORT(state) int32_t state(void) {
    char answer[64];
    snprintf(answer, sizeof answer, "constructed=%d calls=%d", constructed, ++calls);
    output(answer);
    return 0;
}

EXPORT(fails) int32_t fails(void) {
    char text[256] = "guest says no: ";
    read_input(text + strlen(text), sizeof text - strlen(text));
    host_error_set(text_block(text));
    return 3;
}

EXPORT(vars) int32_t vars(void) {
    char value[64], answer[96];
    handle key = text_block("v");
    uint64_t before = host_var_get(text_block("v"));
    uint64_t size = read_input(value, sizeof value);
    host_var_set(key, block(value, size));
    read_block(host_var_get(text_block("v")), value, sizeof value);
    host_var_set(text_block("v"), 0);
    snprintf(answer, sizeof answer, "%d %s %d", before == 0, value, host_var_get(text_block("v")) == 0);
    output(answer);
    return 0;
}

/* malloc and free in turns: the guest's own memory, up to so many MiB as the input says. */
EXPORT(take_mib) int32_t take_mib(void) {
    char text[32];
    read_input(text, sizeof text);
    size_t size = (size_t)atoi(text) << 20;
    char *memory = malloc(size);
    if (!memory) {
        output("refused");
        return 0;
    }
    memset(memory, 1, size);
    output(memory[size - 1] == 1 ? "granted" : "lost");
    free(memory);
    return 0;
}

EXPORT(call_upper) int32_t call_upper(void) {
    char text[256];
    read_input(text, sizeof text);
    handle answer = host_upper(text_block(text));
    host_output_set(answer, host_length_unsafe(answer));
    return 0;
}

EXPORT(call_numbers) int32_t call_numbers(void) {
    char answer[64];
    snprintf(answer, sizeof answer, "%lld", (long long)host_add(-5, INT64_C(1) << 62));
    output(answer);
    return 0;
}

EXPORT(http_get) int32_t http_get(void) {
    char request[512] = "{\"url\":\"";
    char answer[1024];
    uint64_t used = strlen(request);
    used += read_input(request + used, sizeof request - used - 4);
    strcpy(request + used, "\"}");
    handle body = host_http_request(text_block(request), 0);
    int start = snprintf(answer, sizeof answer, "%d ", host_http_status_code());
    read_block(body, answer + start, sizeof answer - (uint64_t)start);
    output(answer);
    return 0;
}

/* Reads the file that the input names, through wasi-libc. */
EXPORT(read_file) int32_t read_file(void) {
    char path[256], text[256] = "refused";
    read_input(path, sizeof path);
    FILE *file = fopen(path, "rb");
    if (file) {
        size_t size = fread(text, 1, sizeof text - 1, file);
        text[size] = 0;
        fclose(file);
    }
    output(text);
    return 0;
}

/* Writes to the file that the input names, then tries to make and remove a folder beside it. */
EXPORT(write_file) int32_t write_file(void) {
    char path[256], answer[96];
    read_input(path, sizeof path);
    FILE *file = fopen(path, "wb");
    int wrote = file && fputs("written", file) >= 0;
    if (file) {
        fclose(file);
    }
    strncat(path, ".folder", sizeof path - strlen(path) - 1);
    int made = mkdir(path, 0700) == 0;
    int removed = rmdir(path) == 0;
    snprintf(answer, sizeof answer, "wrote=%d made=%d removed=%d", wrote, made, removed);
    output(answer);
    return 0;
}

/* Counts the entries of the folder that the input names, -1 if it cannot be opened. */
EXPORT(list_folder) int32_t list_folder(void) {
    char path[256], answer[32];
    read_input(path, sizeof path);
    int count = -1;
    DIR *folder = opendir(path);
    if (folder) {
        struct dirent *entry;
        for (count = 0; (entry = readdir(folder));) {
            count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") ? 1 : 0;
        }
        closedir(folder);
    }
    snprintf(answer, sizeof answer, "%d", count);
    output(answer);
    return 0;
}

EXPORT(exits) int32_t exits(void) {
    char text[32];
    read_input(text, sizeof text);
    output("set before the exit");
    exit(atoi(text));
}

/* Recursion so deep as the input says, on the shadow stack as well as on the host's. */
static int descend(volatile int depth) {
    volatile char frame[1024];
    frame[depth % 1024] = (char)depth;
    return depth ? descend(depth - 1) + frame[depth % 1024] : 0;
}

EXPORT(recurses) int32_t recurses(void) {
    char text[32];
    read_input(text, sizeof text);
    descend(atoi(text));
    output("returned");
    return 0;
}

/* The imports of extism:host/env, by hand, and what C needs to use them: no PDK is involved. */
#ifndef EXTISM_H
#define EXTISM_H

#include <stdint.h>

#define ENV(name) __attribute__((import_module("extism:host/env"), import_name(#name)))
#define USER(name) __attribute__((import_module("extism:host/user"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

typedef uint64_t handle;

ENV(alloc) handle host_alloc(uint64_t size);
ENV(free) void host_free(handle block);
ENV(length) uint64_t host_length(handle block);
ENV(length_unsafe) uint64_t host_length_unsafe(handle block);
ENV(load_u8) uint32_t host_load_u8(uint64_t address);
ENV(load_u64) uint64_t host_load_u64(uint64_t address);
ENV(store_u8) void host_store_u8(uint64_t address, uint32_t value);
ENV(store_u64) void host_store_u64(uint64_t address, uint64_t value);
ENV(input_length) uint64_t host_input_length(void);
ENV(input_load_u8) uint32_t host_input_load_u8(uint64_t offset);
ENV(input_load_u64) uint64_t host_input_load_u64(uint64_t offset);
ENV(output_set) void host_output_set(handle block, uint64_t size);
ENV(error_set) void host_error_set(handle block);
ENV(config_get) handle host_config_get(handle key);
ENV(var_get) handle host_var_get(handle key);
ENV(var_set) void host_var_set(handle key, handle value);
ENV(http_request) handle host_http_request(handle request, handle body);
ENV(http_status_code) int32_t host_http_status_code(void);
ENV(log_info) void host_log_info(handle text);
ENV(log_warn) void host_log_warn(handle text);

/* A block with these bytes. */
static inline handle block(const void *bytes, uint64_t size) {
    handle made = host_alloc(size);
    uint64_t at = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t word;
        __builtin_memcpy(&word, (const char *)bytes + at, 8);
        host_store_u64(made + at, word);
    }
    for (; at < size; at++) {
        host_store_u8(made + at, ((const unsigned char *)bytes)[at]);
    }
    return made;
}

static inline handle text_block(const char *text) { return block(text, __builtin_strlen(text)); }

/* Copies a block into the buffer, ends it with a zero; returns its length, cut to what fits. */
static inline uint64_t read_block(handle from, char *buffer, uint64_t room) {
    uint64_t size = host_length(from);
    if (size >= room) {
        size = room - 1;
    }
    for (uint64_t at = 0; at < size; at++) {
        buffer[at] = (char)host_load_u8(from + at);
    }
    buffer[size] = 0;
    return size;
}

/* As read_block, for the input. */
static inline uint64_t read_input(char *buffer, uint64_t room) {
    uint64_t size = host_input_length();
    if (size >= room) {
        size = room - 1;
    }
    for (uint64_t at = 0; at < size; at++) {
        buffer[at] = (char)host_input_load_u8(at);
    }
    buffer[size] = 0;
    return size;
}

static inline void output(const char *text) {
    uint64_t size = __builtin_strlen(text);
    host_output_set(block(text, size), size);
}

#endif

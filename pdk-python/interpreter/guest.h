/* What the two halves of the shim know of each other: interpreter.c runs Python, extism.c talks to the host. */
#ifndef GUEST_H
#define GUEST_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* Python's `dispatch(export: str, input: bytes) -> (ok: bool, answer: bytes)`, kept from the snapshot. */
extern PyObject *guest_dispatch;

/* The built-in module `_fumehood`: what Python may ask of the host, and two loops that are slow in Python. */
PyMODINIT_FUNC PyInit__fumehood(void);

/* The host's blocks. `store` returns 0 for empty bytes and, with MemoryError set, when the host has no room. */
uint64_t host_store(const char *bytes, uint64_t length);
PyObject *host_load(uint64_t block);

/* `_fumehood.immortalize()`: the last thing before the snapshot. */
PyObject *guest_immortalize(PyObject *self, PyObject *unused);

#endif

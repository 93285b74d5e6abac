/* What the parts of the shim know of each other: interpreter.c runs Python, extism.c talks to the host. */
#ifndef GUEST_H
#define GUEST_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* Python's `dispatch(export: str, input: bytes) -> (ok: bool, answer: bytes)`, kept from the snapshot. */
extern PyObject *guest_dispatch;

/* The built-in module `_fumehood`: what Python may ask of the host, and the loops that are slow in Python. */
PyMODINIT_FUNC PyInit__fumehood(void);

/* The host's blocks. `store` returns 0 for empty bytes and, with MemoryError set, when the host has no room. */
uint64_t host_store(const char *bytes, uint64_t length);
PyObject *host_load(uint64_t block);

/* Large payloads (bulk.c). `bulk_input` says whether the host has put the input there; `*input` is then its bytes, or NULL
   where it had no room or there is no memory. `bulk_output` says whether the host will read the answer where it is. */
int bulk_input(PyObject **input);
int bulk_output(PyObject *answer);

/* `_fumehood.packb(value, binary=False)` and `_fumehood.unpackb(data)` (msgpack.c). */
PyObject *guest_packb(PyObject *self, PyObject *const *arguments, Py_ssize_t count);
PyObject *guest_unpackb(PyObject *self, PyObject *data);

/* `_fumehood.immortalize()`: the last thing before the snapshot. */
PyObject *guest_immortalize(PyObject *self, PyObject *unused);

#endif

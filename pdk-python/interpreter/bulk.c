/* Payloads by copying (docs/wire.md): the host writes a large input into bytes that wait here, and reads the answer where
   it lies. Neither is copied again: the bytes that were reserved become the argument of `dispatch`. */

#include "guest.h"

#define MAGIC 0x31424846 /* FHB1 */

/* The descriptor; its address is an export. The host writes between two calls. */
volatile struct {
  uint32_t magic, host, capacity, buffer, input, output, output_length, reserved;
} fumehood_bulk = {MAGIC, 0, 0, 0, 0, 0, 0, 0};

/* That MessagePack is understood is told by the name alone. */
const char fumehood_msgpack = 1;

static PyObject *waiting; /* the bytes that `buffer` points into */
static PyObject *given;   /* the answer of the last call, where the host read it here */

__attribute__((export_name("fumehood_reserve"))) uint32_t guest_reserve(uint32_t length) {
  fumehood_bulk.capacity = fumehood_bulk.buffer = fumehood_bulk.output = fumehood_bulk.output_length = 0;
  Py_CLEAR(waiting);
  Py_CLEAR(given); /* the host has copied it */
  if (length <= PY_SSIZE_T_MAX - 64) waiting = PyBytes_FromStringAndSize(NULL, length ? (Py_ssize_t)length : 1);
  if (waiting == NULL) {
    PyErr_Clear();
    return 0;
  }
  fumehood_bulk.capacity = (uint32_t)PyBytes_GET_SIZE(waiting);
  return fumehood_bulk.buffer = (uint32_t)(uintptr_t)PyBytes_AS_STRING(waiting);
}

int bulk_input(PyObject **input) {
  fumehood_bulk.output = fumehood_bulk.output_length = 0;
  Py_CLEAR(given);
  uint32_t length = fumehood_bulk.input;
  if (length == 0) return 0;
  *input = waiting;
  waiting = NULL;
  fumehood_bulk.input = fumehood_bulk.capacity = fumehood_bulk.buffer = 0;
  if (*input == NULL || length > (size_t)PyBytes_GET_SIZE(*input)) Py_CLEAR(*input);
  else if (length < (size_t)PyBytes_GET_SIZE(*input)) _PyBytes_Resize(input, (Py_ssize_t)length);
  return 1;
}

int bulk_output(PyObject *answer) {
  Py_ssize_t length = PyBytes_GET_SIZE(answer);
  if (fumehood_bulk.host == 0 || length == 0) return 0;
  given = Py_NewRef(answer);
  fumehood_bulk.output = (uint32_t)(uintptr_t)PyBytes_AS_STRING(answer);
  fumehood_bulk.output_length = (uint32_t)length;
  return 1;
}

/* The Extism ABI around Python's dispatch: exports, blocks of the host's memory, and the module `_fumehood`. */

#include "guest.h"
#include <string.h>

#define HOST(name) __attribute__((import_module("extism:host/env"), import_name(#name)))
HOST(input_length) uint64_t x_input_length(void);
HOST(input_load_u8) uint8_t x_input_load_u8(uint64_t);
HOST(input_load_u64) uint64_t x_input_load_u64(uint64_t);
HOST(alloc) uint64_t x_alloc(uint64_t);
HOST(free) void x_free(uint64_t);
HOST(length) uint64_t x_length(uint64_t);
HOST(load_u8) uint8_t x_load_u8(uint64_t);
HOST(load_u64) uint64_t x_load_u64(uint64_t);
HOST(store_u8) void x_store_u8(uint64_t, uint8_t);
HOST(store_u64) void x_store_u64(uint64_t, uint64_t);
HOST(output_set) void x_output_set(uint64_t, uint64_t);
HOST(error_set) void x_error_set(uint64_t);
HOST(log_error) void x_log_error(uint64_t);
HOST(log_warn) void x_log_warn(uint64_t);
HOST(log_info) void x_log_info(uint64_t);
HOST(log_debug) void x_log_debug(uint64_t);
/* Only plugins with speech need it, and not every Extism host has it: for the others the builder writes the name of a
   function of the same type that every host has (`length` of extism:host/env) over this one. Python then never calls it. */
__attribute__((import_module("extism:host/user"), import_name("qmt_http_request"))) uint64_t x_http_request(uint64_t);

/* -- blocks ------------------------------------------------------------------------------------------------------- */

uint64_t host_store(const char *bytes, uint64_t length) {
  if (length == 0) return 0;
  uint64_t block = x_alloc(length), i = 0;
  if (block == 0) {
    PyErr_NoMemory();
    return 0;
  }
  for (; i + 8 <= length; i += 8) {
    uint64_t word;
    memcpy(&word, bytes + i, 8);
    x_store_u64(block + i, word);
  }
  for (; i < length; i++) x_store_u8(block + i, (uint8_t)bytes[i]);
  return block;
}

static void collect(char *to, uint64_t length, uint64_t from, uint64_t (*word)(uint64_t), uint8_t (*byte)(uint64_t)) {
  uint64_t i = 0;
  for (; i + 8 <= length; i += 8) {
    uint64_t eight = word(from + i);
    memcpy(to + i, &eight, 8);
  }
  for (; i < length; i++) to[i] = (char)byte(from + i);
}

PyObject *host_load(uint64_t block) {
  uint64_t length = block == 0 ? 0 : x_length(block);
  if (length > PY_SSIZE_T_MAX) return PyErr_NoMemory();
  PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
  if (bytes != NULL) collect(PyBytes_AS_STRING(bytes), length, block, x_load_u64, x_load_u8);
  return bytes;
}

/* -- exports ------------------------------------------------------------------------------------------------------ */

/* The last resort, when Python itself can no longer say what is wrong. */
static int32_t refuse(const char *message) {
  PyErr_Clear();
  uint64_t block = host_store(message, strlen(message));
  PyErr_Clear();
  x_error_set(block);
  return 1;
}

static PyObject *kernel_input(void) {
  uint64_t length = x_input_length();
  PyObject *input = length > PY_SSIZE_T_MAX ? NULL : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
  if (input != NULL) collect(PyBytes_AS_STRING(input), length, 0, x_input_load_u64, x_input_load_u8);
  return input;
}

static int32_t run(const char *export) {
  PyObject *input, *answer;
  if (!bulk_input(&input)) input = kernel_input();
  if (input == NULL) return refuse("{\"payload\":{\"type\":\"plugin_error\",\"message\":\"out of memory: input\"}}");
  PyObject *result = PyObject_CallFunction(guest_dispatch, "sN", export, input);
  int ok;
  if (result == NULL || !PyArg_ParseTuple(result, "pS", &ok, &answer)) {
    Py_XDECREF(result);
    return refuse("{\"payload\":{\"type\":\"plugin_error\",\"message\":\"the plugin could not report its failure\"}}");
  }
  if (ok && bulk_output(answer)) {
    Py_DECREF(result);
    return 0;
  }
  Py_ssize_t size = PyBytes_GET_SIZE(answer);
  uint64_t block = host_store(PyBytes_AS_STRING(answer), (uint64_t)size);
  if (PyErr_Occurred()) {
    Py_DECREF(result);
    return refuse("{\"payload\":{\"type\":\"plugin_error\",\"message\":\"the host has no room for the answer\"}}");
  }
  if (ok) x_output_set(block, (uint64_t)size);
  else x_error_set(block);
  Py_DECREF(result);
  return ok ? 0 : 1;
}

#define EXPORT(name) __attribute__((export_name(#name))) int32_t export_##name(void) { return run(#name); }
EXPORT(name) EXPORT(base_url) EXPORT(api_key_name) EXPORT(init_logging) EXPORT(config_schema) EXPORT(from_config)
EXPORT(supports_streaming) EXPORT(list_models_static) EXPORT(list_models_request) EXPORT(parse_list_models_response)
EXPORT(chat_request) EXPORT(chat_stream_request) EXPORT(parse_chat_response) EXPORT(classify_chat_error)
EXPORT(chat_stream_parser_start) EXPORT(chat_stream_parser_parse) EXPORT(chat_stream_parser_finish)
EXPORT(chat_stream_parser_close) EXPORT(embed_request) EXPORT(parse_embed_response) EXPORT(complete_request)
EXPORT(parse_complete_response) EXPORT(transcribe) EXPORT(speech)

/* -- the module `_fumehood` ----------------------------------------------------------------------------------------- */

static PyObject *log_line(PyObject *self, PyObject *args) {
  int level;
  const char *text;
  Py_ssize_t length;
  if (!PyArg_ParseTuple(args, "is#", &level, &text, &length)) return NULL;
  uint64_t block = host_store(text, (uint64_t)length);
  if (PyErr_Occurred()) return NULL;
  if (block != 0) (level <= 1 ? x_log_error : level == 2 ? x_log_warn : level == 3 ? x_log_info : x_log_debug)(block);
  Py_RETURN_NONE;
}

static PyObject *http_request(PyObject *self, PyObject *args) {
  const char *request;
  Py_ssize_t length;
  if (!PyArg_ParseTuple(args, "y#", &request, &length)) return NULL;
  uint64_t block = host_store(request, (uint64_t)length);
  if (PyErr_Occurred()) return NULL;
  uint64_t reply = x_http_request(block);
  if (block != 0) x_free(block);
  return host_load(reply);
}

/* Bytes as decimals with commas between: `b"a{"` becomes `b"97,123"`. */
static PyObject *decimals(PyObject *self, PyObject *args) {
  Py_buffer in;
  if (!PyArg_ParseTuple(args, "y*", &in)) return NULL;
  const unsigned char *bytes = in.buf;
  size_t size = 0;
  for (Py_ssize_t i = 0; i < in.len; i++) size += bytes[i] > 99 ? 4 : bytes[i] > 9 ? 3 : 2;
  PyObject *text = size > PY_SSIZE_T_MAX ? PyErr_NoMemory() : PyBytes_FromStringAndSize(NULL, size ? (Py_ssize_t)size - 1 : 0);
  if (text != NULL) {
    char *to = PyBytes_AS_STRING(text);
    for (Py_ssize_t i = 0; i < in.len; i++) {
      unsigned char byte = bytes[i];
      if (i) *to++ = ',';
      if (byte > 99) *to++ = (char)('0' + byte / 100);
      if (byte > 9) *to++ = (char)('0' + byte / 10 % 10);
      *to++ = (char)('0' + byte % 10);
    }
  }
  PyBuffer_Release(&in);
  return text;
}

/* Reads `97,123]` from `start`: the bytes and where the bracket stands, or None for anything but plain small decimals,
   which the caller then leaves to a full JSON reader. */
static PyObject *from_decimals(PyObject *self, PyObject *args) {
  Py_buffer in;
  Py_ssize_t start;
  if (!PyArg_ParseTuple(args, "y*n", &in, &start)) return NULL;
  const char *text = in.buf;
  Py_ssize_t end = start < 0 ? in.len : start, count = 0;
  for (; end < in.len && text[end] != ']'; end++) count += text[end] == ',';
  PyObject *result = NULL, *bytes = NULL;
  if (end >= in.len) goto none;
  count = end == start ? 0 : count + 1;
  bytes = PyBytes_FromStringAndSize(NULL, count);
  if (bytes == NULL) goto done;
  unsigned char *to = (unsigned char *)PyBytes_AS_STRING(bytes);
  Py_ssize_t at = start;
  for (Py_ssize_t i = 0; i < count; i++) {
    unsigned value = 0, digits = 0;
    for (; at < end && text[at] >= '0' && text[at] <= '9' && digits < 4; at++, digits++) value = value * 10 + (unsigned)(text[at] - '0');
    int leading = digits > 1 && text[at - (Py_ssize_t)digits] == '0';
    if (digits == 0 || digits > 3 || leading || value > 255 || text[at] != (i + 1 < count ? ',' : ']')) goto none;
    to[i] = (unsigned char)value;
    at++;
  }
  result = Py_BuildValue("On", bytes, end);
  goto done;
none:
  result = Py_NewRef(Py_None);
done:
  Py_XDECREF(bytes);
  PyBuffer_Release(&in);
  return result;
}

static PyMethodDef methods[] = {
  {"log", log_line, METH_VARARGS, "log(level, text): 1 error, 2 warning, 3 information, more is debugging"},
  {"http_request", http_request, METH_VARARGS, "http_request(document) -> document: qmt_http_request of the host"},
  {"decimals", decimals, METH_VARARGS, "decimals(data) -> its bytes as decimals with commas between"},
  {"from_decimals", from_decimals, METH_VARARGS, "from_decimals(text, start) -> (data, index of the bracket) or None"},
  {"packb", (PyCFunction)(void (*)(void))guest_packb, METH_FASTCALL, "packb(value, binary=False) -> MessagePack; ValueError for what it cannot say"},
  {"unpackb", guest_unpackb, METH_O, "unpackb(data) -> the value of a MessagePack document; ValueError for what is none"},
  {"immortalize", guest_immortalize, METH_NOARGS, "immortalize(): nothing that lives now is freed or counted again"},
  {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fumehood", "The host, as Python sees it.", 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__fumehood(void) { return PyModuleDef_Init(&module); }

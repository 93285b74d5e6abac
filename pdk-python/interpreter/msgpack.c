/* MessagePack for `_fumehood` (docs/wire.md): what JSON can say, and bytes. Compiles as part of any CPython extension.

   What is read is checked here and nowhere else: every length against what is left of the document, depth, texts that
   are not UTF-8, keys that are no texts, NaN and infinities, extension types, bytes after the end. A length that a
   document announces reserves nothing: containers grow by what is really there. */

#include "guest.h"
#include <math.h>
#include <string.h>

/* Levels of containers in a document. */
#define DEPTH 128

/* -- reading ------------------------------------------------------------------------------------------------------ */

typedef struct {
  const unsigned char *at, *end;
  int depth;
} Reader;

static PyObject *wrong(const char *what) {
  PyErr_SetString(PyExc_ValueError, what);
  return NULL;
}

static PyObject *ends_early(void) { return wrong("the MessagePack document ends early"); }

/* The big-endian number of `bytes` bytes, or -1 with the error set. */
static int number(Reader *in, int bytes, uint64_t *value) {
  if (in->end - in->at < bytes) {
    ends_early();
    return -1;
  }
  *value = 0;
  for (; bytes > 0; bytes--) *value = *value << 8 | *in->at++;
  return 0;
}

static PyObject *text(Reader *in, uint64_t length) {
  if (length > (uint64_t)(in->end - in->at)) return ends_early();
  const char *bytes = (const char *)in->at;
  in->at += length;
  return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)length, NULL);
}

static PyObject *binary(Reader *in, uint64_t length) {
  if (length > (uint64_t)(in->end - in->at)) return ends_early();
  const char *bytes = (const char *)in->at;
  in->at += length;
  return PyBytes_FromStringAndSize(bytes, (Py_ssize_t)length);
}

static PyObject *real(double value) {
  return isfinite(value) ? PyFloat_FromDouble(value) : wrong("a number of the MessagePack document is not finite");
}

static PyObject *value(Reader *in);

static int enter(Reader *in, uint64_t least) {
  if (least > (uint64_t)(in->end - in->at)) {
    ends_early();
    return -1;
  }
  if (in->depth >= DEPTH) {
    wrong("the MessagePack document is nested too deeply");
    return -1;
  }
  in->depth++;
  return 0;
}

static PyObject *array(Reader *in, uint64_t count) {
  if (enter(in, count) < 0) return NULL; /* an item has at least one byte */
  PyObject *list = PyList_New(0);
  for (; list != NULL && count > 0; count--) {
    PyObject *item = value(in);
    if (item == NULL || PyList_Append(list, item) < 0) Py_CLEAR(list);
    Py_XDECREF(item);
  }
  in->depth--;
  return list;
}

static PyObject *key(Reader *in) {
  uint64_t length;
  if (in->at == in->end) return ends_early();
  unsigned char first = *in->at++;
  if (first >= 0xa0 && first <= 0xbf) return text(in, first & 31);
  if (first < 0xd9 || first > 0xdb) return wrong("a key of the MessagePack document is no text");
  return number(in, 1 << (first - 0xd9), &length) < 0 ? NULL : text(in, length);
}

static PyObject *map(Reader *in, uint64_t count) {
  if (enter(in, 2 * count) < 0) return NULL;
  PyObject *dict = PyDict_New();
  for (; dict != NULL && count > 0; count--) {
    PyObject *name = key(in), *item = name == NULL ? NULL : value(in);
    if (item == NULL || PyDict_SetItem(dict, name, item) < 0) Py_CLEAR(dict);
    Py_XDECREF(name);
    Py_XDECREF(item);
  }
  in->depth--;
  return dict;
}

static PyObject *value(Reader *in) {
  if (in->at == in->end) return ends_early();
  unsigned char first = *in->at++;
  uint64_t n;
  if (first <= 0x7f) return PyLong_FromLong(first);
  if (first <= 0x8f) return map(in, first & 15);
  if (first <= 0x9f) return array(in, first & 15);
  if (first <= 0xbf) return text(in, first & 31);
  if (first >= 0xe0) return PyLong_FromLong((signed char)first);
  switch (first) {
  case 0xc0: Py_RETURN_NONE;
  case 0xc2: Py_RETURN_FALSE;
  case 0xc3: Py_RETURN_TRUE;
  case 0xc4: case 0xc5: case 0xc6: return number(in, 1 << (first - 0xc4), &n) < 0 ? NULL : binary(in, n);
  case 0xca: {
    float single;
    if (number(in, 4, &n) < 0) return NULL;
    uint32_t bits = (uint32_t)n;
    memcpy(&single, &bits, 4);
    return real(single);
  }
  case 0xcb: {
    double twice;
    if (number(in, 8, &n) < 0) return NULL;
    memcpy(&twice, &n, 8);
    return real(twice);
  }
  case 0xcc: case 0xcd: case 0xce: case 0xcf:
    return number(in, 1 << (first - 0xcc), &n) < 0 ? NULL : PyLong_FromUnsignedLongLong(n);
  case 0xd0: return number(in, 1, &n) < 0 ? NULL : PyLong_FromLong((int8_t)n);
  case 0xd1: return number(in, 2, &n) < 0 ? NULL : PyLong_FromLong((int16_t)n);
  case 0xd2: return number(in, 4, &n) < 0 ? NULL : PyLong_FromLong((int32_t)n);
  case 0xd3: return number(in, 8, &n) < 0 ? NULL : PyLong_FromLongLong((int64_t)n);
  case 0xd9: case 0xda: case 0xdb: return number(in, 1 << (first - 0xd9), &n) < 0 ? NULL : text(in, n);
  case 0xdc: case 0xdd: return number(in, 2 << (first - 0xdc), &n) < 0 ? NULL : array(in, n);
  case 0xde: case 0xdf: return number(in, 2 << (first - 0xde), &n) < 0 ? NULL : map(in, n);
  default: return wrong("the MessagePack document holds an extension type or a byte that means nothing");
  }
}

PyObject *guest_unpackb(PyObject *self, PyObject *data) {
  if (!PyBytes_Check(data)) {
    PyErr_SetString(PyExc_TypeError, "unpackb takes bytes");
    return NULL;
  }
  const unsigned char *bytes = (const unsigned char *)PyBytes_AS_STRING(data);
  Reader in = {bytes, bytes + PyBytes_GET_SIZE(data), 0};
  PyObject *result = value(&in);
  if (result != NULL && in.at != in.end) {
    Py_DECREF(result);
    return wrong("bytes follow the MessagePack document");
  }
  return result;
}

/* -- writing ------------------------------------------------------------------------------------------------------ */

typedef struct {
  PyObject *bytes; /* NULL after a failure */
  Py_ssize_t used;
  int depth, binary;
} Writer;

/* Where `length` more bytes go, or NULL with the error set. */
static unsigned char *room(Writer *out, Py_ssize_t length) {
  Py_ssize_t have = PyBytes_GET_SIZE(out->bytes);
  if (length > have - out->used) {
    if (length > PY_SSIZE_T_MAX / 2 - have) {
      PyErr_NoMemory();
      return NULL;
    }
    Py_ssize_t wanted = have + (length > have ? length : have);
    if (_PyBytes_Resize(&out->bytes, wanted) < 0) return NULL;
  }
  unsigned char *at = (unsigned char *)PyBytes_AS_STRING(out->bytes) + out->used;
  out->used += length;
  return at;
}

/* A first byte, a big-endian number after it. */
static int head(Writer *out, unsigned char first, uint64_t number, int bytes) {
  unsigned char *at = room(out, 1 + bytes);
  if (at == NULL) return -1;
  *at++ = first;
  while (bytes-- > 0) *at++ = (unsigned char)(number >> 8 * bytes);
  return 0;
}

/* The head of `length` items: up to `most` of them in the byte `tiny`, else after `first`, the next or the one after;
   where there is no form with a length of one byte, `first` is the one before the form of two. */
static int sized(Writer *out, Py_ssize_t length, int tiny, int most, int first, int has_byte) {
  uint64_t n = (uint64_t)length;
  if (length <= most) return head(out, (unsigned char)(tiny | (int)n), 0, 0);
  if (has_byte && n <= 0xff) return head(out, (unsigned char)first, n, 1);
  if (n <= 0xffff) return head(out, (unsigned char)(first + 1), n, 2);
  if (n <= 0xffffffff) return head(out, (unsigned char)(first + 2), n, 4);
  wrong("cannot be written as MessagePack: too long");
  return -1;
}

static int raw(Writer *out, const char *bytes, Py_ssize_t length) {
  unsigned char *at = room(out, length);
  if (at == NULL) return -1;
  memcpy(at, bytes, (size_t)length);
  return 0;
}

static int put_text(Writer *out, PyObject *text) {
  Py_ssize_t length;
  const char *bytes = PyUnicode_AsUTF8AndSize(text, &length); /* UnicodeEncodeError is a ValueError */
  if (bytes == NULL || sized(out, length, 0xa0, 31, 0xd9, 1) < 0) return -1;
  return raw(out, bytes, length);
}

static int put_integer(Writer *out, PyObject *integer) {
  int overflow;
  long long n = PyLong_AsLongLongAndOverflow(integer, &overflow);
  if (overflow > 0) {
    unsigned long long large = PyLong_AsUnsignedLongLong(integer);
    if (large == (unsigned long long)-1 && PyErr_Occurred()) overflow = -1;
    else return head(out, 0xcf, large, 8);
  }
  if (overflow < 0) {
    wrong("cannot be written as MessagePack: an integer beyond 64 bits");
    return -1;
  }
  if (n == -1 && PyErr_Occurred()) return -1;
  if (n >= -32 && n <= 0x7f) return head(out, (unsigned char)n, 0, 0);
  if (n >= 0) {
    if (n <= 0xff) return head(out, 0xcc, (uint64_t)n, 1);
    if (n <= 0xffff) return head(out, 0xcd, (uint64_t)n, 2);
    return n <= 0xffffffff ? head(out, 0xce, (uint64_t)n, 4) : head(out, 0xcf, (uint64_t)n, 8);
  }
  if (n >= INT8_MIN) return head(out, 0xd0, (uint64_t)n, 1);
  if (n >= INT16_MIN) return head(out, 0xd1, (uint64_t)n, 2);
  return n >= INT32_MIN ? head(out, 0xd2, (uint64_t)n, 4) : head(out, 0xd3, (uint64_t)n, 8);
}

static int put(Writer *out, PyObject *value);

static int put_inside(Writer *out, PyObject *value) {
  if (PyDict_Check(value)) {
    PyObject *name, *item;
    Py_ssize_t at = 0;
    if (sized(out, PyDict_GET_SIZE(value), 0x80, 15, 0xdd, 0) < 0) return -1;
    while (PyDict_Next(value, &at, &name, &item)) {
      if (!PyUnicode_Check(name)) {
        wrong("cannot be written as MessagePack: a key that is no text");
        return -1;
      }
      if (put_text(out, name) < 0 || put(out, item) < 0) return -1;
    }
    return 0;
  }
  Py_ssize_t count = PySequence_Fast_GET_SIZE(value); /* a list or a tuple */
  if (sized(out, count, 0x90, 15, 0xdb, 0) < 0) return -1;
  for (Py_ssize_t i = 0; i < count; i++) {
    if (put(out, PySequence_Fast_GET_ITEM(value, i)) < 0) return -1;
  }
  return 0;
}

static int put(Writer *out, PyObject *value) {
  if (PyUnicode_Check(value)) return put_text(out, value);
  if (value == Py_None) return head(out, 0xc0, 0, 0);
  if (value == Py_False) return head(out, 0xc2, 0, 0);
  if (value == Py_True) return head(out, 0xc3, 0, 0);
  if (PyLong_Check(value)) return put_integer(out, value);
  if (PyFloat_Check(value)) {
    double twice = PyFloat_AS_DOUBLE(value);
    uint64_t bits;
    if (!isfinite(twice)) {
      wrong("cannot be written as MessagePack: a number that is not finite");
      return -1;
    }
    memcpy(&bits, &twice, 8);
    return head(out, 0xcb, bits, 8);
  }
  if (PyDict_Check(value) || PyList_Check(value) || PyTuple_Check(value)) {
    if (out->depth >= DEPTH) {
      wrong("cannot be written as MessagePack: nested too deeply");
      return -1;
    }
    out->depth++;
    int failed = put_inside(out, value);
    out->depth--;
    return failed;
  }
  if (out->binary && PyBytes_Check(value)) {
    Py_ssize_t length = PyBytes_GET_SIZE(value);
    if (sized(out, length, 0, -1, 0xc4, 1) < 0) return -1;
    return raw(out, PyBytes_AS_STRING(value), length);
  }
  PyErr_Format(PyExc_ValueError, "cannot be written as MessagePack: an object of type %.100s", Py_TYPE(value)->tp_name);
  return -1;
}

PyObject *guest_packb(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
  int binary = count == 2 ? PyObject_IsTrue(arguments[1]) : 0;
  if (binary < 0) return NULL;
  if (count < 1 || count > 2) {
    PyErr_SetString(PyExc_TypeError, "packb takes a value and whether it may hold bytes");
    return NULL;
  }
  Writer out = {PyBytes_FromStringAndSize(NULL, 256), 0, 0, binary};
  if (out.bytes == NULL) return NULL;
  if (put(&out, arguments[0]) < 0) Py_CLEAR(out.bytes);
  else _PyBytes_Resize(&out.bytes, out.used); /* sets it to NULL where that fails */
  return out.bytes;
}

/* Makes every object that lives when the snapshot is taken immortal.

   An instance shares the snapshot's pages until it writes to them, and counting references writes: each object that a
   call merely looks at would cost it a page of its own. CPython leaves the count of immortal objects alone. They are
   never freed, which is what a plugin's modules, classes and functions are anyway. */

#include "guest.h"

static PyObject **stack;
static size_t top, room;
static int failed;

static int mark(PyObject *object, void *unused) {
  if (object == NULL || _Py_IsImmortal(object)) return 0;
  object->ob_refcnt = _Py_IMMORTAL_REFCNT;
  if (top == room) {
    size_t more = room ? 2 * room : 4096;
    PyObject **bigger = PyMem_RawRealloc(stack, more * sizeof *stack);
    if (bigger == NULL) {
      failed = 1;
      return 0;
    }
    stack = bigger;
    room = more;
  }
  stack[top++] = object;
  return 0;
}

/* Code objects hold others but are no part of garbage collection. */
static void mark_code(PyCodeObject *code) {
  mark(code->co_consts, NULL);
  mark(code->co_names, NULL);
  mark(code->co_exceptiontable, NULL);
  mark(code->co_localsplusnames, NULL);
  mark(code->co_localspluskinds, NULL);
  mark(code->co_filename, NULL);
  mark(code->co_name, NULL);
  mark(code->co_qualname, NULL);
  mark(code->co_linetable, NULL);
}

static int mark_all(PyObject *object, void *unused) {
  mark(object, NULL);
  while (top > 0) {
    PyObject *next = stack[--top];
    PyTypeObject *type = Py_TYPE(next);
    mark((PyObject *)type, NULL);
    if (PyCode_Check(next)) mark_code((PyCodeObject *)next);
    else if (PyObject_IS_GC(next) && type->tp_traverse != NULL) type->tp_traverse(next, mark, NULL);
  }
  return 1;
}

PyObject *guest_immortalize(PyObject *self, PyObject *unused) {
  PyUnstable_GC_VisitObjects(mark_all, NULL);
  PyMem_RawFree(stack);
  stack = NULL;
  top = room = 0;
  if (failed) return PyErr_NoMemory();
  Py_RETURN_NONE;
}

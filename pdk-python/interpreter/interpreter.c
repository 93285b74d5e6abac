/* Starts CPython and imports the plugin, once, while the plugin is built; the builder then keeps the memory as it is. */

#include "guest.h"
#include <stdlib.h>

PyObject *guest_dispatch;

/* CPython's own limit for this platform, 5000 levels of C recursion, needs 1.5 MiB of the host's stack for Wasm.
   Hosts give 512 KiB (wasmtime's default); a thousand levels fit with room to spare. */
#define C_RECURSION 1000

static void fail(void) {
  PyErr_Print();
  exit(70); /* the builder shows what stands on standard error */
}

static void check(PyStatus status) {
  if (PyStatus_Exception(status)) Py_ExitStatusException(status);
}

/* The hash seed is the builder's: a file in the folder that only exists during the build. 0 leaves hashes unseeded. */
static unsigned long hash_seed(void) {
  unsigned long seed = 0;
  FILE *file = fopen("/app/hash-seed", "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%lu", &seed) != 1) seed = 0;
  fclose(file);
  return seed;
}

__attribute__((export_name("fumehood.snapshot"))) void guest_snapshot(void) {
  PyPreConfig before;
  PyPreConfig_InitIsolatedConfig(&before);
  before.utf8_mode = 1;
  check(Py_PreInitialize(&before));

  if (PyImport_AppendInittab("_fumehood", PyInit__fumehood) < 0) abort();
  PyConfig config;
  PyConfig_InitIsolatedConfig(&config);
  config.site_import = 0;
  config.write_bytecode = 0;
  config.buffered_stdio = 0;
  config.install_signal_handlers = 0;
  config.use_hash_seed = 1;
  config.hash_seed = hash_seed();
  config.module_search_paths_set = 1;
  check(PyWideStringList_Append(&config.module_search_paths, L"/app/app.zip"));
  check(PyWideStringList_Append(&config.module_search_paths, L"/app/lib.zip"));
  check(PyConfig_SetString(&config, &config.home, L"/"));
  check(PyConfig_SetString(&config, &config.program_name, L"plugin"));
  check(Py_InitializeFromConfig(&config));
  PyConfig_Clear(&config);
  PyThreadState_Get()->c_recursion_remaining = C_RECURSION;

  PyObject *module = PyImport_ImportModule("_fumehood_main");
  if (module == NULL) fail();
  guest_dispatch = PyObject_GetAttrString(module, "dispatch");
  if (guest_dispatch == NULL) fail();
  Py_DECREF(module);
}

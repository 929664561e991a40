// Loading Paho. Must not: unload it, since its threads live as long as the process.
#define REEVE_PAHO_LIBRARY_ITSELF
#include "paho_library.h"

#include <dlfcn.h>
#include <string.h>

struct reeve_paho_functions reeve_paho_functions;

// The major version of the interface that the headers describe.
#define PLAIN "libpaho-mqtt3a.so.1"
#define TLS   "libpaho-mqtt3as.so.1"

static enum reeve_err find_all(void *library, const char *file, struct reeve_why *why)
{
    struct reeve_paho_functions found;
    const struct {
        const char *name;
        void *slot;
    } rows[] = {
#define X(name) {#name, &found.name##_},
        REEVE_PAHO_FUNCTIONS(X)
#undef X
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        void *function = dlsym(library, rows[i].name);
        if (function == NULL) {
            return reeve_fail(why, REEVE_UNSUPPORTED, "%s has no %s: it is not the Paho this was built for", file,
                              rows[i].name);
        }
        memcpy(rows[i].slot, &function, sizeof(function)); // POSIX's way from an object pointer to a function's
    }
    reeve_paho_functions = found;
    return REEVE_OK;
}

enum reeve_err reeve_paho_load(bool tls, struct reeve_why *why)
{
    const char *file = tls ? TLS : PLAIN;
    if (reeve_paho_functions.MQTTAsync_connect_ != NULL) {
        return REEVE_OK;
    }
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return reeve_fail(why, REEVE_UNSUPPORTED, "%s (package libpaho-mqtt1.3): %s", file, dlerror());
    }
    return find_all(library, file, why);
}

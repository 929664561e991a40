// Paho as a library chosen at run time: libpaho-mqtt3a for mqtt:// and ws://, libpaho-mqtt3as for TLS. The latter brings OpenSSL
// into the process, 3.4 MB of memory that a daemon or worker on loopback never uses (measured: 8.4 against 5.0 MB).
// Included instead of MQTTAsync.h: names of functions mean the loaded library's. Must not: be included outside paho.c.
#ifndef REEVE_BUS_PAHO_LIBRARY_H
#define REEVE_BUS_PAHO_LIBRARY_H

#include <MQTTAsync.h>
#include <reeve/err.h>

#define REEVE_PAHO_FUNCTIONS(X)                                                                                        \
    X(MQTTAsync_connect)                                                                                               \
    X(MQTTAsync_createWithOptions)                                                                                     \
    X(MQTTAsync_destroy)                                                                                               \
    X(MQTTAsync_disconnect)                                                                                            \
    X(MQTTAsync_free)                                                                                                  \
    X(MQTTAsync_freeMessage)                                                                                           \
    X(MQTTAsync_global_init)                                                                                           \
    X(MQTTAsync_isConnected)                                                                                           \
    X(MQTTAsync_send)                                                                                                  \
    X(MQTTAsync_sendMessage)                                                                                           \
    X(MQTTAsync_setCallbacks)                                                                                          \
    X(MQTTAsync_setDisconnected)                                                                                       \
    X(MQTTAsync_strerror)                                                                                              \
    X(MQTTAsync_subscribe)                                                                                             \
    X(MQTTAsync_unsubscribe)                                                                                           \
    X(MQTTProperties_add)                                                                                              \
    X(MQTTProperties_free)                                                                                             \
    X(MQTTProperties_getNumericValue)                                                                                  \
    X(MQTTProperties_getNumericValueAt)                                                                                \
    X(MQTTProperties_getProperty)                                                                                      \
    X(MQTTProperties_hasProperty)                                                                                      \
    X(MQTTProperties_propertyCount)

struct reeve_paho_functions {
#define X(name) __typeof__(&name) name##_;
    REEVE_PAHO_FUNCTIONS(X)
#undef X
};
extern struct reeve_paho_functions reeve_paho_functions;

// Once per process, before any other function; the first choice stays (a process has one handle). UNSUPPORTED names what is missing.
enum reeve_err reeve_paho_load(bool tls, struct reeve_why *why);

#ifndef REEVE_PAHO_LIBRARY_ITSELF
#define MQTTAsync_connect                reeve_paho_functions.MQTTAsync_connect_
#define MQTTAsync_createWithOptions      reeve_paho_functions.MQTTAsync_createWithOptions_
#define MQTTAsync_destroy                reeve_paho_functions.MQTTAsync_destroy_
#define MQTTAsync_disconnect             reeve_paho_functions.MQTTAsync_disconnect_
#define MQTTAsync_free                   reeve_paho_functions.MQTTAsync_free_
#define MQTTAsync_freeMessage            reeve_paho_functions.MQTTAsync_freeMessage_
#define MQTTAsync_global_init            reeve_paho_functions.MQTTAsync_global_init_
#define MQTTAsync_isConnected            reeve_paho_functions.MQTTAsync_isConnected_
#define MQTTAsync_send                   reeve_paho_functions.MQTTAsync_send_
#define MQTTAsync_sendMessage            reeve_paho_functions.MQTTAsync_sendMessage_
#define MQTTAsync_setCallbacks           reeve_paho_functions.MQTTAsync_setCallbacks_
#define MQTTAsync_setDisconnected        reeve_paho_functions.MQTTAsync_setDisconnected_
#define MQTTAsync_strerror               reeve_paho_functions.MQTTAsync_strerror_
#define MQTTAsync_subscribe              reeve_paho_functions.MQTTAsync_subscribe_
#define MQTTAsync_unsubscribe            reeve_paho_functions.MQTTAsync_unsubscribe_
#define MQTTProperties_add               reeve_paho_functions.MQTTProperties_add_
#define MQTTProperties_free              reeve_paho_functions.MQTTProperties_free_
#define MQTTProperties_getNumericValue   reeve_paho_functions.MQTTProperties_getNumericValue_
#define MQTTProperties_getNumericValueAt reeve_paho_functions.MQTTProperties_getNumericValueAt_
#define MQTTProperties_getProperty       reeve_paho_functions.MQTTProperties_getProperty_
#define MQTTProperties_hasProperty       reeve_paho_functions.MQTTProperties_hasProperty_
#define MQTTProperties_propertyCount     reeve_paho_functions.MQTTProperties_propertyCount_
#endif

#endif

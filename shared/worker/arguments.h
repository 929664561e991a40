// Inside the SDK: declared arguments of a command, checked and brought into one spelling before `run` sees them.
// Whoever typed them: JSON numbers, text from mosquitto_pub, msgpack.
// Must not: know the bus or the worker.
#ifndef REEVE_SHARED_WORKER_ARGUMENTS_H
#define REEVE_SHARED_WORKER_ARGUMENTS_H

#include <reeve/worker.h>

// A new MAP with int as whole number, real as number, bool as truth, duration in ms, size in bytes; INVALID names the
// argument, what was given and what was expected, for an unknown one the nearest. `declared` NULL: a copy of `args`.
enum reeve_err arguments_check(const struct reeve_worker_arg *declared, const struct reeve_value *args,
                               struct reeve_value **ret, struct reeve_why *why);

#endif

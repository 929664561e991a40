// Inside the SDK: terminal replies of the last commands, so that the same id is never executed twice [cmd-4].
// Bounded by number and bytes, the oldest goes first. It lives as long as the process; what must live longer is a job.
// Must not: know the bus or the worker.
#ifndef REEVE_SHARED_WORKER_HISTORY_H
#define REEVE_SHARED_WORKER_HISTORY_H

#include <reeve/message.h>

#define HISTORY_LEN_MAX      1024
#define HISTORY_BYTES_MAX    (4u << 20)
#define HISTORY_RESULT_BYTES (256u << 10) // a larger result is remembered as "was too large to keep"

struct history; // opaque
struct history_entry {
    char *id;
    uint64_t digest; // reeve_command_digest()
    enum reeve_phase phase;
    char *code, *message; // NULL = none
    struct reeve_value *result;
    size_t bytes;
    struct history_entry *newer;
};

struct history *history_new(void); // NULL = out of memory
void history_free(struct history *history);
// Copies. An id that is there already keeps what it has. NOMEM: not remembered.
enum reeve_err history_add(struct history *history, const char *id, uint64_t digest, const struct reeve_reply *reply);
const struct history_entry *history_find(const struct history *history, const char *id); // NULL = not known
size_t history_len(const struct history *history);
size_t history_bytes(const struct history *history);

#endif

// Identifiers: ULIDs for commands, short random hex for generated names, the boot id.
#ifndef REEVE_ID_H
#define REEVE_ID_H

#include <reeve/err.h>
#include <stdint.h>

#define REEVE_ULID_LEN 26
#define REEVE_ULID_SIZE (REEVE_ULID_LEN + 1)

// A new ULID (github.com/ulid/spec: 48 bits of wall-clock ms, 80 bits random, Crockford base 32).
// Within one process later ones compare greater. Returns buf.
const char *reeve_ulid_new(char buf[REEVE_ULID_SIZE]);
// An id a person or a foreign client may use: 1..64 bytes of [A-Za-z0-9_-]. A ULID is one of them.
bool reeve_id_valid(const char *id);

// `digits` lower-case hex digits from getrandom(2), NUL-terminated; buf has digits + 1 bytes. Returns buf.
const char *reeve_hex_random(char *buf, size_t digits);
void reeve_random_bytes(void *buf, size_t len);

// /proc/sys/kernel/random/boot_id without its newline, "" where there is none. Static storage.
const char *reeve_boot_id(void);

// FNV-1a, 64 bits: a digest for comparing, never for security.
uint64_t reeve_hash64(const void *data, size_t len);

#endif

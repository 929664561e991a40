// What a payload on any topic is, for a person to read.
// Must not: fail; what is nothing else is bytes.
#ifndef REEVE_CLI_PAYLOAD_H
#define REEVE_CLI_PAYLOAD_H

#include <reeve/buf.h>
#include <reeve/value.h>

// Nothing is null. A msgpack map or list is itself; JSON beginning with { or [ too; other UTF-8 is a string; the rest
// is BIN. (One byte of text is also valid msgpack: `5` would be 53. So only containers are taken for msgpack.) Caller
// frees.
struct reeve_value *payload_value(const void *data, size_t len);

// Hexadecimal digits to bytes; white space between pairs is skipped. INVALID names the place.
enum reeve_err payload_unhex(const char *text, size_t len, struct reeve_buf *ret, struct reeve_why *why);

#endif

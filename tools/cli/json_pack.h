// JSON text to msgpack in one pass, for many small texts: no tree, no allocation. It is only ever sure or not: what is
// wrong, unusual or beyond its bounds is left to reeve_json_read(), which knows all rules and tells mistakes with their
// places. What it is sure of has the bytes that reeve_json_read() and reeve_msgpack_write() would make. Must not: be
// lenient; a text that the readers refuse must not pass here.
#ifndef REEVE_CLI_JSON_PACK_H
#define REEVE_CLI_JSON_PACK_H

#include <stdbool.h>
#include <stddef.h>

#define JSON_PACK_DEPTH_MAX 12 // containers inside containers: a job stands in three of a message's 16
#define JSON_PACK_KEYS_MAX  32 // of one object
#define JSON_PACK_ITEMS_MAX 4096

#define JSON_PACK_BOUND(len) (3 * (len) + 64) // bytes that a text of `len` may become

struct json_pack {
    const char *at, *end; // what is left to read
    unsigned char *out;   // where the next byte goes: at least JSON_PACK_BOUND(end - at) are free
};
void json_pack_space(struct json_pack *pack); // past white space
// One value, from its first character. False: not sure; `pack` stands anywhere then.
bool json_pack_value(struct json_pack *pack, unsigned depth_left);
bool json_pack_string(struct json_pack *pack); // at the opening quote
// Headers of msgpack: a map of up to 15 pairs is one byte.
unsigned char *json_pack_int(unsigned char *out, long long number);

#endif

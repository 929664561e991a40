// JSON to msgpack in one pass; see json_pack.h.
// Must not: accept what reeve_json_read() refuses: every doubt is a `false`.
#include "json_pack.h"

#include <math.h>
#include <reeve/str.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_LEN_MAX 48 // longer ones are rare
#define DIGITS_MAX     18 // of a whole number: fits into 63 bits

void json_pack_space(struct json_pack *pack)
{
    while (pack->at < pack->end && (*pack->at == ' ' || *pack->at == '\t' || *pack->at == '\r' || *pack->at == '\n')) {
        pack->at++;
    }
}

// ---- bytes ----------------------------------------------------------------------------------------------------------

static unsigned char *put_big(unsigned char *out, uint64_t number, unsigned bytes)
{
    for (unsigned i = bytes; i > 0; i--) {
        *out++ = (unsigned char)(number >> (8 * (i - 1)));
    }
    return out;
}

static unsigned char *put_tagged(unsigned char *out, unsigned char tag, uint64_t number, unsigned bytes)
{
    *out++ = tag;
    return put_big(out, number, bytes);
}

unsigned char *json_pack_int(unsigned char *out, long long number)
{
    uint64_t bits = (uint64_t)number;
    if (number >= 0) {
        return number < 0x80          ? put_big(out, bits, 1)
               : number <= 0xff       ? put_tagged(out, 0xcc, bits, 1)
               : number <= 0xffff     ? put_tagged(out, 0xcd, bits, 2)
               : number <= 0xffffffff ? put_tagged(out, 0xce, bits, 4)
                                      : put_tagged(out, 0xcf, bits, 8);
    }
    return number >= -32         ? put_big(out, bits, 1)
           : number >= INT8_MIN  ? put_tagged(out, 0xd0, bits, 1)
           : number >= INT16_MIN ? put_tagged(out, 0xd1, bits, 2)
           : number >= INT32_MIN ? put_tagged(out, 0xd2, bits, 4)
                                 : put_tagged(out, 0xd3, bits, 8);
}

// Puts the header before the `len` bytes at `body`, which have been written behind one byte of room.
static void put_str_header(struct json_pack *pack, unsigned char *body, size_t len)
{
    unsigned char *header = body - 1;
    unsigned more = len < 32 ? 0 : len <= 0xff ? 1 : len <= 0xffff ? 2 : 4;
    if (more > 0) {
        memmove(body + more, body, len);
        (void)put_tagged(header, more == 1 ? 0xd9 : more == 2 ? 0xda : 0xdb, len, more);
    } else {
        *header = (unsigned char)(0xa0 | len);
    }
    pack->out = body + more + len;
}

static void put_container_header(struct json_pack *pack, unsigned char *body, size_t count, bool map)
{
    unsigned char *header = body - 1;
    if (count < 16) {
        *header = (unsigned char)((map ? 0x80 : 0x90) | count);
        return;
    }
    memmove(body + 2, body, (size_t)(pack->out - body));
    (void)put_tagged(header, map ? 0xde : 0xdc, count, 2);
    pack->out += 2;
}

// ---- strings --------------------------------------------------------------------------------------------------------

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

// \uXXXX of one character that is no half of a pair, and not NUL.
static bool put_code_point(struct json_pack *pack)
{
    unsigned code = 0;
    if (pack->end - pack->at < 4) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*pack->at++);
        if (digit < 0) {
            return false;
        }
        code = code << 4 | (unsigned)digit;
    }
    if (code == 0 || (code >= 0xd800 && code <= 0xdfff)) {
        return false;
    }
    if (code < 0x80) {
        *pack->out++ = (unsigned char)code;
    } else if (code < 0x800) {
        *pack->out++ = (unsigned char)(0xc0 | code >> 6);
        *pack->out++ = (unsigned char)(0x80 | (code & 0x3f));
    } else {
        *pack->out++ = (unsigned char)(0xe0 | code >> 12);
        *pack->out++ = (unsigned char)(0x80 | (code >> 6 & 0x3f));
        *pack->out++ = (unsigned char)(0x80 | (code & 0x3f));
    }
    return true;
}

static bool put_escape(struct json_pack *pack)
{
    static const char letters[] = "\"\"\\\\//b\bf\fn\nr\rt\t"; // what stands there, what it means
    char c = pack->at < pack->end ? *pack->at++ : '\0';
    if (c == 'u') {
        return put_code_point(pack);
    }
    for (const char *pair = letters; c != '\0' && *pair != '\0'; pair += 2) {
        if (*pair == c) {
            *pack->out++ = (unsigned char)pair[1];
            return true;
        }
    }
    return false;
}

bool json_pack_string(struct json_pack *pack)
{
    unsigned char *body = pack->out + 1;
    bool ascii = true;
    pack->out++;
    pack->at++; // the quote
    while (pack->at < pack->end && *pack->at != '"') {
        unsigned char c = (unsigned char)*pack->at++;
        if (c == '\\') {
            if (!put_escape(pack)) {
                return false;
            }
        } else if (c < 0x20) {
            return false;
        } else {
            ascii = ascii && c < 0x80;
            *pack->out++ = c;
        }
    }
    size_t len = (size_t)(pack->out - body);
    if (pack->at == pack->end || (!ascii && !reeve_utf8_valid((const char *)body, len))) {
        return false;
    }
    pack->at++;
    put_str_header(pack, body, len);
    return true;
}

// ---- numbers --------------------------------------------------------------------------------------------------------

static size_t digits(const char **at)
{
    size_t len = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        len++;
    }
    return len;
}

// The grammar of JSON; strtod() would take more. `text` ends in a NUL.
static bool is_number(const char *text, bool *ret_real)
{
    text += *text == '-' ? 1 : 0;
    bool zero_first = *text == '0';
    size_t len = digits(&text);
    if (len == 0 || (zero_first && len > 1)) {
        return false;
    }
    *ret_real = *text == '.' || *text == 'e' || *text == 'E';
    if (*text == '.') {
        text++;
        if (digits(&text) == 0) {
            return false;
        }
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '+' || *text == '-' ? 1 : 0;
        if (digits(&text) == 0) {
            return false;
        }
    }
    return *text == '\0' && (*ret_real || len <= DIGITS_MAX);
}

static bool pack_number(struct json_pack *pack)
{
    char text[NUMBER_LEN_MAX + 1];
    size_t len = 0;
    bool real;
    while (pack->at < pack->end && len < NUMBER_LEN_MAX && *pack->at != '\0' &&
           strchr("0123456789+-.eE", *pack->at) != NULL) {
        text[len++] = *pack->at++;
    }
    text[len] = '\0';
    if (len == NUMBER_LEN_MAX || !is_number(text, &real)) {
        return false;
    }
    if (!real) {
        pack->out = json_pack_int(pack->out, strtoll(text, NULL, 10));
        return true;
    }
    double number = strtod(text, NULL);
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    pack->out = put_tagged(pack->out, 0xcb, bits, 8);
    return isfinite(number) && number != 0; // an underflow is a doubt; so is a zero, which may be a negative one
}

// ---- containers -----------------------------------------------------------------------------------------------------

struct key {
    const unsigned char *text; // with its header
    size_t len;
};

static bool is_twice(const struct key *keys, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (keys[i].len == keys[len].len && memcmp(keys[i].text, keys[len].text, keys[len].len) == 0) {
            return true;
        }
    }
    return false;
}

static bool pack_pair(struct json_pack *pack, unsigned depth_left, struct key *keys, size_t count)
{
    static const unsigned char bin[] = {0xa4, '$', 'b', 'i', 'n'}; // bytes in base64
    if (count == JSON_PACK_KEYS_MAX || pack->at == pack->end || *pack->at != '"') {
        return false;
    }
    struct key *key = &keys[count];
    key->text = pack->out;
    if (!json_pack_string(pack)) {
        return false;
    }
    key->len = (size_t)(pack->out - key->text);
    if (is_twice(keys, count) || (key->len == sizeof bin && memcmp(key->text, bin, sizeof bin) == 0)) {
        return false;
    }
    json_pack_space(pack);
    if (pack->at == pack->end || *pack->at++ != ':') {
        return false;
    }
    json_pack_space(pack);
    return json_pack_value(pack, depth_left);
}

static bool pack_container(struct json_pack *pack, unsigned depth_left, bool map)
{
    struct key keys[JSON_PACK_KEYS_MAX];
    unsigned char *body = pack->out + 1;
    char close = map ? '}' : ']';
    size_t count = 0;
    bool more = true;
    pack->out++;
    pack->at++;
    json_pack_space(pack);
    if (pack->at < pack->end && *pack->at == close) {
        more = false;
        pack->at++;
    }
    for (; more; count++) {
        if (count == JSON_PACK_ITEMS_MAX ||
            !(map ? pack_pair(pack, depth_left - 1, keys, count) : json_pack_value(pack, depth_left - 1))) {
            return false;
        }
        json_pack_space(pack);
        char c = pack->at < pack->end ? *pack->at++ : '\0';
        if (c != ',' && c != close) {
            return false;
        }
        more = c == ',';
        json_pack_space(pack);
    }
    put_container_header(pack, body, count, map);
    return true;
}

static bool pack_word(struct json_pack *pack, const char *word, unsigned char byte)
{
    size_t len = strlen(word);
    if ((size_t)(pack->end - pack->at) < len || memcmp(pack->at, word, len) != 0) {
        return false;
    }
    pack->at += len;
    *pack->out++ = byte;
    return true;
}

bool json_pack_value(struct json_pack *pack, unsigned depth_left)
{
    switch (pack->at < pack->end ? *pack->at : '\0') {
    case '"':
        return json_pack_string(pack);
    case '{':
    case '[':
        return depth_left > 0 && pack_container(pack, depth_left, *pack->at == '{');
    case 't':
        return pack_word(pack, "true", 0xc3);
    case 'f':
        return pack_word(pack, "false", 0xc2);
    case 'n':
        return pack_word(pack, "null", 0xc0);
    default:
        return pack_number(pack);
    }
}

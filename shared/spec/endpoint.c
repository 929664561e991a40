// Where something listens, as people write it: "host:port" and "http://host:port/path".
// Must not: resolve names or touch the network.
#include <reeve/spec.h>

#include <stdio.h>
#include <string.h>

static bool host_char_allowed(char c, bool ipv6)
{
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || (ipv6 && (c == ':' || c == '%'));
}

static enum reeve_err take_host(const char *text, size_t len, bool ipv6, char host[REEVE_ENDPOINT_HOST_SIZE],
                                struct reeve_why *why)
{
    if (len == 0 || len >= REEVE_ENDPOINT_HOST_SIZE) {
        return reeve_fail(why, REEVE_INVALID, "has %s, expected host:port", len == 0 ? "no host" : "too long a host");
    }
    for (size_t i = 0; i < len; i++) {
        if (!host_char_allowed(text[i], ipv6)) {
            return reeve_fail(why, REEVE_INVALID, "has 0x%02x in its host, expected a name or an address",
                              (unsigned)(unsigned char)text[i]);
        }
    }
    memcpy(host, text, len);
    host[len] = '\0';
    return REEVE_OK;
}

static enum reeve_err take_port(const char *text, size_t len, int64_t *ret, struct reeve_why *why)
{
    int64_t port = 0;
    bool good = len > 0 && len <= 5;
    for (size_t i = 0; good && i < len; i++) {
        good = text[i] >= '0' && text[i] <= '9';
        port = port * 10 + (text[i] - '0');
    }
    if (!good || port < 1 || port > 65535) {
        return reeve_fail(why, REEVE_INVALID, "has no port from 1 to 65535, expected host:port");
    }
    *ret = port;
    return REEVE_OK;
}

// `len` bytes of "host:port". Without a port `preset` counts; 0 = one is needed.
static enum reeve_err parse(const char *text, size_t len, int64_t preset, char host[REEVE_ENDPOINT_HOST_SIZE],
                            int64_t *ret_port, struct reeve_why *why)
{
    const bool ipv6 = len > 0 && text[0] == '[';
    const char *start = ipv6 ? text + 1 : text;
    const size_t left = len - (size_t)(start - text);
    const char *end = memchr(start, ipv6 ? ']' : ':', left);
    if (ipv6 && end == NULL) {
        return reeve_fail(why, REEVE_INVALID, "has a [ without its ]");
    }
    const size_t host_len = end != NULL ? (size_t)(end - start) : left;
    const char *rest = start + host_len + (ipv6 ? 1 : 0);
    const size_t rest_len = len - (size_t)(rest - text);
    enum reeve_err err = take_host(start, host_len, ipv6, host, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (rest_len == 0 && preset > 0) {
        *ret_port = preset;
        return REEVE_OK;
    }
    if (rest_len == 0 || rest[0] != ':') {
        return reeve_fail(why, REEVE_INVALID, "has no port, expected host:port");
    }
    return take_port(rest + 1, rest_len - 1, ret_port, why);
}

enum reeve_err reeve_endpoint_parse(const char *text, char host[REEVE_ENDPOINT_HOST_SIZE], int64_t *ret_port,
                                    struct reeve_why *why)
{
    const size_t len = strlen(text);
    if (len > 0 && strspn(text, "0123456789") == len) {
        (void)snprintf(host, REEVE_ENDPOINT_HOST_SIZE, "127.0.0.1");
        return take_port(text, len, ret_port, why);
    }
    return parse(text, len, 0, host, ret_port, why);
}

enum reeve_err reeve_http_url_parse(const char *text, char host[REEVE_ENDPOINT_HOST_SIZE], int64_t *ret_port,
                                    const char **ret_path, struct reeve_why *why)
{
    static const char scheme[] = "http://";
    if (!reeve_str_starts(text, scheme)) {
        return reeve_fail(why, REEVE_INVALID,
                          "is no http:// address, expected for example http://127.0.0.1:8080/health");
    }
    const char *start = text + strlen(scheme);
    const size_t len = strcspn(start, "/?");
    for (const char *at = start + len; *at != '\0'; at++) { // what goes into a request line
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f || *at == '#') {
            return reeve_fail(why, REEVE_INVALID, "has 0x%02x in its path, expected it percent-encoded",
                              (unsigned)(unsigned char)*at);
        }
    }
    enum reeve_err err = parse(start, len, 80, host, ret_port, why);
    if (err == REEVE_OK) {
        *ret_path = start[len] != '\0' ? start + len : "/";
    }
    return err;
}

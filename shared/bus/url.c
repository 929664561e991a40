// Parser of broker addresses.
// Must not resolve names or touch the network.
#include "url.h"

#include <reeve/str.h>
#include <stdio.h>
#include <string.h>

struct scheme {
    const char *text;
    const char *paho;
    uint16_t port;
    bool tls;
    bool websocket;
};

// Ports as registered with IANA; ws and wss are HTTP's.
static const struct scheme schemes[] = {
    {"mqtt://", "tcp://", 1883, false, false},
    {"mqtts://", "ssl://", 8883, true, false},
    {"ws://", "ws://", 80, false, true},
    {"wss://", "wss://", 443, true, true},
};

static const struct scheme *find_scheme(const char *text)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(schemes); i++) {
        if (reeve_str_starts(text, schemes[i].text)) {
            return &schemes[i];
        }
    }
    return NULL;
}

static bool host_char_allowed(char c, bool ipv6)
{
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
    return plain || c == '_' || (ipv6 && (c == ':' || c == '%'));
}

static enum reeve_err take_host(const char *text, size_t len, bool ipv6, struct reeve_url *url, struct reeve_why *why)
{
    if (len == 0) {
        return reeve_fail(why, REEVE_INVALID, "broker url has no host");
    }
    if (len >= sizeof(url->host)) {
        return reeve_fail(why, REEVE_INVALID, "host of broker url is longer than %zu bytes", sizeof(url->host) - 1);
    }
    for (size_t i = 0; i < len; i++) {
        if (!host_char_allowed(text[i], ipv6)) {
            return reeve_fail(why, REEVE_INVALID, "host of broker url has 0x%02x at %zu, expected a name or an address",
                              (unsigned)(unsigned char)text[i], i + 1);
        }
    }
    memcpy(url->host, text, len);
    url->host[len] = '\0';
    url->ipv6 = ipv6;
    return REEVE_OK;
}

static enum reeve_err take_port(const char *text, size_t len, struct reeve_url *url, struct reeve_why *why)
{
    unsigned port = 0;
    bool good = len > 0 && len <= 5;
    for (size_t i = 0; good && i < len; i++) {
        good = text[i] >= '0' && text[i] <= '9';
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (!good || port == 0 || port > UINT16_MAX) {
        return reeve_fail(why, REEVE_INVALID, "port of broker url is no number from 1 to 65535");
    }
    url->port = (uint16_t)port;
    return REEVE_OK;
}

static enum reeve_err take_path(const char *text, struct reeve_url *url, struct reeve_why *why)
{
    size_t len = strlen(text);
    if (!url->websocket && len > 1) {
        return reeve_fail(why, REEVE_INVALID, "broker url has a path, which only ws:// and wss:// take");
    }
    if (len >= sizeof(url->path)) {
        return reeve_fail(why, REEVE_INVALID, "path of broker url is longer than %zu bytes", sizeof(url->path) - 1);
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '#') {
            return reeve_fail(why, REEVE_INVALID, "path of broker url has 0x%02x at %zu",
                              (unsigned)(unsigned char)text[i], i + 1);
        }
    }
    memcpy(url->path, text, url->websocket ? len + 1 : 0);
    return REEVE_OK;
}

// host, host:port, [v6], [v6]:port
static enum reeve_err take_authority(const char *text, size_t len, struct reeve_url *url, struct reeve_why *why)
{
    if (memchr(text, '@', len) != NULL) {
        return reeve_fail(why, REEVE_INVALID,
                          "broker url carries a user name; use the keys username and password_file instead");
    }
    bool ipv6 = len > 0 && text[0] == '[';
    const char *host = ipv6 ? text + 1 : text;
    const char *end = text + len;
    const char *host_end = memchr(host, ipv6 ? ']' : ':', (size_t)(end - host));
    if (ipv6 && host_end == NULL) {
        return reeve_fail(why, REEVE_INVALID, "broker url has [ without ]");
    }
    if (host_end == NULL) {
        host_end = end;
    }
    enum reeve_err err = take_host(host, (size_t)(host_end - host), ipv6, url, why);
    if (err != REEVE_OK) {
        return err;
    }
    const char *rest = ipv6 ? host_end + 1 : host_end;
    if (rest == end) {
        return REEVE_OK;
    }
    if (*rest != ':') {
        return reeve_fail(why, REEVE_INVALID, "broker url has text between ] and the port");
    }
    return take_port(rest + 1, (size_t)(end - rest - 1), url, why);
}

enum reeve_err reeve_url_parse(const char *text, struct reeve_url *ret, struct reeve_why *why)
{
    const struct scheme *scheme = text != NULL ? find_scheme(text) : NULL;
    if (scheme == NULL) {
        return reeve_fail(why, REEVE_INVALID,
                          "broker url does not begin with mqtt:// mqtts:// ws:// or wss://, for example "
                          "mqtt://127.0.0.1:1883");
    }
    struct reeve_url url = {.tls = scheme->tls, .websocket = scheme->websocket, .port = scheme->port};
    const char *authority = text + strlen(scheme->text);
    size_t len = strcspn(authority, "/?");
    enum reeve_err err = take_authority(authority, len, &url, why);
    if (err == REEVE_OK) {
        err = take_path(authority + len, &url, why);
    }
    if (err == REEVE_OK) {
        *ret = url;
    }
    return err;
}

const char *reeve_url_paho(const struct reeve_url *url, char buf[REEVE_URL_PAHO_SIZE])
{
    const char *scheme = "";
    for (size_t i = 0; i < REEVE_ARRAY_LEN(schemes); i++) {
        if (schemes[i].tls == url->tls && schemes[i].websocket == url->websocket) {
            scheme = schemes[i].paho;
        }
    }
    (void)snprintf(buf, REEVE_URL_PAHO_SIZE, "%s%s%s%s:%u%s", scheme, url->ipv6 ? "[" : "", url->host,
                   url->ipv6 ? "]" : "", (unsigned)url->port, url->path);
    return buf;
}

// The address of a broker as people write it: mqtt:// mqtts:// ws:// wss:// host[:port][/path].
#ifndef REEVE_BUS_URL_H
#define REEVE_BUS_URL_H

#include <reeve/err.h>
#include <stdint.h>

#define REEVE_URL_HOST_SIZE 256
#define REEVE_URL_PATH_SIZE 256
#define REEVE_URL_PAHO_SIZE (REEVE_URL_HOST_SIZE + REEVE_URL_PATH_SIZE + 32)

struct reeve_url {
    bool tls;
    bool websocket;
    bool ipv6; // host is an IPv6 address and stands in brackets in text
    char host[REEVE_URL_HOST_SIZE];
    uint16_t port;
    char path[REEVE_URL_PATH_SIZE]; // with its slash; empty unless websocket
};

// INVALID names the part that is wrong. Passwords inside the URL are refused: they would end in logs.
enum reeve_err reeve_url_parse(const char *text, struct reeve_url *ret, struct reeve_why *why);
// In Paho's spelling: tcp:// ssl:// ws:// wss://. Returns buf.
const char *reeve_url_paho(const struct reeve_url *url, char buf[REEVE_URL_PAHO_SIZE]);

#endif

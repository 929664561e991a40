// Walks the process's descriptors for the broker's connection, which Paho does not show.
// Must not touch sockets of other peers, and must not keep a descriptor: it is Paho's.
#include "nodelay.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <reeve/str.h>
#include <stdbool.h>
#include <sys/socket.h>

// What the kernel takes beyond the window of the connection. Its preset is megabytes: on a slow link a heartbeat would
// wait behind minutes of log lines, where nothing can overtake. Loopback is as fast with it.
#define NOT_SENT_BYTES (16 << 10)

// 0 for everything that is no connected TCP socket.
static uint16_t peer_port_of(int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof(peer);
    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0) {
        return 0;
    }
    if (peer.ss_family == AF_INET) {
        return ntohs(((const struct sockaddr_in *)&peer)->sin_port);
    }
    return peer.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)&peer)->sin6_port) : 0;
}

size_t reeve_nodelay_set(uint16_t peer_port)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    size_t count = 0;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        int64_t fd = -1;
        if (reeve_parse_i64(entry->d_name, &fd, NULL) != REEVE_OK || peer_port_of((int)fd) != peer_port) {
            continue; // "." and ".." too
        }
        int on = 1;
        if (setsockopt((int)fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0) {
            count++;
        }
        int not_sent = NOT_SENT_BYTES;
        (void)setsockopt((int)fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &not_sent, sizeof(not_sent)); /* slow links only */
    }
    (void)closedir(dir); /* read only */
    return count;
}

// What reeve-shim and reeved say to each other through the Unix socket of a run (SOCK_SEQPACKET: one message per
// packet). Both may come from different builds, since a shim outlives upgrades of the daemon: kinds are never
// renumbered, fields are only added at the end, a receiver reads a missing tail as zeroes and ignores a longer one.
// Must not: need anything but libc, or carry anything that only one of the two could check.
#ifndef REEVE_SHIM_WIRE_H
#define REEVE_SHIM_WIRE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define SHIM_WIRE_VERSION 1

// Descriptors the shim is born with.
enum { SHIM_FD_LINK = 3, SHIM_FD_LISTEN = 4, SHIM_FD_RUN_DIR = 5, SHIM_FD_FIRST_FREE = 6 };

enum shim_kind {
    // shim -> daemon. All of them tell a state, not an edge: a new connection is told everything that holds.
    SHIM_HELLO = 1,    // first on each connection
    SHIM_STARTED = 2,  // exec succeeded
    SHIM_READY = 3,    // READY=1, or an empty line, through the notify descriptor
    SHIM_STATUS = 4,   // the last STATUS= text
    SHIM_LOG_GREW = 5, // only after WATCH_LOG, at most one per 20 ms
    SHIM_LOG_FAILED = 6,
    SHIM_ENDED = 7, // process and group are gone; last word of the shim
    // daemon -> shim
    SHIM_STOP = 32,
    SHIM_KILL = 33,
    SHIM_SIGNAL = 34,
    SHIM_WATCH_LOG = 35,
    SHIM_TAKEN = 36, // the outcome is in the daemon's hands
    SHIM_LEASE = 37, // how long the worker may run from now on
};

struct shim_head {
    uint16_t version;
    uint16_t kind; // enum shim_kind
    uint32_t size; // of the whole message
};

struct shim_hello {
    int64_t run;
    int32_t shim_pid;
    uint32_t reserved;
};

struct shim_started {
    uint64_t start_time; // field 22 of /proc/<pid>/stat
    int32_t pid;
    uint32_t reserved;
};

#define SHIM_STATUS_SIZE 240
struct shim_status {
    char text[SHIM_STATUS_SIZE];
};

#define SHIM_ERROR_SIZE 160
struct shim_log_failed {
    uint64_t lines_dropped; // since logs failed
    int32_t recovered;
    uint32_t reserved;
    char error[SHIM_ERROR_SIZE];
};

// Also what the file `exit` holds.
#define SHIM_CAUSE_SIZE 16
struct shim_outcome {
    int64_t ended_at; // wall ms
    int64_t ran_ms;
    int32_t code; // -1 = none
    int32_t signal;
    uint8_t core;
    uint8_t oom;
    uint8_t reserved[6];
    char cause[SHIM_CAUSE_SIZE];
    char error[SHIM_ERROR_SIZE];
};

struct shim_stop {
    int64_t grace_ms; // < 0 = the plan's
};

// A lease [lease-3], in ms of CLOCK_BOOTTIME, which both sides read alike. The last one told counts.
struct shim_lease {
    int64_t until_ms; // the group is dead by then; 0 = no lease: it may run for ever
    int64_t grace_ms; // the stop signal goes out this long before
};

struct shim_number { // SIGNAL: the signal; WATCH_LOG: 0 or 1
    int32_t number;
    uint32_t reserved;
};

struct shim_msg {
    struct shim_head head;
    union {
        struct shim_hello hello;
        struct shim_started started;
        struct shim_status status;
        struct shim_log_failed log_failed;
        struct shim_outcome ended;
        struct shim_stop stop;
        struct shim_lease lease;
        struct shim_number number;
    };
};

static_assert(sizeof(struct shim_head) == 8, "the head is the same in every version");
static_assert(offsetof(struct shim_msg, hello) == 8, "bodies follow the head without a gap");
static_assert(sizeof(struct shim_hello) == 16 && sizeof(struct shim_started) == 16, "layout of version 1");
static_assert(sizeof(struct shim_log_failed) == 16 + SHIM_ERROR_SIZE, "layout of version 1");
static_assert(sizeof(struct shim_outcome) == 32 + SHIM_CAUSE_SIZE + SHIM_ERROR_SIZE, "layout of version 1");
static_assert(sizeof(struct shim_lease) == 16, "layout of version 1");
static_assert(sizeof(struct shim_stop) == 8 && sizeof(struct shim_number) == 8, "layout of version 1");

#endif

// The guard of one attempt: a small process between the worker and the command. Whatever the command starts becomes the
// guard's child when its own parent ends (PR_SET_CHILD_SUBREAPER), so that the guard can end all of it: the process
// group, processes that made a session of their own, daemons that forked twice. It does so when the command ends, when
// it is told to, and when the worker is gone (kill -9 included): the control socket then ends.
//
//   worker ── control ── guard ── command ── ...
//
// The guard is a fork of the worker, not another program. It must not allocate, lock, log or touch anything of the
// worker.
#ifndef REEVE_COMMAND_GUARD_H
#define REEVE_COMMAND_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "limits.h"

#define GUARD_ACK_FD 3 // in the command

struct guard_plan {
    char *const *argv; // ends with NULL; a name without a slash is looked for in the PATH of env
    char *const *env;  // ends with NULL
    const char *cwd;   // NULL = the worker's
    const struct limits *limits;
    int in, out, err, ack; // the command's ends of its pipes, all above 2; in: -1 = /dev/null
    int control;           // the guard's end of a SOCK_SEQPACKET pair
};

// worker -> guard, a byte each
#define GUARD_TELL 't' // SIGTERM to the group of the command
#define GUARD_KILL 'k' // SIGKILL to everything

// guard -> worker. The second one comes when nothing of the attempt is left.
enum guard_word_kind { GUARD_STARTED, GUARD_ENDED };
struct guard_word {
    int kind;
    int pid;    // of the command
    int code;   // exit code; -1 = none
    int signal; // that ended it; 0 = none
    bool core;
    bool told;                  // it still ran when it was told or killed
    int left_behind;            // processes that outlived the command and were killed
    int64_t user_ms, system_ms; // of the command and of those it waited for
    int64_t memory_bytes;       // the most that one of them held
    char error[160];            // why it never ran; "" = it did
};

// The guard's pid, or -1 with errno. All descriptors of the plan stay the caller's to close.
pid_t guard_fork(const struct guard_plan *plan);

// A round of SIGKILL to the calling process's own children, `spared` excepted; how many there were. It is the only one
// who may reap them, so that no pid can have become a stranger's. -1: this kernel does not say (no /proc, or one
// without `children`).
int guard_kill_children(bool (*spared)(pid_t pid, void *arg), void *arg);

#endif

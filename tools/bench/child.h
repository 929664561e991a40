// Programs that the benchmark runs: kept ones (broker, daemon) and ones that are waited for.
#ifndef REEVE_BENCH_CHILD_H
#define REEVE_BENCH_CHILD_H

#include <reeve/buf.h>
#include <sys/types.h>

// Starts argv[0] with stdin, stdout and stderr as given (-1: /dev/null). The child gets SIGTERM when this process ends,
// however it ends.
enum reeve_err child_start(const char *const argv[], int in_fd, int out_fd, int err_fd, pid_t *ret,
                           struct reeve_why *why);
// Runs argv to its end. Its stdout replaces what `out` holds (NULL: thrown away); err_fd as above. INTERNAL when it
// does not exit with 0.
enum reeve_err child_run(const char *const argv[], struct reeve_buf *out, int err_fd, struct reeve_why *why);
// SIGTERM, and SIGKILL when it has not ended after `grace_ms`. *pid becomes 0; 0 is allowed.
void child_stop(pid_t *pid, int64_t grace_ms);
// SIGKILL, and waited for. *pid becomes 0; 0 is allowed.
void child_kill(pid_t *pid);

#endif

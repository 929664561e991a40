// Starting the shim detached from the daemon: own session, parent is init (or the nearest subreaper), nothing inherited
// but the descriptors that are handed over. Must not: copy the daemon's page tables (no fork: a daemon with many
// workers would pay for it at each restart).
#ifndef REEVED_LAUNCH_H
#define REEVED_LAUNCH_H

#include <reeve/err.h>

struct launch {
    const char *path;
    char *const *argv;
    // Become descriptors 3, 4, 5 of the program; 0, 1 and 2 are /dev/null.
    int fds[3];
};
// Returns once the program was executed. Only for the thread of the loop (the stacks of the two steps are static).
enum reeve_err launch_detached(const struct launch *launch, struct reeve_why *why);

#endif

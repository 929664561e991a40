// bench: hands over to reeve-bench beside this program.
// Must not: know what can be measured; reeve-bench says.
#include "commands.h"
#include "output.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cmd_bench(const struct invocation *inv)
{
    static char *argv[ARGS_MAX + 2]; // one run in one process
    static char name[] = "reeve-bench";
    char path[PATH_MAX + sizeof(name)];
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX);
    size_t count = 0;
    if (len < 0) {
        return output_fail(inv, EXIT_REFUSED, "the folder of this program can't be told: %m");
    }
    path[len] = '\0';
    (void)snprintf(strrchr(path, '/') + 1, sizeof(name), "%s", name); // the kernel gives an absolute path
    argv[count++] = name;
    for (size_t i = 0; i < inv->args_len; i++) {
        argv[count++] = (char *)(uintptr_t)inv->args[i]; // execv only reads the strings
    }
    (void)execv(path, argv);
    return output_fail(inv, EXIT_REFUSED, "%s can't be started: %m", path);
}

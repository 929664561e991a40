// reeve: what a person or a script does. Reads the command line, runs the command, gives its exit code.
// Must not: hold anything that belongs to one command.
#include "commands.h"
#include "output.h"

#include <reeve/log.h>
#include <stdlib.h>
#include <sys/stat.h>

static int show_help(const struct invocation *inv)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    if (inv->command != NULL) {
        help_command(inv->command, &out);
    } else if (inv->group != NULL) {
        help_group(inv->group, &out);
    } else {
        help_overview(&out);
    }
    return output_write(&out);
}

int main(int argc, char **argv)
{
    static struct invocation inv; // 10 KB
    struct reeve_why why = {0};
    (void)umask(077); // whatever this program writes is its user's alone; files say more where they want more
    enum reeve_err err = options_parse(argc, argv, &inv, &why);
    output_init(&inv);
    if (err != REEVE_OK) {
        return output_fail(&inv, EXIT_USAGE, "%s", why.text);
    }
    reeve_log_set_level(opt_given(&inv, OPT_VERBOSE) ? REEVE_LOG_DEBUG : REEVE_LOG_ERROR);
    return opt_given(&inv, OPT_HELP) ? show_help(&inv) : inv.command->run(&inv);
}

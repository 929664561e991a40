// queue create, queue update: specs of queues from files and options to the manager.
// Must not: send anything unless all files are right.
#include "commands.h"
#include "output.h"

int cmd_queue_apply(const struct invocation *inv)
{
    return output_fail(inv, EXIT_REFUSED, "%s: not there yet", inv->command->name);
}

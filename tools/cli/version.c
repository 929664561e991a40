// version: of this program.
// Must not: connect.
#include "commands.h"
#include "output.h"

int cmd_version(const struct invocation *inv)
{
    if (!opt_given(inv, OPT_JSON)) {
        output_print("reeve %s\n", REEVE_VERSION);
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_REFUSED;
    }
    REEVE_VALUE_AUTO map = reeve_value_map();
    reeve_put_str(map, "version", REEVE_VERSION);
    return output_json(map, false);
}

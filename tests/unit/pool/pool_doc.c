// Prints the reference of pool specs as docs/pools.md holds it: pool-doc --doc pool.
// Must not: say anything that the tables do not.
#include <reeve/pool.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    if (argc != 3 || strcmp(argv[1], "--doc") != 0 || strcmp(argv[2], "pool") != 0) {
        (void)fputs("usage: pool-doc --doc pool\n", stderr);
        return 2;
    }
    if (reeve_record_markdown(&reeve_pool_record, 3, &text) != REEVE_OK) {
        return 1;
    }
    return fputs(reeve_buf_str(&text), stdout) < 0 || fflush(stdout) != 0;
}

// Prints the reference of queue specs as docs/queues.md holds it: queue-doc --doc queue.
// Must not: say anything that the tables do not.
#include <reeve/job.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    if (argc != 3 || strcmp(argv[1], "--doc") != 0 || strcmp(argv[2], "queue") != 0) {
        (void)fputs("usage: queue-doc --doc queue\n", stderr);
        return 2;
    }
    if (reeve_record_markdown(&reeve_queue_spec_record, 3, &text) != REEVE_OK) {
        return 1;
    }
    return fputs(reeve_buf_str(&text), stdout) < 0 || fflush(stdout) != 0;
}

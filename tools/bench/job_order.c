// Orders to a producer: reading, timing, answering.
// Must not: wait for a reply before the next job of a paced order is due.
#include "job_order.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool job_order_read(struct job_order *order, const char *line)
{
    char verb[8];
    unsigned long long first, count, bytes, rate = 0;
    int fields = sscanf(line, "%7s %llu %llu %llu %llu", verb, &first, &count, &bytes, &rate);
    bool paced = fields == 5 && strcmp(verb, "paced") == 0 && rate > 0;
    *order = (struct job_order){.paced = paced, .first = first, .count = count, .bytes = bytes, .rate = rate};
    return (paced || (fields == 4 && strcmp(verb, "bulk") == 0)) && count > 0 && first + count <= JOB_NUMBER_MAX;
}

uint64_t job_order_due(struct job_order *order, uint64_t now_ns, uint64_t batch, uint64_t *ret_wait_ns)
{
    uint64_t left = order->count - order->sent;
    *ret_wait_ns = UINT64_MAX;
    order->began_ns = order->began_ns == 0 ? now_ns : order->began_ns;
    if (!order->paced || left == 0) {
        return left < batch ? left : batch;
    }
    uint64_t due_ns = order->began_ns + order->sent * 1000000000u / order->rate;
    if (now_ns >= due_ns) {
        return 1;
    }
    *ret_wait_ns = due_ns - now_ns;
    return 0;
}

void job_order_tell(const struct job_order *order)
{
    (void)printf("done %llu %llu %llu %llu\n", (unsigned long long)order->first, (unsigned long long)order->count,
                 (unsigned long long)order->began_ns, (unsigned long long)order->acked_ns);
    if (fflush(stdout) != 0) {
        abort(); // nobody listens
    }
}

void job_order_failed(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)printf("failed ");
    (void)vprintf(fmt, args);
    (void)printf("\n");
    va_end(args);
    exit(EXIT_FAILURE);
}

const char *job_lines_next(struct job_lines *lines, bool *ret_over)
{
    char c;
    ssize_t got;
    while ((got = read(STDIN_FILENO, &c, 1)) == 1) { // orders are rare
        if (c == '\n') {
            lines->text[lines->len] = '\0';
            lines->len = 0;
            return lines->text;
        }
        if (lines->len < sizeof lines->text - 1) {
            lines->text[lines->len++] = c;
        }
    }
    *ret_over = got == 0;
    return NULL;
}

enum reeve_err job_sent_open(struct job_sent *sent, const char *path, struct reeve_why *why)
{
    size_t size = JOB_NUMBER_MAX * sizeof sent->ns[0]; // a file with holes
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0) {
        enum reeve_err err = reeve_fail_errno(why, "%s", path);
        (void)close(fd); // nothing was written
        return err;
    }
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd); // the map stays
    if (mapped == MAP_FAILED) {
        return reeve_fail_errno(why, "%s", path);
    }
    sent->ns = mapped;
    return REEVE_OK;
}

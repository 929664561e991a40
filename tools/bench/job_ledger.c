// Ledgers: written by those who take part, read by the benchmark.
// Must not: lose an entry; whoever can't write ends.
#include "job_ledger.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum reeve_err job_ledger_open(struct job_ledger *ledger, const char *path, struct reeve_why *why)
{
    *ledger = (struct job_ledger){.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    return ledger->fd >= 0 ? REEVE_OK : reeve_fail_errno(why, "%s", path);
}

static void write_at(int fd, const void *data, size_t len, uint64_t at)
{
    if (pwrite(fd, data, len, (off_t)at) != (ssize_t)len) {
        (void)fprintf(stderr, "the ledger can't be written: %m\n");
        abort();
    }
}

void job_ledger_flush(struct job_ledger *ledger)
{
    if (memcmp(&ledger->head, &ledger->written, sizeof ledger->head) == 0) {
        return;
    }
    uint64_t first = ledger->head.handled - ledger->entries_len;
    write_at(ledger->fd, ledger->entries, ledger->entries_len * sizeof ledger->entries[0],
             sizeof ledger->head + first * sizeof ledger->entries[0]);
    ledger->entries_len = 0;
    write_at(ledger->fd, &ledger->head, sizeof ledger->head, 0); // after what it counts
    ledger->written = ledger->head;
}

static void add(struct job_ledger *ledger, uint64_t number, uint64_t ns)
{
    ledger->entries[ledger->entries_len++] = (struct job_ledger_entry){number, ns};
    ledger->head.handled++;
    if (ledger->entries_len == REEVE_ARRAY_LEN(ledger->entries)) {
        job_ledger_flush(ledger);
    }
}

void job_ledger_plant(struct job_ledger *ledger, const char *fault)
{
    ledger->plant = fault != NULL ? fault[0] : 0;
}

void job_ledger_add(struct job_ledger *ledger, uint64_t number, uint64_t ns)
{
    char plant = number == JOB_PLANTED ? ledger->plant : 0;
    if (plant != 'l') {
        add(ledger, plant == 's' ? JOB_NUMBER_MAX : number, ns);
    }
    if (plant == 'd') {
        add(ledger, number, ns);
    }
}

bool job_ledger_look(int fd, struct job_ledger_head *ret)
{
    return pread(fd, ret, sizeof *ret, 0) == (ssize_t)sizeof *ret;
}

enum reeve_err job_ledger_each(const char *path, void (*each)(const struct job_ledger_entry *entry, void *arg),
                               void *arg, struct reeve_why *why)
{
    struct job_ledger_head head = {0};
    struct job_ledger_entry entry;
    uint64_t count = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return reeve_fail_errno(why, "%s", path);
    }
    bool good = fread(&head, sizeof head, 1, file) == 1;
    for (; good && fread(&entry, sizeof entry, 1, file) == 1; count++) {
        each(&entry, arg);
    }
    (void)fclose(file); // was only read
    if (!good || count != head.handled) {
        return reeve_fail(why, REEVE_CORRUPT, "%s has %llu entries and says %llu", path, (unsigned long long)count,
                          (unsigned long long)head.handled);
    }
    return REEVE_OK;
}

// The peers: BullMQ on Redis and beanstalkd, in folders of their own, on a port of 127.0.0.1 that was free.
// Must not: use the machine's own Redis or beanstalkd, or settings that are worse for them than the packages' own.
#include "child.h"
#include "jobs.h"

#include <stdio.h>
#include <string.h>

static const char *const programs[] = {"/usr/bin/redis-server", "/usr/bin/beanstalkd", "/usr/bin/node"};
#define LEAVE_MS 20000

enum { REDIS, BEANSTALKD, NODE };

// ---- BullMQ ---------------------------------------------------------------------------------------------------

// As people run it: append-only file as documented, no snapshots beside it (they would only cost).
static enum reeve_err start_redis(struct jobs_run *run, const char *fsync, struct reeve_why *why)
{
    struct words words = {0};
    run->port = run_free_port();
    words_add(&words, "%s", programs[REDIS]);
    const char *const settings[][2] = {{"bind", "127.0.0.1"},
                                       {"appendonly", "yes"},
                                       {"appendfsync", fsync},
                                       {"save", ""},
                                       {"maxmemory-policy", "noeviction"},
                                       {"daemonize", "no"},
                                       {"dir", run->state}};
    words_add(&words, "--port");
    words_add(&words, "%d", run->port);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(settings); i++) {
        words_add(&words, "--%s", settings[i][0]);
        words_add(&words, "%s", settings[i][1]);
    }
    enum reeve_err err = run_server(run, "redis", &words, why);
    return err == REEVE_OK ? run_listening(run, why) : err;
}

static enum reeve_err start_everysec(struct jobs_run *run, struct reeve_why *why)
{
    return start_redis(run, "everysec", why);
}

static enum reeve_err start_always(struct jobs_run *run, struct reeve_why *why)
{
    return start_redis(run, "always", why);
}

static void bullmq(struct jobs_run *run, struct words *words, const char *role, const char *path)
{
    words_add(words, "%s", programs[NODE]);
    words_add(words, "%s/bullmq.mjs", run->npm_dir);
    words_add(words, "%s", role);
    words_add(words, "%d", run->port);
    words_add(words, "%s", path);
}

static void bullmq_producer(struct jobs_run *run, struct words *words)
{
    bullmq(run, words, "producer", run->producer.path);
}

static void bullmq_worker(struct jobs_run *run, struct words *words, int number)
{
    bullmq(run, words, "worker", run->ledgers[number]);
    words_add(words, "%lld", (long long)run->options->concurrency);
}

static void stop_nothing(struct jobs_run *run)
{
    (void)run; // its server is ended with the others
}

static void halt_server(struct jobs_run *run)
{
    child_stop(&run->servers[0].pid, LEAVE_MS);
    run->servers_len = 0;
}

#define BULLMQ(name_, what_, start_)                                                                                   \
    {                                                                                                                  \
        .name = (name_), .peer = "bullmq", .what = (what_), .jobs = 40000, .start = (start_), .stop = stop_nothing,    \
        .producer = bullmq_producer, .worker = bullmq_worker, .halt = halt_server, .resume = (start_)                  \
    }
const struct jobs_system jobs_bullmq_everysec =
    BULLMQ("bullmq", "BullMQ on Redis, appendfsync everysec: a power cut loses a second of what was acknowledged",
           start_everysec);
const struct jobs_system jobs_bullmq_always =
    BULLMQ("bullmq-always", "BullMQ on Redis, appendfsync always", start_always);

// ---- beanstalkd -----------------------------------------------------------------------------------------------

static enum reeve_err start_beanstalkd(struct jobs_run *run, struct reeve_why *why)
{
    struct words words = {0};
    run->port = run_free_port();
    words_add(&words, "%s", programs[BEANSTALKD]);
    words_add(&words, "-l");
    words_add(&words, "127.0.0.1");
    words_add(&words, "-p");
    words_add(&words, "%d", run->port);
    words_add(&words, "-b");
    words_add(&words, "%s", run->state);
    words_add(&words, "-f0");
    enum reeve_err err = run_server(run, "beanstalkd", &words, why);
    return err == REEVE_OK ? run_listening(run, why) : err;
}

static void beanstalk(struct jobs_run *run, struct words *words, const char *role, const char *path)
{
    words_add(words, "%s/reeve-bench-beanstalk", run->bin_dir);
    words_add(words, "%s", role);
    words_add(words, "%d", run->port);
    words_add(words, "%s", path);
}

static void beanstalk_producer(struct jobs_run *run, struct words *words)
{
    beanstalk(run, words, "producer", run->producer.path);
}

static void beanstalk_worker(struct jobs_run *run, struct words *words, int number)
{
    beanstalk(run, words, "worker", run->ledgers[number]);
    words_add(words, "%lld", (long long)run->options->concurrency);
    if (run->options->plant != NULL) {
        words_add(words, "%s", run->options->plant);
    }
}

const struct jobs_system jobs_beanstalkd = {.name = "beanstalkd",
                                            .peer = "beanstalkd",
                                            .what = "beanstalkd -f0: fsync for each entry of its log",
                                            .jobs = 10000,
                                            .preallocates = true,
                                            .start = start_beanstalkd,
                                            .stop = stop_nothing,
                                            .producer = beanstalk_producer,
                                            .worker = beanstalk_worker,
                                            .halt = halt_server,
                                            .resume = start_beanstalkd};

// Round trip and throughput of the bus at a Mosquitto of its own, 128-byte payloads, QoS 1. JSON on stdout.
// usage: bench-bus [messages] [5|3.1.1]
// Must not: be a timed test; machines are shared and only ratios mean something. Every message is accounted for: one
// that did not arrive exactly once is in `missing` or `twice`.
#include "../unit/bus/site.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define PAYLOAD      128
#define MESSAGES_MAX 1000000
#define ROUNDS       5000
#define QUEUE        2000
#define TOPIC        SITE_ROOT "/open/bench"
#define DEADLINE_MS  120000

struct run {
    struct client client;
    int messages;
    int sent, acknowledged, arrived, twice;
    uint8_t *seen;
    bool receiving;
    double cpu_seconds; // at its begin
};

static void on_acknowledged(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg)
{
    struct run *run = arg;
    (void)bus;
    (void)why;
    run->acknowledged += err == REEVE_OK ? 1 : 0;
}

static void on_message(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct run *run = arg;
    int number = -1;
    (void)bus;
    if (delivery->payload_len == PAYLOAD) {
        memcpy(&number, delivery->payload, sizeof(number));
    }
    if (number < 0 || number >= run->messages) {
        return;
    }
    run->arrived += run->seen[number] == 0 ? 1 : 0;
    run->twice += run->seen[number] != 0 ? 1 : 0;
    run->seen[number] = 1;
}

static bool send_one(struct run *run)
{
    uint8_t payload[PAYLOAD] = {0};
    memcpy(payload, &run->sent, sizeof(run->sent));
    const struct reeve_bus_message message = {.topic = TOPIC,
                                              .payload = payload,
                                              .payload_len = sizeof(payload),
                                              .qos = 1,
                                              .class = REEVE_BUS_EVENT,
                                              .result = on_acknowledged,
                                              .arg = run};
    if (reeve_bus_publish(run->client.bus, &message, NULL) != REEVE_OK) {
        return false; // full: on_room says when
    }
    run->sent++;
    return true;
}

// Of this process with Paho's threads. Steadier than seconds when a machine is shared.
static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage); // can't fail for this process
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void open_run(struct run *run, struct site *site, const char *name, int64_t window, int messages, bool receiving)
{
    *run = (struct run){.messages = messages, .receiving = receiving, .seen = calloc((size_t)messages, 1)};
    client_init(&run->client, site, name);
    run->client.broker.window = window;
    run->client.broker.queue_len_max = QUEUE;
    assert_int_equal(reeve_bus_new(&run->client.options, &run->client.bus, NULL), REEVE_OK);
    if (receiving) {
        assert_int_equal(reeve_bus_subscribe(run->client.bus, TOPIC, 1, 0, on_message, run, NULL), REEVE_OK);
    }
    client_ready(&run->client, site);
    run->cpu_seconds = cpu_seconds();
}

static void close_run(struct run *run, struct site *site)
{
    client_close(&run->client, site);
    free(run->seen);
}

static bool finished(const struct run *run)
{
    return run->acknowledged >= run->messages && (!run->receiving || run->arrived >= run->messages);
}

static double push(struct run *run, struct site *site)
{
    int64_t begun_ns = reeve_clock_mono_ns();
    int64_t deadline_mono = reeve_clock_mono_ms() + DEADLINE_MS;
    int rooms = run->client.rooms - 1;
    while (!finished(run) && reeve_clock_mono_ms() < deadline_mono) {
        if (run->client.rooms != rooms) {
            rooms = run->client.rooms;
            while (run->sent < run->messages && send_one(run)) {
            }
        }
        site_turn(site);
    }
    return (double)(reeve_clock_mono_ns() - begun_ns) / 1e9;
}

static void print_run(const char *name, int64_t window, const struct run *run, double seconds, bool last)
{
    struct reeve_bus_stats stats;
    reeve_bus_stats(run->client.bus, &stats);
    int missing = run->receiving ? run->messages - run->arrived : 0;
    (void)printf(
        "    {\"what\": \"%s\", \"window\": %lld, \"messages\": %d, \"seconds\": %.3f, \"per_second\": %.0f, "
        "\"cpu_us\": %.1f, "
        "\"unacknowledged\": %d, \"missing\": %d, \"twice\": %d, \"handover_stalls\": %llu, \"losses\": %d}%s\n",
        name, (long long)window, run->messages, seconds, run->messages / seconds,
        (cpu_seconds() - run->cpu_seconds) * 1e6 / run->messages, run->messages - run->acknowledged, missing,
        run->twice, (unsigned long long)stats.handover_stalls, run->client.losses, last ? "" : ",");
    (void)fflush(stdout);
}

static void bench_both_ways(struct site *site, int messages)
{
    static const int64_t windows[] = {1, 10, 100, 200};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(windows); i++) {
        struct run run;
        open_run(&run, site, "both", windows[i], messages, true);
        double seconds = push(&run, site);
        print_run("both ways", windows[i], &run, seconds, false);
        close_run(&run, site);
    }
}

static void bench_publishing(struct site *site, int messages)
{
    static const int64_t windows[] = {10, 200};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(windows); i++) {
        struct run run;
        open_run(&run, site, "publisher", windows[i], messages, false);
        double seconds = push(&run, site);
        print_run("publishing", windows[i], &run, seconds, false);
        close_run(&run, site);
    }
}

// The publisher is another process: the receiver's threads are its own.
static int feed_main(const char *port, const char *version, const char *messages)
{
    struct site site = {.port = (uint16_t)atoi(port), .version = atoi(version)};
    struct run run;
    assert_int_equal(uv_loop_init(&site.loop), 0);
    open_run(&run, &site, "feeder", 200, atoi(messages), false);
    (void)push(&run, &site);
    return finished(&run) ? 0 : 1;
}

static void bench_receiving(struct site *site, int messages)
{
    struct run run;
    char port[8], version[4], count[16];
    (void)snprintf(port, sizeof(port), "%u", (unsigned)site->port);
    (void)snprintf(version, sizeof(version), "%d", site->version);
    (void)snprintf(count, sizeof(count), "%d", messages);
    open_run(&run, site, "receiver", 200, messages, true);
    run.acknowledged = messages; // publishes nothing itself
    pid_t feeder = site_spawn((const char *[]){"/proc/self/exe", "--feed", port, version, count, NULL}, NULL);
    while (run.arrived == 0) {
        site_turn(site);
    }
    int64_t begun_ns = reeve_clock_mono_ns();
    int64_t deadline_mono = reeve_clock_mono_ms() + DEADLINE_MS;
    while (!finished(&run) && reeve_clock_mono_ms() < deadline_mono) {
        site_turn(site);
    }
    print_run("receiving", 200, &run, (double)(reeve_clock_mono_ns() - begun_ns) / 1e9, true);
    assert_int_equal(waitpid(feeder, NULL, 0), feeder);
    close_run(&run, site);
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void bench_round_trip(struct site *site)
{
    static int64_t times_ns[ROUNDS];
    struct run run;
    open_run(&run, site, "pinger", 1, ROUNDS, true);
    for (int i = 0; i < ROUNDS; i++) {
        int64_t begun_ns = reeve_clock_mono_ns();
        (void)send_one(&run);
        while (run.arrived <= i) {
            site_turn(site);
        }
        times_ns[i] = reeve_clock_mono_ns() - begun_ns;
        while (run.acknowledged <= i) {
            site_turn(site);
        }
    }
    qsort(times_ns, ROUNDS, sizeof(times_ns[0]), compare);
    (void)printf("  \"round_trip_us\": {\"rounds\": %d, \"p50\": %.0f, \"p99\": %.0f, \"max\": %.0f, \"missing\": %d, "
                 "\"twice\": "
                 "%d},\n",
                 ROUNDS, (double)times_ns[ROUNDS / 2] / 1e3, (double)times_ns[ROUNDS * 99 / 100] / 1e3,
                 (double)times_ns[ROUNDS - 1] / 1e3, ROUNDS - run.arrived, run.twice);
    close_run(&run, site);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--feed") == 0) {
        return feed_main(argv[2], argv[3], argv[4]);
    }
    int messages = argc > 1 ? atoi(argv[1]) : 50000;
    int version = argc > 2 && strcmp(argv[2], "3.1.1") == 0 ? 4 : 5;
    if (messages < 1 || messages > MESSAGES_MAX || !site_available(SITE_MOSQUITTO)) {
        (void)fprintf(stderr, "usage: bench-bus [messages] [5|3.1.1]; needs mosquitto\n");
        return 2;
    }
    struct site site;
    site_init(&site, SITE_MOSQUITTO, version, false);
    site_start(&site);
    (void)printf("{\n  \"bench\": \"bus\", \"mqtt\": \"%s\", \"payload_bytes\": %d,\n", version == 4 ? "3.1.1" : "5",
                 PAYLOAD);
    bench_round_trip(&site);
    (void)printf("  \"runs\": [\n");
    bench_both_ways(&site, messages);
    bench_publishing(&site, messages);
    bench_receiving(&site, messages);
    (void)printf("  ]\n}\n");
    site_done(&site);
    return 0;
}

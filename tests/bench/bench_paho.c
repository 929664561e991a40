// The library under the bus, alone: the same messages as bench-bus both ways, with nothing of ours between. What the
// bus can't go beyond on this machine in this minute. JSON on stdout.
// usage: bench-paho [messages] [window]
// Must not: be a timed test, or be an example: it loses what is in flight with its session. A run that stalls is told.
#include "../unit/bus/site.h"

#include <MQTTAsync.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <reeve/clock.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define PAYLOAD      128
#define TOPIC        "bench/paho"
#define FDS_MAX      256
#define STALL_S      20 // without a message
#define MESSAGES_MAX 1000000

static sem_t done; // of connect and subscribe
static sem_t room; // in the window
static sem_t received;

static void on_done(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    (void)sem_post(&done); // can't overflow
}

static void on_failed(void *context, MQTTAsync_failureData5 *data)
{
    (void)context;
    (void)fprintf(stderr, "bench-paho: refused with %d\n", data->code);
    exit(1);
}

static void on_acknowledged(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    (void)sem_post(&room); // as above
}

static int on_arrived(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    (void)context;
    (void)topic_len;
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    (void)sem_post(&received); // as above
    return 1;
}

static bool wait_for(sem_t *semaphore)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until); // can't fail
    until.tv_sec += STALL_S;
    return sem_timedwait(semaphore, &until) == 0;
}

static MQTTAsync open_session(const struct site *site)
{
    char url[64];
    MQTTAsync handle = NULL;
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    (void)snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)site->port);
    connect.onSuccess5 = on_done;
    connect.onFailure5 = on_failed;
    connect.maxInflight = 65535;
    response.onSuccess5 = on_done;
    response.onFailure5 = on_failed;
    assert_int_equal(MQTTAsync_createWithOptions(&handle, url, "paho", MQTTCLIENT_PERSISTENCE_NONE, NULL, &create), 0);
    assert_int_equal(MQTTAsync_setCallbacks(handle, NULL, NULL, on_arrived, NULL), 0);
    assert_int_equal(MQTTAsync_connect(handle, &connect), 0);
    assert_true(wait_for(&done));
    for (int fd = 3; fd < FDS_MAX; fd++) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); // only one of them is a TCP socket
    }
    assert_int_equal(MQTTAsync_subscribe(handle, TOPIC, 1, &response), 0);
    assert_true(wait_for(&done));
    return handle;
}

static bool push(MQTTAsync handle, int messages)
{
    uint8_t payload[PAYLOAD] = {0};
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onSuccess5 = on_acknowledged;
    for (int i = 0; i < messages; i++) {
        if (!wait_for(&room) || MQTTAsync_send(handle, TOPIC, PAYLOAD, payload, 1, 0, &response) != 0) {
            return false;
        }
    }
    for (int i = 0; i < messages; i++) {
        if (!wait_for(&received)) {
            return false;
        }
    }
    return true;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage); // can't fail for this process
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    int messages = argc > 1 ? atoi(argv[1]) : 50000;
    int window = argc > 2 ? atoi(argv[2]) : 100;
    struct site site;
    if (messages < 1 || messages > MESSAGES_MAX || window < 1 || !site_available(SITE_MOSQUITTO)) {
        (void)fprintf(stderr, "usage: bench-paho [messages] [window]; needs mosquitto\n");
        return 2;
    }
    assert_int_equal(sem_init(&done, 0, 0) | sem_init(&received, 0, 0) | sem_init(&room, 0, (unsigned)window), 0);
    site_init(&site, SITE_MOSQUITTO, 5, false);
    site_start(&site);
    MQTTAsync handle = open_session(&site);
    double cpu_begun = cpu_seconds();
    int64_t begun_ns = reeve_clock_mono_ns();
    bool whole = push(handle, messages);
    double seconds = (double)(reeve_clock_mono_ns() - begun_ns) / 1e9;
    (void)printf("{\"bench\": \"paho\", \"what\": \"both ways\", \"window\": %d, \"messages\": %d, \"stalled\": %s, "
                 "\"per_second\": %.0f, \"cpu_us\": %.1f}\n",
                 window, messages, whole ? "false" : "true", whole ? messages / seconds : 0,
                 (cpu_seconds() - cpu_begun) * 1e6 / messages);
    (void)fflush(stdout); // the exit code says the rest
    MQTTAsync_destroy(&handle);
    site_done(&site);
    return 0;
}

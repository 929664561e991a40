// reeve-bench-simulated CONFIG: plays a fleet for `reeve bench fleet`. One session per node, which speaks for most of
// its workers; some workers have a session of their own, so that there are last wills of the broker's making. Must not:
// measure, except when a connection was cut; or outlive who started it.
#include "simulation.h"

#include <fcntl.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/presence.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTLE_MS 20 // how often what is not acknowledged is counted

_Noreturn void give_up(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)fputs("reeve-bench-simulated: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    exit(EXIT_FAILURE);
}

static void on_lost(struct mqtt *mqtt, const char *cause, void *arg)
{
    (void)mqtt;
    (void)arg;
    give_up("a session ended: %s", cause);
}

static uint64_t next_epoch(uint64_t last)
{
    uint64_t wall = (uint64_t)reeve_clock_wall_ms();
    return wall > last ? wall : last + 1;
}

static struct mqtt *open_session(struct simulation *simulation, const char *client_id, const char *will_topic,
                                 uint64_t epoch, const struct mqtt_events *events, void *arg)
{
    REEVE_BUF_AUTO will = REEVE_BUF_INIT(256);
    if (reeve_lwt_encode(epoch, &will) != REEVE_OK) {
        give_up("out of memory");
    }
    const struct mqtt_connect connect = {.client_id = client_id,
                                         .will_topic = will_topic,
                                         .will = will.data,
                                         .will_len = will.len,
                                         .keep_alive_s = (uint16_t)(3 * simulation->heartbeat_ms / 1000 + 30)};
    struct mqtt *mqtt = mqtt_open(&simulation->hub, &connect, events, arg);
    if (mqtt == NULL) {
        give_up("no connection");
    }
    return mqtt;
}

static void subscribe_below(struct mqtt *mqtt, const struct simulation *simulation, bool no_retained, const char *below)
{
    char filter[REEVE_TOPIC_SIZE];
    mqtt_subscribe(mqtt, reeve_topic_make(filter, simulation->root, "%s", below), no_retained);
}

// ---- workers --------------------------------------------------------------------------------------------------

void tell_truth(struct sim_worker *worker)
{
    enum simulated_state state = worker->state == REEVE_STATE_STOPPED ? SIMULATED_STOPPED
                                 : worker->silent                     ? SIMULATED_MUTE
                                                                      : SIMULATED_RUNNING;
    atomic_store(&worker->simulation->truth->workers[worker->number].state, (int)state);
}

static void beat(struct sim_worker *worker)
{
    say_status(worker, false);
    reeve_timer_start(&worker->heartbeat, jittered(worker->simulation->heartbeat_ms), 0);
}

static void on_heartbeat(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    beat(arg);
}

static void on_worker_open(struct mqtt *mqtt, void *arg)
{
    char below[REEVE_TOPIC_SIZE];
    struct sim_worker *worker = arg;
    const struct {
        const char *leaf;
        bool no_retained;
    } own[] = {{"cmd/+", true}, {"lwt", false}, {"status", false}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(own); i++) {
        (void)snprintf(below, sizeof below, "worker/%s/%s/%s", worker->node->name, worker->name, own[i].leaf);
        subscribe_below(mqtt, worker->simulation, own[i].no_retained, below);
    }
    beat(worker);
    // Those that came together do not go on in step.
    reeve_timer_start(&worker->heartbeat, (int64_t)random() % worker->simulation->heartbeat_ms, 0);
    atomic_store(&worker->simulation->truth->workers[worker->number].born_ns, reeve_clock_mono_ns());
}

static bool is_for_daemon(const char *op)
{
    static const char *const names[] = {"stop", "kill", "start", "restart", NULL};
    for (const char *const *name = names; *name != NULL; name++) {
        if (strcmp(*name, op) == 0) {
            return true;
        }
    }
    return false;
}

// Its node hears the life cycle's ops too and does them; the others are the worker's.
static void on_worker_message(struct mqtt *mqtt, const struct reeve_delivery *delivery, void *arg)
{
    struct sim_worker *worker = arg;
    struct reeve_topic topic = reeve_topic_parse(worker->simulation->root, delivery->topic);
    if (topic.kind == REEVE_TOPIC_WORKER_CMD && !is_for_daemon(topic.leaf)) {
        take_order(worker->node, mqtt, delivery);
    }
}

static const struct mqtt_events worker_events = {.open = on_worker_open, .message = on_worker_message, .lost = on_lost};

void worker_speaks(struct sim_worker *worker)
{
    char will_topic[REEVE_TOPIC_SIZE], client_id[SIMULATED_KEY_SIZE];
    worker->epoch = next_epoch(worker->epoch);
    if (!worker->has_own) {
        beat(worker);
        return;
    }
    (void)reeve_topic_make(will_topic, worker->simulation->root, "worker/%s/%s/lwt", worker->node->name, worker->name);
    (void)snprintf(client_id, sizeof client_id, "%s-%llx", worker->name, (unsigned long long)worker->epoch);
    worker->own = open_session(worker->simulation, client_id, will_topic, worker->epoch, &worker_events, worker);
}

void worker_says_goodbye(struct sim_worker *worker)
{
    reeve_timer_stop(&worker->heartbeat);
    if (worker->silent) {
        return; // its last will has said it
    }
    say_status(worker, true);
    if (worker->own != NULL) {
        mqtt_leave(worker->own);
        worker->own = NULL;
    }
}

static void cut(struct sim_worker *worker)
{
    struct simulated_truth_worker *truth = &worker->simulation->truth->workers[worker->number];
    if (worker->own == NULL || worker->state != REEVE_STATE_RUNNING) {
        give_up("worker %d has no session that could be cut", worker->number);
    }
    reeve_timer_stop(&worker->heartbeat);
    worker->silent = true;
    tell_truth(worker);
    atomic_store(&truth->cut_ns, reeve_clock_mono_ns());
    mqtt_cut(worker->own);
    worker->own = NULL;
}

static void come_back(struct sim_worker *worker)
{
    if (!worker->silent || worker->state != REEVE_STATE_RUNNING) {
        give_up("worker %d was not cut", worker->number);
    }
    worker->silent = false;
    tell_truth(worker);
    worker_speaks(worker);
}

// ---- nodes ----------------------------------------------------------------------------------------------------

static void on_node_open(struct mqtt *mqtt, void *arg)
{
    struct sim_node *node = arg;
    struct simulation *simulation = node->simulation;
    char below[REEVE_TOPIC_SIZE];
    // What a daemon subscribes to.
    static const struct {
        const char *kind, *leaf;
        bool no_retained;
    } filters[] = {{"node", "cmd/+", true},   {"worker", "+/cmd/+", true},   {"node", "lwt", false},
                   {"node", "status", false}, {"worker", "+/status", false}, {"worker", "+/process", false}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(filters); i++) {
        (void)snprintf(below, sizeof below, "%s/%s/%s", filters[i].kind, node->name, filters[i].leaf);
        subscribe_below(mqtt, simulation, filters[i].no_retained, below);
    }
    say_node(node);
    reeve_timer_start(&node->status, (int64_t)random() % SIMULATED_NODE_BEAT_MS, 0);
    reeve_timer_start(&node->metrics, (int64_t)random() % SIMULATED_METRICS_MS, 0);
    for (int i = node->number; i < simulation->workers_len; i += simulation->nodes_len) {
        struct sim_worker *worker = &simulation->workers[i];
        say_process(worker);
        tell_truth(worker);
        worker_speaks(worker);
        if (!worker->has_own) { // as above
            reeve_timer_start(&worker->heartbeat, (int64_t)random() % simulation->heartbeat_ms, 0);
        }
    }
}

static void on_node_message(struct mqtt *mqtt, const struct reeve_delivery *delivery, void *arg)
{
    struct sim_node *node = arg;
    char key[SIMULATED_KEY_SIZE];
    struct reeve_topic topic = reeve_topic_parse(node->simulation->root, delivery->topic);
    if (topic.kind == REEVE_TOPIC_WORKER_CMD && !is_for_daemon(topic.leaf)) {
        (void)snprintf(key, sizeof key, "%s/%s", topic.node, topic.worker);
        const struct sim_worker *worker = reeve_map_get(node->simulation->by_key, key);
        if (worker != NULL && worker->has_own) {
            return; // it hears for itself
        }
    }
    take_order(node, mqtt, delivery);
}

static const struct mqtt_events node_events = {.open = on_node_open, .message = on_node_message, .lost = on_lost};

static void on_node_status(struct reeve_timer *timer, void *arg)
{
    say_node(arg);
    reeve_timer_start(timer, jittered(SIMULATED_NODE_BEAT_MS), 0);
}

static void on_node_metrics(struct reeve_timer *timer, void *arg)
{
    say_metrics(arg);
    reeve_timer_start(timer, SIMULATED_METRICS_MS, 0);
}

static void open_node(struct sim_node *node)
{
    char will_topic[REEVE_TOPIC_SIZE];
    node->epoch = next_epoch(node->epoch);
    node->started_at = reeve_clock_wall_ms();
    (void)reeve_topic_make(will_topic, node->simulation->root, "node/%s/lwt", node->name);
    node->mqtt = open_session(node->simulation, node->name, will_topic, node->epoch, &node_events, node);
}

// ---- control --------------------------------------------------------------------------------------------------

static void obey(struct simulation *simulation, const char *line)
{
    char verb[8];
    int number = -1;
    bool good = sscanf(line, "%7s %d", verb, &number) == 2 && number >= 0 && number < simulation->sessions_len;
    if (good && strcmp(verb, "cut") == 0) {
        cut(&simulation->workers[number]);
    } else if (good && strcmp(verb, "back") == 0) {
        come_back(&simulation->workers[number]);
    } else {
        give_up("'%s' is nothing to do", line);
    }
}

static void take_char(struct simulation *simulation, char c)
{
    if (c != '\n' && simulation->line_len < sizeof simulation->line - 1) {
        simulation->line[simulation->line_len++] = c;
        return;
    }
    simulation->line[simulation->line_len] = '\0';
    simulation->line_len = 0;
    obey(simulation, simulation->line);
}

static void on_control(uv_poll_t *poll, int status, int events)
{
    struct simulation *simulation = poll->data;
    char text[512];
    (void)status;
    (void)events;
    ssize_t len = read(STDIN_FILENO, text, sizeof text);
    for (ssize_t i = 0; i < len; i++) {
        take_char(simulation, text[i]);
    }
    if (len == 0) {
        uv_stop(&simulation->loop); // who started it has gone or wants it to end
    }
}

static void on_settle(struct reeve_timer *timer, void *arg)
{
    struct simulation *simulation = arg;
    int64_t unsettled = 0;
    bool all = true;
    for (int i = 0; i < simulation->nodes_len; i++) {
        all = all && simulation->nodes[i].beat > 0;
        unsettled += (int64_t)mqtt_unsettled(simulation->nodes[i].mqtt);
    }
    for (int i = 0; i < simulation->sessions_len; i++) {
        const struct sim_worker *worker = &simulation->workers[i];
        all = all && atomic_load(&simulation->truth->workers[i].born_ns) > 0;
        unsettled += worker->own != NULL ? (int64_t)mqtt_unsettled(worker->own) : 0;
    }
    atomic_store(&simulation->truth->unsettled, unsettled);
    atomic_store(&simulation->truth->refused, (int64_t)simulation->hub.refused);
    if (all && unsettled == 0) {
        atomic_store(&simulation->truth->ready, 1);
    }
    reeve_timer_start(timer, SETTLE_MS, 0);
}

// ---- beginning and end ----------------------------------------------------------------------------------------

static struct simulated_truth *map_truth(const char *path, int workers)
{
    size_t size = simulated_truth_size(workers);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat file;
    if (fd < 0 || fstat(fd, &file) != 0 || (size_t)file.st_size < size) {
        give_up("%s is not what it should be", path);
    }
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd); // the map stays
    if (mapped == MAP_FAILED) {
        give_up("%s can't be mapped: %m", path);
    }
    return mapped;
}

static int read_number(const struct reeve_value *config, const char *key, int min, int max)
{
    int64_t number = reeve_get_int(config, key, -1);
    if (number < min || number > max) {
        give_up("%s is no number from %d to %d", key, min, max);
    }
    return (int)number;
}

static void copy_text(char *to, size_t size, const struct reeve_value *config, const char *key)
{
    const char *text = reeve_get_str(config, key);
    if (text == NULL || strlen(text) >= size) {
        give_up("%s is missing or too long", key);
    }
    (void)snprintf(to, size, "%s", text);
}

static int read_config(struct simulation *simulation, const char *path)
{
    struct reeve_why why = {0};
    REEVE_VALUE_AUTO config = NULL;
    if (reeve_file_read_value(path, &reeve_limits_file, &config, &why) != REEVE_OK) {
        give_up("%s", why.text);
    }
    copy_text(simulation->root, sizeof simulation->root, config, "root");
    copy_text(simulation->username, sizeof simulation->username, config, "username");
    copy_text(simulation->password, sizeof simulation->password, config, "password");
    simulation->workers_len = read_number(config, "workers", 1, SIMULATED_WORKERS_MAX);
    simulation->nodes_len = read_number(config, "nodes", 1, SIMULATED_NODES_MAX);
    simulation->sessions_len = read_number(config, "sessions", 0, SIMULATED_SESSIONS_MAX);
    simulation->heartbeat_ms = read_number(config, "heartbeat_ms", 100, 3600000);
    char truth[4096];
    copy_text(truth, sizeof truth, config, "truth");
    simulation->truth = map_truth(truth, simulation->workers_len);
    return read_number(config, "port", 1, UINT16_MAX);
}

static void make_worker(struct simulation *simulation, int number)
{
    struct sim_worker *worker = &simulation->workers[number];
    char key[SIMULATED_KEY_SIZE];
    int64_t now = reeve_clock_wall_ms();
    *worker = (struct sim_worker){
        .simulation = simulation,
        .number = number,
        .node = &simulation->nodes[number % simulation->nodes_len],
        .has_own = number < simulation->sessions_len,
        .state = REEVE_STATE_RUNNING,
        .availability = simulated_processing(number) ? REEVE_AVAILABILITY_PROCESSING : REEVE_AVAILABILITY_IDLE,
        .run = 1,
        .since_at = now,
        .started_at = now,
    };
    (void)simulated_worker(number, simulation->nodes_len, worker->name);
    reeve_timer_init(&simulation->loop, &worker->heartbeat, on_heartbeat, worker);
    (void)snprintf(key, sizeof key, "%s/%s", worker->node->name, worker->name);
    if (reeve_map_put(simulation->by_key, key, worker, NULL) != REEVE_OK) {
        give_up("out of memory");
    }
}

static void make_fleet(struct simulation *simulation)
{
    simulation->nodes = calloc((size_t)simulation->nodes_len, sizeof *simulation->nodes);
    simulation->workers = calloc((size_t)simulation->workers_len, sizeof *simulation->workers);
    simulation->by_key = reeve_map_new(SIMULATED_WORKERS_MAX);
    if (simulation->nodes == NULL || simulation->workers == NULL || simulation->by_key == NULL) {
        give_up("out of memory");
    }
    for (int i = 0; i < simulation->nodes_len; i++) {
        struct sim_node *node = &simulation->nodes[i];
        node->simulation = simulation;
        node->number = i;
        (void)simulated_node(i, node->name);
        reeve_timer_init(&simulation->loop, &node->status, on_node_status, node);
        reeve_timer_init(&simulation->loop, &node->metrics, on_node_metrics, node);
    }
    for (int i = 0; i < simulation->workers_len; i++) {
        make_worker(simulation, i);
    }
}

static void run(struct simulation *simulation)
{
    for (int i = 0; i < simulation->nodes_len; i++) {
        open_node(&simulation->nodes[i]);
    }
    reeve_timer_init(&simulation->loop, &simulation->settle, on_settle, simulation);
    reeve_timer_start(&simulation->settle, SETTLE_MS, 0);
    simulation->control.data = simulation;
    if (uv_poll_init(&simulation->loop, &simulation->control, STDIN_FILENO) != 0 ||
        uv_poll_start(&simulation->control, UV_READABLE, on_control) != 0) {
        give_up("standard input can't be watched");
    }
    (void)uv_run(&simulation->loop, UV_RUN_DEFAULT); // until uv_stop()
}

int main(int argc, char **argv)
{
    static struct simulation simulation;
    if (argc != 2) {
        give_up("usage: reeve-bench-simulated CONFIG");
    }
    srandom(1); // the same fleet each time
    int port = read_config(&simulation, argv[1]);
    if (uv_loop_init(&simulation.loop) != 0) {
        give_up("no loop");
    }
    mqtt_hub_init(&simulation.hub, &simulation.loop, port, simulation.username, simulation.password);
    make_fleet(&simulation);
    run(&simulation);
    mqtt_hub_close(&simulation.hub);
    return EXIT_SUCCESS; // the system takes sessions and memory back; the broker gets their last wills
}

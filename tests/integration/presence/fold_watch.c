// A reader with the real registry and the real fold: prints every change of a verdict as a line of JSON.
// For tests that assert on a timeline of verdicts; what else it prints is about its own connection.
// Must not: judge anything by itself.
//
//   fold-watch --broker FILE --root ROOT --client NAME [--once] [--bold]
//
// FILE is a `broker` record (JSON), NAME the username; --bold begins without a grace time. Lines, `at_ms` is monotonic:
//   {"kind":"session","ready":true}                 also false, with "why"
//   {"kind":"verdict","worker":"alpha/mm-1","state":"lost","availability":"","rule":3,"unsupervised":false,"why":"..."}
//   {"kind":"node","node":"alpha","liveness":"dead"}
//   {"kind":"held","held":true}                     verdicts are held [session-9]; and false when that is over
//   {"kind":"known","nodes":1,"workers":5, ...}     with --once, last: what was read, and the registry's counters
#include <getopt.h>
#include <reeve/bus.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/log.h>
#include <reeve/loop.h>
#include <reeve/map.h>
#include <reeve/presence.h>
#include <reeve/record.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS_MAX 200000
#define LEAVE_MS    1000

// What was printed last of one worker or node.
struct shown {
    struct reeve_verdict verdict;
    enum reeve_liveness liveness;
};

struct watch {
    uv_loop_t loop;
    struct reeve_bus *bus;
    struct reeve_registry *registry;
    struct reeve_signals *signals;
    struct reeve_timer look;
    struct reeve_map *workers, *nodes; // key -> struct shown
    bool once, bold, ever_ready, held;
};

static void print_line(const char *kind, struct reeve_value *line)
{
    REEVE_VALUE_AUTO owned = line;
    (void)owned; // only for its end: clang takes it for unused
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1 << 20);
    reeve_put_str(line, "kind", kind);
    reeve_put_int(line, "at_ms", reeve_clock_mono_ms());
    REEVE_ASSERT(reeve_json_write(line, 0, &text) == REEVE_OK);
    (void)printf("%s\n", reeve_buf_str(&text));
    (void)fflush(stdout);
}

static struct shown *shown_at(struct reeve_map *map, const char *key, bool *ret_fresh)
{
    struct shown *shown = reeve_map_get(map, key);
    *ret_fresh = shown == NULL;
    if (shown == NULL) {
        shown = calloc(1, sizeof *shown);
        REEVE_ASSERT(shown != NULL && reeve_map_put(map, key, shown, NULL) == REEVE_OK);
    }
    return shown;
}

static void print_worker(const char *key, const struct reeve_verdict *verdict)
{
    struct reeve_value *line = reeve_value_map();
    reeve_put_str(line, "worker", key);
    reeve_put_str(line, "state", reeve_state_text(verdict->state));
    reeve_put_str(line, "availability", reeve_availability_text(verdict->availability));
    reeve_put_str(line, "source", reeve_source_text(verdict->source));
    reeve_put_str(line, "last_known", reeve_state_text(verdict->last_known));
    reeve_put_bool(line, "unsupervised", verdict->unsupervised);
    reeve_put_int(line, "rule", verdict->rule);
    reeve_put_str(line, "why", verdict->why);
    print_line("verdict", line);
}

static bool differs(const struct reeve_verdict *a, const struct reeve_verdict *b)
{
    return a->state != b->state || a->availability != b->availability || a->rule != b->rule ||
           a->unsupervised != b->unsupervised || strcmp(a->why, b->why) != 0;
}

// Returns when time alone may change its verdict; 0 = never.
static int64_t look_at_worker(struct watch *watch, const struct reeve_known_worker *worker, int64_t now)
{
    char key[2 * REEVE_NAME_SIZE];
    bool fresh;
    (void)snprintf(key, sizeof key, "%s/%s", worker->node, worker->name); /* two names fit */
    struct shown *shown = shown_at(watch->workers, key, &fresh);
    struct reeve_verdict verdict = reeve_registry_verdict(watch->registry, worker, now);
    if (fresh || differs(&shown->verdict, &verdict)) {
        print_worker(key, &verdict);
    }
    shown->verdict = verdict;
    return verdict.next_look;
}

static void look_at_node(struct watch *watch, const struct reeve_known_node *node, int64_t now)
{
    bool fresh;
    struct shown *shown = shown_at(watch->nodes, node->name, &fresh);
    enum reeve_liveness liveness = reeve_registry_node_liveness(watch->registry, node, now);
    if (fresh || shown->liveness != liveness) {
        struct reeve_value *line = reeve_value_map();
        reeve_put_str(line, "node", node->name);
        reeve_put_str(line, "liveness", reeve_liveness_text(liveness));
        print_line("node", line);
    }
    shown->liveness = liveness;
}

// Who is no longer in the registry was removed.
static void look_for_removed(struct watch *watch)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(watch->workers, &it);) {
        char node[2 * REEVE_NAME_SIZE];
        (void)snprintf(node, sizeof node, "%s", it.key); /* same size */
        char *slash = strchr(node, '/');
        *slash = '\0';
        struct shown *shown = it.value;
        if (reeve_registry_worker(watch->registry, node, slash + 1) == NULL && shown->verdict.rule >= 0) {
            struct reeve_value *line = reeve_value_map();
            shown->verdict = (struct reeve_verdict){.rule = -1};
            reeve_put_str(line, "worker", it.key);
            reeve_put_str(line, "state", "removed");
            print_line("verdict", line);
        }
    }
}

static void look_at_own_sight(struct watch *watch, int64_t now)
{
    bool held = reeve_registry_held_until(watch->registry, now) != 0;
    if (held != watch->held) {
        struct reeve_value *line = reeve_value_map();
        watch->held = held;
        reeve_put_bool(line, "held", held);
        print_line("held", line);
    }
}

static void look(struct watch *watch)
{
    REEVE_AUTO_FREE const struct reeve_known_node **nodes = NULL;
    REEVE_AUTO_FREE const struct reeve_known_worker **workers = NULL;
    int64_t now = reeve_clock_mono_ms();
    int64_t next = now + 100; // nodes announce no next look
    size_t nodes_len = reeve_registry_nodes(watch->registry, &nodes);
    size_t workers_len = reeve_registry_workers(watch->registry, &workers);
    for (size_t i = 0; i < nodes_len; i++) {
        look_at_node(watch, nodes[i], now);
    }
    for (size_t i = 0; i < workers_len; i++) {
        int64_t at = look_at_worker(watch, workers[i], now);
        next = at > now && at < next ? at : next;
    }
    look_for_removed(watch);
    look_at_own_sight(watch, now);
    reeve_timer_start(&watch->look, next - now, 0);
}

static void on_look(struct reeve_timer *timer, void *arg)
{
    (void)timer; /* there is one */
    look(arg);
}

static void on_record(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct watch *watch = arg;
    struct reeve_why why;
    (void)bus; /* there is one */
    if (reeve_registry_take(watch->registry, delivery, reeve_clock_mono_ms(), &why) != REEVE_OK) {
        char text[640];
        struct reeve_value *line = reeve_value_map();
        reeve_put_str(line, "topic", delivery->topic);
        reeve_put_str(line, "why", reeve_why_format(&why, text, sizeof text));
        print_line("malformed", line);
    }
    if (!watch->once) {
        look(watch);
    }
}

static void stopped(struct reeve_bus *bus, void *arg)
{
    struct watch *watch = arg;
    (void)bus; /* there is one */
    reeve_timer_stop(&watch->look);
    uv_stop(&watch->loop);
}

static void leave(struct watch *watch)
{
    reeve_bus_stop(watch->bus, LEAVE_MS, stopped, watch);
}

static void print_known(struct watch *watch)
{
    struct reeve_registry_stats stats;
    struct reeve_value *line = reeve_value_map();
    reeve_registry_stats(watch->registry, &stats);
    reeve_put_int(line, "nodes", (int64_t)reeve_map_len(watch->nodes));
    reeve_put_int(line, "workers", (int64_t)reeve_map_len(watch->workers));
    reeve_put_int(line, "malformed", (int64_t)stats.malformed);
    reeve_put_int(line, "ignored_old", (int64_t)stats.ignored_old);
    reeve_put_int(line, "refused_full", (int64_t)stats.refused_full);
    print_line("known", line);
}

static void on_ready(struct reeve_bus *bus, void *arg)
{
    struct watch *watch = arg;
    struct reeve_value *line = reeve_value_map();
    (void)bus; /* there is one */
    reeve_put_bool(line, "ready", true);
    print_line("session", line);
    if (!watch->once && (watch->ever_ready || !watch->bold)) {
        reeve_registry_reconnected(watch->registry, reeve_clock_mono_ms());
    }
    watch->ever_ready = true;
    look(watch);
    if (watch->once) {
        print_known(watch);
        leave(watch);
    }
}

static void on_lost(struct reeve_bus *bus, const struct reeve_why *why, int64_t retry_ms, void *arg)
{
    struct watch *watch = arg;
    char text[640];
    struct reeve_value *line = reeve_value_map();
    (void)bus; /* there is one */
    reeve_put_bool(line, "ready", false);
    reeve_put_int(line, "retry_ms", retry_ms);
    reeve_put_str(line, "why", reeve_why_format(why, text, sizeof text));
    print_line("session", line);
    if (watch->ever_ready) {
        reeve_registry_disconnected(watch->registry, reeve_clock_mono_ms());
    }
    look(watch);
}

static void on_signal(int signal, void *arg)
{
    (void)signal; /* all mean the same */
    leave(arg);
}

static enum reeve_err open_bus(struct watch *watch, const struct reeve_broker *broker, const char *root,
                               const char *client, struct reeve_why *why)
{
    const struct reeve_bus_options options = {.loop = &watch->loop,
                                              .broker = broker,
                                              .root = root,
                                              .client = client,
                                              .on_ready = on_ready,
                                              .on_lost = on_lost,
                                              .arg = watch};
    REEVE_STRV_AUTO filters = {0};
    enum reeve_err err = reeve_bus_new(&options, &watch->bus, why);
    if (err == REEVE_OK) {
        err = reeve_registry_filters(watch->registry, NULL, &filters);
    }
    for (size_t i = 0; err == REEVE_OK && i < filters.len; i++) {
        err = reeve_bus_subscribe(watch->bus, filters.items[i], 1, 0, on_record, watch, why);
    }
    if (err == REEVE_OK) {
        reeve_bus_start(watch->bus);
    }
    return err;
}

static int run(struct watch *watch, const struct reeve_broker *broker, const char *root, const char *client)
{
    struct reeve_why why = {0};
    REEVE_ASSERT(uv_loop_init(&watch->loop) == 0);
    watch->registry = reeve_registry_new(root, WORKERS_MAX);
    watch->workers = reeve_map_new(WORKERS_MAX);
    watch->nodes = reeve_map_new(WORKERS_MAX);
    reeve_timer_init(&watch->loop, &watch->look, on_look, watch);
    enum reeve_err err = reeve_signals_new(&watch->loop, on_signal, watch, &watch->signals, &why);
    if (!watch->once && !watch->bold) { // what is retained comes in before the session is ready, and in any order
        reeve_registry_reconnected(watch->registry, reeve_clock_mono_ms());
    }
    if (err == REEVE_OK) {
        err = open_bus(watch, broker, root, client, &why);
    }
    if (err == REEVE_OK) {
        (void)uv_run(&watch->loop, UV_RUN_DEFAULT); /* ends by uv_stop() */
    } else {
        (void)fprintf(stderr, "fold-watch: %s\n", why.text);
    }
    reeve_bus_free(watch->bus);
    reeve_signals_free(watch->signals);
    reeve_loop_finish(&watch->loop);
    reeve_registry_free(watch->registry);
    reeve_map_free(watch->workers, free);
    reeve_map_free(watch->nodes, free);
    return err == REEVE_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool read_broker(const char *path, struct reeve_broker *ret)
{
    REEVE_VALUE_AUTO tree = NULL;
    REEVE_AUTO_FREE struct reeve_errors *errors = malloc(sizeof *errors);
    struct reeve_why why = {0};
    enum reeve_err err = reeve_file_read_value(path, &reeve_limits_file, &tree, &why);
    if (err == REEVE_OK) {
        reeve_errors_init(errors, path);
        err = reeve_record_decode(&reeve_broker_record, tree, "", ret, errors);
        if (err != REEVE_OK) {
            err = reeve_errors_result(errors, &why);
        }
    }
    if (err != REEVE_OK) {
        (void)fprintf(stderr, "fold-watch: %s\n", why.text);
    }
    return err == REEVE_OK;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"broker", required_argument, NULL, 'b'},
                                            {"root", required_argument, NULL, 'r'},
                                            {"client", required_argument, NULL, 'c'},
                                            {"once", no_argument, NULL, 'o'},
                                            {"bold", no_argument, NULL, 'd'},
                                            {NULL, 0, NULL, 0}};
    const char *given[128] = {0};
    struct watch watch = {0};
    struct reeve_broker broker;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == '?') {
            return 2;
        }
        watch.once = watch.once || option == 'o';
        watch.bold = watch.bold || option == 'd';
        given[option] = optarg;
    }
    if (given['b'] == NULL || given['r'] == NULL || given['c'] == NULL || !read_broker(given['b'], &broker)) {
        return 2;
    }
    int code = run(&watch, &broker, given['r'], given['c']);
    reeve_record_done(&reeve_broker_record, &broker);
    return code;
}

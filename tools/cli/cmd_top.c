// top: the table of workers with processor and memory use, redrawn on a terminal; elsewhere, or with --once, one table.
// Must not: touch the terminal's settings; it only writes, and leaves the screen as a table.
#include "commands.h"
#include "view.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/map.h>
#include <reeve/units.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_PRESET_MS 1000
#define USES_MAX           100000

struct use { // of one worker, between two metrics messages of its node
    int64_t cpu_ms, at;
    struct view_use shown;
};

struct top {
    const struct invocation *inv;
    struct selector selector;
    struct site site;
    struct session session;
    struct lookup lookup;
    struct reeve_map *uses; // node/worker -> struct use
    bool changed;
};

static void top_done(struct top *top)
{
    session_done(&top->session); // first: it still receives
    reeve_map_free(top->uses, free);
    lookup_done(&top->lookup);
    site_done(&top->site);
    selector_done(&top->selector);
}
#define TOP_AUTO __attribute__((cleanup(top_done))) struct top

// ---- use ------------------------------------------------------------------------------------------------------

static struct use *use_at(struct top *top, const char *node, const char *worker)
{
    char key[2 * REEVE_NAME_SIZE];
    (void)snprintf(key, sizeof key, "%s/%s", node, worker);
    struct use *use = reeve_map_get(top->uses, key);
    if (use == NULL) {
        use = calloc(1, sizeof *use);
        if (use != NULL && reeve_map_put(top->uses, key, use, NULL) != REEVE_OK) {
            free(use);
            use = NULL;
        }
    }
    return use;
}

static void take_use(struct top *top, const char *node, const char *worker, const struct reeve_value *usage, int64_t at)
{
    struct use *use = use_at(top, node, worker);
    int64_t cpu_ms = reeve_get_int(usage, "cpu_ms", 0);
    if (use == NULL) {
        return; // no room: it shows no use
    }
    // A new run begins at zero again: no difference to show.
    bool comparable = use->at > 0 && at > use->at && cpu_ms >= use->cpu_ms;
    use->shown.cpu = comparable ? (double)(cpu_ms - use->cpu_ms) / (double)(at - use->at) : 0;
    use->shown.memory_bytes = reeve_get_int(usage, "memory_bytes", 0);
    use->shown.known = true;
    use->cpu_ms = cpu_ms;
    use->at = at;
}

static void on_metrics(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct top *top = arg;
    struct reeve_topic topic = reeve_topic_parse(reeve_bus_root(bus), delivery->topic);
    REEVE_VALUE_AUTO metrics = NULL;
    if (reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &metrics, NULL) !=
        REEVE_OK) {
        return;
    }
    const struct reeve_value *workers = reeve_value_get(metrics, "workers");
    int64_t at = reeve_get_int(metrics, "at", 0);
    for (size_t i = 0; i < reeve_value_len(workers); i++) {
        take_use(top, topic.node, reeve_value_key(workers, i), reeve_value_at(workers, i), at);
    }
    top->changed = true;
}

static void on_changed(struct lookup *lookup, void *arg)
{
    (void)lookup;
    ((struct top *)arg)->changed = true;
}

// ---- drawing ----------------------------------------------------------------------------------------------------

static void put_summary(const struct top *top, struct reeve_buf *out)
{
    const struct reeve_known_node **nodes = NULL;
    size_t len = reeve_registry_nodes(top->lookup.registry, &nodes);
    char clock[REEVE_CLOCK_TEXT_LEN];
    size_t live = 0;
    for (size_t i = 0; i < len; i++) {
        live += reeve_registry_node_liveness(top->lookup.registry, nodes[i], reeve_clock_mono_ms()) == REEVE_LIVE;
    }
    free(nodes);
    (void)reeve_clock_format(reeve_clock_wall_ms(), clock);
    reeve_buf_printf(out, "%s  %.19sZ  nodes %zu of %zu live", top->site.root, clock, live, len);
}

static void draw(struct top *top, bool screen, struct reeve_buf *out)
{
    TABLE_AUTO table;
    struct view_worker *views = NULL;
    size_t len = view_select(&top->lookup, &top->selector, &views);
    size_t states[REEVE_STATE_COUNT] = {0};
    view_table_init(&table, VIEW_USE);
    for (size_t i = 0; i < len; i++) {
        char key[2 * REEVE_NAME_SIZE];
        (void)snprintf(key, sizeof key, "%s/%s", views[i].worker->node, views[i].worker->name);
        const struct use *use = reeve_map_get(top->uses, key);
        if (use != NULL && reeve_state_has_process(views[i].verdict.state)) {
            views[i].use = use->shown;
        }
        states[views[i].verdict.state]++;
        view_table_add(&table, &views[i], VIEW_USE);
    }
    put_summary(top, out);
    for (enum reeve_state state = 0; state < REEVE_STATE_COUNT; state++) {
        if (states[state] > 0) {
            reeve_buf_printf(out, "  %s %zu", reeve_state_text(state), states[state]);
        }
    }
    reeve_buf_puts(out, screen ? "  (Ctrl-C leaves)\n\n" : "\n\n");
    table_write(&table, output_width(), output_has_colour(), out);
    free(views);
}

// Each line erases its rest, then the rest of the screen: no flicker.
static int draw_screen(struct top *top)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    draw(top, true, &text);
    reeve_buf_puts(&out, "\033[H");
    for (const char *at = reeve_buf_str(&text); *at != '\0';) {
        size_t len = strcspn(at, "\n");
        reeve_buf_append(&out, at, len);
        reeve_buf_puts(&out, "\033[K\n");
        at += len + (at[len] == '\n' ? 1 : 0);
    }
    reeve_buf_puts(&out, "\033[J");
    return output_write(&out);
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static int live(struct top *top, int64_t interval_ms)
{
    static const char enter[] = "\033[?25l\033[2J";
    static const char leave[] = "\033[?25h";
    struct reeve_why why = {0};
    enum reeve_err err = REEVE_TIMEOUT;
    int exit_code = EXIT_DONE;
    (void)fputs(enter, stdout);
    while (err == REEVE_TIMEOUT && exit_code == EXIT_DONE) {
        exit_code = draw_screen(top);
        err = session_run(&top->session, never, NULL, reeve_clock_mono_ms() + interval_ms, &why);
    }
    (void)fputs(leave, stdout);
    (void)fflush(stdout); /* the terminal is gone or has its cursor back */
    return err == REEVE_CANCELLED || exit_code != EXIT_DONE ? exit_code : output_fail_why(top->inv, err, &why);
}

static int once(struct top *top)
{
    if (!opt_given(top->inv, OPT_JSON)) {
        REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
        draw(top, false, &out);
        return output_write(&out);
    }
    REEVE_VALUE_AUTO map = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    struct view_worker *views = NULL;
    size_t len = view_select(&top->lookup, &top->selector, &views);
    for (size_t i = 0; i < len; i++) {
        (void)reeve_value_add(list, view_worker_value(&views[i])); /* remembered: reeve_value_built() */
    }
    free(views);
    reeve_put_int(map, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(map, "workers", list); /* remembered: reeve_value_built() */
    return output_json(map, false);
}

static enum reeve_err begin(struct top *top, struct reeve_why *why)
{
    char filter[REEVE_TOPIC_SIZE];
    const char *node = opt_value(top->inv, OPT_NODE);
    node = node != NULL && reeve_glob_is(node) ? NULL : node;
    top->uses = reeve_map_new(USES_MAX);
    enum reeve_err err =
        top->uses != NULL ? site_load(top->inv, &top->site, why) : reeve_fail(why, REEVE_NOMEM, "out of memory");
    if (err == REEVE_OK) {
        err = session_init(&top->session, &top->site, why);
    }
    if (err == REEVE_OK) {
        err = lookup_init(&top->lookup, &top->session, why);
    }
    if (err == REEVE_OK) {
        top->lookup.changed = on_changed;
        top->lookup.arg = top;
        err = lookup_want_all(&top->lookup, node, why);
    }
    if (err == REEVE_OK) {
        (void)reeve_topic_make(filter, top->site.root, "node/%s/metrics", node != NULL ? node : "+");
        err = reeve_bus_subscribe(top->session.bus, filter, 0, 0, on_metrics, top, why);
    }
    if (err == REEVE_OK) {
        err = session_open(&top->session, why);
    }
    return err == REEVE_OK ? lookup_settle(&top->lookup, why) : err;
}

static enum reeve_err read_interval(const struct invocation *inv, int64_t *ret_ms, struct reeve_why *why)
{
    const char *text = opt_value(inv, OPT_INTERVAL);
    struct reeve_why reason;
    *ret_ms = INTERVAL_PRESET_MS;
    if (text != NULL && (reeve_duration_parse(text, ret_ms, &reason) != REEVE_OK || *ret_ms < 100)) {
        return reeve_fail(why, REEVE_INVALID, "--interval: '%.40s' given, expected 100ms or more", text);
    }
    return REEVE_OK;
}

int cmd_top(const struct invocation *inv)
{
    TOP_AUTO top = {.inv = inv};
    struct reeve_why why = {0};
    int64_t interval_ms;
    enum reeve_err err = read_interval(inv, &interval_ms, &why);
    if (err == REEVE_OK) {
        err = selector_read(inv, 0, inv->args_len, &top.selector, &why);
    }
    if (err == REEVE_OK) {
        err = begin(&top, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    bool one_shot = opt_given(inv, OPT_ONCE) || opt_given(inv, OPT_JSON) || !output_is_tty();
    return one_shot ? once(&top) : live(&top, interval_ms);
}

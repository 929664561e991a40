// Pools against simulated nodes, under seeded random schedules: sizes change, nodes are cut off, lose power and return, orders
// and replies are late or lost, turns fail on disk, the manager is killed. Checked at every instant: single_active never runs
// twice, and no busy worker is taken while an idle one exists. Checked in the end, when everything was quiet for a while: the
// pools are what they should be. The nodes are a simulation; what they do with leases is what docs/protocol.md says.
//   REEVE_SEED=n repeats one schedule, REEVE_SCHEDULES=n sets how many.
#include "fake_manager.h"
#include "fake_rooms.h"

#include "fleet_internal.h"
#include "pool_room.h"

#include <reeve/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES         3
#define WORKERS       400
#define STEP_MS       250
#define LOST_MS       8000
#define SELF_STOP_MS  3000
#define BEATS         4096
#define STEPS         600
#define QUIET_STEPS   900
#define MAIL          4096

struct sim_worker {
    char name[REEVE_NAME_SIZE], pool[REEVE_NAME_SIZE];
    int node;
    bool there;   // its node has a spec of it
    bool running;
    bool busy, draining;
    bool leased;
    int64_t fence, run, session, lease_until, since;
};
struct sim_node {
    char name[8];
    bool power, linked;
    int64_t epoch, beat, next_beat;
    int64_t sent[BEATS]; // when each beat was sent
    int64_t mail_at;     // when the last order arrives: one connection keeps the order
};
struct mail { // an order on its way to a node, or its reply on its way back
    size_t order;
    int64_t at;
    bool reply;
    enum reeve_phase phase;
    bool lost;
    int64_t epoch;   // of the node's session: what was sent to another one never arrives
    int64_t sent_at; // wall
};
struct sim {
    struct fake fake;
    struct sim_node nodes[NODES];
    struct sim_worker workers[WORKERS];
    struct mail mail[MAIL];
    size_t mail_len, orders_seen;
    uint64_t random;
    int64_t run, session;
    int64_t size;      // what demo should be
    int64_t worst;     // most running at once of the single pool
    size_t busy_taken; // busy ones removed although nothing forced it
    bool quiet;        // nothing happens any more, and mail is at once
};

static uint64_t dice(struct sim *sim)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return sim->random;
}

static bool chance(struct sim *sim, unsigned per_thousand)
{
    return dice(sim) % 1000 < per_thousand;
}

// ---- what nodes say -----------------------------------------------------------------------------------------------------

static void say_process(struct sim *sim, const struct sim_worker *worker)
{
    const struct sim_node *node = &sim->nodes[worker->node];
    char topic[REEVE_TOPIC_SIZE], text[512];
    if (!node->linked || !node->power) {
        return;
    }
    (void)snprintf(topic, sizeof topic, "worker/%s/%s/process", node->name, worker->name);
    if (!worker->there) {
        (void)fake_deliver(&sim->fake, topic, NULL, false);
        (void)snprintf(topic, sizeof topic, "worker/%s/%s/status", node->name, worker->name);
        (void)fake_deliver(&sim->fake, topic, NULL, false);
        return;
    }
    (void)snprintf(text, sizeof text,
                   "{epoch: %lld, run: %lld, state: %s, since: %lld, at: %lld, desired: running, speaks: true, pool: %s, fence: %lld, "
                   "attributes: {pool_version: \"1\"}, pid: 7, restarts: 0, failures: 0}",
                   (long long)node->epoch, (long long)worker->run, worker->running ? "running" : "stopped",
                   (long long)worker->since, (long long)sim->fake.wall_ms, worker->pool, (long long)worker->fence);
    (void)fake_deliver(&sim->fake, topic, text, false);
}

static void say_status(struct sim *sim, const struct sim_worker *worker)
{
    const struct sim_node *node = &sim->nodes[worker->node];
    char topic[REEVE_TOPIC_SIZE], text[512];
    if (!node->linked || !node->power || !worker->running) {
        return;
    }
    (void)snprintf(topic, sizeof topic, "worker/%s/%s/status", node->name, worker->name);
    (void)snprintf(text, sizeof text,
                   "{epoch: %lld, run: %lld, state: online, availability: %s, jobs: %d, safe_to_stop: true, heartbeat_ms: 20000, "
                   "at: %lld}",
                   (long long)worker->session, (long long)worker->run,
                   worker->draining ? "draining" : worker->busy ? "processing" : "idle", worker->busy ? 1 : 0,
                   (long long)sim->fake.wall_ms);
    (void)fake_deliver(&sim->fake, topic, text, false);
}

static void say_beat(struct sim *sim, struct sim_node *node)
{
    char topic[REEVE_TOPIC_SIZE], text[512];
    node->beat++;
    node->sent[node->beat % BEATS] = sim->fake.mono_ms;
    node->next_beat = sim->fake.mono_ms + 1000;
    if (node->linked) {
        (void)snprintf(topic, sizeof topic, "node/%s/status", node->name);
        (void)snprintf(text, sizeof text,
                       "{epoch: %lld, state: online, at: %lld, heartbeat_ms: 1000, ttl_ms: 3000, beat: %lld, capacity: "
                       "{cpus: 64, memory_bytes: 68719476736, workers_max: 1000}}",
                       (long long)node->epoch, (long long)sim->fake.wall_ms, (long long)node->beat);
        (void)fake_deliver(&sim->fake, topic, text, false);
    }
}

static void say_will(struct sim *sim, const struct sim_node *node)
{
    char topic[REEVE_TOPIC_SIZE], text[64];
    (void)snprintf(topic, sizeof topic, "node/%s/lwt", node->name);
    (void)snprintf(text, sizeof text, "{epoch: %lld}", (long long)node->epoch);
    (void)fake_deliver(&sim->fake, topic, text, false);
    for (size_t i = 0; i < WORKERS; i++) {
        const struct sim_worker *worker = &sim->workers[i];
        if (worker->there && &sim->nodes[worker->node] == node) {
            (void)snprintf(topic, sizeof topic, "worker/%s/%s/lwt", node->name, worker->name);
            (void)snprintf(text, sizeof text, "{epoch: %lld}", (long long)worker->session);
            (void)fake_deliver(&sim->fake, topic, text, false);
        }
    }
}

static void say_all(struct sim *sim, struct sim_node *node)
{
    say_beat(sim, node);
    for (size_t i = 0; i < WORKERS; i++) {
        struct sim_worker *worker = &sim->workers[i];
        if (worker->name[0] != '\0' && &sim->nodes[worker->node] == node) {
            say_process(sim, worker);
            say_status(sim, worker);
        }
    }
}

// ---- what nodes do ------------------------------------------------------------------------------------------------------

static int node_index(const struct sim *sim, const char *name)
{
    for (int i = 0; i < NODES; i++) {
        if (strcmp(sim->nodes[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static struct sim_worker *worker_at(struct sim *sim, int node, const char *name, bool make)
{
    struct sim_worker *empty = NULL;
    for (size_t i = 0; i < WORKERS; i++) {
        struct sim_worker *worker = &sim->workers[i];
        if (worker->node == node && strcmp(worker->name, name) == 0) {
            return worker;
        }
        if (empty == NULL && (worker->name[0] == '\0' || !worker->there)) {
            empty = worker;
        }
    }
    if (!make) {
        return NULL;
    }
    assert_non_null(empty);
    *empty = (struct sim_worker){.node = node};
    (void)snprintf(empty->name, sizeof empty->name, "%s", name);
    return empty;
}

static void start(struct sim *sim, struct sim_worker *worker)
{
    if (worker->running || (worker->leased && worker->lease_until <= sim->fake.mono_ms)) {
        return;
    }
    worker->running = true;
    worker->busy = false;
    worker->draining = false;
    worker->run = ++sim->run;
    worker->session = ++sim->session;
    worker->since = sim->fake.wall_ms;
}

// Whether its row says that nobody waits for what it has in hand: it was lost, or does not speak.
static bool forced(const struct sim *sim, const struct sim_worker *worker)
{
    const struct pool *pool = pool_find(sim->fake.manager.pools, worker->pool);
    const struct member *member = pool != NULL ? reeve_map_get(pool->members, worker->name) : NULL;
    return member == NULL || member->force;
}

static void do_apply(struct sim *sim, int node, const struct reeve_value *args)
{
    const struct reeve_value *specs = reeve_value_get(args, "workers");
    for (size_t i = 0; i < reeve_value_len(specs); i++) {
        const struct reeve_value *spec = reeve_value_at(specs, i);
        struct sim_worker *worker = worker_at(sim, node, reeve_get_str(spec, "name"), true);
        worker->there = true;
        (void)snprintf(worker->pool, sizeof worker->pool, "%s", reeve_get_str(spec, "pool"));
        worker->leased = reeve_get_str(spec, "self_stop_after") != NULL;
        worker->fence = reeve_get_int(spec, "fence", 0);
        start(sim, worker);
        say_process(sim, worker);
        say_status(sim, worker);
    }
}

// A run that began while the order was on its way is not counted: nobody could have seen it.
static enum reeve_phase do_remove(struct sim *sim, int node, const struct reeve_value *args, int64_t sent_at)
{
    const struct reeve_value *names = reeve_value_get(args, "workers");
    for (size_t i = 0; i < reeve_value_len(names); i++) {
        struct sim_worker *worker = worker_at(sim, node, reeve_value_text(reeve_value_at(names, i)), false);
        if (worker == NULL || !worker->there) {
            return REEVE_PHASE_REJECTED;
        }
    }
    for (size_t i = 0; i < reeve_value_len(names); i++) {
        struct sim_worker *worker = worker_at(sim, node, reeve_value_text(reeve_value_at(names, i)), false);
        sim->busy_taken += worker->running && worker->busy && worker->since <= sent_at && !forced(sim, worker) ? 1 : 0;
        worker->there = false;
        worker->running = false;
        say_process(sim, worker);
    }
    return REEVE_PHASE_DONE;
}

static void do_renew(struct sim *sim, int node, const struct reeve_value *args)
{
    int64_t beat = reeve_get_int(args, "beat", 0);
    const struct reeve_value *leases = reeve_value_get(args, "leases");
    if (beat <= 0 || beat > sim->nodes[node].beat || sim->nodes[node].beat - beat >= BEATS) {
        return;
    }
    for (size_t i = 0; i < reeve_value_len(leases); i++) {
        struct sim_worker *worker = worker_at(sim, node, reeve_value_key(leases, i), false);
        if (worker != NULL && worker->there && worker->leased &&
            reeve_value_number(reeve_value_at(leases, i), 0) == worker->fence) {
            int64_t until = sim->nodes[node].sent[beat % BEATS] + SELF_STOP_MS;
            worker->lease_until = until > worker->lease_until ? until : worker->lease_until;
            bool was = worker->running;
            start(sim, worker);
            if (!was && worker->running) {
                say_process(sim, worker);
                say_status(sim, worker);
            }
        }
    }
}

static enum reeve_phase do_order(struct sim *sim, const struct order *order, int64_t sent_at)
{
    int node = node_index(sim, order->node);
    assert_true(node >= 0);
    if (strcmp(order->op, "apply") == 0) {
        do_apply(sim, node, order->args);
    } else if (strcmp(order->op, "remove") == 0) {
        return do_remove(sim, node, order->args, sent_at);
    } else if (strcmp(order->op, "renew") == 0) {
        do_renew(sim, node, order->args);
    } else if (strcmp(order->op, "drain") == 0) {
        struct sim_worker *worker = worker_at(sim, node, order->worker, false);
        if (worker != NULL && worker->running) {
            worker->draining = true; // it takes no more; happen() lets it finish what it has
            say_status(sim, worker);
        }
    }
    return REEVE_PHASE_DONE;
}

// ---- mail ---------------------------------------------------------------------------------------------------------------

static void post(struct sim *sim, size_t order, bool reply, enum reeve_phase phase, int64_t delay_ms, bool lost)
{
    assert_true(sim->mail_len < MAIL);
    const struct sim_node *node = &sim->nodes[node_index(sim, sim->fake.orders[order].order.node)];
    sim->mail[sim->mail_len++] = (struct mail){order, sim->fake.mono_ms + delay_ms, reply, phase, lost, node->epoch,
                                                sim->fake.wall_ms};
}

// New orders get on their way: mostly at once, some late, some lost.
static void collect(struct sim *sim)
{
    for (; sim->orders_seen < sim->fake.orders_len; sim->orders_seen++) {
        const struct fake_order *sent = &sim->fake.orders[sim->orders_seen];
        if (sent->ended) { // undone with its turn
            continue;
        }
        struct sim_node *node = &sim->nodes[node_index(sim, sent->order.node)];
        int64_t at = sim->fake.mono_ms + (!sim->quiet && chance(sim, 100) ? (int64_t)(dice(sim) % 4000) : 0);
        node->mail_at = at > node->mail_at ? at : node->mail_at;
        post(sim, sim->orders_seen, false, REEVE_PHASE_DONE, node->mail_at - sim->fake.mono_ms, !sim->quiet && chance(sim, 30));
    }
}

static void arrive(struct sim *sim, const struct mail *mail)
{
    const struct fake_order *sent = &sim->fake.orders[mail->order];
    if (mail->reply) {
        if (!sent->ended) {
            fake_order_end_code(&sim->fake, mail->order, mail->lost ? REEVE_TIMEOUT : REEVE_OK, mail->phase, REEVE_NOENT, NULL);
        }
        return;
    }
    const struct sim_node *node = &sim->nodes[node_index(sim, sent->order.node)];
    int64_t patience = sent->order.timeout_ms > 0 ? sent->order.timeout_ms : 60000;
    if (mail->lost || !node->power || !node->linked || mail->epoch != node->epoch) {
        post(sim, mail->order, true, REEVE_PHASE_FAILED, patience, true);
        return;
    }
    enum reeve_phase phase = do_order(sim, &sent->order, mail->sent_at);
    post(sim, mail->order, true, phase, 0, false);
}

static void deliver_mail(struct sim *sim)
{
    collect(sim);
    for (size_t i = 0; i < sim->mail_len; i++) {
        if (sim->mail[i].at <= sim->fake.mono_ms) {
            struct mail mail = sim->mail[i];
            memmove(&sim->mail[i], &sim->mail[i + 1], (sim->mail_len - i - 1) * sizeof sim->mail[0]);
            sim->mail_len--;
            arrive(sim, &mail);
            collect(sim);
            i = (size_t)-1; // from the beginning: order matters to nodes
        }
    }
}

// ---- the manager ----------------------------------------------------------------------------------------------------------

static void commit(struct sim *sim)
{
    struct reeve_why why = {0};
    fake_turn(&sim->fake, true);
    if (store_commit(sim->fake.manager.store, &why) != REEVE_OK) {
        fail_msg("commit: %s", why.text);
    }
}

static void turn(struct sim *sim, bool committed)
{
    size_t before = sim->orders_seen;
    pools_tick(sim->fake.manager.pools);
    if (!committed) { // what the turn decided is undone: its orders never left
        fake_turn(&sim->fake, false);
        store_undo(sim->fake.manager.store);
        for (size_t i = before; i < sim->fake.orders_len; i++) {
            if (!sim->fake.orders[i].order.at_once) {
                sim->fake.orders[i].ended = true;
            }
        }
        assert_int_equal(pools_load(sim->fake.manager.pools, NULL), REEVE_OK);
    }
    commit(sim);
}

static void begin(struct sim *sim)
{
    struct manager *manager = &sim->fake.manager;
    struct reeve_why why = {0};
    assert_int_equal(fleet_new(manager, &manager->fleet, &why), REEVE_OK);
    assert_int_equal(pools_new(manager, &manager->pools, &why), REEVE_OK);
    assert_int_equal(pools_load(manager->pools, &why), REEVE_OK);
    fleet_session(manager->fleet);
    for (int i = 0; i < NODES; i++) {
        if (sim->nodes[i].power) {
            say_all(sim, &sim->nodes[i]);
        }
    }
    fleet_ready(manager->fleet);
    commit(sim);
}

static void end(struct sim *sim)
{
    store_undo(sim->fake.manager.store); // what no commit has seen is lost
    pools_free(sim->fake.manager.pools);
    fleet_free(sim->fake.manager.fleet);
    sim->fake.manager.pools = NULL;
    sim->fake.manager.fleet = NULL;
}

// kill -9: memory is gone, orders that left are still on their way, and nobody waits for their replies.
static void kill_manager(struct sim *sim)
{
    collect(sim);
    for (size_t i = 0; i < sim->fake.orders_len; i++) {
        sim->fake.orders[i].ended = true;
    }
    end(sim);
    sim->fake.filters_len = 0;
    begin(sim);
}

// ---- the schedule ---------------------------------------------------------------------------------------------------------

static void lease_time(struct sim *sim)
{
    for (size_t i = 0; i < WORKERS; i++) {
        struct sim_worker *worker = &sim->workers[i];
        if (worker->there && worker->running && worker->leased && worker->lease_until <= sim->fake.mono_ms) {
            worker->running = false;
            say_process(sim, worker);
        }
    }
}

static void lose_power(struct sim *sim, struct sim_node *node)
{
    node->power = false;
    for (size_t i = 0; i < WORKERS; i++) {
        if (&sim->nodes[sim->workers[i].node] == node) {
            sim->workers[i].running = false;
        }
    }
    if (node->linked) {
        say_will(sim, node);
    }
}

static void come_back(struct sim *sim, struct sim_node *node)
{
    bool was = node->power;
    node->linked = true;
    node->power = true;
    node->epoch++;
    for (size_t i = 0; i < WORKERS && !was; i++) {
        struct sim_worker *worker = &sim->workers[i];
        if (worker->there && &sim->nodes[worker->node] == node) {
            start(sim, worker);
        }
    }
    for (size_t i = 0; i < WORKERS; i++) {
        if (&sim->nodes[sim->workers[i].node] == node) {
            sim->workers[i].session = ++sim->session; // each has connected anew
        }
    }
    say_all(sim, node);
}

static void command(struct sim *sim, const char *pool, const char *text, const struct reeve_record *args,
                    enum reeve_err (*run)(struct call *call, struct reeve_why *why))
{
    struct reeve_why why = {0};
    enum reeve_err err = fake_call(&sim->fake, args, pool, text, run, &why);
    if (err != REEVE_OK && err != REEVE_CONFLICT) {
        fail_msg("%s %s: %s", pool, text, why.text);
    }
    commit(sim);
    fake_call_end(&sim->fake);
}

static void happen(struct sim *sim)
{
    struct sim_node *node = &sim->nodes[dice(sim) % NODES];
    struct sim_worker *worker = &sim->workers[dice(sim) % WORKERS];
    if (chance(sim, 40)) {
        char text[32];
        sim->size = (int64_t)(dice(sim) % 7);
        (void)snprintf(text, sizeof text, "{size: %lld}", (long long)sim->size);
        command(sim, "demo", text, &op_pool_scale_args, op_pool_scale_run);
    }
    if (chance(sim, 8) && node->power && node->linked) {
        node->linked = false;
        say_will(sim, node); // the broker sees the link break
    } else if (chance(sim, 5) && node->power) {
        lose_power(sim, node);
    } else if (chance(sim, 40) && (!node->power || !node->linked)) {
        come_back(sim, node);
    }
    if (worker->running && chance(sim, 600)) {
        worker->busy = !worker->busy && !worker->draining;
        say_status(sim, worker);
    }
    if (chance(sim, 15)) {
        command(sim, "single", chance(sim, 500) ? "{size: 0}" : "{size: 1}", &op_pool_scale_args, op_pool_scale_run);
    }
    if (chance(sim, 5)) { // refused while an update is under way
        command(sim, chance(sim, 500) ? "single" : "demo", "{}", &op_pool_restart_args, op_pool_restart_run);
    }
    if (chance(sim, 6)) {
        kill_manager(sim);
    }
}

static int64_t running_of(const struct sim *sim, const char *pool)
{
    int64_t count = 0;
    for (size_t i = 0; i < WORKERS; i++) {
        count += sim->workers[i].there && sim->workers[i].running && strcmp(sim->workers[i].pool, pool) == 0 ? 1 : 0;
    }
    return count;
}

static void step(struct sim *sim, bool wild, uint64_t number)
{
    fake_time(&sim->fake, STEP_MS);
    lease_time(sim);
    fleet_look(sim->fake.manager.fleet); // its timer: nobody runs the loop
    for (int i = 0; i < NODES; i++) {
        if (sim->nodes[i].power && sim->nodes[i].next_beat <= sim->fake.mono_ms) {
            say_beat(sim, &sim->nodes[i]);
        }
    }
    for (size_t i = 0; number % 40 == 0 && i < WORKERS; i++) {
        say_status(sim, &sim->workers[i]);
    }
    if (wild) {
        happen(sim);
    }
    turn(sim, !wild || !chance(sim, 20));
    deliver_mail(sim);
    commit(sim);
    int64_t single = running_of(sim, "single");
    sim->worst = single > sim->worst ? single : sim->worst;
}

// A stand-in: names of pools are not what this test is about.
enum reeve_err not_found(struct reeve_why *why, const char *kind, const char *name, const char *const *names)
{
    (void)names;
    return reeve_fail(why, REEVE_NOENT, "no %s \"%s\"", kind, name);
}

static void show(const struct sim *sim, const char *name)
{
    const struct pool *pool = pool_find(sim->fake.manager.pools, name);
    for (struct reeve_map_iter it = {0}; pool != NULL && reeve_map_next(pool->members, &it);) {
        const struct member *member = it.value;
        struct seen seen = member_seen(member);
        print_message("%s %s/%s %s (%s) step %d tries %d away %lld live %d supervised %d reachable %d state %d fence %lld seen %lld\n", name,
                      member->node, member->name, member_state_text(member->state), member->cause, (int)member->step,
                      member->tries, (long long)member->away_since_mono, seen.node_live, seen.supervised, seen.reachable,
                      (int)seen.info.state, (long long)member->fence, (long long)seen.info.fence);
    }
}

static void define(struct sim *sim, const char *pool, const char *text)
{
    struct reeve_value *value = fake_parse(text);
    REEVE_VALUE_AUTO result = reeve_value_map();
    struct reeve_why why = {0};
    if (pool_apply_spec(sim->fake.manager.pools, value, pool, "command", "test", result, false, &why) != REEVE_OK) {
        fail_msg("%s: %s", pool, why.text);
    }
    reeve_value_free(value);
    commit(sim);
}

static void run_schedule(uint64_t seed)
{
    struct sim *sim = calloc(1, sizeof *sim);
    assert_non_null(sim);
    sim->random = seed * 0x9e3779b97f4a7c15ULL + 1;
    char dir[] = "/dev/shm/reeve-pools-XXXXXX"; // a disk would only be slower
    assert_non_null(mkdtemp(dir));
    fake_init(&sim->fake);
    assert_int_equal(store_open(dir, &sim->fake.manager.store, NULL), REEVE_OK);
    fake_health = HEALTH_HEALTHY;
    sim->fake.manager.calls = reeve_map_new(0);
    for (int i = 0; i < NODES; i++) {
        (void)snprintf(sim->nodes[i].name, sizeof sim->nodes[i].name, "n%d", i);
        sim->nodes[i].power = sim->nodes[i].linked = true;
        sim->nodes[i].epoch = 100;
    }
    begin(sim);
    define(sim, "demo", "{size: 0, template: {command: [x]}, partition: {lost_after: 8s}}");
    define(sim, "single", "{template: {command: [x], stop: {grace: 0s}}, partition: {single_active: true, lost_after: 8s, "
                          "self_stop_after: 3s}}");
    for (uint64_t i = 1; i <= STEPS && sim->worst <= 1; i++) {
        step(sim, true, i);
    }
    for (int i = 0; i < NODES; i++) {
        come_back(sim, &sim->nodes[i]);
    }
    sim->quiet = true;
    command(sim, "single", "{size: 1}", &op_pool_scale_args, op_pool_scale_run);
    for (uint64_t i = 1; i <= QUIET_STEPS && sim->worst <= 1; i++) {
        for (size_t w = 0; w < WORKERS; w++) {
            if (sim->workers[w].busy) {
                sim->workers[w].busy = false;
                say_status(sim, &sim->workers[w]);
            }
        }
        step(sim, false, i);
    }
    int64_t demo = running_of(sim, "demo");
    int64_t single = running_of(sim, "single");
    const struct pool *pool = pool_find(sim->fake.manager.pools, "demo");
    assert_non_null(pool);
    if (sim->worst > 1 || sim->busy_taken > 0 || demo != sim->size || single != 1 || pool->killed_busy != 0 ||
        reeve_map_len(pool->members) != (size_t)sim->size) {
        show(sim, "demo");
        show(sim, "single");
        fail_msg("seed %llu: single ran %lld at once, %zu busy taken, demo %lld of %lld with %zu rows, single %lld in the end",
                 (unsigned long long)seed, (long long)sim->worst, sim->busy_taken, (long long)demo, (long long)sim->size,
                 reeve_map_len(pool->members), (long long)single);
    }
    end(sim);
    reeve_map_free(sim->fake.manager.calls, NULL);
    sim->fake.manager.calls = NULL;
    store_close(sim->fake.manager.store);
    sim->fake.manager.store = NULL;
    fake_done(&sim->fake);
    assert_int_equal(reeve_dir_remove(dir, NULL), REEVE_OK);
    free(sim);
}

static void pools_come_to_what_they_should_be(void **state)
{
    (void)state;
    const char *one = getenv("REEVE_SEED");
    const char *many = getenv("REEVE_SCHEDULES");
    uint64_t schedules = many != NULL ? strtoull(many, NULL, 10) : 40;
    if (one != NULL) {
        run_schedule(strtoull(one, NULL, 10));
        return;
    }
    uint64_t seed;
    reeve_random_bytes(&seed, sizeof seed);
    seed %= 1000000000;
    print_message("seeds %llu..%llu\n", (unsigned long long)seed, (unsigned long long)(seed + schedules - 1));
    for (uint64_t i = 0; i < schedules; i++) {
        run_schedule(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pools_come_to_what_they_should_be)};
    reeve_log_set_level(REEVE_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

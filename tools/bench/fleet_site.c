// Who takes part in the benchmark of a manager: started, told, ended.
// Must not: measure.
#include "child.h"
#include "fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEAVE_MS 20000
#define QUIET_MS 6000 // longer than a manager holds its verdicts after a start

// ---- the truth ------------------------------------------------------------------------------------------------

static enum reeve_err make_truth(struct fleet_bench *fleet, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    size_t size = simulated_truth_size((int)fleet->options->workers);
    int fd = open(site_path(&fleet->bench.site, "truth", path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0) {
        (void)close(fd); // nothing was written
        return reeve_fail_errno(why, "%s", path);
    }
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd); // the map stays
    if (mapped == MAP_FAILED) {
        return reeve_fail_errno(why, "%s", path);
    }
    fleet->truth = mapped;
    return REEVE_OK;
}

static enum reeve_err list_workers(struct fleet_bench *fleet, struct reeve_why *why)
{
    char key[SIMULATED_KEY_SIZE], node[REEVE_NAME_SIZE], worker[REEVE_NAME_SIZE];
    int nodes = (int)fleet->options->nodes;
    fleet->seen = calloc((size_t)fleet->options->workers, sizeof *fleet->seen);
    fleet->by_key = reeve_map_new(SIMULATED_WORKERS_MAX);
    enum reeve_err err = fleet->seen != NULL && fleet->by_key != NULL ? REEVE_OK : REEVE_NOMEM;
    for (int i = 0; err == REEVE_OK && i < fleet->options->workers; i++) {
        (void)snprintf(key, sizeof key, "%s/%s", simulated_node(i % nodes, node), simulated_worker(i, nodes, worker));
        err = reeve_map_put(fleet->by_key, key, &fleet->seen[i], NULL);
    }
    return err == REEVE_OK ? REEVE_OK : reeve_fail(why, err, "out of memory");
}

// ---- the simulation -------------------------------------------------------------------------------------------

static enum reeve_err write_simulated(const struct fleet_bench *fleet, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    const struct site *site = &fleet->bench.site;
    REEVE_VALUE_AUTO config = reeve_value_map();
    reeve_put_int(config, "port", site->port);
    reeve_put_str(config, "username", site_username(SITE_SIMULATED));
    reeve_put_str(config, "password", site->passwords[SITE_SIMULATED]);
    reeve_put_str(config, "root", SITE_ROOT);
    reeve_put_int(config, "workers", fleet->options->workers);
    reeve_put_int(config, "nodes", fleet->options->nodes);
    reeve_put_int(config, "sessions", fleet->options->sessions);
    reeve_put_int(config, "heartbeat_ms", fleet->options->heartbeat_ms);
    reeve_put_str(config, "truth", site_path(site, "truth", path));
    return site_write_json(site, "simulated.json", config, why);
}

static enum reeve_err start_simulated(struct fleet_bench *fleet, struct reeve_why *why)
{
    int fds[2];
    char config[SITE_PATH_SIZE], program[SITE_PATH_SIZE];
    const struct site *site = &fleet->bench.site;
    const char *const argv[] = {site_program(site, "reeve-bench-simulated", program),
                                site_path(site, "simulated.json", config), NULL};
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return reeve_fail_errno(why, "pipe");
    }
    fleet->control_fd = fds[1];
    enum reeve_err err = site_start_program(site, argv, fds[0], "simulated.log", &fleet->simulated, why);
    (void)close(fds[0]); // the child's now
    return err;
}

enum reeve_err fleet_tell(struct fleet_bench *fleet, const char *verb, int worker, struct reeve_why *why)
{
    char line[32];
    int len = snprintf(line, sizeof line, "%s %d\n", verb, worker);
    return write(fleet->control_fd, line, (size_t)len) == len ? REEVE_OK
                                                              : reeve_fail_errno(why, "the simulation has ended");
}

// ---- waiting --------------------------------------------------------------------------------------------------

static bool is_settled(struct bench *bench, const void *arg)
{
    const struct simulated_truth *truth = fleet_of(bench)->truth;
    (void)arg;
    return atomic_load(&truth->ready) != 0 && atomic_load(&truth->unsettled) == 0;
}

enum reeve_err fleet_settle(struct fleet_bench *fleet, struct reeve_why *why)
{
    return bench_wait(&fleet->bench, is_settled, NULL, "the broker has everything of the simulated fleet", why);
}

static bool is_past(struct bench *bench, const void *arg)
{
    (void)bench;
    return reeve_clock_mono_ms() >= *(const int64_t *)arg;
}

enum reeve_err fleet_pass(struct fleet_bench *fleet, int64_t ms, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (int64_t left = ms; left > 0 && err == REEVE_OK; left -= DEADLINE_MS / 2) { // below the deadline of one wait
        int64_t until_mono = reeve_clock_mono_ms() + (left < DEADLINE_MS / 2 ? left : DEADLINE_MS / 2);
        err = bench_wait(&fleet->bench, is_past, &until_mono, "time passes", why);
    }
    return err;
}

struct quiet {
    uint64_t verdicts;
    int64_t since_mono;
};

static bool is_quiet(struct bench *bench, const void *arg)
{
    struct quiet *quiet = (struct quiet *)(uintptr_t)arg; // ours: see below
    if (quiet->verdicts != fleet_of(bench)->verdicts) {
        *quiet = (struct quiet){fleet_of(bench)->verdicts, reeve_clock_mono_ms()};
    }
    return reeve_clock_mono_ms() - quiet->since_mono >= QUIET_MS;
}

enum reeve_err fleet_quiet(struct fleet_bench *fleet, struct reeve_why *why)
{
    struct quiet quiet = {fleet->verdicts, reeve_clock_mono_ms()};
    return bench_wait(&fleet->bench, is_quiet, &quiet, "no verdict changes any more", why);
}

// ---- the manager ----------------------------------------------------------------------------------------------

static enum reeve_err write_manager(const struct fleet_bench *fleet, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    const struct site *site = &fleet->bench.site;
    REEVE_VALUE_AUTO config = reeve_value_map();
    struct reeve_value *manager = reeve_value_map();
    reeve_put_str(manager, "name", FLEET_MANAGER);
    reeve_put_str(manager, "root", SITE_ROOT);
    reeve_put_str(manager, "state_dir", site_path(site, "manager", path));
    (void)reeve_value_put(config, "manager", manager); // reeve_value_built()
    site_put_broker(config, "broker", site, SITE_MANAGER);
    return site_write_json(site, "manager.json", config, why);
}

enum reeve_err fleet_start_manager(struct fleet_bench *fleet, struct reeve_why *why)
{
    char config[SITE_PATH_SIZE], program[SITE_PATH_SIZE];
    const struct site *site = &fleet->bench.site;
    const char *const argv[] = {site_program(site, "reeve-manager", program), "--config",
                                site_path(site, "manager.json", config), NULL};
    return site_start_program(site, argv, -1, "manager.log", &fleet->manager, why);
}

// ---- beginning and end ----------------------------------------------------------------------------------------

enum reeve_err fleet_start(struct fleet_bench *fleet, struct reeve_why *why)
{
    enum reeve_err err = make_truth(fleet, why);
    err = err == REEVE_OK ? list_workers(fleet, why) : err;
    err = err == REEVE_OK ? write_simulated(fleet, why) : err;
    err = err == REEVE_OK ? write_manager(fleet, why) : err;
    err = err == REEVE_OK ? start_simulated(fleet, why) : err;
    err = err == REEVE_OK ? fleet_watch(fleet, why) : err;
    return err == REEVE_OK ? fleet_settle(fleet, why) : err;
}

void fleet_stop(struct fleet_bench *fleet)
{
    fleet_unwatch(fleet);
    child_stop(&fleet->manager, LEAVE_MS);
    if (fleet->control_fd >= 0) {
        (void)close(fleet->control_fd); // which ends it
    }
    child_stop(&fleet->simulated, LEAVE_MS);
}

void fleet_done(struct fleet_bench *fleet)
{
    if (fleet->truth != NULL) {
        (void)munmap(fleet->truth, simulated_truth_size((int)fleet->options->workers)); // is mapped
    }
    reeve_map_free(fleet->by_key, NULL);
    free(fleet->seen);
}

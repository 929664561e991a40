// See run_fixture.h.
#include "run_fixture.h"

#include <reeve/buf.h>
#include <reeve/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/sweep.h"

static void on_started(struct run *run, pid_t pid, uint64_t start_time, void *arg)
{
    struct fixture *f = arg;
    assert_int_equal(run_pid(run), pid);
    f->started++;
    f->pid = pid;
    f->start_time = start_time;
}

static void on_ready(struct run *run, void *arg)
{
    (void)run;
    ((struct fixture *)arg)->ready++;
}

static void on_status(struct run *run, const char *text, void *arg)
{
    struct fixture *f = arg;
    (void)run;
    f->statuses++;
    (void)snprintf(f->status, sizeof(f->status), "%s", text);
}

static void on_log_grew(struct run *run, void *arg)
{
    (void)run;
    ((struct fixture *)arg)->grew++;
}

static void on_log_failed(struct run *run, const char *error, bool recovered, void *arg)
{
    struct fixture *f = arg;
    (void)run;
    (void)snprintf(f->log_error, sizeof(f->log_error), "%s", error);
    if (recovered) {
        f->log_recoveries++;
    } else {
        f->log_failures++;
    }
}

static void on_ended(struct run *run, const struct run_outcome *outcome, void *arg)
{
    struct fixture *f = arg;
    assert_ptr_equal(run, f->run);
    f->ended++;
    f->outcome = *outcome;
    f->run = NULL;
}

static const struct run_handlers handlers = {
    .started = on_started,
    .ready = on_ready,
    .status = on_status,
    .log_grew = on_log_grew,
    .log_failed = on_log_failed,
    .ended = on_ended,
};

static void on_deadline(uv_timer_t *timer)
{
    ((struct fixture *)timer->data)->timed_out = true;
}

void fixture_arm(struct fixture *f)
{
    f->timed_out = false;
    (void)uv_timer_start(&f->deadline, on_deadline, FIXTURE_DEADLINE_MS, 0);
}

void fixture_disarm(struct fixture *f)
{
    (void)uv_timer_stop(&f->deadline);
}

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    (void)umask(077); // a daemon's own, which no worker may inherit
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/reeve-runs-XXXXXX");
    if (f == NULL || mkdtemp(f->dir) == NULL || uv_loop_init(&f->loop) != 0) {
        return -1;
    }
    (void)uv_timer_init(&f->loop, &f->deadline);
    f->deadline.data = f;
    (void)snprintf(f->log_dir, sizeof(f->log_dir), "%s/logs/w", f->dir);
    f->host = (struct run_host){.loop = &f->loop, .state_dir = f->dir, .shim_path = SHIM_PATH, .handlers = &handlers};
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    if (f->run != NULL) {
        run_kill(f->run);
        WAIT_FOR(f, f->run == NULL);
    }
    uv_close((uv_handle_t *)&f->deadline, NULL);
    while (uv_run(&f->loop, UV_RUN_NOWAIT) != 0) {
        // until every handle is closed
    }
    assert_int_equal(uv_loop_close(&f->loop), 0);
    char runs[PATH_MAX];
    (void)snprintf(runs, sizeof(runs), "%s/runs", f->dir);
    (void)umount2(runs, MNT_DETACH); // what a failed test left mounted
    (void)umount2(f->log_dir, MNT_DETACH);
    (void)reeve_dir_remove(f->dir, NULL);
    free(f);
    return 0;
}

struct run_plan fixture_plan(struct fixture *f, const char *mode, const char *arg)
{
    static const char *argv[4];
    static const char *const env[] = {"PATH=/usr/bin:/bin", "PLANNED=yes", NULL};
    argv[0] = CHILD_PATH;
    argv[1] = mode;
    argv[2] = arg;
    argv[3] = NULL;
    return (struct run_plan){
        .worker = "w",
        .run = 1,
        .argv = argv,
        .env = env,
        .uid = (uid_t)-1,
        .gid = (gid_t)-1,
        .stop_signal = SIGTERM,
        .stop_grace_ms = 10000,
        .log_bytes_max = 1 << 20,
        .log_files_max = 3,
        .log_dir = f->log_dir,
    };
}

void fixture_start(struct fixture *f, const struct run_plan *plan)
{
    struct reeve_why why = {0};
    if (run_start(&f->host, plan, f, &f->run, &why) != REEVE_OK) {
        fail_msg("run_start: %s", why.text);
    }
}

char *fixture_log(struct fixture *f, const char *file)
{
    char path[PATH_MAX + 32];
    struct reeve_buf buf = REEVE_BUF_INIT(0);
    (void)snprintf(path, sizeof(path), "%s/%s", f->log_dir, file);
    if (reeve_file_read(path, 1 << 24, &buf, NULL) != REEVE_OK) {
        return NULL;
    }
    return reeve_buf_take(&buf, NULL);
}

bool fixture_is_alive(pid_t pid)
{
    struct sweep_stat stat;
    return sweep_stat(pid, &stat) && stat.state != 'Z' && stat.state != 'X';
}

void fixture_write(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

// doctor: what may be wrong, from the files on this machine to the node's clock; one line each, with what to do about
// it. Must not: change anything, or stop at the first thing that is wrong.
#include "commands.h"
#include "managers.h"
#include "order.h"
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <reeve/clock.h>
#include <reeve/units.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKEW_WARN_MS    2000  // beyond what a status and its way take
#define SKEW_FAIL_MS    20000 // commands of 30 s expire before or long after they should
#define DISK_WARN_BYTES (1LL << 30)
#define DISK_FAIL_BYTES (64LL << 20)
#define MOSQUITTO       "/usr/sbin/mosquitto"

enum level { LEVEL_OK, LEVEL_WARN, LEVEL_FAIL };

struct doctor {
    const struct invocation *inv;
    struct site site;
    struct session session;
    struct lookup lookup;
    struct managers managers;
    struct orders orders;         // the one `describe` of the node
    struct orders manager_orders; // and of the manager
    struct reeve_value *findings; // LIST of {check level text hint}
    size_t failures;
    bool connected;
};

static void doctor_done(struct doctor *doctor)
{
    session_done(&doctor->session);
    orders_done(&doctor->orders);
    orders_done(&doctor->manager_orders);
    managers_done(&doctor->managers);
    lookup_done(&doctor->lookup);
    site_done(&doctor->site);
    reeve_value_free(doctor->findings);
}
#define DOCTOR_AUTO __attribute__((cleanup(doctor_done))) struct doctor

// ---- findings ---------------------------------------------------------------------------------------------------

static void print_finding(enum level level, const char *check, const char *text, const char *hint)
{
    static const char *const words[] = {"ok  ", "warn", "fail"};
    static const enum colour colours[] = {COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD};
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(16u << 10);
    output_colour(&out, colours[level], words[level]);
    reeve_buf_printf(&out, "  %-12s ", check);
    output_escape(&out, text, strlen(text));
    reeve_buf_puts(&out, "\n");
    if (hint != NULL && level != LEVEL_OK) {
        reeve_buf_printf(&out, "                    %s\n", hint);
    }
    (void)output_write(&out); /* its failure shows at the end */
}

static void found(struct doctor *doctor, enum level level, const char *check, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static void found(struct doctor *doctor, enum level level, const char *check, const char *hint, const char *fmt, ...)
{
    static const char *const words[] = {"ok", "warn", "fail"};
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    doctor->failures += level == LEVEL_FAIL;
    if (!opt_given(doctor->inv, OPT_JSON)) {
        print_finding(level, check, text, hint);
        return;
    }
    struct reeve_value *map = reeve_value_map();
    reeve_put_str(map, "check", check);
    reeve_put_str(map, "level", words[level]);
    reeve_put_str(map, "text", text);
    reeve_put_str_opt(map, "hint", level != LEVEL_OK ? hint : NULL);
    (void)reeve_value_add(doctor->findings, map); /* remembered: reeve_value_built() */
}

// ---- this machine ---------------------------------------------------------------------------------------------

static void check_mode(struct doctor *doctor, const char *path, bool required)
{
    struct stat status;
    if (lstat(path, &status) != 0) {
        if (required || errno != ENOENT) {
            found(doctor, LEVEL_FAIL, "files", "`reeve up` makes it", "%s: %s", path, strerror(errno));
        }
    } else if (status.st_mode & 077) {
        found(doctor, LEVEL_FAIL, "files", "chmod go= it: there are passwords in it",
              "%s can be read by others (mode %03o)", path, (unsigned)(status.st_mode & 0777));
    } else {
        found(doctor, LEVEL_OK, "files", NULL, "%s is private", path);
    }
}

static void check_files(struct doctor *doctor)
{
    static const char *const below[] = {"/site.json",    "/credentials",      "/node.yaml",
                                        "/manager.yaml", "/broker/passwords", "/broker/acl"};
    char path[PATH_MAX + 32];
    if (doctor->site.dir[0] == '\0') {
        return;
    }
    check_mode(doctor, doctor->site.dir, true);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(below); i++) {
        (void)snprintf(path, sizeof path, "%s%s", doctor->site.dir, below[i]);
        check_mode(doctor, path, false);
    }
}

static void check_disk(struct doctor *doctor)
{
    struct statvfs status;
    char text[REEVE_UNITS_TEXT_LEN];
    if (doctor->site.dir[0] == '\0' || statvfs(doctor->site.dir, &status) != 0) {
        return;
    }
    int64_t bytes = (int64_t)status.f_bavail * (int64_t)status.f_frsize;
    enum level level = bytes < DISK_FAIL_BYTES ? LEVEL_FAIL : bytes < DISK_WARN_BYTES ? LEVEL_WARN : LEVEL_OK;
    found(doctor, level, "disk", "logs, desired state and the broker's store are there", "%s free below %s",
          reeve_size_human(bytes, text), doctor->site.dir);
    if (access(doctor->site.dir, W_OK) != 0) {
        found(doctor, LEVEL_FAIL, "disk", "whose folder is it?", "%s can't be written: %s", doctor->site.dir,
              strerror(errno));
    }
}

// The first line that `mosquitto -h` writes.
static bool mosquitto_version(char *ret, size_t ret_len)
{
    int fds[2];
    if (access(MOSQUITTO, X_OK) != 0 || pipe2(fds, O_CLOEXEC) != 0) {
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)dup2(fds[1], STDERR_FILENO);
        (void)execl(MOSQUITTO, "mosquitto", "-h", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    FILE *file = fdopen(fds[0], "re");
    bool read = pid > 0 && file != NULL && fgets(ret, (int)ret_len, file) != NULL;
    if (file != NULL) {
        (void)fclose(file); /* only read from */
    }
    (void)waitpid(pid, NULL, 0); /* -h ends by itself; it exits with 3 */
    ret[read ? strcspn(ret, "\n") : 0] = '\0';
    return read;
}

static void check_mosquitto(struct doctor *doctor)
{
    char line[256] = "";
    int major = 0;
    int minor = 0;
    bool local = doctor->site.dir[0] != '\0' || !opt_given(doctor->inv, OPT_BROKER);
    if (!mosquitto_version(line, sizeof line)) {
        found(doctor, local ? LEVEL_FAIL : LEVEL_WARN, "mosquitto", "on Debian: apt install mosquitto",
              MOSQUITTO " is not there; `reeve up` needs it");
        return;
    }
    bool parsed = sscanf(line, "mosquitto version %d.%d", &major, &minor) == 2; // NOLINT: bounded, two small numbers
    found(doctor, parsed && major >= 2 ? LEVEL_OK : LEVEL_WARN, "mosquitto",
          "2.0.11 or later is what the site's files are for", "%s", line);
}

static void check_libraries(struct doctor *doctor)
{
    found(doctor, LEVEL_OK, "program", NULL, "reeve %s, libuv %s", REEVE_VERSION, uv_version_string());
}

// ---- the broker -----------------------------------------------------------------------------------------------

static void check_broker(struct doctor *doctor)
{
    struct reeve_why why = {0};
    enum reeve_err err = session_init(&doctor->session, &doctor->site, &why);
    if (err == REEVE_OK) {
        err = lookup_init(&doctor->lookup, &doctor->session, &why);
    }
    if (err == REEVE_OK) {
        err = lookup_want_nodes(&doctor->lookup, NULL, &why);
    }
    if (err == REEVE_OK) {
        err = managers_init(&doctor->managers, &doctor->session, &why);
    }
    if (err == REEVE_OK) {
        err = managers_want(&doctor->managers, &why);
    }
    int64_t start_mono = reeve_clock_mono_ns();
    if (err == REEVE_OK) {
        err = session_open(&doctor->session, &why);
    }
    if (err != REEVE_OK) {
        char text[sizeof why];
        found(doctor, LEVEL_FAIL, "broker",
              err == REEVE_DENIED ? "the password is another one, or the user has no rights"
                                  : "start the site: reeve up",
              "%s", reeve_why_format(&why, text, sizeof text));
        return;
    }
    doctor->connected = true;
    const char *user = doctor->site.broker.username;
    found(doctor, LEVEL_OK, "broker", NULL, "%s answers in %.1f ms", doctor->site.broker.url,
          (double)(reeve_clock_mono_ns() - start_mono) / 1e6);
    found(doctor, LEVEL_OK, "credentials", NULL, "accepted as %s; its own probe came back",
          user != NULL ? user : "nobody");
}

// ---- the node -------------------------------------------------------------------------------------------------

static void check_nodes(struct doctor *doctor)
{
    const struct reeve_known_node **nodes = NULL;
    struct reeve_why why = {0};
    (void)lookup_settle(&doctor->lookup, &why); /* what came is judged */
    size_t len = reeve_registry_nodes(doctor->lookup.registry, &nodes);
    for (size_t i = 0; i < len; i++) {
        bool there = lookup_node_there(&doctor->lookup, nodes[i]->name, &why) == REEVE_OK;
        const char *limits = reeve_get_str(nodes[i]->record, "limits");
        found(doctor, there ? LEVEL_OK : LEVEL_FAIL, "node",
              "is its daemon running? `reeve up`, or reeved on that host", "%s", there ? nodes[i]->name : why.text);
        if (there) {
            bool enforces = limits != NULL && strstr(limits, "memory") != NULL;
            found(doctor, enforces ? LEVEL_OK : LEVEL_WARN, "limits",
                  "without a delegated cgroup, memory_limit and cpu_limit of workers are not enforced", "%s: cgroup %s",
                  nodes[i]->name, limits != NULL ? limits : "unknown");
        }
    }
    if (len == 0) {
        found(doctor, LEVEL_FAIL, "node", "is a daemon running, and does it use the same --root?",
              "no node has a status below %s", doctor->site.root);
    }
    free(nodes);
}

static void check_clock(struct doctor *doctor, const struct order *order)
{
    char text[REEVE_UNITS_TEXT_LEN];
    int64_t skew_ms = order->at - reeve_clock_wall_ms();
    int64_t size_ms = skew_ms < 0 ? -skew_ms : skew_ms;
    enum level level = size_ms > SKEW_FAIL_MS ? LEVEL_FAIL : size_ms > SKEW_WARN_MS ? LEVEL_WARN : LEVEL_OK;
    found(doctor, level, "clock", "set both by NTP: commands carry the time at which they expire", "node %s is %s %s",
          order->node, reeve_duration_human(size_ms, text), skew_ms < 0 ? "behind" : "ahead");
}

static void check_description(struct doctor *doctor, const struct order *order)
{
    const struct reeve_value *counters = reeve_value_get(order->result, "counters");
    const char *version = reeve_get_str(order->result, "version");
    bool failing = reeve_get_bool(order->result, "store_failing", false);
    int64_t refused = reeve_get_int(counters, "store_failures", 0);
    found(doctor, failing ? LEVEL_FAIL : LEVEL_OK, "state", "is its disk full?",
          "node %s %s its desired state in %s (%lld failures)", order->node, failing ? "can't write" : "keeps",
          reeve_get_str(order->result, "state_dir"), (long long)refused);
    if (version != NULL && strcmp(version, REEVE_VERSION) != 0) {
        found(doctor, LEVEL_WARN, "version", "mixed versions work; the same is better", "node %s runs %s, this is %s",
              order->node, version, REEVE_VERSION);
    }
}

static void check_command(struct doctor *doctor)
{
    struct reeve_why why = {0};
    const char *node = doctor->site.node;
    doctor->orders.op = "describe";
    if (node[0] == '\0' || orders_add(&doctor->orders, doctor->site.root, node, "", NULL, &why) != REEVE_OK) {
        return;
    }
    int64_t start_mono = reeve_clock_mono_ns();
    doctor->session.deadline_mono = reeve_clock_mono_ms() + 5000; // a node that lives answers in milliseconds
    enum reeve_err err = orders_perform(&doctor->orders, &doctor->session, &doctor->lookup, &why);
    const struct order *order = doctor->orders.items[0];
    if (err != REEVE_OK || !order_done(order)) {
        enum level level = order->err == REEVE_DENIED ? LEVEL_WARN : LEVEL_FAIL;
        found(doctor, level, "commands",
              level == LEVEL_WARN ? "a viewer only looks; --user operator or admin may" : NULL, "node %s: %s", node,
              order->message[0] != '\0' ? order->message : why.text);
        return;
    }
    found(doctor, LEVEL_OK, "commands", NULL, "node %s answers in %.1f ms", node,
          (double)(reeve_clock_mono_ns() - start_mono) / 1e6);
    check_clock(doctor, order);
    check_description(doctor, order);
}

// ---- the managers ---------------------------------------------------------------------------------------------

static void check_manager_answer(struct doctor *doctor, const char *manager)
{
    struct reeve_why why = {0};
    doctor->manager_orders.op = "describe";
    if (orders_add_to(&doctor->manager_orders, doctor->site.root, "manager", manager, NULL, &why) != REEVE_OK) {
        return;
    }
    int64_t start_mono = reeve_clock_mono_ns();
    doctor->session.deadline_mono = reeve_clock_mono_ms() + 5000;
    enum reeve_err err = orders_perform(&doctor->manager_orders, &doctor->session, NULL, &why);
    const struct order *order = doctor->manager_orders.items[0];
    if (err != REEVE_OK || !order_done(order)) {
        found(doctor, order->err == REEVE_DENIED ? LEVEL_WARN : LEVEL_FAIL, "manager",
              order->err == REEVE_DENIED ? "a viewer only looks; --user operator or admin may" : "reeve logs manager",
              "manager %s: %s", manager, order->message[0] != '\0' ? order->message : why.text);
        return;
    }
    const struct reeve_value *counters = reeve_value_get(order->result, "counters");
    int64_t refused = reeve_get_int(counters, "store_failures", 0);
    found(doctor, refused > 0 ? LEVEL_WARN : LEVEL_OK, "manager", "is its disk full?",
          "%s answers in %.1f ms, %lld workers, %lld store failures", manager,
          (double)(reeve_clock_mono_ns() - start_mono) / 1e6, (long long)reeve_get_int(order->result, "workers", 0),
          (long long)refused);
    const char *version = reeve_get_str(order->result, "version");
    if (version != NULL && strcmp(version, REEVE_VERSION) != 0) {
        found(doctor, LEVEL_WARN, "version", "mixed versions work; the same is better",
              "manager %s runs %s, this is %s", manager, version, REEVE_VERSION);
    }
}

// A site may do without one; one that was there and is not any more is worth a look.
static void check_managers(struct doctor *doctor)
{
    const struct reeve_known_node **list = NULL;
    size_t len = managers_list(&doctor->managers, &list);
    const char *there = NULL;
    for (size_t i = 0; i < len; i++) {
        const char *state = managers_state(&doctor->managers, list[i]);
        bool lives = managers_liveness(&doctor->managers, list[i]) == REEVE_LIVE;
        there = lives ? list[i]->name : there;
        if (!lives) {
            found(doctor, LEVEL_WARN, "manager",
                  "`reeve start manager`, or reeve-manager on its host; until then no pool is kept up",
                  "manager %s is %s", list[i]->name, state);
        }
    }
    if (len == 0) {
        found(doctor, LEVEL_WARN, "manager", "`reeve up` starts one; without it there are no pools and accounts",
              "no manager has a status below %s", doctor->site.root);
    } else if (there != NULL) {
        check_manager_answer(doctor, there);
    }
    free(list);
}

// -----------------------------------------------------------------------------------------------------------------

static int finish(struct doctor *doctor)
{
    int exit_code = doctor->failures > 0 ? EXIT_REFUSED : EXIT_DONE;
    if (!opt_given(doctor->inv, OPT_JSON)) {
        return exit_code;
    }
    REEVE_VALUE_AUTO map = reeve_value_map();
    reeve_put_bool(map, "ok", doctor->failures == 0);
    (void)reeve_value_put(map, "findings", reeve_value_take(&doctor->findings)); /* remembered: reeve_value_built() */
    int written = output_json(map, false);
    return written != EXIT_DONE ? written : exit_code;
}

int cmd_doctor(const struct invocation *inv)
{
    DOCTOR_AUTO doctor = {.inv = inv, .findings = reeve_value_list()};
    struct reeve_why why = {0};
    check_libraries(&doctor);
    enum reeve_err err = site_load(inv, &doctor.site, &why);
    if (err == REEVE_INVALID) {
        return output_fail_why(inv, err, &why);
    }
    check_mosquitto(&doctor);
    if (err != REEVE_OK) {
        char text[sizeof why];
        found(&doctor, LEVEL_FAIL, "site", "reeve up", "%s", reeve_why_format(&why, text, sizeof text));
        return finish(&doctor);
    }
    check_files(&doctor);
    check_disk(&doctor);
    check_broker(&doctor);
    if (doctor.connected) {
        check_nodes(&doctor);
        check_command(&doctor);
        check_managers(&doctor);
    }
    return finish(&doctor);
}

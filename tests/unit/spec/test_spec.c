// One worker spec: presets, every key, rules across fields, encoding, digests, names, argv, back-off.
// Must not: read files.
#include "spec_test.h"

#include <reeve/id.h>

#include <signal.h>
#include <stdio.h>

static void presets_are_what_the_documentation_says(void **state)
{
    struct reeve_spec spec = spec_of("type: a");
    (void)state;
    assert_null(spec.name);
    assert_string_equal(spec.type, "a");
    assert_int_equal(spec.command.len, 0);
    assert_null(spec.env);
    assert_int_equal(spec.desired, REEVE_DESIRED_RUNNING);
    assert_int_equal(spec.stop.signal, SIGTERM);
    assert_int_equal(spec.stop.grace_ms, 10000);
    assert_int_equal(spec.ttl_ms, 0);
    assert_int_equal(spec.cleanup_delay_ms, 30000);
    assert_int_equal(spec.memory_limit_bytes, 0);
    assert_true(spec.cpu_limit == 0);
    assert_int_equal(spec.log.max_size_bytes, 10 << 20);
    assert_int_equal(spec.log.files, 5);
    assert_int_equal(spec.ready.mode, REEVE_READY_IMMEDIATE);
    assert_int_equal(spec.ready.timeout_ms, 30000);
    assert_int_equal(spec.watchdog_ms, 0);
    assert_null(spec.config);
    reeve_spec_done(&spec);
}

static void restart_presets_are_those_of_the_machine(void **state)
{
    static const struct reeve_backoff_policy want = REEVE_BACKOFF_PRESET;
    struct reeve_spec spec = spec_of("type: a");
    struct reeve_backoff_policy have = reeve_spec_backoff(&spec);
    (void)state;
    assert_int_equal(have.restart, want.restart);
    assert_int_equal(have.initial_ms, want.initial_ms);
    assert_int_equal(have.max_ms, want.max_ms);
    assert_true(have.factor == want.factor);
    assert_true(have.jitter == want.jitter);
    assert_int_equal(have.healthy_ms, want.healthy_ms);
    assert_int_equal(have.restarts_max, want.restarts_max);
    assert_int_equal(have.window_ms, want.window_ms);
    reeve_spec_done(&spec);
}

static const char everything[] = "name: mm-1\ntype: swap\ncommand: [sleep, 5, true]\nenv: {A: x, B: 2}\ncwd: /srv\n"
                                 "user: nobody\ngroup: \"100\"\nexchange: binance\ncapabilities: [a, b]\n"
                                 "labels: {tier: gold}\ndesired: stopped\n"
                                 "restart: {policy: on-failure, initial: 50ms, max: 1s, factor: 1.5, jitter: 0, "
                                 "healthy: 1m, limit: 0, window: 1h}\n"
                                 "stop: {signal: HUP, grace: 1500ms}\nttl: 5m\ncleanup_delay: 1s\nmax_memory: 1.5G\n"
                                 "cpu_limit: 0.5\nmax_pids: 10\nnofile: 1024\nlog: {max_size: 4K, files: 1}\n"
                                 "ready: {log: \"^ready [0-9]+$\", timeout: 1s}\nwatchdog: 30s\n"
                                 "attributes: {slots: 4}\npool: swap\naccount: acme\nfence: 9007199254740993\n"
                                 "self_stop_after: 15s\nprobes: [{name: a, tcp: 8080}, {name: b, http: "
                                 "\"http://[::1]:80/x\", status: 204, start_after: 1m}, {name: c, exec: [check, 5]}]\n"
                                 "config: {a: [1]}\n";

static void every_key_arrives(void **state)
{
    struct reeve_spec spec = spec_of(everything);
    struct reeve_backoff_policy backoff = reeve_spec_backoff(&spec);
    (void)state;
    assert_string_equal(spec.name, "mm-1");
    assert_string_equal(spec.command.items[1], "5");
    assert_string_equal(reeve_get_str(spec.env, "B"), "2");
    assert_string_equal(spec.cwd, "/srv");
    assert_string_equal(spec.user, "nobody");
    assert_string_equal(spec.group, "100");
    assert_string_equal(spec.exchange, "binance");
    assert_string_equal(spec.capabilities.items[1], "b");
    assert_string_equal(reeve_get_str(spec.labels, "tier"), "gold");
    assert_int_equal(spec.desired, REEVE_DESIRED_STOPPED);
    assert_int_equal(backoff.restart, REEVE_RESTART_ON_FAILURE);
    assert_int_equal(backoff.initial_ms, 50);
    assert_int_equal(backoff.max_ms, 1000);
    assert_true(backoff.factor == 1.5 && backoff.jitter == 0);
    assert_int_equal(backoff.restarts_max, 0);
    assert_int_equal(backoff.window_ms, 3600000);
    assert_int_equal(spec.stop.signal, SIGHUP);
    assert_int_equal(spec.stop.grace_ms, 1500);
    assert_int_equal(spec.ttl_ms, 300000);
    assert_int_equal(spec.cleanup_delay_ms, 1000);
    assert_int_equal(spec.memory_limit_bytes, 1610612736);
    assert_true(spec.cpu_limit == 0.5);
    assert_int_equal(spec.max_pids, 10);
    assert_int_equal(spec.nofile, 1024);
    assert_int_equal(spec.log.max_size_bytes, 4096);
    assert_int_equal(spec.ready.mode, REEVE_READY_LOG);
    assert_string_equal(spec.ready.log, "^ready [0-9]+$");
    assert_int_equal(spec.watchdog_ms, 30000);
    assert_string_equal(reeve_get_str(spec.attributes, "slots"), "4");
    assert_string_equal(spec.pool, "swap");
    assert_string_equal(spec.account, "acme");
    assert_int_equal(spec.fence, 9007199254740993);
    assert_int_equal(spec.self_stop_after_ms, 15000);
    assert_int_equal(spec.probes.len, 3);
    const struct reeve_spec_probe *probes = spec.probes.items;
    assert_string_equal(probes[0].tcp, "8080");
    assert_int_equal(probes[0].interval_ms, 10000);
    assert_int_equal(probes[0].timeout_ms, 2000);
    assert_int_equal(probes[0].threshold, 3);
    assert_string_equal(probes[1].http, "http://[::1]:80/x");
    assert_int_equal(probes[1].status, 204);
    assert_int_equal(probes[1].start_after_ms, 60000);
    assert_string_equal(probes[2].exec.items[1], "5");
    assert_int_equal(reeve_value_len(reeve_value_get(spec.config, "a")), 1);
    reeve_spec_done(&spec);
}

static void short_forms(void **state)
{
    static const struct {
        const char *yaml;
        int policy, signal, mode;
    } rows[] = {
        {"restart: never", REEVE_RESTART_NEVER, SIGTERM, REEVE_READY_IMMEDIATE},
        {"restart: on-failure\nstop: SIGINT\nready: notify", REEVE_RESTART_ON_FAILURE, SIGINT, REEVE_READY_NOTIFY},
        {"auto_restart: true\nstop: 9", REEVE_RESTART_ALWAYS, SIGKILL, REEVE_READY_IMMEDIATE},
        {"auto_restart: false\nrestart: {initial: 1s}", REEVE_RESTART_NEVER, SIGTERM, REEVE_READY_IMMEDIATE},
        {"ready: {tcp: 80}\nstop: {signal: \"15\"}", REEVE_RESTART_ALWAYS, SIGTERM, REEVE_READY_TCP},
        {"ready: {mode: tcp, tcp: 80}", REEVE_RESTART_ALWAYS, SIGTERM, REEVE_READY_TCP},
        {"ready: {mode: log, log: x}", REEVE_RESTART_ALWAYS, SIGTERM, REEVE_READY_LOG},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char yaml[200];
        (void)snprintf(yaml, sizeof(yaml), "type: a\n%s", rows[i].yaml);
        struct reeve_spec spec = spec_of(yaml);
        assert_int_equal(spec.restart.policy, rows[i].policy);
        assert_int_equal(spec.auto_restart, rows[i].policy != REEVE_RESTART_NEVER);
        assert_int_equal(spec.stop.signal, rows[i].signal);
        assert_int_equal(spec.ready.mode, rows[i].mode);
        reeve_spec_done(&spec);
    }
}

static void rules_across_fields(void **state)
{
    static const struct {
        const char *yaml, *want;
    } rows[] = {
        {"name: a", "f:1:1: has neither type nor command, expected for example command: [sleep, 10]"},
        {"command: [\"\"]", "f:1:11: command[0]: is empty, expected a program"},
        {"command: []", "f:1:10: command: has 0 entries, expected 1 to 256"},
        {"type: a\ncwd: srv", "f:2:6: cwd: is relative, expected an absolute path such as /srv/worker"},
        {"type: a\nenv: {1A: x}",
         "f:2:7: env.1A: is no name of a variable, expected letters, digits and _, no digit first"},
        {"type: a\nenv: {\"A=B\": x}",
         "f:2:7: env.A=B: is no name of a variable, expected letters, digits and _, no digit first"},
        {"type: a\nlabels: {a b: x}",
         "f:2:10: labels.a b: is no label, expected 1 to 63 characters without space, ',' and '='"},
        {"type: a\nlabels: {a: \"\"}",
         "f:2:13: labels.a: has no usable value, expected 1 to 63 characters without space, ',' and '='"},
        {"type: a\ncapabilities: [a, b c]",
         "f:2:19: capabilities[1]: is no capability, expected 1 to 63 characters without space, ',' and '='"},
        {"type: a\nauto_restart: true\nrestart: always",
         "f:2:15: auto_restart: says the same as restart.policy, which is given too: keep one of them"},
        {"type: a\nauto_restart: true\nrestart: {policy: always}",
         "f:2:15: auto_restart: says the same as restart.policy, which is given too: keep one of them"},
        {"type: a\nrestart: {initial: 1m}",
         "f:2:20: restart.initial: 1m is above max, which is 30s: raise max as well"},
        {"type: a\nrestart: {initial: 1m, max: often}",
         "f:2:29: restart.max: \"often\" is no duration, expected one such as 250ms, 30s, 5m or 1h30m"},
        {"type: a\nttl: 0", "f:2:6: ttl: 0 is below the minimum of 1ms"},
        {"type: a\nmemory_limit: 512",
         "f:2:15: memory_limit: 512 is too little for any program, expected at least 1M, or 0 for no limit"},
        {"type: a\nmax_memory: 64K",
         "f:2:13: max_memory: 64K is too little for any program, expected at least 1M, or 0 for no limit"},
        {"type: a\nready: log", "f:2:8: ready.mode: is log, but ready.log is missing"},
        {"type: a\nready: {mode: tcp}", "f:2:15: ready.mode: is tcp, but ready.tcp is missing"},
        {"type: a\nready: {mode: notify, log: x}", "f:2:28: ready.log: only counts with mode log, which is notify"},
        {"type: a\nready: {mode: immediate, tcp: 5}",
         "f:2:31: ready.tcp: only counts with mode tcp, which is immediate"},
        {"type: a\nready: {log: x, tcp: 5}", "f:2:22: ready.tcp: and log are both given: keep one of them"},
        {"type: a\nready: {log: \"(a\"}",
         "f:2:14: ready.log: is no regular expression (Unmatched ( or \\(), expected one such as "
         "\"listening on .*:[0-9]+\""},
        {"type: a\nattributes: {a b: x}",
         "f:2:14: attributes.a b: is no attribute, expected 1 to 63 characters without space, ',' and '='"},
        {"type: a\nself_stop_after: 500ms\nfence: 1", "f:2:18: self_stop_after: 500ms is below the minimum of 1s"},
        {"type: a\nfence: -1", "f:2:8: fence: -1 is below the minimum of 0"},
        {"type: a\nprobes: [{name: a}]",
         "f:2:10: probes[0]: has nothing to ask, expected exactly one of tcp, http and exec"},
        {"type: a\nprobes: [{name: a, tcp: 80, exec: [x]}]",
         "f:2:10: probes[0]: has several things to ask, expected exactly one of tcp, http and exec"},
        {"type: a\nprobes: [{name: a, tcp: 80}, {name: a, tcp: 81}]",
         "f:2:30: probes[1].name: a is the name of probes[0] as well"},
        {"type: a\nprobes: [{name: a, tcp: 0}]",
         "f:2:25: probes[0].tcp: has no port from 1 to 65535, expected host:port"},
        {"type: a\nprobes: [{name: a, http: \"https://x/\"}]",
         "f:2:26: probes[0].http: is no http:// address, expected for example http://127.0.0.1:8080/health"},
        {"type: a\nprobes: [{name: a, tcp: 80, status: 200}]",
         "f:2:37: probes[0].status: only counts with http, which is not given"},
        {"type: a\nprobes: [{name: a, http: \"http://x\", status: 7}]",
         "f:2:46: probes[0].status: is no HTTP status, expected 100 to 599, or 0"},
        {"type: a\nprobes: [{name: a, exec: [\"\"]}]", "f:2:26: probes[0].exec[0]: is empty, expected a program"},
        {"type: a\nconfig: [1]", "f:2:9: config: list given, expected a map"},
        {"type: a\nstop: {signal: 99}",
         "f:2:16: stop.signal: 99 is a whole number, expected one of SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, "
         "SIGUSR2, SIGKILL, SIGWINCH, SIGALRM, SIGCONT, SIGSTOP, SIGABRT ..."},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO value = yaml_value(rows[i].yaml);
        struct reeve_spec spec = {.nofile = -7};
        reeve_errors_init(&errors, "f");
        enum reeve_err err = reeve_spec_decode(value, "", &spec, &errors);
        errors_are(err, &rows[i].want, 1);
        assert_int_equal(spec.nofile, -7);
    }
}

#define W63 "a23456789012345678901234567890123456789012345678901234567890123"

static void bounds_are_where_they_are_said_to_be(void **state)
{
    static const struct {
        const char *yaml;
        bool accepted;
    } rows[] = {
        {"memory_limit: 1M", true},
        {"memory_limit: 1048575", false},
        {"restart: {initial: 30s}", true},
        {"restart: {initial: 30001ms}", false},
        {"labels: {" W63 ": " W63 "}", true},
        {"labels: {" W63 "4: x}", false},
        {"labels: {x: " W63 "4}", false},
        {"labels: {\"a,b\": x}", false},
        {"labels: {\"a=b\": x}", false},
        {"labels: {x: \"a\\x7fb\"}", false},
        {"labels: {x: \"\\u00e4\"}", true},
        {"capabilities: []", true},
        {"restart: {limit: 64}", true},
        {"restart: {limit: 65}", false},
        {"ttl: 1ms", true},
        {"ttl: 366d", true},
        {"ttl: 367d", false},
        {"ready: {tcp: 65535}", true},
        {"env: {_: x, a1_: y}", true},
        {"env: {\"\": y}", false},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char yaml[300];
        (void)snprintf(yaml, sizeof(yaml), "type: a\n%s", rows[i].yaml);
        REEVE_VALUE_AUTO value = yaml_value(yaml);
        struct reeve_spec spec = {0};
        reeve_errors_init(&errors, "f");
        enum reeve_err err = reeve_spec_decode(value, "", &spec, &errors);
        if (err != (rows[i].accepted ? REEVE_OK : REEVE_INVALID)) {
            fail_msg("%s: %s", rows[i].yaml, reeve_err_text(err));
        }
        if (err == REEVE_OK) {
            reeve_spec_done(&spec);
        }
    }
}

static void a_delay_without_ttl_is_warned_about(void **state)
{
    static const char *const want[] = {"f:2:16: cleanup_delay: warning: only counts with ttl, which is not given"};
    struct reeve_spec spec = spec_of("type: a\ncleanup_delay: 5s");
    (void)state;
    errors_are(REEVE_OK, want, 1);
    reeve_spec_done(&spec);
}

static void a_lease_without_a_fence_is_warned_about(void **state)
{
    static const char *const want[] = {"f:2:18: self_stop_after: warning: is given without a fence: whoever renews the "
                                       "lease has to name fence 0"};
    struct reeve_spec spec = spec_of("type: a\nself_stop_after: 15s");
    (void)state;
    errors_are(REEVE_OK, want, 1);
    reeve_spec_done(&spec);
}

static void addresses_as_people_write_them(void **state)
{
    static const struct {
        const char *text, *host;
        int64_t port;
        const char *path; // of http; NULL = host:port
    } good[] = {
        {"80", "127.0.0.1", 80, NULL},
        {"65535", "127.0.0.1", 65535, NULL},
        {"db.local:5432", "db.local", 5432, NULL},
        {"10.0.0.1:1", "10.0.0.1", 1, NULL},
        {"[::1]:443", "::1", 443, NULL},
        {"[fe80::1%eth0]:443", "fe80::1%eth0", 443, NULL},
        {"http://a", "a", 80, "/"},
        {"http://a:81", "a", 81, "/"},
        {"http://a/", "a", 80, "/"},
        {"http://a:8080/x/y?z=1&a=%20", "a", 8080, "/x/y?z=1&a=%20"},
        {"http://a?b", "a", 80, "?b"},
        {"http://[::1]/x", "::1", 80, "/x"},
    };
    static const char *const bad[] = {
        "",
        "a",
        "a:",
        "a:0",
        "a:65536",
        "a:1x",
        ":1",
        "0",
        "99999",
        "[::1]",
        "[::1",
        "[]:1",
        "[::1]x:1",
        "a b:1",
        "a:1:2",
        "::1:80",
        "a/b:1",
        "http://",
        "http://:80",
        "http://a:0/",
        "http://a:/",
        "http://a/b c",
        "http://a/\x01",
        "http://a/#x",
        "http://a b/",
        "http://user@a/",
        "http://a/\xc3\xa4",
        "HTTP://a/",
        "https://a/",
        "ftp://a/",
        "//a/",
    };
    (void)state;
    char host[REEVE_ENDPOINT_HOST_SIZE];
    int64_t port = 0;
    const char *path = NULL;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(good); i++) {
        const bool http = good[i].path != NULL;
        enum reeve_err err = http ? reeve_http_url_parse(good[i].text, host, &port, &path, NULL)
                                  : reeve_endpoint_parse(good[i].text, host, &port, NULL);
        assert_int_equal(err, REEVE_OK);
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
        if (http) {
            assert_string_equal(path, good[i].path);
        }
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(bad); i++) {
        struct reeve_why why = {0};
        if (strchr(bad[i], '/') == NULL || bad[i][0] == 'a') {
            assert_int_equal(reeve_endpoint_parse(bad[i], host, &port, &why), REEVE_INVALID);
            assert_true(why.text[0] != '\0');
        }
        if (reeve_http_url_parse(bad[i], host, &port, &path, &why) != REEVE_INVALID) {
            fail_msg("%s is taken", bad[i]);
        }
    }
    char text[400];
    memset(text, 'a', sizeof text);
    (void)snprintf(text + REEVE_ENDPOINT_HOST_SIZE, 8, ":80");
    assert_int_equal(reeve_endpoint_parse(text, host, &port, NULL), REEVE_INVALID);
    assert_int_equal(reeve_endpoint_parse(text + 1, host, &port, NULL), REEVE_OK);
}

static void what_is_encoded_decodes_equal(void **state)
{
    static const char *const yamls[] = {everything, "type: a", "type: a\nauto_restart: false",
                                        "type: a\nready: {tcp: 5}", "command: [a]\nstop: 9\nrestart: never"};
    static const unsigned flags[] = {REEVE_ENCODE_WITH_SECRETS, REEVE_ENCODE_WITH_SECRETS | REEVE_ENCODE_SKIP_PRESETS};
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(yamls) * REEVE_ARRAY_LEN(flags); i++) {
        struct reeve_spec spec = spec_of(yamls[i / REEVE_ARRAY_LEN(flags)]);
        struct reeve_spec back = {0};
        REEVE_VALUE_AUTO value = NULL;
        reeve_errors_init(&errors, NULL);
        assert_int_equal(reeve_spec_encode(&spec, flags[i % REEVE_ARRAY_LEN(flags)], &value), REEVE_OK);
        errors_are(reeve_spec_decode(value, "", &back, &errors), NULL, 0);
        assert_true(reeve_spec_equal(&spec, &back));
        assert_int_equal(back.restart.policy, spec.restart.policy);
        assert_int_equal(back.ready.mode, spec.ready.mode);
        struct reeve_spec copy = {0};
        assert_int_equal(reeve_spec_copy(&back, &copy), REEVE_OK);
        assert_true(reeve_spec_equal(&spec, &copy));
        reeve_spec_done(&spec);
        reeve_spec_done(&back);
        reeve_spec_done(&copy);
    }
}

static void the_environment_is_a_secret(void **state)
{
    struct reeve_spec spec = spec_of("type: a\nenv: {TOKEN: hunter2}");
    REEVE_VALUE_AUTO value = NULL;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    (void)state;
    assert_int_equal(reeve_spec_encode(&spec, REEVE_ENCODE_SKIP_PRESETS, &value), REEVE_OK);
    assert_int_equal(reeve_json_write(value, 0, &buf), REEVE_OK);
    assert_string_equal(reeve_buf_str(&buf), "{\"type\":\"a\",\"env\":{\"TOKEN\":\"***\"}}");
    reeve_spec_done(&spec);
}

static void digests_tell_changed_from_unchanged(void **state)
{
    static const struct {
        const char *a, *b;
        bool same, same_run;
    } rows[] = {
        {"type: a\nmemory_limit: 512M\nenv: {A: x, B: y}", "env: {B: y, A: x}\nmax_memory: 536870912\ntype: a", true,
         true},
        {"type: a\nrestart: never", "type: a\nauto_restart: false", true, true},
        {"type: a", "type: a\ndesired: running\nstop: TERM\nlog: {files: 5}", true, true},
        {"type: a", "type: a\ndesired: stopped", false, true},
        {"type: a", "type: a\nrestart: never\nstop: INT\nttl: 5m\nlabels: {x: y}\ncapabilities: [x]", false, true},
        {"type: a", "type: a\npool: p\naccount: a\nfence: 3\nattributes: {x: y}\nprobes: [{name: a, tcp: 80}]", false,
         true},
        {"type: a\nfence: 1", "type: a\nfence: 1\nself_stop_after: 15s", false, false},
        {"type: a\nprobes: [{name: a, tcp: 80}]", "type: a\nprobes: [{name: a, tcp: \"80\", threshold: 3}]", true,
         true},
        {"type: a", "type: a\nmemory_limit: 1G", false, false},
        {"type: a\nenv: {A: x}", "type: a\nenv: {A: y}", false, false},
        {"type: a\nconfig: {a: {b: 1, c: 2}}", "type: a\nconfig: {a: {c: 2, b: 1}}", true, true},
        {"type: a\nconfig: {a: [1, 2]}", "type: a\nconfig: {a: [2, 1]}", false, false},
        {"command: [a, b]", "command: [a b]", false, false},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_spec a = spec_of(rows[i].a);
        struct reeve_spec b = spec_of(rows[i].b);
        bool same = reeve_spec_digest(&a) == reeve_spec_digest(&b);
        bool same_run = reeve_spec_run_digest(&a) == reeve_spec_run_digest(&b);
        if (same != rows[i].same || same_run != rows[i].same_run || reeve_spec_equal(&a, &b) != same) {
            fail_msg("%s\nand\n%s: same %d, same run %d", rows[i].a, rows[i].b, same, same_run);
        }
        assert_true(reeve_spec_digest(&a) != 0);
        reeve_spec_done(&a);
        reeve_spec_done(&b);
    }
}

// `want` up to the random digits at the end.
static void generates(const char *type, const char *exchange, const char *host, const char *want)
{
    char name[REEVE_NAME_SIZE];
    char again[REEVE_NAME_SIZE];
    (void)reeve_spec_name_generate(type, exchange, host, name);
    (void)reeve_spec_name_generate(type, exchange, host, again);
    assert_string_not_equal(name, again);
    assert_int_equal(reeve_name_check(name, NULL), REEVE_OK);
    assert_int_equal(strspn(name + strlen(name) - 8, "0123456789abcdef"), 8);
    name[strlen(name) - 8] = '\0';
    assert_string_equal(name, want);
}

static void names_are_generated(void **state)
{
    (void)state;
    generates("swap", "binance", "alpha", "worker-swap-binance-alpha-");
    generates("swap", NULL, "alpha", "worker-swap-alpha-");
    generates("default", NULL, "alpha", "worker-alpha-");
    generates(NULL, "binance", "alpha", "worker-binance-alpha-");
    generates("swap", "Binance.com", "Alpha.Example", "worker-swap-binance-com-alpha-example-");
    generates("a23456789012345678901234567890123456789012345678901234567890123", "binance", "alpha",
              "worker-a2345678901234567890123456789012345678901234567-");
    generates("a234567890123456789012345678901234567890123456", "b", "alpha",
              "worker-a234567890123456789012345678901234567890123456-");
}

static void argv_comes_from_command_or_type(void **state)
{
    struct reeve_spec spec = spec_of("type: swap\ncommand: [sleep, 5]");
    REEVE_STRV_AUTO argv = {0};
    (void)state;
    assert_int_equal(reeve_spec_argv(&spec, "/usr/libexec/reeve", &argv), REEVE_OK);
    assert_int_equal(argv.len, 2);
    assert_string_equal(argv.items[0], "sleep");
    reeve_strv_done(&argv);
    reeve_spec_done(&spec);
    spec = spec_of("type: swap");
    assert_int_equal(reeve_spec_argv(&spec, "/usr/libexec/reeve", &argv), REEVE_OK);
    assert_int_equal(argv.len, 1);
    assert_string_equal(argv.items[0], "/usr/libexec/reeve/reeve-worker-swap");
    assert_null(argv.items[1]);
    reeve_strv_done(&argv);
    assert_int_equal(reeve_spec_argv(&spec, NULL, &argv), REEVE_OK);
    assert_string_equal(argv.items[0], "reeve-worker-swap");
    reeve_spec_done(&spec);
}

static void signals_by_name_and_number(void **state)
{
    static const struct {
        const char *text;
        int number;
    } rows[] = {{"TERM", SIGTERM},    {"SIGTERM", SIGTERM}, {"15", 15}, {"HUP", SIGHUP},
                {"SIGSEGV", SIGSEGV}, {"40", 40},           {"1", 1},   {"64", 64}};
    static const char *const bad[] = {"", "0", "-1", "65", "term", "SIGFOO", "9 "};
    char buf[24];
    int number = -7;
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        assert_int_equal(reeve_signal_parse(rows[i].text, &number, NULL), REEVE_OK);
        assert_int_equal(number, rows[i].number);
    }
    number = -7;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(bad); i++) {
        struct reeve_why why = {0};
        assert_int_equal(reeve_signal_parse(bad[i], &number, &why), REEVE_INVALID);
        assert_non_null(strstr(why.text, "is no signal, expected a name such as SIGTERM"));
        assert_int_equal(number, -7);
    }
    assert_string_equal(reeve_signal_text(SIGSEGV, buf), "SIGSEGV");
    assert_string_equal(reeve_signal_text(40, buf), "signal 40");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_are_what_the_documentation_says),
        cmocka_unit_test(restart_presets_are_those_of_the_machine),
        cmocka_unit_test(every_key_arrives),
        cmocka_unit_test(short_forms),
        cmocka_unit_test(rules_across_fields),
        cmocka_unit_test(bounds_are_where_they_are_said_to_be),
        cmocka_unit_test(a_delay_without_ttl_is_warned_about),
        cmocka_unit_test(a_lease_without_a_fence_is_warned_about),
        cmocka_unit_test(addresses_as_people_write_them),
        cmocka_unit_test(what_is_encoded_decodes_equal),
        cmocka_unit_test(the_environment_is_a_secret),
        cmocka_unit_test(digests_tell_changed_from_unchanged),
        cmocka_unit_test(names_are_generated),
        cmocka_unit_test(argv_comes_from_command_or_type),
        cmocka_unit_test(signals_by_name_and_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Fails the first, second, third ... allocation while records, specs and commands are decoded and encoded: the answer
// is NOMEM, nothing leaks, results stay untouched.
// Must not: fail allocations inside libraries; those have their own tests. Needs --wrap for malloc and its kin.
#include "spec_test.h"

#include <reeve/message.h>

#include <errno.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t len, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t len, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *old);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t len, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t len, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *old);

static long fail_in = -1; // allocations until the one that fails; -1 = none does
static bool failed;
static long live; // allocations not yet freed

static bool fails(void)
{
    if (fail_in < 0 || fail_in-- > 0) {
        return false;
    }
    failed = true;
    errno = ENOMEM;
    return true;
}

static void *counted(void *fresh)
{
    live += fresh != NULL;
    return fresh;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t len, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(len, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (fails()) {
        return NULL;
    }
    void *fresh = __real_realloc(old, size);
    live += old == NULL && fresh != NULL;
    return fresh;
}

void *__wrap_reallocarray(void *old, size_t len, size_t size)
{
    return __wrap_realloc(old, len * size); // the tests ask for little
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : counted(__real_strdup(text));
}

void __wrap_free(void *old)
{
    live -= old != NULL;
    __real_free(old);
}

static const char document_text[] =
    "worker:\n  name: a\n  command: [sleep, 5]\n  env: {A: x, B: 2}\n  capabilities: [a, b]\n  labels: {a: b}\n"
    "  restart: never\n  ready: {log: x}\n  config: {a: [1, {b: c}]}\nother: {c: d}\n";
static const char wrong_text[] =
    "workers:\n- {type: a, name: x}\n- {type: 5, capabilities: [a, 5], env: {A: x, B: 1.5}}\n";
static const char command_text[] = "{\"id\":\"x\",\"issuer\":\"ana\",\"reply_to\":\"my/inbox\",\"expect\":{\"run\":1},"
                                   "\"args\":{\"a\":[1,{\"b\":\"c\"}]}}";

// Made while nothing fails.
static struct reeve_value *document, *wrong;
static struct reeve_spec sample;

static enum reeve_err try_load(void)
{
    struct reeve_specs specs = {0};
    reeve_errors_init(&errors, "f");
    enum reeve_err err = reeve_spec_load_value(document, &specs, &errors);
    assert_int_equal(errors.errors, 0);
    assert_int_equal(specs.len, err == REEVE_OK ? 1 : 0);
    reeve_specs_done(&specs);
    return err;
}

// The same answer as with all memory, or NOMEM.
static enum reeve_err try_load_wrong(void)
{
    struct reeve_specs specs = {0};
    reeve_errors_init(&errors, "f");
    enum reeve_err err = reeve_spec_load_value(wrong, &specs, &errors);
    assert_int_equal(specs.len, 0);
    assert_true(err != REEVE_OK);
    reeve_specs_done(&specs);
    return err == REEVE_INVALID ? REEVE_OK : err;
}

static enum reeve_err try_copy(void)
{
    struct reeve_spec copy = {.nofile = -7};
    enum reeve_err err = reeve_spec_copy(&sample, &copy);
    if (err != REEVE_OK) {
        assert_int_equal(copy.nofile, -7);
        return err;
    }
    reeve_spec_done(&copy);
    return REEVE_OK;
}

static enum reeve_err try_encode(void)
{
    REEVE_VALUE_AUTO value = NULL;
    enum reeve_err err = reeve_spec_encode(&sample, REEVE_ENCODE_SKIP_PRESETS, &value);
    assert_true((err == REEVE_OK) == (value != NULL));
    return err;
}

static enum reeve_err try_digest(void)
{
    return reeve_spec_digest(&sample) == 0 ? REEVE_NOMEM : REEVE_OK;
}

static enum reeve_err try_argv(void)
{
    struct reeve_strv argv = {0};
    enum reeve_err err = reeve_spec_argv(&sample, "/usr/libexec", &argv);
    assert_true(err == REEVE_OK || argv.items == NULL);
    reeve_strv_done(&argv);
    return err;
}

static enum reeve_err try_command(void)
{
    struct reeve_command command;
    struct reeve_delivery delivery = {.topic = "t",
                                      .payload = command_text,
                                      .payload_len = sizeof(command_text) - 1,
                                      .response_topic = "other",
                                      .correlation = "xy",
                                      .correlation_len = 2};
    enum reeve_err err = reeve_command_decode(&delivery, NULL, &command, NULL);
    reeve_command_done(&command);
    return err;
}

static enum reeve_err try_bare_command(void)
{
    struct reeve_command command;
    struct reeve_delivery delivery = {.topic = "t", .payload = "{\"a\":{\"b\":1},\"c\":2}", .payload_len = 19};
    enum reeve_err err = reeve_command_decode(&delivery, NULL, &command, NULL);
    reeve_command_done(&command);
    return err;
}

static enum reeve_err try_reply(void)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_reply reply = {.id = "x", .phase = REEVE_PHASE_DONE, .message = "m", .result = document, .by = "a"};
    return reeve_reply_encode(&reply, &buf);
}

static enum reeve_err try_markdown(void)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    return reeve_record_markdown(&reeve_spec_record, 2, &buf);
}

static const struct {
    const char *name;
    enum reeve_err (*try)(void);
} tries[] = {
    {"load", try_load},       {"load wrong", try_load_wrong},
    {"copy", try_copy},       {"encode", try_encode},
    {"digest", try_digest},   {"argv", try_argv},
    {"command", try_command}, {"bare command", try_bare_command},
    {"reply", try_reply},     {"markdown", try_markdown},
};

// Fails each allocation of one try in turn, until there is none left to fail.
static void starve(size_t row)
{
    failed = true;
    for (long n = 0; failed; n++) {
        long before = live;
        failed = false;
        fail_in = n;
        enum reeve_err err = tries[row].try();
        fail_in = -1;
        if (live != before) {
            fail_msg("%s, allocation %ld: %ld leaked", tries[row].name, n, live - before);
        }
        if (err != (failed ? REEVE_NOMEM : REEVE_OK)) {
            fail_msg("%s, allocation %ld: %s", tries[row].name, n, reeve_err_text(err));
        }
        assert_true(failed || n > 0);
    }
}

static void without_memory_nothing_leaks(void **state)
{
    (void)state;
    document = yaml_value(document_text);
    wrong = yaml_value(wrong_text);
    sample = spec_of("type: a\ncommand: [sleep, 5]\nenv: {A: x}\nlabels: {a: b}\nconfig: {a: [1]}\nrestart: never\n");
    for (size_t row = 0; row < REEVE_ARRAY_LEN(tries); row++) {
        starve(row);
    }
    reeve_value_free(document);
    reeve_value_free(wrong);
    reeve_spec_done(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(without_memory_nothing_leaks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

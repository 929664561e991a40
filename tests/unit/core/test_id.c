// ULIDs in order whatever the clock does, ids of strangers, random hex, the digest.
// Must not: judge randomness beyond "not twice the same".
#include "cmocka_all.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reeve/clock.h>
#include <reeve/id.h>

static int64_t now_ms;

static int64_t fake_ms(void *arg)
{
    (void)arg;
    return now_ms;
}

static const struct reeve_clock fake = {.wall_ms = fake_ms, .mono_ns = fake_ms};

static int restore_clock(void **state)
{
    (void)state;
    reeve_clock_set(NULL);
    return 0;
}

static void a_ulid_begins_with_its_time(void **state)
{
    (void)state;
    reeve_clock_set(&fake);
    now_ms = INT64_C(1469918176385); // the example of the ULID specification: 01ARYZ6S41
    char ulid[REEVE_ULID_SIZE];
    assert_ptr_equal(reeve_ulid_new(ulid), ulid);
    assert_int_equal(strlen(ulid), REEVE_ULID_LEN);
    assert_memory_equal(ulid, "01ARYZ6S41", 10);
    assert_int_equal(strspn(ulid, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), REEVE_ULID_LEN);
    assert_true(reeve_id_valid(ulid));
}

static void later_ulids_compare_greater_whatever_the_clock_does(void **state)
{
    (void)state;
    reeve_clock_set(&fake);
    now_ms = INT64_C(1795351578123);
    char last[REEVE_ULID_SIZE] = "";
    for (int i = 0; i < 10000; i++) {
        char ulid[REEVE_ULID_SIZE];
        now_ms += i % 1000 == 999 ? -86400000 : i % 3 == 0 ? 1 : 0;
        assert_true(strcmp(reeve_ulid_new(ulid), last) > 0);
        memcpy(last, ulid, sizeof last);
    }
}

static void *make_many(void *arg)
{
    char(*out)[REEVE_ULID_SIZE] = arg;
    for (int i = 0; i < 1000; i++) {
        (void)reeve_ulid_new(out[i]); /* returns its argument */
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void threads_never_make_the_same_ulid(void **state)
{
    (void)state;
    static char ulids[4000][REEVE_ULID_SIZE];
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, make_many, ulids[i * 1000]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    qsort(ulids, 4000, REEVE_ULID_SIZE, compare);
    for (size_t i = 1; i < 4000; i++) {
        assert_true(strcmp(ulids[i - 1], ulids[i]) < 0);
    }
}

static void a_forked_child_does_not_repeat_its_parent(void **state)
{
    (void)state;
    reeve_clock_set(&fake); // the clock stands still: both would count on from the same number
    char ulid[REEVE_ULID_SIZE];
    char child[REEVE_ULID_SIZE];
    int ends[2];
    (void)reeve_ulid_new(ulid); /* the number both would count on from */
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(write(ends[1], reeve_ulid_new(child), sizeof child) == sizeof child ? 0 : 1);
    }
    (void)reeve_ulid_new(ulid); /* returns its argument */
    assert_int_equal(read(ends[0], child, sizeof child), sizeof child);
    assert_string_not_equal(ulid, child);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(close(ends[0]) + close(ends[1]), 0);
}

static void ids_of_strangers_are_checked(void **state)
{
    (void)state;
    char id[66];
    memset(id, 'a', sizeof id);
    id[64] = '\0';
    assert_true(reeve_id_valid(id));
    id[64] = 'a';
    id[65] = '\0';
    assert_false(reeve_id_valid(id));
    assert_true(reeve_id_valid("_-A9z"));
    static const char *const bad[] = {NULL, "", " ", "a b", "a/b", "a.b", "a\n", "\xc3\xa4", "a+", "#"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(bad); i++) {
        assert_false(reeve_id_valid(bad[i]));
    }
}

static void random_hex_has_its_length_and_no_pattern(void **state)
{
    (void)state;
    char a[33];
    char b[33];
    memset(a, 'x', sizeof a);
    assert_string_equal(reeve_hex_random(a, 0), "");
    assert_int_equal(a[1], 'x');
    assert_int_equal(strlen(reeve_hex_random(a, 7)), 7);
    assert_int_equal(a[8], 'x');
    assert_int_equal(strspn(reeve_hex_random(a, 32), "0123456789abcdef"), 32);
    assert_string_not_equal(a, reeve_hex_random(b, 32));
    bool seen[256] = {false};
    unsigned char bytes[8192]; // no value missing: 256 * (255/256)^8192, 3 in 10^12 to fail by chance
    reeve_random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        seen[bytes[i]] = true;
    }
    for (size_t i = 0; i < 256; i++) {
        assert_true(seen[i]);
    }
}

static void the_boot_id_is_one_line_and_stays(void **state)
{
    (void)state;
    const char *id = reeve_boot_id();
    assert_int_equal(strlen(id), access("/proc/sys/kernel/random/boot_id", R_OK) == 0 ? 36 : 0);
    assert_null(strchr(id, '\n'));
    assert_ptr_equal(reeve_boot_id(), id);
}

static void the_digest_is_fnv1a(void **state)
{
    (void)state;
    assert_true(reeve_hash64("", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(reeve_hash64("a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(reeve_hash64("foobar", 6) == UINT64_C(0x85944171f73967e8));
}

#define TEST(f) cmocka_unit_test_teardown(f, restore_clock)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_ulid_begins_with_its_time),       TEST(later_ulids_compare_greater_whatever_the_clock_does),
        TEST(threads_never_make_the_same_ulid),  TEST(a_forked_child_does_not_repeat_its_parent),
        TEST(ids_of_strangers_are_checked),      TEST(random_hex_has_its_length_and_no_pattern),
        TEST(the_boot_id_is_one_line_and_stays), TEST(the_digest_is_fnv1a),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

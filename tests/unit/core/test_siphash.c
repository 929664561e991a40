// SipHash-2-4 against the vectors of its authors.
// Must not: test speed.
#include "cmocka_all.h"

#include "siphash.h"

static void vectors_of_the_paper_hold(void **state)
{
    (void)state;
    // Key 00 01 .. 0f, message 00 01 .. (len - 1); appendix A of the paper has 15 bytes, the reference code the rest.
    static const struct {
        size_t len;
        uint64_t hash;
    } rows[] = {{0, UINT64_C(0x726fdb47dd0e0e31)},
                {1, UINT64_C(0x74f839c593dc67fd)},
                {8, UINT64_C(0x93f5f5799a932462)},
                {15, UINT64_C(0xa129ca6149be45e5)}};
    const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    unsigned char message[16];
    for (unsigned char i = 0; i < sizeof message; i++) {
        message[i] = i;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(reeve_siphash(key, message, rows[i].len) == rows[i].hash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors_of_the_paper_hold)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

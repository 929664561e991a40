// cmocka with the headers it wants before it, and what every test of core needs.
#ifndef REEVE_TEST_CMOCKA_ALL_H
#define REEVE_TEST_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <reeve/err.h>

#define assert_err(call, expected) assert_string_equal(reeve_err_text(call), reeve_err_text(expected))
#define assert_ok(call)            assert_err(call, REEVE_OK)

#endif

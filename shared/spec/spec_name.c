// Names for workers that were given none.
// Must not: promise more than that two calls differ; who keeps names looks for collisions.
#include <reeve/id.h>
#include <reeve/spec.h>

#include <stdio.h>
#include <string.h>

#define NAME_PREFIX   "worker-"
#define RANDOM_DIGITS 8
#define MIDDLE_MAX    (REEVE_NAME_LEN_MAX - (sizeof(NAME_PREFIX) - 1) - RANDOM_DIGITS)

// `-part`, made valid, at the end of `middle`; what does not fit is cut.
static void append_part(char middle[MIDDLE_MAX + 1], const char *part)
{
    char name[REEVE_NAME_SIZE];
    size_t len = strlen(middle);
    (void)snprintf(middle + len, MIDDLE_MAX + 1 - len, "%s-", reeve_name_from(part, name));
}

// Exactly one '-' behind what there is room for, cut or not.
static void end_part(char middle[MIDDLE_MAX + 1])
{
    size_t len = strlen(middle);
    len = len < MIDDLE_MAX ? len : MIDDLE_MAX - 1;
    while (len > 0 && middle[len - 1] == '-') {
        len--;
    }
    middle[len] = '-';
    middle[len + 1] = '\0';
}

const char *reeve_spec_name_generate(const char *type, const char *exchange, const char *host,
                                     char buf[REEVE_NAME_SIZE])
{
    char middle[MIDDLE_MAX + 1] = "";
    char digits[RANDOM_DIGITS + 1];
    if (type != NULL && strcmp(type, "default") != 0) {
        append_part(middle, type);
    }
    if (exchange != NULL) {
        append_part(middle, exchange);
    }
    append_part(middle, host);
    end_part(middle);
    (void)snprintf(buf, REEVE_NAME_SIZE, NAME_PREFIX "%s%s", middle, reeve_hex_random(digits, RANDOM_DIGITS));
    return buf;
}

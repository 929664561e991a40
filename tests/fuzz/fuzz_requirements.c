// Any text as requirements: what is accepted is written and reads back the same, and is evaluated without a fault.
#include "fuzz.h"

#include <reeve/match.h>
#include <reeve/str.h>
#include <string.h>

#define TEXT_MAX 512

// Everything has one value: the key itself.
static const char *key_attribute(const void *thing, const char *key, size_t n, char *buf)
{
    (void)thing;
    (void)buf;
    return n == 0 ? key : NULL;
}

static void check(const struct reeve_requirement *requirement)
{
    char text[REEVE_REQUIREMENT_TEXT_SIZE];
    char again[REEVE_REQUIREMENT_TEXT_SIZE];
    struct reeve_requirement back;
    enum reeve_err err = reeve_requirement_parse(reeve_requirement_text(requirement, text), &back, NULL);
    REEVE_ASSERT(err == REEVE_OK && back.compare == requirement->compare);
    REEVE_ASSERT(strcmp(reeve_requirement_text(&back, again), text) == 0);
    (void)reeve_requirement_met(requirement, key_attribute, NULL); /* only that it comes back */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char text[TEXT_MAX];
    struct reeve_why why = {.text = ""};
    struct reeve_requirement one;
    struct reeve_requirements all = {.len = 0};
    len = len < TEXT_MAX ? len : TEXT_MAX - 1;
    memcpy(text, data, len);
    text[len] = '\0';
    if (reeve_requirement_parse(text, &one, &why) == REEVE_OK) {
        check(&one);
    } else {
        REEVE_ASSERT(why.text[0] != '\0' && reeve_utf8_valid(why.text, strlen(why.text)));
    }
    REEVE_VALUE_AUTO tree = NULL;
    if (reeve_json_read((const char *)data, len, &reeve_limits_wire, NULL, &tree, NULL) != REEVE_OK) {
        tree = reeve_value_str(text);
    }
    if (reeve_requirements_add(&all, tree, "requires", &why) == REEVE_OK) {
        for (size_t i = 0; i < all.len; i++) {
            check(&all.items[i]);
        }
    } else {
        REEVE_ASSERT(all.len == 0 && why.text[0] != '\0');
    }
    return 0;
}

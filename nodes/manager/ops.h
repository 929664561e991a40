// Looking into the table of ops (ops.c).
#ifndef REEVE_MANAGER_OPS_H
#define REEVE_MANAGER_OPS_H

struct op;
const struct op *op_find(const char *name, unsigned level); // of enum op_level; NULL
const char *op_near(const char *name, unsigned level);      // NULL when none is near

#endif

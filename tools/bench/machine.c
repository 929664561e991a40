// Reading what describes a machine and its processes.
// Must not: fail a benchmark; what can't be read is left out.
#include "machine.h"
#include "child.h"

#include <reeve/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FILE_MAX  (1u << 20)
#define VALUE_MAX 160

// The rest of the line after `key` and what separates it. False when there is no such line.
static bool line_value(const char *text, const char *key, const char *separators, char ret[VALUE_MAX])
{
    size_t key_len = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        if (strncmp(line, key, key_len) == 0) {
            line += key_len;
            line += strspn(line, separators);
            (void)snprintf(ret, VALUE_MAX, "%.*s", (int)strcspn(line, "\"\n"), line);
            return true;
        }
    }
    return false;
}

static bool file_value(const char *path, const char *key, const char *separators, char ret[VALUE_MAX])
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(FILE_MAX);
    return reeve_file_read(path, FILE_MAX, &text, NULL) == REEVE_OK &&
           line_value(reeve_buf_str(&text), key, separators, ret);
}

static const char *fs_name(const char *dir)
{
    static const struct {
        unsigned long magic; // statfs(2)
        const char *name;
    } names[] = {
        {0xef53, "ext4"}, {0x01021994, "tmpfs"}, {0x58465342, "xfs"}, {0x9123683e, "btrfs"}, {0x794c7630, "overlay"}};
    struct statfs fs;
    if (statfs(dir, &fs) != 0) {
        return NULL;
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(names); i++) {
        if ((unsigned long)fs.f_type == names[i].magic) {
            return names[i].name;
        }
    }
    return "other";
}

static void put_mosquitto(struct reeve_value *map)
{
    char version[VALUE_MAX];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(FILE_MAX);
    (void)child_run((const char *const[]){"/usr/sbin/mosquitto", "-h", NULL}, &text, -1,
                    NULL); // exits with 3 after its help
    if (line_value(reeve_buf_str(&text), "mosquitto version", " ", version)) {
        reeve_put_str(map, "mosquitto", version);
    }
}

struct reeve_value *machine_value(const char *state_dir)
{
    char text[VALUE_MAX];
    struct utsname kernel;
    struct sysinfo info = {0};
    struct reeve_value *map = reeve_value_map();
    if (file_value("/proc/cpuinfo", "model name", "\t :", text)) {
        reeve_put_str(map, "cpu", text);
    }
    reeve_put_int(map, "cores", sysconf(_SC_NPROCESSORS_ONLN));
    if (sysinfo(&info) == 0) {
        reeve_put_int(map, "memory_bytes", (int64_t)info.totalram * info.mem_unit);
    }
    if (uname(&kernel) == 0) {
        reeve_put_str(map, "kernel", kernel.release);
    }
    if (file_value("/etc/os-release", "PRETTY_NAME", "=\"", text)) {
        reeve_put_str(map, "system", text);
    }
    put_mosquitto(map);
    reeve_put_str(map, "reeve", REEVE_VERSION);
    reeve_put_str(map, "compiler", __VERSION__);
#ifdef __OPTIMIZE__
    reeve_put_bool(map, "optimised", true);
#else
    reeve_put_bool(map, "optimised", false);
#endif
    reeve_put_str_opt(map, "state_fs", fs_name(state_dir));
    return map;
}

struct reeve_value *machine_load(void)
{
    double load[3] = {0};
    int count = getloadavg(load, 3);
    struct reeve_value *list = reeve_value_list();
    for (int i = 0; i < count; i++) {
        (void)reeve_value_add(list, reeve_value_float((double)(int64_t)(load[i] * 100) / 100)); // reeve_value_built()
    }
    return list;
}

// ---- processes ----------------------------------------------------------------------------------------------

// /proc/<pid>/<leaf>, cut to `size`. False when there is no such process.
static bool read_proc(pid_t pid, const char *leaf, char *ret, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, leaf);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t len = fread(ret, 1, size - 1, file);
    (void)fclose(file); // was only read
    ret[len] = '\0';
    return len > 0;
}

static int64_t kb_line(pid_t pid, const char *leaf, const char *key)
{
    char text[4096], value[VALUE_MAX];
    if (!read_proc(pid, leaf, text, sizeof(text)) || !line_value(text, key, "\t ", value)) {
        return -1;
    }
    return strtoll(value, NULL, 10);
}

int64_t machine_rss_kb(pid_t pid)
{
    return kb_line(pid, "status", "VmRSS:");
}

int64_t machine_rss_peak_kb(pid_t pid)
{
    return kb_line(pid, "status", "VmHWM:");
}

int64_t machine_pss_kb(pid_t pid)
{
    return kb_line(pid, "smaps_rollup", "Pss:");
}

// Field `number` (from 1, after the name: from 3) of /proc/<pid>/stat; 0 when there is no such process or a zombie.
static uint64_t stat_field(pid_t pid, int number)
{
    char text[1024];
    const char *field = read_proc(pid, "stat", text, sizeof(text)) ? strrchr(text, ')') : NULL;
    if (field == NULL || field[1] == '\0' || field[2] == 'Z' || field[2] == 'X') {
        return 0;
    }
    field += 2;
    for (int i = 3; i < number && field != NULL; i++) {
        field = strchr(field + 1, ' ');
    }
    return field != NULL ? strtoull(field, NULL, 10) : 0;
}

int64_t machine_cpu_ns(pid_t pid)
{
    return (int64_t)(stat_field(pid, 14) + stat_field(pid, 15)) * (1000000000 / sysconf(_SC_CLK_TCK));
}

pid_t machine_parent(pid_t pid)
{
    return (pid_t)stat_field(pid, 4);
}

uint64_t machine_start_time(pid_t pid)
{
    return stat_field(pid, 22);
}

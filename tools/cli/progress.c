// Telling how far it is; see progress.h.
// Must not: cost anything where nobody looks.
#include "progress.h"

#include "output.h"

#include <inttypes.h>
#include <reeve/clock.h>
#include <reeve/units.h>
#include <string.h>
#include <unistd.h>

#define SHOW_MS   200
#define BAR_WIDTH 20

void progress_begin(struct progress *progress, const char *what)
{
    *progress = (struct progress){.what = what, .started_mono = reeve_clock_mono_ms()};
}

static void put_bar(struct reeve_buf *out, double share)
{
    int full = (int)(share * BAR_WIDTH);
    reeve_buf_puts(out, "  [");
    for (int i = 0; i < BAR_WIDTH; i++) {
        reeve_buf_puts(out, i < full ? "#" : ".");
    }
    reeve_buf_printf(out, "] %3d%%", (int)(share * 100));
}

void progress_text(const char *what, uint64_t count, double share, int64_t elapsed_ms, struct reeve_buf *out)
{
    char text[REEVE_UNITS_TEXT_LEN];
    share = share > 1 ? 1 : share;
    reeve_buf_printf(out, "%" PRIu64 " %s", count, what);
    if (share >= 0) {
        put_bar(out, share);
    }
    if (elapsed_ms > 0 && count > 0) {
        reeve_buf_printf(out, "  %.0f/s", (double)count * 1000 / (double)elapsed_ms);
    }
    if (elapsed_ms > 0 && share > 0.01 && share < 1) {
        int64_t left_ms = (int64_t)((double)elapsed_ms * (1 - share) / share);
        reeve_buf_printf(out, "  %s left", reeve_duration_human((left_ms + 999) / 1000 * 1000, text));
    }
}

void progress_show(struct progress *progress, uint64_t count, double share, const char *note)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(2048);
    int64_t now_mono = reeve_clock_mono_ms();
    if (now_mono - progress->shown_mono < SHOW_MS || isatty(STDERR_FILENO) != 1) {
        return;
    }
    progress->shown_mono = now_mono;
    progress->line = true;
    progress_text(progress->what, count, share, now_mono - progress->started_mono, &text);
    if (note != NULL) {
        reeve_buf_puts(&text, "  ");
        output_escape(&text, note, strlen(note));
    }
    (void)fprintf(stderr, "\r\033[K%s", reeve_buf_str(&text));
    (void)fflush(stderr); /* for the eye only */
}

void progress_end(struct progress *progress)
{
    if (progress->line) {
        (void)fprintf(stderr, "\r\033[K");
        progress->line = false;
    }
}

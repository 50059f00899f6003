/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Auto-converge. */
#include "qemu/osdep.h"

#include "qemu/main-loop.h"
#include "qapi/qapi-types-migration.h"
#include "migration/options.h"
#include "system/cpu-throttle.h"

#include "throttle.h"
#include "trace.h"

#define PERIOD_NS 1000000000
/* A single period may be a burst. */
#define HIGH_PERIODS 2
/* As often as QEMU's stock migration looks during a long round. */
#define HARVEST_NS 5000000000

void shmig_throttle_init(ShmigThrottle *throttle, int64_t now_ns,
                         uint64_t wire_bytes)
{
    *throttle = (ShmigThrottle) {
        .since_ns = now_ns,
        .sent_bytes = wire_bytes,
    };
}

static int next_percentage(uint64_t dirty, uint64_t bearable)
{
    int now = cpu_throttle_get_percentage();
    int step = migrate_cpu_throttle_increment();

    if (!cpu_throttle_active()) {
        return migrate_cpu_throttle_initial();
    }
    if (migrate_cpu_throttle_tailslow()) {
        int ideal = (100 - now) * (1.0 - (double)bearable / dirty);

        step = MIN(ideal, step);
    }
    return MIN(now + step, migrate_max_cpu_throttle());
}

void shmig_throttle_harvested(ShmigThrottle *throttle, int64_t now_ns,
                              uint64_t dirty_bytes, uint64_t wire_bytes)
{
    uint64_t sent, bearable;

    throttle->dirty_bytes += dirty_bytes;
    if (now_ns - throttle->since_ns < PERIOD_NS) {
        return;
    }
    sent = wire_bytes - throttle->sent_bytes;
    bearable = sent * migrate_throttle_trigger_threshold() / 100;
    throttle->high = throttle->dirty_bytes > bearable ? throttle->high + 1 : 0;
    if (throttle->high >= HIGH_PERIODS) {
        throttle->high = 0;
        if (migrate_auto_converge()) {
            BQL_LOCK_GUARD();
            trace_shmig_throttle(throttle->dirty_bytes, sent);
            cpu_throttle_set(next_percentage(throttle->dirty_bytes, bearable));
        }
    }
    throttle->since_ns = now_ns;
    throttle->sent_bytes = wire_bytes;
    throttle->dirty_bytes = 0;
}

bool shmig_throttle_wants_harvest(const ShmigThrottle *throttle,
                                  const ShmigRounds *rounds, int64_t now_ns)
{
    /* The first round copies everything anyway. */
    return migrate_auto_converge() && rounds->harvests > 0 &&
           now_ns - rounds->harvested_ns >= HARVEST_NS;
}

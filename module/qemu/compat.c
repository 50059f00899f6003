/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of QEMU's migration does not go together with shmig. */
#include "qemu/osdep.h"

#include "exec/target_page.h"
#include "qapi/qapi-types-migration.h"
#include "migration/options.h"

#include "glue.h"

/* Each needs the stock RAM code, its stream or its channels. */
static const MigrationCapability refused[] = {
    MIGRATION_CAPABILITY_XBZRLE,
    MIGRATION_CAPABILITY_POSTCOPY_RAM,
    MIGRATION_CAPABILITY_POSTCOPY_PREEMPT,
    MIGRATION_CAPABILITY_POSTCOPY_BLOCKTIME,
    MIGRATION_CAPABILITY_X_COLO,
    MIGRATION_CAPABILITY_MULTIFD,
    MIGRATION_CAPABILITY_MAPPED_RAM,
    MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT,
    MIGRATION_CAPABILITY_RELEASE_RAM,
    MIGRATION_CAPABILITY_ZERO_COPY_SEND,
    MIGRATION_CAPABILITY_RDMA_PIN_ALL,
    MIGRATION_CAPABILITY_DIRTY_LIMIT,
    /* Is half of postcopy: migrate-start-postcopy would start the guest. */
    MIGRATION_CAPABILITY_DIRTY_BITMAPS,
};

bool shmig_check_capabilities(Error **errp)
{
    MigrationState *s = migrate_get_current();

    for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
        if (s->capabilities[refused[i]]) {
            error_setg(errp,
                       "migration capability \"%s\" does not work "
                       "with shmig; turn it off",
                       MigrationCapability_str(refused[i]));
            return false;
        }
    }
    if (migrate_mode() != MIG_MODE_NORMAL) {
        error_setg(errp,
                   "migration mode \"%s\" does not work with shmig; "
                   "set it to \"normal\"",
                   MigMode_str(migrate_mode()));
        return false;
    }
    if (qemu_target_page_bits() != SHMIG_RAM_GRANULE_SHIFT) {
        error_setg(errp, "shmig needs a target with pages of 4 KiB");
        return false;
    }
    return true;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of a migration, as the rest of the QEMU glue sees them.
 *
 * Unless it says otherwise a function is called on the main thread with the
 * BQL held, outside any coroutine and without the block graph lock: they all
 * may change the block graph or wait for requests.
 *
 * Source:      collect → insert → (disarm) → remove → free
 * Destination: check → release → free
 */
#ifndef SHMIG_QEMU_DISK_H
#define SHMIG_QEMU_DISK_H

#include "qapi/error.h"
#include "shmig/session/dest.h"
#include "shmig/session/source.h"

typedef struct ShmigDiskSet ShmigDiskSet;

/*
 * Source, when `migrate` is called: finds the disks that travel and adds them
 * to @offer.  @selection is the value of the option "disks": NULL for every
 * writable disk attached to a guest device, "none", or guest device ids
 * separated by ';'.  Writable disks that are not selected are named in the
 * offer as left out.  Nothing in the block graph is changed yet.
 *
 * On success *@set holds the disks in the order of the offer, even if there
 * are none.
 */
bool shmig_disks_collect(ShmigOffer *offer, const char *selection,
                         ShmigDiskSet **set, Error **errp);

/*
 * Source, in the MIG_EVENT_PRECOPY_SETUP notifier and before
 * shmig_source_start(): puts a filter above each disk and gives @src a
 * ShmigDisk to read each from.  @src must outlive remove().  On failure
 * nothing is left inserted, but @src may have got some of its disks: it can
 * only be freed.
 */
bool shmig_disks_insert(ShmigDiskSet *set, ShmigSource *src, Error **errp);

/*
 * Source, right before the guest is stopped; any thread that holds the BQL:
 * whether all images can be given up, as a switch-over needs.  Says who keeps
 * which otherwise.
 */
bool shmig_disks_can_be_left(const ShmigDiskSet *set, Error **errp);

/*
 * Source, any thread: from now on guest writes only pass through the filters.
 * For a session that failed while its migration is still being cleaned up;
 * not at the same time as remove().  NULL is fine.
 */
void shmig_disks_disarm(ShmigDiskSet *set);

/*
 * Source, after the migration ended in whatever way and before
 * shmig_source_free(): takes the filters out of the graph and drops every
 * reference to it.  Disks that still read get -ECANCELED.  Idempotent; NULL
 * is fine.
 */
void shmig_disks_remove(ShmigDiskSet *set);

/*
 * Destination, while the offer is checked: finds the disk for each one of
 * @offer, appends a sentence (g_strdup'ed) to @problems for each thing that
 * cannot work, and if there is none activates the images and gives @dest a
 * ShmigDisk for each.  *@set is NULL if there were problems.
 */
bool shmig_disks_check(ShmigDest *dest, const ShmigOffer *offer,
                       ShmigDiskSet **set, GPtrArray *problems);

/*
 * Destination, if the session failed, before shmig_dest_free(): requests that
 * go through the block layer end with -ECANCELED, so that free() need not
 * wait for slow storage.  NULL is fine.
 */
void shmig_disks_cancel(ShmigDiskSet *set);

/*
 * Destination: gives the images back, so that the guest's devices can own
 * them.  To be called after the drain and before device state is loaded, or,
 * if the session failed, after shmig_dest_free(): nobody writes any more.
 * Idempotent; NULL is fine.
 */
void shmig_disks_release(ShmigDiskSet *set);

/* Removes or releases what still is there.  NULL is fine. */
void shmig_disks_free(ShmigDiskSet *set);

/* For statistics; any thread while the set exists.  @index < count. */
unsigned shmig_disks_count(const ShmigDiskSet *set);
const char *shmig_disks_id(const ShmigDiskSet *set, unsigned index);
uint64_t shmig_disks_size_bytes(const ShmigDiskSet *set, unsigned index);
/* "file" or "block-layer"; "" until the disk is inserted or checked. */
const char *shmig_disks_path(const ShmigDiskSet *set, unsigned index);

#endif

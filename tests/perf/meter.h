/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel knows of a QEMU: processor time, memory, and its guest's
 * pages. */
#ifndef TESTS_PERF_METER_H
#define TESTS_PERF_METER_H

#include "machine.h"

/*
 * Seconds of processor time that @machine has used so far, in all its threads
 * (io_uring's workers are among them), in user mode and in the kernel.
 */
bool meter_cpu(const Machine *machine, double *seconds, GError **errp);

/* Of these, what its guest's CPUs took. */
bool meter_vcpus(Machine *machine, double *seconds, GError **errp);

/* Seconds of processor time that anybody on this host has used. */
bool meter_host(double *seconds, GError **errp);

/* Forgets the highest number of resident bytes, and tells the present. */
bool meter_resident(const Machine *machine, int64_t *bytes, GError **errp);
/* The highest since then. */
bool meter_peak(const Machine *machine, int64_t *bytes, GError **errp);

/*
 * How many of the first @bytes of the guest's memory are in pages that are not
 * zero throughout.  The guest should be stopped.
 */
bool meter_nonzero(Machine *machine, uint64_t bytes, int64_t *nonzero,
                   GError **errp);

#endif

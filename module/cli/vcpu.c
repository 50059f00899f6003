/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bench's vCPUs, one thread each.
 *
 * A vCPU is busy from when it is given a command until its thread has left
 * the guest for good.  To call it out of the guest, a flag is set under the
 * lock, then immediate_exit, then the signal is sent; the thread resets
 * immediate_exit before it looks at the flags, so that it misses none.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "clock.h"
#include "exit.h"
#include "kvm-dirty-log.h"
#include "vm-internal.h"

#define KICK_SIGNAL SIGUSR1
#define NS_PER_S 1000000000u

/* Writes without a look at the clock, if there is no rate. */
#define MANY_WRITES (1u << 30)

/* How often a vCPU with a rate looks at the clock. */
#define BATCHES_PER_S 500u

/* One that is later than that does not run after what it has missed. */
#define MAX_LATE_NS (100u * 1000000u)

static void fail(Vcpu *vcpu, const char *what, const char *why)
{
    Vm *vm = vcpu->vm;

    pthread_mutex_lock(&vm->lock);
    if (!vm->error) {
        vm->error = g_strdup_printf("vCPU %u: %s%s", vcpu->index, what, why);
    }
    pthread_mutex_unlock(&vm->lock);
}

static void set_segments(Vcpu *vcpu, struct kvm_sregs *sregs)
{
    struct kvm_segment data = {
        .limit = 0xffffffff,
        .selector = 16,
        .type = 3,
        .present = 1,
        .db = 1,
        .s = 1,
        .g = 1,
    };
    struct kvm_segment text = data;

    text.selector = 8;
    text.type = 11;
    sregs->cr0 &= ~(3u << 29); /* caches are off after a reset */
    sregs->cr0 |= 1;           /* protected mode */
    if (vcpu->vm->is_64bit) {
        text.db = 0;
        text.l = 1;
        sregs->cr3 = PAYLOAD_TABLES_AT;
        sregs->cr4 |= 1u << 5;             /* PAE */
        sregs->cr0 |= 1u << 31;            /* paging */
        sregs->efer |= 1u << 8 | 1u << 10; /* long mode, active */
    }
    sregs->cs = text;
    sregs->ds = sregs->es = sregs->ss = sregs->fs = sregs->gs = data;
}

/* The guest begins to carry out its command. */
static bool set_registers(Vcpu *vcpu)
{
    uint64_t command =
        PAYLOAD_COMMANDS_AT + vcpu->index * PAYLOAD_COMMAND_BYTES;
    struct kvm_regs regs = {
        .rip = PAYLOAD_CODE_AT,
        .rflags = 2,
        .rax = command,
        .rdi = command,
        /* As after a call. */
        .rsp = PAYLOAD_STACKS_AT + (vcpu->index + 1) * PAYLOAD_STACK_BYTES - 8,
    };
    struct kvm_sregs sregs;

    if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0) {
        return false;
    }
    set_segments(vcpu, &sregs);
    return ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) == 0 &&
           ioctl(vcpu->fd, KVM_SET_REGS, &regs) == 0;
}

/* Answers what the thread was called for; whether the vCPU goes on. */
static bool look_at_flags(Vcpu *vcpu)
{
    Vm *vm = vcpu->vm;
    bool stop;

    __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&vm->lock);
    if (vcpu->flushed != vm->flush) {
        vcpu->flushed = vm->flush;
        pthread_cond_broadcast(&vm->changed);
    }
    stop = vm->stop;
    pthread_mutex_unlock(&vm->lock);
    return !stop;
}

/* KVM ends the exit's own business when it is entered once more. */
static void finish_exit(Vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    ioctl(vcpu->fd, KVM_RUN, 0);
}

/* Waits until the next writes are due; whether the vCPU goes on. */
static bool keep_rate(Vcpu *vcpu, uint64_t *due_ns)
{
    Vm *vm = vcpu->vm;
    uint64_t now = clock_ns();
    bool stop;

    *due_ns += vcpu->command->count * NS_PER_S / vm->rate;
    if (now > *due_ns + MAX_LATE_NS) {
        *due_ns = now;
    }
    pthread_mutex_lock(&vm->lock);
    while (!vm->stop && now < *due_ns) {
        struct timespec until = { *due_ns / NS_PER_S, *due_ns % NS_PER_S };

        /* Out of the guest: there is nothing to be flushed. */
        vcpu->flushed = vm->flush;
        pthread_cond_broadcast(&vm->changed);
        pthread_cond_timedwait(&vm->changed, &vm->lock, &until);
        now = clock_ns();
    }
    stop = vm->stop;
    pthread_mutex_unlock(&vm->lock);
    return !stop;
}

static bool empty_ring(Vcpu *vcpu)
{
    Vm *vm = vcpu->vm;
    int ret;

    __atomic_fetch_add(&vm->ring_fulls, 1, __ATOMIC_RELAXED);
    ret = vm->on_full ? vm->on_full(vm->opaque) : -ENOSYS;
    if (ret < 0) {
        fail(vcpu, "its full dirty ring cannot be emptied: ", g_strerror(-ret));
    }
    return ret == 0;
}

/* Whether the vCPU goes on. */
static bool handle_exit(Vcpu *vcpu, uint64_t *due_ns)
{
    char why[64];

    switch (vcpu->run->exit_reason) {
    case KVM_EXIT_IO:
        if (vcpu->run->io.port == PAYLOAD_PORT) {
            return vcpu->vm->endless &&
                   (!vcpu->vm->rate || keep_rate(vcpu, due_ns));
        }
        break;
    case SHMIG_KVM_EXIT_RING_FULL:
        return empty_ring(vcpu);
    }
    g_snprintf(why, sizeof(why), "%u", vcpu->run->exit_reason);
    fail(vcpu, "left the guest for an unexpected reason, KVM's number ", why);
    return false;
}

static void carry_out(Vcpu *vcpu)
{
    uint64_t due_ns = clock_ns();
    bool more = set_registers(vcpu);

    if (!more) {
        fail(vcpu, "KVM refuses its registers: ", g_strerror(errno));
    }
    while (more && look_at_flags(vcpu)) {
        if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
            more = handle_exit(vcpu, &due_ns);
        } else if (errno != EINTR && errno != EAGAIN) {
            fail(vcpu, "cannot run: ", g_strerror(errno));
            more = false;
        }
    }
    finish_exit(vcpu);
}

static void *vcpu_thread(void *opaque)
{
    Vcpu *vcpu = opaque;
    Vm *vm = vcpu->vm;

    pthread_mutex_lock(&vm->lock);
    while (!vm->quit) {
        if (!vcpu->busy) {
            pthread_cond_wait(&vm->changed, &vm->lock);
            continue;
        }
        pthread_mutex_unlock(&vm->lock);
        carry_out(vcpu);
        pthread_mutex_lock(&vm->lock);
        vcpu->busy = false;
        if (--vm->n_busy == 0) {
            eventfd_write(vm->done_fd, 1);
        }
        pthread_cond_broadcast(&vm->changed);
    }
    pthread_mutex_unlock(&vm->lock);
    return NULL;
}

static void on_kick(int number)
{
}

bool vcpu_start(Vcpu *vcpu, GError **errp)
{
    struct sigaction action = { .sa_handler = on_kick };
    sigset_t all, before;
    int ret;

    /* The user's signals are the main thread's. */
    sigaction(KICK_SIGNAL, &action, NULL);
    sigfillset(&all);
    sigdelset(&all, KICK_SIGNAL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ret = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    vcpu->has_thread = ret == 0;
    if (ret) {
        g_set_error(errp, CLI_ERROR, CLI_FAILED,
                    "vCPU %u: the host makes no thread: %s", vcpu->index,
                    g_strerror(ret));
    }
    return ret == 0;
}

/* Gives every vCPU its command's constant part. */
static void set_commands(Vm *vm, PayloadPattern pattern, double fraction)
{
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        Vcpu *vcpu = &vm->vcpus[i];
        PayloadCommand *cmd = vcpu->command;

        cmd->base = vm->base + vcpu->first_page * 4096;
        cmd->pattern = pattern;
        cmd->pages = vcpu->n_pages;
        cmd->stride = MIN(vm->options.stride_pages, vcpu->n_pages);
        if (pattern == PAYLOAD_STRIDED) {
            cmd->pages -= cmd->pages % cmd->stride;
        }
        cmd->hot_pages = MAX(1, vcpu->n_pages * vm->options.hot_percent / 100);
        cmd->count = MAX(1, vcpu->n_pages * fraction);
        if (pattern == PAYLOAD_SEQUENTIAL) {
            cmd->position = 0;
        }
    }
}

static void begin(Vm *vm)
{
    eventfd_t old;

    pthread_mutex_lock(&vm->lock);
    g_assert(vm->n_busy == 0);
    if (eventfd_read(vm->done_fd, &old) < 0) {
        g_assert(errno == EAGAIN);
    }
    vm->stop = false;
    vm->n_busy = vm->n_vcpus;
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        vm->vcpus[i].busy = true;
    }
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
}

void vm_populate(Vm *vm)
{
    set_commands(vm, PAYLOAD_SEQUENTIAL, 1);
    vm->endless = false;
    begin(vm);
}

void vm_pass(Vm *vm, double fraction)
{
    set_commands(vm, vm->options.pattern, fraction);
    vm->endless = false;
    begin(vm);
}

void vm_run(Vm *vm, uint64_t rate)
{
    set_commands(vm, vm->options.pattern, 1);
    vm->endless = true;
    vm->rate = rate ? MAX(1, rate / vm->n_vcpus) : 0;
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        vm->vcpus[i].command->count =
            rate ? MAX(1, vm->rate / BATCHES_PER_S) : MANY_WRITES;
    }
    begin(vm);
}

/* The lock is held. */
static void kick(Vm *vm)
{
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        if (vm->vcpus[i].busy) {
            __atomic_store_n(&vm->vcpus[i].run->immediate_exit, 1,
                             __ATOMIC_SEQ_CST);
            pthread_kill(vm->vcpus[i].thread, KICK_SIGNAL);
        }
    }
    if (vm->n_busy) {
        pthread_cond_broadcast(&vm->changed);
    }
}

static bool report(Vm *vm, GError **errp)
{
    if (vm->error) {
        g_set_error_literal(errp, CLI_ERROR, CLI_FAILED, vm->error);
    }
    return !vm->error;
}

bool vm_stop(Vm *vm, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&vm->lock);
    vm->stop = true;
    kick(vm);
    while (vm->n_busy) {
        pthread_cond_wait(&vm->changed, &vm->lock);
    }
    ok = report(vm, errp);
    pthread_mutex_unlock(&vm->lock);
    return ok;
}

bool vm_wait(Vm *vm, int interrupt_fd, GError **errp)
{
    struct pollfd fds[] = {
        { .fd = vm->done_fd, .events = POLLIN },
        { .fd = interrupt_fd, .events = POLLIN },
    };

    while (poll(fds, 2, -1) < 0) {
        g_assert(errno == EINTR);
    }
    return vm_stop(vm, errp);
}

void vm_flush(Vm *vm)
{
    uint64_t wanted;

    pthread_mutex_lock(&vm->lock);
    wanted = ++vm->flush;
    kick(vm);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        Vcpu *vcpu = &vm->vcpus[i];

        while (vcpu->busy && vcpu->flushed < wanted) {
            pthread_cond_wait(&vm->changed, &vm->lock);
        }
    }
    pthread_mutex_unlock(&vm->lock);
}

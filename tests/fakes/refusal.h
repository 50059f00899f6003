/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel that refuses a system call: on the calling thread, and on those
 * that it makes, for good.  Tests call it on a thread of their own.
 */
#ifndef TESTS_FAKES_REFUSAL_H
#define TESTS_FAKES_REFUSAL_H

#include <errno.h>
#include <glib.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static inline void refuse_program(struct sock_filter *code, unsigned n)
{
    struct sock_fprog program = { n, code };

    g_assert_cmpint(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
    g_assert_cmpint(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), ==,
                    0);
}

/* @call fails with @err. */
static inline void refuse_call(unsigned call, int err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };

    refuse_program(code, G_N_ELEMENTS(code));
}

/* Threads: glibc asks clone3() first, and clone() where there is none. */
static inline void refuse_threads(void)
{
    refuse_call(SYS_clone3, ENOSYS);
    refuse_call(SYS_clone, EAGAIN);
}

/* mmap() of @bytes, and nothing else that is mapped. */
static inline void refuse_mapping(uint32_t bytes)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, bytes, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };

    refuse_program(code, G_N_ELEMENTS(code));
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disk images, made by hand where they are raw and by qemu-img else. */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images.h"
#include "loop.h"
#include "machine.h"

#define MIB (1024u * 1024u)

/*
 * IMAGE_HOLES: of each four MiB, one and a bit are data.  They begin and end
 * off any granule's border, and some of the data are written zeroes.
 */
#define PATTERN_BYTES (4 * MIB)
#define DATA_FIRST (MIB + 12 * 1024)
#define DATA_BYTES (MIB + 4 * 1024)
#define ZERO_FIRST (2 * MIB + 512 * 1024)
#define ZERO_BYTES (128 * 1024)

bool image_run_program(GError **errp, const char *name, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(GSubprocess) process = NULL;
    g_autofree char *output = NULL;
    const char *word = name;
    va_list ap;

    va_start(ap, name);
    for (; word; word = va_arg(ap, const char *)) {
        g_ptr_array_add(argv, (char *)word);
    }
    va_end(ap);
    g_ptr_array_add(argv, NULL);
    process = g_subprocess_newv(
        (const char *const *)argv->pdata,
        G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE, errp);
    if (!process || !g_subprocess_communicate_utf8(process, NULL, NULL, &output,
                                                   NULL, errp)) {
        return false;
    }
    if (!g_subprocess_get_successful(process)) {
        return harness_fail(errp, "%s failed: %s", name,
                            output ? g_strstrip(output) : "");
    }
    return true;
}

static bool fill_random(void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = getrandom((char *)data + done, bytes - done, 0);

        if (n < 0 && errno != EINTR) {
            return false;
        }
        done += n > 0 ? n : 0;
    }
    return true;
}

static bool write_at(int fd, const void *data, size_t bytes, uint64_t offset)
{
    while (bytes) {
        ssize_t n = pwrite(fd, data, bytes, offset);

        if (n < 0) {
            return false;
        }
        data = (const char *)data + n;
        offset += n;
        bytes -= n;
    }
    return true;
}

static bool write_holes(int fd, uint64_t from, uint64_t to, void *data)
{
    g_autofree void *zeroes = g_malloc0(ZERO_BYTES);

    for (uint64_t at = from; at + PATTERN_BYTES <= to; at += PATTERN_BYTES) {
        if (!fill_random(data, DATA_BYTES) ||
            !write_at(fd, data, DATA_BYTES, at + DATA_FIRST) ||
            !write_at(fd, zeroes, ZERO_BYTES, at + ZERO_FIRST)) {
            return false;
        }
    }
    return true;
}

static bool write_full(int fd, uint64_t from, uint64_t to, void *data)
{
    for (uint64_t at = from; at < to; at += MIB) {
        size_t bytes = MIN(MIB, to - at);

        if (!fill_random(data, bytes) || !write_at(fd, data, bytes, at)) {
            return false;
        }
    }
    return true;
}

static bool write_content(int fd, uint64_t from, uint64_t to,
                          ImageContent content)
{
    g_autofree void *data = g_malloc(MAX(DATA_BYTES, MIB));

    switch (content) {
    case IMAGE_HOLES:
        return write_holes(fd, from, to, data);
    case IMAGE_FULL:
        return write_full(fd, from, to, data);
    case IMAGE_EMPTY:
        return true;
    }
    g_assert_not_reached();
}

static bool make_raw(const char *path, uint64_t bytes, uint64_t from,
                     ImageContent content, GError **errp)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool made;

    if (fd < 0) {
        return harness_fail(errp, "%s: %s", path, g_strerror(errno));
    }
    made = ftruncate(fd, bytes) == 0 && write_content(fd, from, bytes, content);
    if (!made) {
        harness_fail(errp, "%s: %s", path, g_strerror(errno));
    }
    close(fd);
    return made;
}

bool image_random_file(const char *path, uint64_t bytes, GError **errp)
{
    return make_raw(path, bytes, 0, IMAGE_FULL, errp);
}

/* By way of a raw file: qemu-img keeps the holes. */
static bool make_format(const char *path, const char *format, uint64_t bytes,
                        uint64_t from, ImageContent content, GError **errp)
{
    g_autofree char *raw = g_strconcat(path, ".content", NULL);
    bool made;

    made = make_raw(raw, bytes, from, content, errp) &&
           image_run_program(errp, machine_qemu_img(), "convert", "-f", "raw",
                             "-O", format, raw, path, NULL);
    unlink(raw);
    return made;
}

Image *image_new(const char *dir, const char *name, const char *format,
                 uint64_t bytes, uint64_t from, ImageContent content,
                 GError **errp)
{
    Image *image = g_new0(Image, 1);
    bool made;

    image->file = g_strdup_printf("%s/%s.%s", dir, name, format);
    image->path = g_strdup(image->file);
    image->format = format;
    image->bytes = bytes;
    image->from = from;
    if (g_str_equal(format, "raw")) {
        made = make_raw(image->path, image->bytes, from, content, errp);
    } else {
        made =
            make_format(image->path, format, image->bytes, from, content, errp);
    }
    if (!made) {
        image_free(image);
        return NULL;
    }
    return image;
}

bool image_put_on(Image *image, StorageKind kind, GError **errp)
{
    image->storage = storage_new(kind, image->file, errp);
    if (!image->storage) {
        return false;
    }
    g_free(image->path);
    image->path = g_strdup(storage_path(image->storage));
    return true;
}

void image_free(Image *image)
{
    if (image) {
        storage_free(image->storage);
        g_clear_pointer(&image->sums, g_array_unref);
        unlink(image->file);
        g_free(image->file);
        g_free(image->path);
        g_free(image);
    }
}

bool image_compare(const Image *a, const Image *b, GError **errp)
{
    return image_run_program(errp, machine_qemu_img(), "compare", "-U", "-f",
                             a->format, "-F", b->format, a->path, b->path,
                             NULL);
}

/* What anybody reads who uses the image: an export is of a file. */
static const char *readable_path(const Image *image)
{
    return image->path[0] == '/' ? image->path : image->file;
}

/* Zeroes add up to 0, holes among them. */
static uint64_t sum_words(const uint64_t *words, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15u;
    }
    return sum;
}

static bool is_hole(int fd, uint64_t at)
{
    off_t data = lseek(fd, at, SEEK_DATA);

    return data < 0 ? errno == ENXIO : (uint64_t)data >= at + MIB;
}

/* Of each MiB of @fd from @at on, to its end. */
static GArray *take_sums(int fd, uint64_t at, GError **errp)
{
    g_autofree uint64_t *data = g_malloc(MIB);
    g_autoptr(GArray) sums = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    uint64_t end = lseek(fd, 0, SEEK_END);

    for (; at < end; at += MIB) {
        size_t bytes = MIN(MIB, end - at);
        uint64_t sum = 0;

        if (!is_hole(fd, at)) {
            memset(data, 0, MIB);
            if (pread(fd, data, bytes, at) != (ssize_t)bytes) {
                harness_fail(errp, "MiB %" PRIu64 " cannot be read: %s",
                             at / MIB, g_strerror(errno));
                return NULL;
            }
            sum = sum_words(data, MIB / sizeof(*data));
        }
        g_array_append_val(sums, sum);
    }
    return g_steal_pointer(&sums);
}

static GArray *sums_of_file(const char *path, uint64_t from, GError **errp)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    GArray *sums;

    if (fd < 0) {
        harness_fail(errp, "%s: %s", path, g_strerror(errno));
        return NULL;
    }
    sums = take_sums(fd, from, errp);
    close(fd);
    return sums;
}

static GArray *sums_of(const Image *image, const char *path, GError **errp)
{
    g_autofree char *raw = g_strconcat(image->file, ".now", NULL);
    GArray *sums = NULL;

    if (g_str_equal(image->format, "raw")) {
        return sums_of_file(path, image->from, errp);
    }
    if (image_run_program(errp, machine_qemu_img(), "convert", "-U", "-f",
                          image->format, "-O", "raw", path, raw, NULL)) {
        sums = sums_of_file(raw, image->from, errp);
    }
    unlink(raw);
    return sums;
}

/* Not by way of a device, which would keep in memory what it has to read. */
bool image_remember(Image *image, GError **errp)
{
    GArray *sums = sums_of(image, image->file, errp);

    g_clear_pointer(&image->sums, g_array_unref);
    image->sums = sums;
    return sums != NULL;
}

bool image_unchanged(const Image *image, GError **errp)
{
    g_autoptr(GArray) now = sums_of(image, readable_path(image), errp);

    if (!now) {
        return false;
    }
    if (now->len != image->sums->len) {
        return harness_fail(errp, "%s has another size", image->path);
    }
    for (unsigned i = 0; i < now->len; i++) {
        if (g_array_index(now, uint64_t, i) !=
            g_array_index(image->sums, uint64_t, i)) {
            return harness_fail(errp, "%s: bytes in MiB %" PRIu64 " changed",
                                image->path, image->from / MIB + i);
        }
    }
    return true;
}

int64_t image_allocated(const Image *image, GError **errp)
{
    struct stat st;

    if (stat(image->file, &st) < 0) {
        harness_fail(errp, "%s: %s", image->file, g_strerror(errno));
        return -1;
    }
    return (int64_t)st.st_blocks * 512;
}

bool image_check(const Image *image, GError **errp)
{
    return g_str_equal(image->format, "raw") ||
           image_run_program(errp, machine_qemu_img(), "check", "-U", "-f",
                             image->format, image->path, NULL);
}

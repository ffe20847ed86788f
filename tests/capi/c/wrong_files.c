/* Wrong state files and descriptors: every error that a suspend and a resume are documented for. */
#define _GNU_SOURCE
#include "wrong.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define HEAD_BYTES 32
#define HEAD_VERSION_AT 8
#define HEAD_CRC_AT 12
#define HEAD_MARK_AT 16

static const godwit_file_options keep = {
    .struct_size = sizeof(keep), .flags = GODWIT_FILE_KEEP,
};

/* A state file's bytes. */
struct bytes {
    uint8_t *at;
    size_t count;
};

static void need(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        exit(1);
    }
}

static struct bytes load(const char *path)
{
    int fd = open(path, O_RDONLY);
    off_t end = lseek(fd, 0, SEEK_END);
    struct bytes bytes = { .at = malloc((size_t)end + 1), .count = (size_t)end };
    need(fd >= 0 && end > 0 && bytes.at != NULL, "a state file is not there");
    need(pread(fd, bytes.at, bytes.count, 0) == end, "a state file is not read");
    close(fd);
    return bytes;
}

static void store(const char *path, const struct bytes *bytes)
{
    FILE *file = fopen(path, "w");
    need(file != NULL && fwrite(bytes->at, 1, bytes->count, file) == bytes->count &&
             fclose(file) == 0,
         "a state file is not written");
}

/* CRC-32C of the head, bit by bit. */
static void seal_head(uint8_t *head)
{
    uint32_t crc = UINT32_MAX;
    for (int i = 0; i < HEAD_CRC_AT; i++) {
        crc ^= head[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
        }
    }
    crc = ~crc;
    memcpy(head + HEAD_CRC_AT, &crc, sizeof(crc));
}

/* The vGPU has bytes in its memory, so that its state has pages. */
static void fill(void)
{
    uint8_t bytes[16 * PAGE];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7 >> 3 | 1);
    }
    OK(godwit_vgpu_bar2_write(vgpu, 0, bytes, sizeof(bytes)));
}

void with_files(void)
{
    static char longest[5000];
    godwit_file_options options = { .struct_size = sizeof(options) };
    godwit_vgpu made = as_vgpu(99);
    memset(longest, 'a', sizeof(longest) - 1);
#define SUSPEND godwit_vgpu_suspend(vgpu, state_path, it)
#define RESUME godwit_vgpu_resume(device, state_path, it, &made)
    IS(-EFAULT, godwit_vgpu_suspend(vgpu, NULL, NULL));
    IS(-ENOENT, godwit_vgpu_suspend(vgpu, "", NULL));
    IS(-ENAMETOOLONG, godwit_vgpu_suspend(vgpu, longest, NULL));
    IS(-ENOENT, godwit_vgpu_suspend(vgpu, "/there/is/no/such/folder", NULL));
    IS(-EEXIST, godwit_vgpu_suspend(vgpu, "/dev/null", NULL));
    IS(-EEXIST, godwit_vgpu_suspend(vgpu, text_path, NULL));
    WRONG_FIELD(-EINVAL, godwit_file_options, options, flags, GODWIT_FILE_KEEP, SUSPEND);
    WRONG_BEHIND(godwit_file_options, options, SUSPEND);
    WRONG_LENGTHS(godwit_file_options, options, SUSPEND);
    IS(-EFAULT, godwit_vgpu_resume(device, NULL, NULL, &made));
    IS(-ENOENT, godwit_vgpu_resume(device, "", NULL, &made));
    IS(-ENAMETOOLONG, godwit_vgpu_resume(device, longest, NULL, &made));
    IS(-ENOENT, godwit_vgpu_resume(device, state_path, NULL, &made));
    IS(-EINVAL, godwit_vgpu_resume(device, "/", NULL, &made));
    IS(-EINVAL, godwit_vgpu_resume(device, "/dev/null", NULL, &made));
    IS(-EINVAL, godwit_vgpu_resume(device, text_path, NULL, &made));
    IS(-EFAULT, godwit_vgpu_resume(device, state_path, NULL, NULL));
    IS(-EFAULT, godwit_vgpu_resume(device, state_path, NULL, ODD(godwit_vgpu)));
    WRONG_FIELD(-EINVAL, godwit_file_options, options, flags, 2, RESUME);
    WRONG_FIELD(-EINVAL, godwit_file_options, options, flags, UINT32_MAX, RESUME);
    WRONG_BEHIND(godwit_file_options, options, RESUME);
    WRONG_LENGTHS(godwit_file_options, options, RESUME);
    if (made.raw != 99) {
        wrong("a handle was written");
    }
}

/* A file that was changed in one place, or has another length: it is refused, and not marked. */
static void damaged(const struct bytes *whole, int64_t error, size_t at, uint8_t flip, size_t count)
{
    godwit_vgpu made = as_vgpu(99);
    struct bytes changed = { .at = calloc(1, whole->count + 1), .count = count };
    need(changed.at != NULL, "there is no memory");
    memcpy(changed.at, whole->at, whole->count);
    changed.at[at] ^= flip;
    if (at == HEAD_VERSION_AT) {
        seal_head(changed.at);
    }
    store(text_path, &changed);
    IS(error, godwit_vgpu_resume(device, text_path, NULL, &made));
    int fd = open(text_path, O_RDWR);
    IS(error, godwit_vgpu_resume_fd(device, fd, NULL, &made));
    close(fd);
    struct bytes found = load(text_path);
    if (made.raw != 99 || found.count != count || memcmp(found.at, changed.at, count) != 0) {
        wrong("a file that was refused is another, or was resumed");
    }
    free(found.at);
    free(changed.at);
}

/* Why a card does not take what is in a whole file. */
static void on_other_cards(int fd)
{
    godwit_device_config config = device_config();
    godwit_device small, strange;
    godwit_vgpu made = as_vgpu(99);
    config.fb_bytes = 4 * MIB;
    OK(godwit_open(&config, &small));
    IS(-ENOSPC, godwit_vgpu_resume(small, state_path, NULL, &made));
    IS(-ENOSPC, godwit_vgpu_resume_fd(small, fd, &keep, &made));
    OK(godwit_close(small));
    config = device_config();
    config.context_layout = 2;
    OK(godwit_open(&config, &strange));
    IS(-EOPNOTSUPP, godwit_vgpu_resume(strange, state_path, NULL, &made));
    IS(-EOPNOTSUPP, godwit_vgpu_resume_fd(strange, fd, &keep, &made));
    OK(godwit_close(strange));
}

void with_damage(void)
{
    static uint8_t key[32];
    const godwit_file_options sealed = { .struct_size = sizeof(sealed), .key = key };
    const godwit_file_options sealed_and_kept = {
        .struct_size = sizeof(sealed), .flags = GODWIT_FILE_KEEP, .key = key,
    };
    godwit_vgpu made = as_vgpu(99);
    fill();
    OK(godwit_vgpu_suspend(vgpu, state_path, NULL));
    vgpu_handles(vgpu);
    struct bytes plain = load(state_path);
    const size_t end = plain.count;
    damaged(&plain, -EINVAL, 0, 1, end);
    damaged(&plain, -EINVAL, 0, 0, HEAD_BYTES - 1);
    damaged(&plain, -EPROTONOSUPPORT, HEAD_VERSION_AT, 3, end);
    damaged(&plain, -EBADMSG, HEAD_VERSION_AT + 1, 1, end);
    damaged(&plain, -ESTALE, HEAD_MARK_AT, 1, end);
    damaged(&plain, -EBADMSG, HEAD_BYTES, 1, end);
    damaged(&plain, -EBADMSG, end / 2, 1, end);
    damaged(&plain, -EBADMSG, end - 1, 1, end);
    damaged(&plain, -EBADMSG, 0, 0, HEAD_BYTES);
    damaged(&plain, -EBADMSG, 0, 0, end - 1);
    damaged(&plain, -EBADMSG, 0, 0, end + 1);
    free(plain.at);
    IS(-EKEYREJECTED, godwit_vgpu_resume(device, state_path, &sealed, &made));
    int fd = open(state_path, O_RDONLY);
    need(fd >= 0, "the file is not opened");
    on_other_cards(fd);
    need(flock(fd, LOCK_EX) == 0, "the file is not locked");
    IS(-EBUSY, godwit_vgpu_resume(device, state_path, NULL, &made));
    IS(-EBUSY, godwit_vgpu_resume_fd(device, fd, &keep, &made));
    close(fd);
    if (made.raw != 99) {
        wrong("a handle was written");
    }
    /* Nothing of this has marked the file. */
    OK(godwit_vgpu_resume(device, state_path, NULL, &vgpu));
    IS(-ESTALE, godwit_vgpu_resume(device, state_path, NULL, &made));

    OK(godwit_vgpu_suspend(vgpu, state_path, &sealed));
    fd = open(state_path, O_RDONLY);
    need(fd >= 0, "the file is not opened");
    IS(-ENOKEY, godwit_vgpu_resume(device, state_path, NULL, &made));
    IS(-ENOKEY, godwit_vgpu_resume_fd(device, fd, &keep, &made));
    key[0] = 1;
    IS(-EKEYREJECTED, godwit_vgpu_resume(device, state_path, &sealed, &made));
    IS(-EKEYREJECTED, godwit_vgpu_resume_fd(device, fd, &sealed_and_kept, &made));
    close(fd);
    key[0] = 0;
    struct bytes whole = load(state_path);
    whole.at[whole.count - 1] ^= 1;
    store(text_path, &whole);
    IS(-EBADMSG, godwit_vgpu_resume(device, text_path, &sealed, &made));
    free(whole.at);
    OK(godwit_vgpu_resume(device, state_path, &sealed, &vgpu));
}

/* Descriptors that nothing can be suspended to, or resumed from. */
static void wrong_descriptors(int text, int to_read, int to_write)
{
    godwit_file_options options = { .struct_size = sizeof(options) };
    int null = open("/dev/null", O_RDWR), fds[2];
    godwit_vgpu made = as_vgpu(99);
    need(null >= 0 && pipe(fds) == 0, "there are no descriptors");
#define SUSPEND_FD godwit_vgpu_suspend_fd(vgpu, to_write, it)
#define RESUME_FD godwit_vgpu_resume_fd(device, text, it, &made)
    const int closed[] = { -1, INT32_MIN, INT32_MAX, 1000000 };
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        IS(-EBADF, godwit_vgpu_suspend_fd(vgpu, closed[i], NULL));
        IS(-EBADF, godwit_vgpu_resume_fd(device, closed[i], NULL, &made));
    }
    IS(-EBADF, godwit_vgpu_suspend_fd(vgpu, to_read, NULL));
    IS(-EBADF, godwit_vgpu_resume_fd(device, to_read, NULL, &made));
    IS(-EBADF, godwit_vgpu_resume_fd(device, to_write, &keep, &made));
    IS(-EINVAL, godwit_vgpu_suspend_fd(vgpu, null, NULL));
    IS(-EINVAL, godwit_vgpu_suspend_fd(vgpu, fds[1], NULL));
    IS(-EINVAL, godwit_vgpu_resume_fd(device, null, NULL, &made));
    IS(-EINVAL, godwit_vgpu_resume_fd(device, fds[0], &keep, &made));
    IS(-EINVAL, godwit_vgpu_resume_fd(device, text, NULL, &made));
    IS(-EEXIST, godwit_vgpu_suspend_fd(vgpu, text, NULL));
    WRONG_FIELD(-EINVAL, godwit_file_options, options, flags, GODWIT_FILE_KEEP, SUSPEND_FD);
    WRONG_FIELD(-EINVAL, godwit_file_options, options, flags, 2, RESUME_FD);
    WRONG_BEHIND(godwit_file_options, options, SUSPEND_FD);
    WRONG_LENGTHS(godwit_file_options, options, SUSPEND_FD);
    WRONG_BEHIND(godwit_file_options, options, RESUME_FD);
    WRONG_LENGTHS(godwit_file_options, options, RESUME_FD);
    IS(-EFAULT, godwit_vgpu_resume_fd(device, text, NULL, NULL));
    IS(-EFAULT, godwit_vgpu_resume_fd(device, text, NULL, ODD(godwit_vgpu)));
    if (made.raw != 99) {
        wrong("a handle was written");
    }
    const int files[] = { null, fds[0], fds[1] };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        close(files[i]);
    }
}

/* A file that does not take the whole state: it is empty again, and the vGPU runs on. */
static void full_file(int fd)
{
    struct rlimit before, small;
    uint32_t state = 0;
    signal(SIGXFSZ, SIG_IGN);
    need(getrlimit(RLIMIT_FSIZE, &before) == 0, "there is no limit");
    small = before;
    small.rlim_cur = 2 * PAGE;
    need(setrlimit(RLIMIT_FSIZE, &small) == 0, "the limit is not set");
    IS(-EFBIG, godwit_vgpu_suspend_fd(vgpu, fd, NULL));
    need(setrlimit(RLIMIT_FSIZE, &before) == 0, "the limit is not set");
    OK(godwit_vgpu_get_state(vgpu, &state));
    if (state != GODWIT_STATE_RUNNING || lseek(fd, 0, SEEK_END) != 0) {
        wrong("a suspend that failed has changed something");
    }
}

void with_descriptors(void)
{
    const godwit_file_options options = { .struct_size = sizeof(options) };
    int text = open(text_path, O_RDWR), to_read = open(text_path, O_RDONLY);
    int fd = memfd_create("state", 0), sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
    FILE *of_text = fopen(text_path, "w");
    need(text >= 0 && to_read >= 0 && fd >= 0 && sealed >= 0 && of_text != NULL, "no files");
    need(fputs("no state file\n", of_text) >= 0 && fclose(of_text) == 0, "no text");
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int to_write = open(path, O_WRONLY);
    need(to_write >= 0, "a file is not opened anew");
    wrong_descriptors(text, to_read, to_write);
    need(fcntl(sealed, F_ADD_SEALS, F_SEAL_GROW) == 0, "a file is not sealed");
    IS(-EPERM, godwit_vgpu_suspend_fd(vgpu, sealed, NULL));
    need(flock(fd, LOCK_SH) == 0, "a file is not locked");
    IS(-EBUSY, godwit_vgpu_suspend_fd(vgpu, fd, NULL));
    need(flock(fd, LOCK_UN) == 0, "a file is not unlocked");
    full_file(fd);

    /* Where the descriptor is does not matter, and it stays there. */
    godwit_vgpu made = as_vgpu(99);
    need(lseek(fd, 77, SEEK_SET) == 77, "a file has no place");
    OK(godwit_vgpu_suspend_fd(vgpu, to_write, &options));
    vgpu_handles(vgpu);
    IS(-EEXIST, godwit_vgpu_suspend_fd(elsewhere, fd, NULL));
    OK(godwit_vgpu_resume_fd(other, fd, &keep, &made));
    OK(godwit_vgpu_destroy(made));
    OK(godwit_vgpu_resume_fd(device, fd, NULL, &vgpu));
    made = as_vgpu(99);
    IS(-ESTALE, godwit_vgpu_resume_fd(other, fd, NULL, &made));
    if (made.raw != 99 || lseek(fd, 0, SEEK_CUR) != 77) {
        wrong("a handle was written, or a place changed");
    }
    const int files[] = { text, to_read, fd, sealed, to_write };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (close(files[i]) != 0) {
            wrong("a descriptor of the caller's was closed");
        }
    }
}

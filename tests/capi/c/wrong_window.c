/* Windows that there are not, and one without firmware: every error that opening a device over one
 * is documented for, but those that firmware has a part in. */
#define _GNU_SOURCE
#include "window.h"
#include "wrong.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static godwit_device made;
static char path[4100];

/* A device over the file at `path`, whose firmware never comes. */
static godwit_device_config over_window(void)
{
    godwit_device_config config = device_config();
    config.transport = GODWIT_TRANSPORT_WINDOW;
    config.window_path = path;
    config.window_at = PAGE;
    config.patience_ms = 1;
    return config;
}

static void need(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        exit(1);
    }
}

/* Puts a word into the window for a call that is refused, which leaves it there. */
static void refused_with(int fd, int64_t error, off_t at, uint32_t word)
{
    const godwit_device_config config = over_window();
    const uint32_t none = 0;
    uint32_t found = 0;
    need(pwrite(fd, &word, sizeof(word), PAGE + at) == sizeof(word), "a word is not written");
    IS(error, godwit_open(&config, &made));
    need(pread(fd, &found, sizeof(found), PAGE + at) == sizeof(found), "a word is not read");
    if (found != word) {
        wrong("a window that was refused has changed");
    }
    need(pwrite(fd, &none, sizeof(none), PAGE + at) == sizeof(none), "a word is not written");
}

static void numbers(void)
{
    static char longest[5000];
    godwit_device_config here = device_config(), good = over_window();
    memset(longest, 'a', sizeof(longest) - 1);
#define OPEN_IT godwit_open(it, &made)
    WRONG_FIELD(-EINVAL, godwit_device_config, here, transport, 2, OPEN_IT);
    WRONG_FIELD(-EINVAL, godwit_device_config, here, transport, UINT32_MAX, OPEN_IT);
    WRONG_FIELD(-EINVAL, godwit_device_config, here, patience_ms, 1, OPEN_IT);
    WRONG_FIELD(-EINVAL, godwit_device_config, here, window_at, PAGE, OPEN_IT);
    WRONG_FIELD(-EINVAL, godwit_device_config, here, window_path, path, OPEN_IT);
    WRONG_FIELD(-EINVAL, godwit_device_config, here, line_path, path, OPEN_IT);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, patience_ms, 600001, OPEN_IT);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, window_at, 1, OPEN_IT);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, window_at, UINT64_MAX, OPEN_IT);
    WRONG_FIELD(-ERANGE, godwit_device_config, good, window_at, 2 * PAGE, OPEN_IT);
    WRONG_FIELD(-ERANGE, godwit_device_config, good, window_at, UINT64_MAX - 4095, OPEN_IT);
    WRONG_FIELD(-EFAULT, godwit_device_config, good, window_path, NULL, OPEN_IT);
    WRONG_FIELD(-ENOENT, godwit_device_config, good, window_path, "", OPEN_IT);
    WRONG_FIELD(-ENOENT, godwit_device_config, good, window_path, "/none/there", OPEN_IT);
    WRONG_FIELD(-ENAMETOOLONG, godwit_device_config, good, window_path, longest, OPEN_IT);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, window_path, "/", OPEN_IT);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, window_path, "/dev/null", OPEN_IT);
    WRONG_FIELD(-ERANGE, godwit_device_config, good, window_path, text_path, OPEN_IT);
    WRONG_FIELD(-ENOENT, godwit_device_config, good, line_path, "", OPEN_IT);
    WRONG_FIELD(-ENAMETOOLONG, godwit_device_config, good, line_path, longest, OPEN_IT);
    /* It fits a path, and no socket. */
    longest[200] = '\0';
    WRONG_FIELD(-ENAMETOOLONG, godwit_device_config, good, line_path, longest, OPEN_IT);
    WRONG_FIELD(-ETIMEDOUT, godwit_device_config, good, line_path, "/none/there", OPEN_IT);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, fb_bytes, 0, OPEN_IT);
}

/* Whoever has the other end of the line hangs up. */
static void *hang_up(void *argument)
{
    int taken = accept(*(int *)argument, NULL, NULL);
    need(taken >= 0 && close(taken) == 0, "nobody calls");
    return NULL;
}

static void broken_line(void)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    godwit_device_config config = over_window();
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    pthread_t thread;
    /* A folder of a test's has a short path. */
    need(snprintf(name.sun_path, sizeof(name.sun_path), "%s.line", state_path) <
             (int)sizeof(name.sun_path),
         "the folder's path is too long");
    need(bind(listener, (struct sockaddr *)&name, sizeof(name)) == 0 && listen(listener, 1) == 0 &&
             pthread_create(&thread, NULL, hang_up, &listener) == 0,
         "there is no line");
    config.line_path = name.sun_path;
    config.patience_ms = 600000;
    IS(-EIO, godwit_open(&config, &made));
    pthread_join(thread, NULL);
    close(listener);
    unlink(name.sun_path);
}

void with_windows(void)
{
    snprintf(path, sizeof(path), "%s.window", state_path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    need(fd >= 0 && ftruncate(fd, PAGE + WINDOW_BYTES) == 0, "there is no file");
    made = as_device(99);
    numbers();
    broken_line();
    const godwit_device_config good = over_window();
    /* Nobody is there; and what that has left is a window all the same. */
    for (int i = 0; i < 2; i++) {
        IS(-ETIMEDOUT, godwit_open(&good, &made));
    }
    if (strstr(godwit_last_error(), "does not start") == NULL) {
        wrong("it is not told what is missing");
    }
    need(ftruncate(fd, 0) == 0 && ftruncate(fd, PAGE + WINDOW_BYTES) == 0, "it is not emptied");
    refused_with(fd, -ENODEV, WINDOW_MAGIC_AT, 7);
    refused_with(fd, -ENODEV, 0x1000, 1);
    refused_with(fd, -EPROTONOSUPPORT, WINDOW_MAGIC_AT, WINDOW_MAGIC);
    const uint32_t version = WINDOW_VERSION, none = 0;
    need(pwrite(fd, &version, sizeof(version), PAGE + WINDOW_VERSION_AT) == sizeof(version),
         "a word is not written");
    refused_with(fd, -EBUSY, WINDOW_MAGIC_AT, WINDOW_MAGIC);
    need(pwrite(fd, &none, sizeof(none), PAGE + WINDOW_VERSION_AT) == sizeof(none),
         "a word is not written");
    need(flock(fd, LOCK_EX) == 0, "the file is not locked");
    IS(-EBUSY, godwit_open(&good, &made));
    need(flock(fd, LOCK_UN) == 0, "the file is not unlocked");
    IS(-ETIMEDOUT, godwit_open(&good, &made));
    need(chmod(path, 0400) == 0, "the file's rights are not changed");
    if (geteuid() != 0) {
        IS(-EACCES, godwit_open(&good, &made));
    }
    if (made.raw != 99) {
        wrong("a handle was written");
    }
    close(fd);
    unlink(path);
}

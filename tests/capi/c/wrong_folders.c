/* Names and rights: where no state file can be made, opened or marked. */
#define _GNU_SOURCE
#include "wrong.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char name[4100];

static void need(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        exit(1);
    }
}

/* A name beside the state file. */
static const char *beside(const char *end)
{
    need(snprintf(name, sizeof(name), "%s%s", state_path, end) < (int)sizeof(name), "a long name");
    return name;
}

/* Paths that are no paths: the library looks no further than they can be long. */
static void endless(void)
{
    godwit_device_config config = device_config();
    godwit_device opened = as_device(99);
    godwit_vgpu made = as_vgpu(99);
    /* Behind it nothing may be looked at: valgrind sees to that. */
    char *path = malloc(PATH_MAX);
    need(path != NULL, "there is no memory");
    memset(path, 'a', PATH_MAX);
    IS(-ENAMETOOLONG, godwit_vgpu_suspend(vgpu, path, NULL));
    IS(-ENAMETOOLONG, godwit_vgpu_resume(device, path, NULL, &made));
    config.transport = GODWIT_TRANSPORT_WINDOW;
    config.window_path = path;
    IS(-ENAMETOOLONG, godwit_open(&config, &opened));
    config.window_path = text_path;
    config.line_path = path;
    IS(-ENAMETOOLONG, godwit_open(&config, &opened));
    /* So long a path may be, and a name in it may not. */
    path[PATH_MAX - 1] = '\0';
    IS(-ENAMETOOLONG, godwit_vgpu_suspend(vgpu, path, NULL));
    IS(-ENAMETOOLONG, godwit_vgpu_resume(device, path, NULL, &made));
    free(path);
    if (opened.raw != 99 || made.raw != 99) {
        wrong("a handle was written");
    }
}

/* What root may do, too: none of this is a matter of rights. */
static void names(void)
{
    godwit_vgpu made = as_vgpu(99);
    char loop[sizeof(name)];
    IS(-EEXIST, godwit_vgpu_suspend(vgpu, "/", NULL));
    need(mkdir(beside(".folder"), 0700) == 0, "a folder is not made");
    IS(-EEXIST, godwit_vgpu_suspend(vgpu, beside(".folder"), NULL));
    IS(-EINVAL, godwit_vgpu_resume(device, beside(".folder"), NULL, &made));
    need(rmdir(beside(".folder")) == 0, "a folder is not removed");
    snprintf(loop, sizeof(loop), "%s/state", text_path);
    IS(-ENOTDIR, godwit_vgpu_suspend(vgpu, loop, NULL));
    IS(-ENOTDIR, godwit_vgpu_resume(device, loop, NULL, &made));
    snprintf(loop, sizeof(loop), "%s", beside(".loop"));
    need(symlink(loop, loop) == 0, "a link is not made");
    IS(-EEXIST, godwit_vgpu_suspend(vgpu, loop, NULL));
    IS(-ELOOP, godwit_vgpu_resume(device, loop, NULL, &made));
    need(unlink(loop) == 0, "a link is not removed");
    /* Somebody else writes a file of that name, or did when he was cut short. */
    int fd = open(beside(".other.partial"), O_WRONLY | O_CREAT | O_EXCL, 0600);
    need(fd >= 0 && close(fd) == 0, "a file is not made");
    IS(-EEXIST, godwit_vgpu_suspend(vgpu, beside(".other"), NULL));
    need(unlink(beside(".other.partial")) == 0, "a file is not removed");
    if (made.raw != 99) {
        wrong("a handle was written");
    }
}

/* Root may open what nobody else may, so only others see this. */
static void rights(void)
{
    godwit_vgpu made = as_vgpu(99);
    if (geteuid() == 0) {
        return;
    }
    need(mkdir(beside(".closed"), 0500) == 0, "a folder is not made");
    IS(-EACCES, godwit_vgpu_suspend(vgpu, beside(".closed/state"), NULL));
    need(rmdir(beside(".closed")) == 0, "a folder is not removed");
    need(chmod(text_path, 0) == 0, "a file's rights are not changed");
    IS(-EACCES, godwit_vgpu_resume(device, text_path, NULL, &made));
    need(chmod(text_path, 0600) == 0, "a file's rights are not changed");
}

/* A file that cannot be marked as resumed, whoever asks: nothing comes of it. */
static void without_mark(void)
{
    const godwit_file_options keep = { .struct_size = sizeof(keep), .flags = GODWIT_FILE_KEEP };
    int fd = memfd_create("state", MFD_ALLOW_SEALING);
    godwit_vgpu made = as_vgpu(99);
    size_t before = 99, after = 99;
    need(fd >= 0, "there is no memory file");
    OK(godwit_vgpu_suspend_fd(vgpu, fd, NULL));
    need(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0, "a file is not sealed");
    OK(godwit_vgpu_list(device, NULL, 0, &before));
    IS(-EPERM, godwit_vgpu_resume_fd(device, fd, NULL, &made));
    OK(godwit_vgpu_list(device, NULL, 0, &after));
    if (made.raw != 99 || after != before) {
        wrong("a vGPU has come out of a file that does not say so");
    }
    OK(godwit_vgpu_resume_fd(device, fd, &keep, &vgpu));
    close(fd);
}

void with_folders(void)
{
    endless();
    names();
    rights();
    without_mark();
}

/* Calls every function with every wrong argument that an error is documented for, and looks at the
 * error. It must end normally.
 *
 *   wrong FOLDER
 */
#define _GNU_SOURCE
#include "wrong.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void handles(void)
{
    const godwit_device devices[] = {
        as_device(0),          as_device(1),          as_device(UINT64_MAX),
        closed_device,         as_device(vgpu.raw),   as_device((uint64_t)(uintptr_t)&device),
    };
    const godwit_vgpu vgpus[] = {
        as_vgpu(0),  as_vgpu(1),          as_vgpu(UINT64_MAX),
        closed_vgpu, as_vgpu(device.raw), as_vgpu((uint64_t)(uintptr_t)&device),
    };
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        device_handles(devices[i]);
    }
    for (size_t i = 0; i < sizeof(vgpus) / sizeof(vgpus[0]); i++) {
        vgpu_handles(vgpus[i]);
    }
}

/* Largest memory for contexts, of a card and of one channel, and largest framebuffer. */
#define CONTEXTS_MAX ((uint64_t)1 << 36)
#define CONTEXT_MAX ((uint32_t)1 << 24)
#define FB_MAX ((uint64_t)1 << 40)

static void opening(void)
{
    godwit_device made = as_device(99);
    godwit_device_config good = device_config();
#define OPEN godwit_open(it, &made)
    WRONG_INPUT(godwit_device_config, good, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, fb_bytes, 0, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, fb_bytes, PAGE + 1, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, fb_bytes, FB_MAX + PAGE, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, fb_bytes, UINT64_MAX, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, bar_bytes, 0, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, bar_bytes, PAGE / 2, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, bar_bytes, UINT64_MAX - 4095, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, context_bytes, 0, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, context_bytes, PAGE + 1, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, context_bytes, CONTEXTS_MAX + PAGE, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, context_bytes, UINT64_MAX - 4095, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, start_ns, ((uint64_t)1 << 62) + 1, OPEN);
    WRONG_FIELD(-EINVAL, godwit_device_config, good, start_ns, UINT64_MAX, OPEN);
    IS(-EFAULT, godwit_open(&good, NULL));
    IS(-EFAULT, godwit_open(&good, ODD(godwit_device)));
    if (made.raw != 99) {
        wrong("a handle was written");
    }
}

static void on_device(void)
{
    godwit_scheduling scheduling = { .struct_size = sizeof(scheduling) };
    godwit_limits limits = { .struct_size = sizeof(limits), .window_ms = 1 };
    godwit_event event = { .struct_size = sizeof(event) };
#define SCHEDULE godwit_set_scheduling(device, it)
#define LIMIT godwit_set_limits(device, it)
#define EVENT godwit_next_event(device, it)
    IS(-EINVAL, godwit_run(device, GODWIT_RUN_NS_MAX + 1));
    IS(-EINVAL, godwit_run(device, UINT64_MAX));
    IS(-EFAULT, godwit_now(device, NULL));
    IS(-EFAULT, godwit_now(device, ODD(uint64_t)));
    WRONG_INPUT(godwit_scheduling, scheduling, SCHEDULE);
    WRONG_FIELD(-EINVAL, godwit_scheduling, scheduling, policy, 3, SCHEDULE);
    WRONG_FIELD(-EINVAL, godwit_scheduling, scheduling, policy, 256, SCHEDULE);
    WRONG_FIELD(-EINVAL, godwit_scheduling, scheduling, slice_ns, 999999, SCHEDULE);
    WRONG_FIELD(-EINVAL, godwit_scheduling, scheduling, slice_ns, 30000001, SCHEDULE);
    WRONG_FIELD(-EINVAL, godwit_scheduling, scheduling, slice_ns, UINT64_MAX, SCHEDULE);
    WRONG_FIELD(-EINVAL, godwit_scheduling, scheduling, averaging, 61, SCHEDULE);
    WRONG_FIELD(-EINVAL, godwit_scheduling, scheduling, averaging, 257, SCHEDULE);
    WRONG_FIELD(-EINVAL, godwit_scheduling, scheduling, reserved, 1, SCHEDULE);
    WRONG_INPUT(godwit_limits, limits, LIMIT);
    WRONG_FIELD(-EINVAL, godwit_limits, limits, window_ms, 0, LIMIT);
    WRONG_FIELD(-EINVAL, godwit_limits, limits, window_ms, 3600001, LIMIT);
    WRONG_FIELD(-EINVAL, godwit_limits, limits, measure[3], 4, LIMIT);
    WRONG_FIELD(-EINVAL, godwit_limits, limits, measure[0], 256, LIMIT);
    WRONG_SIZES(godwit_event, event, EVENT);
    OK(godwit_next_event(device, &event));
}

#define CREATE godwit_vgpu_create(device, it, &made)

/* Profiles and shares that no vGPU has. */
static void no_vgpus(void)
{
    godwit_vgpu made = as_vgpu(99);
    godwit_vgpu_config good = vgpu_config();
    WRONG_INPUT(godwit_vgpu_config, good, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, channel_count, 0, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, channel_count, 2049, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, channel_count, 65537, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, fb_bytes, 0, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, fb_bytes, 8 * MIB + 1, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, fb_bytes, FB_MAX + PAGE, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, fb_bytes, UINT64_MAX, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, bar_bytes, 9 * MIB, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, bar_bytes, 0, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, bar_bytes, 1, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, context_bytes, 0, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, context_bytes, PAGE - 1, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, context_bytes, PAGE + 1, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, context_bytes, CONTEXT_MAX + PAGE, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, context_bytes, UINT32_MAX, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, weight, 101, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, weight, 257, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, part, 10001, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, cap, 65537, CREATE);
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, cap, 10001, CREATE);
    good.part = 5000;
    WRONG_FIELD(-EINVAL, godwit_vgpu_config, good, cap, 4999, CREATE);
    good.part = 0;
    WRONG_FIELD(-ENOSPC, godwit_vgpu_config, good, fb_bytes, 64 * MIB, CREATE);
    WRONG_FIELD(-ENOSPC, godwit_vgpu_config, good, channel_count, 2048, CREATE);
    WRONG_FIELD(-ENOSPC, godwit_vgpu_config, good, context_bytes, MIB, CREATE);
    if (made.raw != 99) {
        wrong("a handle was written");
    }
}

static void making_vgpus(void)
{
    godwit_vgpu made = as_vgpu(99);
    godwit_vgpu_config good = vgpu_config();
    size_t count = 99;
    no_vgpus();
    IS(-EFAULT, godwit_vgpu_create(device, &good, NULL));
    IS(-EFAULT, godwit_vgpu_create(device, &good, ODD(godwit_vgpu)));
    IS(-EFAULT, godwit_vgpu_list(device, NULL, 1, &count));
    IS(-EFAULT, godwit_vgpu_list(device, ODD(godwit_vgpu), 1, &count));
    IS(-EFAULT, godwit_vgpu_list(device, &made, 1, NULL));
    IS(-EFAULT, godwit_vgpu_list(device, &made, 1, ODD(size_t)));
    IS(-EINVAL, godwit_vgpu_list(device, &made, SIZE_MAX, &count));
    IS(-EINVAL, godwit_vgpu_list(device, &made, SIZE_MAX / 8 + 1, &count));
    if (made.raw != 99 || count != 99) {
        wrong("something was written");
    }
    OK(godwit_vgpu_list(device, &made, 1, &count));
    if (made.raw != vgpu.raw || count != 1) {
        wrong("the list is another");
    }
}

static void on_vgpu(void)
{
    godwit_vgpu_info info = { .struct_size = sizeof(info) };
    godwit_share share = { .struct_size = sizeof(share), .weight = 1 };
    uint8_t bytes[8] = { 0 };
    uint32_t value = 0;
#define INFO godwit_vgpu_get_info(vgpu, it)
#define SHARE godwit_vgpu_set_share(vgpu, it)
    WRONG_SIZES(godwit_vgpu_info, info, INFO);
    WRONG_INPUT(godwit_share, share, SHARE);
    WRONG_FIELD(-EINVAL, godwit_share, share, weight, 0, SHARE);
    WRONG_FIELD(-EINVAL, godwit_share, share, weight, 101, SHARE);
    WRONG_FIELD(-EINVAL, godwit_share, share, part, 10001, SHARE);
    WRONG_FIELD(-EINVAL, godwit_share, share, part, 65536, SHARE);
    WRONG_FIELD(-EINVAL, godwit_share, share, cap, 10001, SHARE);
    WRONG_FIELD(-EINVAL, godwit_share, share, cap, UINT32_MAX, SHARE);
    share.part = 5000;
    WRONG_FIELD(-EINVAL, godwit_share, share, cap, 4999, SHARE);
    IS(-EFAULT, godwit_vgpu_bar0_read(vgpu, 0, NULL));
    IS(-EFAULT, godwit_vgpu_bar0_read(vgpu, 0, ODD(uint32_t)));
    IS(-EINVAL, godwit_vgpu_bar0_read(vgpu, 2, &value));
    IS(-EINVAL, godwit_vgpu_bar0_read(vgpu, 0x40000, &value));
    IS(-EINVAL, godwit_vgpu_bar0_write(vgpu, 1, 0));
    IS(-EINVAL, godwit_vgpu_bar0_write(vgpu, UINT32_MAX - 3, 0));
    IS(-EFAULT, godwit_vgpu_bar2_read(vgpu, 0, NULL, 1));
    IS(-EFAULT, godwit_vgpu_bar2_read(vgpu, MIB, NULL, SIZE_MAX));
    IS(-EINVAL, godwit_vgpu_bar2_read(vgpu, 0, bytes, SIZE_MAX));
    IS(-EINVAL, godwit_vgpu_bar2_read(vgpu, 0, bytes, SIZE_MAX / 2 + 1));
    IS(-ENXIO, godwit_vgpu_bar2_read(vgpu, MIB, bytes, 1));
    IS(-ENXIO, godwit_vgpu_bar2_read(vgpu, UINT64_MAX, bytes, sizeof(bytes)));
    IS(-EFAULT, godwit_vgpu_bar2_write(vgpu, 0, NULL, 1));
    IS(-EINVAL, godwit_vgpu_bar2_write(vgpu, 0, bytes, SIZE_MAX));
    IS(-ENXIO, godwit_vgpu_bar2_write(vgpu, MIB - 4, bytes, sizeof(bytes)));
    IS(-ENXIO, godwit_vgpu_bar2_write(vgpu, UINT64_MAX, bytes, sizeof(bytes)));
    OK(godwit_vgpu_bar2_read(vgpu, 0, NULL, 0));
    OK(godwit_vgpu_bar2_write(vgpu, 0, NULL, 0));
    IS(-EFAULT, godwit_vgpu_take_vectors(vgpu, 0, NULL));
    IS(-EFAULT, godwit_vgpu_take_vectors(vgpu, 0, ODD(uint32_t)));
}

/* A message is of the thread that has called. */
static void *other_thread(void *argument)
{
    (void)argument;
    if (godwit_last_error()[0] != '\0') {
        wrong("a message is told to another thread");
    }
    OK(godwit_run(device, 1000));
    IS(-EBADF, godwit_close(as_device(0)));
    return NULL;
}

static void threads(void)
{
    pthread_t thread;
    IS(-EINVAL, godwit_run(device, UINT64_MAX));
    if (pthread_create(&thread, NULL, other_thread, NULL) != 0 ||
        pthread_join(thread, NULL) != 0 || strstr(godwit_last_error(), "ns") == NULL) {
        wrong("a thread has lost its message");
    }
}

/* A vGPU for which the system has no memory file is none, and its place is free. */
static void without_files(void)
{
    const godwit_vgpu_config config = vgpu_config();
    godwit_vgpu made = { 0 }, all[8];
    size_t before = 0, after = 0;
    struct rlimit allowed, fewer;
    int next = dup(0);
    OK(godwit_vgpu_list(device, all, 8, &before));
    if (next < 0 || close(next) != 0 || getrlimit(RLIMIT_NOFILE, &allowed) != 0) {
        wrong("the limit of files cannot be had");
        return;
    }
    fewer = allowed;
    fewer.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &fewer);
    IS(-ENOMEM, godwit_vgpu_create(device, &config, &made));
    setrlimit(RLIMIT_NOFILE, &allowed);
    OK(godwit_vgpu_list(device, all, 8, &after));
    if (made.raw != 0 || after != before) {
        wrong("a vGPU without memory is there");
    }
    OK(godwit_vgpu_create(device, &config, &made));
    OK(godwit_vgpu_destroy(made));
}

/* A child has the handles, and not what is behind them. One that is killed is not looked at for
 * memory of the threads that it does not have. */
static void forked(void)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        const godwit_device_config config = device_config();
        godwit_device opened = { 0 };
        if (godwit_run(device, 1) == -ECHILD && godwit_close(device) == -ECHILD &&
            godwit_open(&config, &opened) == -ECHILD && opened.raw == 0) {
            raise(SIGKILL);
        }
        _exit(1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) {
        wrong("a child uses the handles of its parent");
    }
}

int main(int argc, char **argv)
{
    const godwit_device_config of_device = device_config();
    const godwit_vgpu_config of_vgpu = vgpu_config();
    if (argc != 2 || godwit_version() != GODWIT_ABI_VERSION || godwit_last_error()[0] != '\0') {
        printf("usage: wrong FOLDER, of the same version\n");
        return 2;
    }
    snprintf(state_path, sizeof(state_path), "%s/wrong.state", argv[1]);
    snprintf(text_path, sizeof(text_path), "%s/text", argv[1]);
    FILE *text = fopen(text_path, "w");
    if (text == NULL || fputs("no state file\n", text) < 0 || fclose(text) != 0) {
        return 2;
    }
    opening();
    OK(godwit_open(&of_device, &closed_device));
    OK(godwit_vgpu_create(closed_device, &of_vgpu, &closed_vgpu));
    OK(godwit_close(closed_device));
    OK(godwit_open(&of_device, &device));
    OK(godwit_open(&of_device, &other));
    OK(godwit_vgpu_create(device, &of_vgpu, &vgpu));
    OK(godwit_vgpu_create(other, &of_vgpu, &elsewhere));
    handles();
    on_device();
    making_vgpus();
    on_vgpu();
    on_bus();
    on_log();
    in_migration();
    with_files();
    with_damage();
    with_descriptors();
    with_folders();
    with_windows();
    threads();
    at_once();
    without_files();
    forked();
    OK(godwit_vgpu_destroy(vgpu));
    vgpu_handles(vgpu);
    OK(godwit_vgpu_set_state(elsewhere, GODWIT_STATE_PRE_COPY));
    OK(godwit_vgpu_destroy(elsewhere));
    OK(godwit_close(device));
    OK(godwit_close(other));
    device_handles(device);
    printf("%d calls, %d failures\n", calls, failures);
    return failures == 0 ? 0 : 1;
}

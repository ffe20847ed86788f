/* What the files of `wrong` share, and wrong handles. */
#define _GNU_SOURCE
#include "wrong.h"

int calls, failures;
const char *it_is = "it";

void look(int64_t found, int64_t expected, const char *call, int line)
{
    const char *why = godwit_last_error();
    calls++;
    if (found != expected || (expected < 0) != (why[0] != '\0')) {
        printf("line %d: %s: %lld, and not %lld: '%s'\n", line, call, (long long)found,
               (long long)expected, why);
        failures++;
    } else if (expected < 0) {
        printf("refused\t%s\t%s\t%s\n", strerrorname_np((int)-expected), it_is, call);
    }
}

void wrong(const char *why)
{
    printf("%s\n", why);
    failures++;
}

uint64_t odd_room[64];

godwit_device device, other, closed_device;
godwit_vgpu vgpu, elsewhere, closed_vgpu;
char state_path[4000], text_path[4000];

godwit_device_config device_config(void)
{
    const godwit_device_config config = {
        .struct_size = sizeof(config),
        .fb_bytes = 32 * MIB,
        .bar_bytes = 32 * MIB,
        .context_bytes = MIB,
    };
    return config;
}

godwit_vgpu_config vgpu_config(void)
{
    const godwit_vgpu_config config = {
        .struct_size = sizeof(config),
        .channel_count = 2,
        .fb_bytes = 8 * MIB,
        .bar_bytes = MIB,
        .context_bytes = 4096,
    };
    return config;
}

godwit_vgpu as_vgpu(uint64_t raw)
{
    return (godwit_vgpu){ raw };
}

godwit_device as_device(uint64_t raw)
{
    return (godwit_device){ raw };
}

void device_handles(godwit_device none)
{
    godwit_scheduling scheduling = { .struct_size = sizeof(scheduling) };
    godwit_limits limits = { .struct_size = sizeof(limits), .window_ms = 1 };
    godwit_event event = { .struct_size = sizeof(event) };
    godwit_vgpu_config config = vgpu_config();
    godwit_vgpu made = as_vgpu(99);
    uint64_t now_ns = 99;
    size_t count = 99;
    IS(-EBADF, godwit_close(none));
    IS(-EBADF, godwit_run(none, 1));
    IS(-EBADF, godwit_now(none, &now_ns));
    IS(-EBADF, godwit_set_scheduling(none, &scheduling));
    IS(-EBADF, godwit_set_limits(none, &limits));
    IS(-EBADF, godwit_next_event(none, &event));
    IS(-EBADF, godwit_vgpu_create(none, &config, &made));
    IS(-EBADF, godwit_vgpu_list(none, NULL, 0, &count));
    IS(-EBADF, godwit_vgpu_resume(none, state_path, NULL, &made));
    IS(-EBADF, godwit_vgpu_resume_fd(none, 0, NULL, &made));
    /* Handles go first. */
    IS(-EBADF, godwit_now(none, NULL));
    IS(-EBADF, godwit_vgpu_create(none, NULL, NULL));
    if (made.raw != 99 || now_ns != 99 || count != 99) {
        wrong("something was written");
    }
}

void vgpu_handles(godwit_vgpu none)
{
    godwit_vgpu_info info = { .struct_size = sizeof(info) };
    godwit_share share = { .struct_size = sizeof(share), .weight = 1 };
    godwit_precopy_info precopy = { .struct_size = sizeof(precopy) };
    godwit_dma_window window = { .struct_size = sizeof(window), .flags = GODWIT_DMA_READ };
    godwit_dma_range range = { .iova = 0, .byte_count = PAGE };
    uint8_t bytes[8] = { 0 };
    uint32_t value = 99;
    uint64_t large = 99;
    IS(-EBADF, godwit_vgpu_destroy(none));
    IS(-EBADF, godwit_vgpu_get_info(none, &info));
    IS(-EBADF, godwit_vgpu_set_share(none, &share));
    IS(-EBADF, godwit_vgpu_bar0_read(none, 0, &value));
    IS(-EBADF, godwit_vgpu_bar0_write(none, 0, 0));
    IS(-EBADF, godwit_vgpu_bar2_read(none, 0, bytes, sizeof(bytes)));
    IS(-EBADF, godwit_vgpu_bar2_write(none, 0, bytes, sizeof(bytes)));
    IS(-EBADF, godwit_vgpu_take_vectors(none, 1, &value));
    IS(-EBADF, godwit_vgpu_dma_map(none, &window));
    IS(-EBADF, godwit_vgpu_dma_unmap(none, 0, PAGE));
    IS(-EBADF, godwit_vgpu_dma_log_start(none, &range, 1, PAGE, &large));
    IS(-EBADF, godwit_vgpu_dma_log_report(none, 0, PAGE, PAGE, bytes, sizeof(bytes)));
    IS(-EBADF, godwit_vgpu_dma_log_stop(none));
    IS(-EBADF, godwit_vgpu_set_state(none, GODWIT_STATE_STOP));
    IS(-EBADF, godwit_vgpu_get_state(none, &value));
    IS(-EBADF, godwit_vgpu_read(none, bytes, sizeof(bytes)));
    IS(-EBADF, godwit_vgpu_write(none, bytes, sizeof(bytes)));
    IS(-EBADF, godwit_vgpu_precopy_info(none, &precopy));
    IS(-EBADF, godwit_vgpu_data_size(none, &large));
    IS(-EBADF, godwit_vgpu_reset(none));
    IS(-EBADF, godwit_vgpu_suspend(none, state_path, NULL));
    IS(-EBADF, godwit_vgpu_suspend_fd(none, 1, NULL));
    if (value != 99 || large != 99) {
        wrong("something was written");
    }
}

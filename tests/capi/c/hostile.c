/* Firmware behind a window that says anything, or nothing: every call ends, and none finds that the
 * library is broken.
 *
 *   hostile WINDOW-FILE WINDOW-AT STATE-FILE
 */
#include "wrong.h"

#define CALLS 40

/* How a call has ended is the firmware's to say, within what is documented. */
static int64_t any(int64_t result, const char *call)
{
    calls++;
    if ((result < 0) != (godwit_last_error()[0] != '\0') || result == -ENOTRECOVERABLE) {
        printf("%s: %lld: '%s'\n", call, (long long)result, godwit_last_error());
        failures++;
    }
    return result;
}

#define ANY(call) any((call), #call)

static void use(godwit_vgpu one)
{
    static uint8_t bytes[MIB];
    godwit_vgpu_info info = { .struct_size = sizeof(info) };
    godwit_precopy_info precopy = { .struct_size = sizeof(precopy) };
    godwit_share share = { .struct_size = sizeof(share), .weight = 2 };
    uint64_t large = 0;
    uint32_t value = 0;
    ANY(godwit_vgpu_get_info(one, &info));
    ANY(godwit_vgpu_set_share(one, &share));
    ANY(godwit_vgpu_bar0_write(one, 0x1000c, 0));
    ANY(godwit_vgpu_bar0_write(one, 0x10008, 5));
    ANY(godwit_vgpu_bar0_write(one, 0x10014, 1));
    ANY(godwit_run(device, 100000));
    ANY(godwit_vgpu_bar0_write(one, 0x30000, 0));
    ANY(godwit_vgpu_bar0_read(one, 0x10018, &value));
    ANY(godwit_vgpu_bar2_write(one, 0, bytes, 3 * PAGE));
    ANY(godwit_vgpu_bar2_read(one, 0, bytes, 3 * PAGE));
    ANY(godwit_vgpu_take_vectors(one, UINT32_MAX, &value));
    ANY(godwit_vgpu_data_size(one, &large));
    ANY(godwit_vgpu_set_state(one, GODWIT_STATE_PRE_COPY));
    ANY(godwit_vgpu_precopy_info(one, &precopy));
    for (int i = 0; i < CALLS && ANY(godwit_vgpu_read(one, bytes, sizeof(bytes))) > 0; i++) {
    }
    ANY(godwit_vgpu_set_state(one, GODWIT_STATE_STOP_COPY));
    for (int i = 0; i < CALLS && ANY(godwit_vgpu_read(one, bytes, sizeof(bytes))) > 0; i++) {
    }
    ANY(godwit_vgpu_set_state(one, GODWIT_STATE_RESUMING));
    ANY(godwit_vgpu_write(one, bytes, 100));
    ANY(godwit_vgpu_reset(one));
}

int main(int argc, char **argv)
{
    godwit_device_config config = device_config();
    const godwit_vgpu_config of_vgpu = vgpu_config();
    const godwit_scheduling scheduling = { .struct_size = sizeof(scheduling), .policy = 1 };
    const godwit_limits limits = {
        .struct_size = sizeof(limits), .window_ms = 10, .count = { 1, 1, 1, 1 },
    };
    godwit_event event = { .struct_size = sizeof(event) };
    godwit_vgpu all[8];
    uint64_t now_ns = 0;
    size_t count = 0;
    if (argc != 4) {
        printf("usage: hostile WINDOW-FILE WINDOW-AT STATE-FILE\n");
        return 2;
    }
    config.transport = GODWIT_TRANSPORT_WINDOW;
    config.patience_ms = 2000;
    config.window_path = argv[1];
    config.window_at = strtoull(argv[2], NULL, 0);
    if (ANY(godwit_open(&config, &device)) == 0) {
        ANY(godwit_set_scheduling(device, &scheduling));
        ANY(godwit_set_limits(device, &limits));
        ANY(godwit_vgpu_create(device, &of_vgpu, &vgpu));
        ANY(godwit_vgpu_create(device, &of_vgpu, &elsewhere));
        use(vgpu);
        ANY(godwit_vgpu_suspend(elsewhere, argv[3], NULL));
        ANY(godwit_vgpu_resume(device, argv[3], NULL, &elsewhere));
        ANY(godwit_vgpu_destroy(vgpu));
        ANY(godwit_vgpu_list(device, all, 8, &count));
        ANY(godwit_now(device, &now_ns));
        while (ANY(godwit_next_event(device, &event)) == 1) {
        }
        OK(godwit_close(device));
    }
    printf("%d calls, %d failures\n", calls, failures);
    return failures == 0 ? 0 : 1;
}

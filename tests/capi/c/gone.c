/* Firmware behind a window that ends once the device is open: each call that needs it says so, and
 * none waits.
 *
 *   gone WINDOW-FILE WINDOW-AT
 */
#include "wrong.h"

int main(int argc, char **argv)
{
    godwit_device_config config = device_config();
    const godwit_vgpu_config of_vgpu = vgpu_config();
    const godwit_scheduling scheduling = { .struct_size = sizeof(scheduling) };
    godwit_event event = { .struct_size = sizeof(event) };
    uint64_t now_ns = 0;
    size_t count = 0;
    if (argc != 3) {
        printf("usage: gone WINDOW-FILE WINDOW-AT\n");
        return 2;
    }
    config.transport = GODWIT_TRANSPORT_WINDOW;
    config.patience_ms = 600000;
    config.window_path = argv[1];
    config.window_at = strtoull(argv[2], NULL, 0);
    OK(godwit_open(&config, &device));
    /* The first call for which the firmware is needed meets its end, and is given up. */
    IS(-ENODEV, godwit_vgpu_create(device, &of_vgpu, &vgpu));
    if (strstr(godwit_last_error(), "the firmware has ended") == NULL) {
        wrong("it is not told why");
    }
    IS(-ENODEV, godwit_vgpu_create(device, &of_vgpu, &vgpu));
    IS(-ENODEV, godwit_run(device, 1000));
    IS(-ENODEV, godwit_set_scheduling(device, &scheduling));
    IS(-ENODEV, godwit_vgpu_resume_fd(device, 0, NULL, &vgpu));
    IS(1, godwit_next_event(device, &event));
    if (event.kind != GODWIT_EVENT_FIRMWARE_LOST || vgpu.raw != 0) {
        wrong("the event is another, or a handle was written");
    }
    OK(godwit_next_event(device, &event));
    OK(godwit_now(device, &now_ns));
    OK(godwit_vgpu_list(device, NULL, 0, &count));
    /* Somebody else may have the window now, and this device is gone with its handle. */
    OK(godwit_close(device));
    device_handles(device);
    printf("%d calls, %d failures\n", calls, failures);
    return failures == 0 && count == 0 ? 0 : 1;
}

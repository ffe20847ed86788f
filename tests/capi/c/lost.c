/* Firmware behind a window that is lost at any moment of a suspend or a resume: whatever the call
 * says, the vGPU can be had again, once, as godwit.h says.
 *
 *   lost suspend|resume WINDOW-FILE WINDOW-AT STATE-FILE
 */
#include "wrong.h"

#define BYTES (16 * PAGE)

static uint8_t filled[BYTES];

static godwit_device open_card(const char *window, const char *at)
{
    godwit_device_config config = device_config();
    godwit_device opened = { 0 };
    if (window != NULL) {
        config.transport = GODWIT_TRANSPORT_WINDOW;
        config.patience_ms = 600000;
        config.window_path = window;
        config.window_at = strtoull(at, NULL, 0);
    }
    OK(godwit_open(&config, &opened));
    return opened;
}

/* A vGPU with something in its memory; false: the firmware was lost before it was there. */
static int create(godwit_device on)
{
    const godwit_vgpu_config config = vgpu_config();
    for (size_t i = 0; i < sizeof(filled); i++) {
        filled[i] = (uint8_t)(i * 11 >> 2 | 1);
    }
    return godwit_vgpu_create(on, &config, &vgpu) == 0 &&
           godwit_vgpu_bar2_write(vgpu, 0, filled, sizeof(filled)) == 0;
}

/* It is what it was, and it is there once. */
static void expect(godwit_device on)
{
    static uint8_t found[BYTES];
    godwit_vgpu twice = { 0 };
    OK(godwit_vgpu_bar2_read(vgpu, 0, found, sizeof(found)));
    if (memcmp(found, filled, sizeof(found)) != 0) {
        wrong("the vGPU has come back as another");
    }
    IS(-ESTALE, godwit_vgpu_resume(on, state_path, NULL, &twice));
}

/* What has come of it. */
static const char *suspend(const char *window, const char *at)
{
    const char *what = "whole";
    device = open_card(window, at);
    if (!create(device)) {
        OK(godwit_close(device));
        return "early";
    }
    const int32_t result = godwit_vgpu_suspend(vgpu, state_path, NULL);
    if (result == 0) {
        godwit_event event = { .struct_size = sizeof(event) };
        while (godwit_next_event(device, &event) == 1) {
            what = event.kind == GODWIT_EVENT_NOTE ? "not wiped" : what;
        }
    } else {
        look(result, -ENODEV, "godwit_vgpu_suspend", __LINE__);
    }
    OK(godwit_close(device));
    other = open_card(NULL, NULL);
    if (result == 0) {
        OK(godwit_vgpu_resume(other, state_path, NULL, &vgpu));
        expect(other);
    } else {
        IS(-ENOENT, godwit_vgpu_resume(other, state_path, NULL, &vgpu));
        what = "lost";
    }
    OK(godwit_close(other));
    return what;
}

static const char *resume(const char *window, const char *at)
{
    const godwit_file_options keep = { .struct_size = sizeof(keep), .flags = GODWIT_FILE_KEEP };
    const char *what = "lost";
    other = open_card(NULL, NULL);
    if (!create(other)) {
        wrong("there is no vGPU");
    }
    OK(godwit_vgpu_suspend(vgpu, state_path, NULL));
    device = open_card(window, at);
    const int32_t result = godwit_vgpu_resume(device, state_path, NULL, &vgpu);
    if (result != 0) {
        look(result, -ENODEV, "godwit_vgpu_resume", __LINE__);
    }
    OK(godwit_close(device));
    if (result == 0) {
        IS(-ESTALE, godwit_vgpu_resume(other, state_path, NULL, &vgpu));
        what = "whole";
    } else if (godwit_vgpu_resume(other, state_path, NULL, &vgpu) == -ESTALE) {
        OK(godwit_vgpu_resume(other, state_path, &keep, &vgpu));
        what = "marked";
    }
    if (result != 0) {
        expect(other);
    }
    OK(godwit_close(other));
    return what;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        printf("usage: lost suspend|resume WINDOW-FILE WINDOW-AT STATE-FILE\n");
        return 2;
    }
    snprintf(state_path, sizeof(state_path), "%s", argv[4]);
    const int is_suspend = strcmp(argv[1], "suspend") == 0;
    const char *what = is_suspend ? suspend(argv[2], argv[3]) : resume(argv[2], argv[3]);
    printf("%d failures\n%s\n", failures, what);
    return failures == 0 ? 0 : 1;
}

/* What the files of `wrong` share: how a call is looked at, and what is called with. */
#ifndef WRONG_H
#define WRONG_H

#include <godwit.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1024 * 1024)
#define PAGE 4096
#define BUS_AT 0x100000000

extern int calls, failures;

/* Whether a call ends as it should, and whether the message fits. What is refused is told, so that
 * a test sees that nothing was left out. */
void look(int64_t found, int64_t expected, const char *call, int line);

/* Something that is not as it should be. */
void wrong(const char *why);

#define IS(expected, call) look((call), (expected), #call, __LINE__)
#define OK(call) IS(0, call)

/* A pointer that is not null, and not aligned. The room behind it is there. */
extern uint64_t odd_room[64];
#define ODD(type) ((type *)(void *)((char *)odd_room + 1))

extern godwit_device device, other, closed_device;
extern godwit_vgpu vgpu, elsewhere, closed_vgpu;
extern char state_path[4000], text_path[4000];

godwit_device_config device_config(void);
godwit_vgpu_config vgpu_config(void);
godwit_vgpu as_vgpu(uint64_t raw);
godwit_device as_device(uint64_t raw);

/* What `it` is in the calls that are made of a macro, for whoever reads what was refused. */
extern const char *it_is;

/* Structures of every wrong length, for a call that has such a `value` at hand. */
#define WRONG_LENGTHS(type, value, call)                                                           \
    do {                                                                                           \
        struct {                                                                                   \
            type it;                                                                               \
            uint64_t behind;                                                                       \
        } longer;                                                                                  \
        type *it = &longer.it;                                                                     \
        const uint32_t sizes[] = { 0, 4, sizeof(type) - 1 };                                       \
        for (size_t i = 0; i < 3; i++) {                                                           \
            longer.it = (value);                                                                   \
            longer.it.struct_size = sizes[i];                                                      \
            IS(-EINVAL, call);                                                                     \
        }                                                                                          \
        longer.it.struct_size = 4097;                                                              \
        IS(-E2BIG, call);                                                                          \
        longer.it.struct_size = UINT32_MAX;                                                        \
        IS(-E2BIG, call);                                                                          \
        it = ODD(type);                                                                            \
        it_is = "ODD(" #type ")";                                                                  \
        IS(-EFAULT, call);                                                                         \
        it_is = "it";                                                                              \
    } while (0)

/* The same, and none at all. */
#define WRONG_SIZES(type, value, call)                                                             \
    WRONG_LENGTHS(type, value, call);                                                              \
    do {                                                                                           \
        type *it = NULL;                                                                           \
        it_is = "NULL";                                                                            \
        IS(-EFAULT, call);                                                                         \
        it_is = "it";                                                                              \
    } while (0)

/* One that is handed in and is longer than it is known: that must be 0. */
#define WRONG_BEHIND(type, value, call)                                                            \
    do {                                                                                           \
        struct {                                                                                   \
            type it;                                                                               \
            uint64_t behind;                                                                       \
        } longer = { .it = (value), .behind = (uint64_t)1 << 63 };                                 \
        type *it = &longer.it;                                                                     \
        longer.it.struct_size = sizeof(longer);                                                    \
        IS(-E2BIG, call);                                                                          \
    } while (0)

/* All of these. */
#define WRONG_INPUT(type, value, call)                                                             \
    WRONG_BEHIND(type, value, call);                                                               \
    WRONG_SIZES(type, value, call)

/* One field that is wrong. */
#define WRONG_FIELD(error, type, value, field, wrong, call)                                        \
    do {                                                                                           \
        type changed = (value), *it = &changed;                                                    \
        changed.field = (wrong);                                                                   \
        IS(error, call);                                                                           \
    } while (0)

/* Every call for a device, and for a vGPU, with a handle that is none. */
void device_handles(godwit_device none);
void vgpu_handles(godwit_vgpu none);

/* Calls on a vGPU: on the bus, in a migration, with state files. */
void on_bus(void);
void on_log(void);
void in_migration(void);
void with_files(void);
void with_damage(void);
void with_descriptors(void);
void with_folders(void);

/* Opening a device over windows. */
void with_windows(void);

/* Calls of several threads for one handle, and its end meanwhile. */
void at_once(void);

#endif

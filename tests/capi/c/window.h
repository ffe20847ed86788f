/* What is known of a window by whoever makes a file for one. A test holds that the numbers are
 * those of the register map. */
#ifndef WINDOW_H
#define WINDOW_H

#define WINDOW_BYTES 0x80000
#define WINDOW_MAGIC_AT 0x0000
#define WINDOW_MAGIC 0x54574447
#define WINDOW_VERSION_AT 0x0004
#define WINDOW_VERSION 3

#endif

# Attaches to the image that `cargo run` has booted in another terminal, and stops it:
#
#     gdb-multiarch -x attach.gdb ../../target/riscv64imac-unknown-none-elf/debug/godwit-image
#
# `cargo run --target …` boots another board's; give that one's file then.

set pagination off
set language c
target remote :1234

define words
  # words OFFSET: a line of words of the window, such as `words 0x200`, the block `intr`.
  x/8xw (char *)&_godwit_window + $arg0
end
document words
words OFFSET: eight words of the window that is shared with the host.
end

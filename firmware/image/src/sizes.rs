//! What the types know and the image's file cannot show otherwise, for those who measure it:
//! symbols whose values are the sizes, and which take no memory.

core::arch::global_asm!(
    ".globl _godwit_channel_bytes",
    ".set _godwit_channel_bytes, {channel_bytes}",
    channel_bytes = const godwit_pump::Pump::CHANNEL_BYTES,
);

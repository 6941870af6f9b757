#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| streamhaul_fuzz::srtla_packet(bytes));

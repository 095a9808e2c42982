#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qipp_hostile::envelope(data));

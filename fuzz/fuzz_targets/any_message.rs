#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qipp_hostile::any_message(data));

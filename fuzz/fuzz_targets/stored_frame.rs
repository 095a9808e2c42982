#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qipp_hostile::stored_frame(data));

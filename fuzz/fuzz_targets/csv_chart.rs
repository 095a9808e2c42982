#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qipp_hostile::csv_chart(data));

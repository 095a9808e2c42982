//! qipp-spc

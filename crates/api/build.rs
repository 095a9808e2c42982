//! Generates the contract from `proto/` with a compiler written in Rust, so that nobody needs protoc.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = proto_files(&root)?;
    let mut compiler = protox::Compiler::new([&root])?;
    // Comments travel with the descriptors: they are the text of the OpenAPI document and of reflection.
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(&files)?;
    let descriptors = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("qipp.descriptors");
    std::fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    // Ordered maps, so that the same fact always encodes to the same bytes.
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

fn proto_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(proto_files(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

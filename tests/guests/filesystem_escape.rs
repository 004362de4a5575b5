//! A command that was given `/workspace`, and tries every way out of it. It prints what each way led to.

use std::fs;
use std::path::Path;

fn said<T>(result: std::io::Result<T>, what: impl Fn(T) -> String) -> String {
    result.map_or_else(|_| "refused".to_owned(), what)
}

fn main() {
    let names = |folder: &str| {
        said(fs::read_dir(folder), |entries| {
            let mut names: Vec<String> =
                entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names.join(" ")
        })
    };
    println!("variables {}", std::env::vars_os().count());
    println!("list / {}", names("/"));
    println!("list /workspace {}", names("/workspace"));
    println!("list /workspace/.. {}", names("/workspace/.."));
    for path in [
        "/workspace/inside.txt",
        "/workspace/../secret.txt",
        "/workspace/folder/../../secret.txt",
        "/workspace/link-to-file",
        "/workspace/link-to-folder/secret.txt",
        "/workspace/link-within",
        "/workspace/link-to-parent/secret.txt",
        "/secret.txt",
        "/etc/passwd",
        "/proc/self/environ",
        "../secret.txt",
    ] {
        println!("read {path} {}", said(fs::read_to_string(path), |text| text.trim().to_owned()));
    }
    println!("write {}", said(fs::write("/workspace/made.txt", "x"), |()| "done".into()));
    println!("write outside {}", said(fs::write("/workspace/../made.txt", "x"), |()| "done".into()));
    println!("remove {}", said(fs::remove_file("/workspace/inside.txt"), |()| "done".into()));
    println!(
        "hard link {}",
        said(fs::hard_link("/workspace/../secret.txt", "/workspace/hard"), |()| "done".into())
    );
    #[allow(deprecated, reason = "the one way of std that makes a symbolic link on every platform")]
    let linked = fs::soft_link("/etc/passwd", "/workspace/soft");
    println!("symbolic link {}", said(linked, |()| "done".into()));
    println!("read through it {}", said(fs::read_to_string("/workspace/soft"), |_| "done".into()));
    println!("rename outside {}", said(fs::rename("/workspace/inside.txt", "/workspace/../stolen"), |()| "done".into()));
    println!("exists {}", Path::new("/workspace/../secret.txt").exists());
}

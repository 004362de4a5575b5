//! A command that knows nothing of Loong: says who it greets, and what of the machine it can see.

use std::io::Read;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).expect("standard input is text");
    println!("hello {}", if arguments.is_empty() { "world".to_owned() } else { arguments.join(" ") });
    println!("input: {} bytes", input.len());
    println!("environment: {} variables", std::env::vars().count());
    for folder in ["/", "/workspace", "/data"] {
        match std::fs::read_dir(folder) {
            Ok(entries) => println!("{folder}: {} entries", entries.count()),
            Err(error) => println!("{folder}: {error}"),
        }
    }
    println!("write: {}", if std::fs::write("/data/made", "x").is_ok() { "done" } else { "refused" });
    eprintln!("that was all");
    if arguments.iter().any(|argument| argument == "--fail") {
        std::process::exit(1);
    }
}

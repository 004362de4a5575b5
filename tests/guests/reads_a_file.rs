//! A command that reads the file it is given and prints how long it is.

fn main() {
    let path = std::env::args().nth(1).expect("a path");
    println!("{} bytes", std::fs::read(path).expect("the file is read").len());
}

export CARGO_HOME="$HOME/.cargo"
cargo init -q --vcs none --name small .
printf 'fn main() { println!("cargo:rustc-env=BUILT=yes"); }\n' > build.rs
printf 'fn main() { println!("{}", env!("BUILT")); }\n#[test] fn two() { assert_eq!(1 + 1, 2); }\n' > src/main.rs
cargo build -q --offline
[ "$(cargo run -q --offline)" = yes ]
cargo test -q --offline > /dev/null
echo done

//! A panic anywhere fails the run: also one in a task of the product, whose panic tokio would swallow.

use std::{panic, process, sync::Once};

/// From here on a panic outside of the tests' own code ends the process. Every world calls this.
pub fn are_fatal() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            usual(info);
            let file = info.location().map_or("", |location| location.file());
            // Assertions and unwraps of tests and harness are located there, and fail their own test.
            let of_the_tests = ["tests/", "integration/", "harness/"].iter().any(|dir| file.starts_with(dir));
            if !of_the_tests {
                eprintln!("a panic outside of the tests ends the run");
                process::exit(101);
            }
        }));
    });
}

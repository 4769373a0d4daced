//! Dockerfiles: any bytes are read or refused, and what is read can be expanded.
#![no_main]

use dockerfile::lint::LintOptions;
use dockerfile::{Kind, Lexer, RunMount, parse, parse_trigger, show_source};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let options = LintOptions::of_file(bytes).unwrap_or_default();
    let file = match parse(bytes, &options) {
        Ok(file) => file,
        Err(error) => {
            let _ = show_source("Dockerfile", bytes, error.lines);
            return;
        }
    };
    let lexer = Lexer::new(file.escape);
    for stage in &file.stages {
        let _ = lexer.expand(&stage.base, &());
        for step in &stage.instructions {
            let _ = lexer.expand(&step.source, &());
            match &step.kind {
                Kind::Run(run) => {
                    for mount in &run.mounts {
                        let expand = |word: &str| Ok(lexer.expand(word, &())?.text);
                        let _ = RunMount::parse(mount, expand);
                    }
                }
                Kind::Onbuild(expression) => drop(parse_trigger(expression, step.lines)),
                Kind::Expose(words) => {
                    words.iter().for_each(|word| drop(dockerfile::ports::parse(word)));
                }
                _ => {}
            }
        }
    }
});

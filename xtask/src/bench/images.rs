//! Images in: how fast layers become files.

use std::error::Error;
use std::fs;
use std::process::Command;

use testkit::tar::Writer;

use super::Bench;
use super::measure::{Samples, Table, time};
use super::peers::engines;

/// How often each image is loaded by each engine.
const ROUNDS: usize = 3;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Table>, Box<dyn Error>> {
    let (engines, absent) = engines(bench);
    let names: Vec<String> = engines.iter().map(|engine| engine.name.clone()).collect();
    let mut taken = Table::new("load of an image of one layer", "ms", names.clone());
    taken.absent = absent;
    let mut speed = Table::new("Unpacking, from those", "files per second (more is better)", names);
    for (what, layer) in layers() {
        let files = entries(&layer);
        let archive = bench.work.path().join("image.tar");
        let mut samples = vec![Samples::default(); engines.len()];
        for round in 0..ROUNDS {
            // A layer that is new each time, and no removal in between: deletion goes on in the
            // disk after the command has ended, and others would pay for it.
            let mut salt = Writer::new();
            salt.file("salt", 0o644, format!("{round}").as_bytes());
            let mut layer_of_round = salt.finish();
            layer_of_round.truncate(1024);
            layer_of_round.extend_from_slice(&layer);
            let image = testkit::Image::new("unpack").layer(layer_of_round);
            fs::write(&archive, image.docker_archive())?;
            for (engine, samples) in engines.iter().zip(&mut samples) {
                // Whoever makes his work durable would pay for what others left unwritten.
                time(&mut Command::new("sync"))?;
                let one = time(&mut engine.load(&archive))?;
                samples.0.push(one.as_secs_f64() * 1e3);
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "a count of files")]
        let per_second = |samples: &Samples| {
            Some(Samples(samples.0.iter().map(|ms| files as f64 * 1e3 / ms).collect()))
        };
        let rates = samples.iter().map(per_second).collect();
        taken.add(&format!("{what}, {files} entries"), samples.into_iter().map(Some).collect());
        speed.add(what, rates);
    }
    Ok(vec![taken, speed])
}

pub(super) fn layers() -> Vec<(&'static str, Vec<u8>)> {
    let mut layers = Vec::new();
    if testkit::Need::Debian.missing().is_none() {
        layers.push(("Debian", testkit::image::debian()));
    }
    let mut small = Writer::new();
    for folder in 0..200 {
        small.directory(&format!("d{folder}/"), 0o755);
        for file in 0..100 {
            let content = format!("{folder} {file}\n").repeat(50);
            small.file(&format!("d{folder}/f{file}"), 0o644, content.as_bytes());
        }
    }
    layers.push(("20,000 small files", small.finish()));
    let mut state = 1_u64;
    let mut large = Vec::with_capacity(300 << 20);
    while large.len() < 300 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        large.extend_from_slice(&state.to_le_bytes());
    }
    let mut one = Writer::new();
    one.file("large", 0o644, &large);
    layers.push(("one file of 300 MB", one.finish()));
    layers
}

/// The headers of an archive that testkit or mmdebstrap wrote.
pub(super) fn entries(tar: &[u8]) -> usize {
    let mut count = 0;
    let mut at = 0;
    while let Some(header) = tar.get(at..at + 512) {
        if header[0] == 0 {
            break;
        }
        let digits = String::from_utf8_lossy(&header[124..135]).into_owned();
        let size = usize::from_str_radix(digits.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        count += usize::from(!matches!(header[156], b'x' | b'g' | b'L' | b'K'));
        at += 512 + size.next_multiple_of(512);
    }
    count
}

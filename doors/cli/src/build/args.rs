//! `build`: makes an image of a Dockerfile and a directory.
//!
//! Flags, output and exit codes are `docker buildx build`'s: docs/compat/docker-cli.md.

use std::io;
use std::sync::atomic::AtomicBool;

use engine::{BuiltImage, Engine, Exported, Registries};

use super::call::{self, Called};
use super::failure::{self, Failed};
use super::progress::{Kind, Printer};
use super::{debug, report, verify, wishes};
use crate::command::{Arity, Call, Command};
use crate::flags::{
    Bytes, Choice, Integer, List, Refused, RefusedSwitch, SwapBytes, Switch, Text, Ulimits, Words,
    flags, long,
};
use crate::image::{Board, Stream, Way, pull};
use crate::ui::{Exit, Ui};

const NOT_HERE: &str = "there are no builders to choose from: Kista builds in this process";
const DONE: &str = "steps leave no containers behind";

flags! {
    /// Flags of `build`.
    BuildArgs {
        /// Add a line to the hosts file of commands (NAME:ADDRESS)
        add_host: Words = long("add-host"),
        /// Allow what a Dockerfile cannot take for itself (network.host, security.insecure, device[=NAME])
        allow: List = long("allow"),
        /// Annotate the image ([manifest|manifest-descriptor|index|index-descriptor[PLATFORM]:]KEY=VALUE)
        annotation: List = long("annotation"),
        /// Say something about the image beside it (type=provenance|sbom[,KEY=VALUE])
        attest: List = long("attest"),
        /// Set a build argument (NAME=VALUE, or NAME from the environment)
        build_arg: List = long("build-arg"),
        /// Add a named context (NAME=PATH, URL, docker-image://REFERENCE, oci-layout://PATH)
        build_context: List = long("build-context"),
        /// Choose a builder
        builder: Refused = long("builder").refused(NOT_HERE, &["", "default"]),
        /// Use a cache of another place (REFERENCE, type=local,src=PATH, type=registry,ref=REFERENCE)
        cache_from: List = long("cache-from"),
        /// Write a cache to another place (type=local,dest=PATH, type=registry,ref=REFERENCE, type=inline)
        cache_to: List = long("cache-to"),
        /// What to do: build, check, outline or targets; with ,format=json as JSON
        call: Text = long("call"),
        /// Cgroup to put commands below
        cgroup_parent: Text = long("cgroup-parent"),
        /// Check the Dockerfile and build nothing
        check: Switch = long("check"),
        /// Without effect: nothing is sent anywhere
        compress: Switch = long("compress").hidden(),
        /// Period of the CPU quota, in microseconds
        cpu_period: Integer<i64> = long("cpu-period").hidden(),
        /// CPU time in each period, in microseconds
        cpu_quota: Integer<i64> = long("cpu-quota").hidden(),
        /// CPU weight of commands
        cpu_shares: Integer<i64> = long("cpu-shares").short('c').hidden(),
        /// Processors that commands may use
        cpuset_cpus: Text = long("cpuset-cpus").hidden(),
        /// Memory nodes that commands may use
        cpuset_mems: Text = long("cpuset-mems").hidden(),
        /// The Dockerfile (PATH/Dockerfile if not given, - for standard input)
        file: Text = long("file").short('f'),
        /// Without effect: steps leave no containers behind
        force_rm: Switch = long("force-rm").hidden(),
        /// Open a shell where a step failed, in this terminal (=PROGRAM for another than its own)
        debug_shell: Choice = long("debug-shell"),
        /// Write the image's id to this file
        iidfile: Text = long("iidfile"),
        /// Isolation of commands
        isolation: Refused = long("isolation")
            .refused(crate::refused::ISOLATION, &["", "default", "process"]).hidden(),
        /// Label the image (KEY=VALUE)
        label: List = long("label"),
        /// Put the image into the store, as is done anyway
        load: Switch = long("load"),
        /// Most memory of a command, in bytes or with a unit (b, k, m, g)
        memory: Bytes = long("memory").short('m').hidden(),
        /// Most memory and swap together; -1 for no limit
        memory_swap: SwapBytes = long("memory-swap").hidden(),
        /// Write facts about the result to this file, as JSON
        metadata_file: Text = long("metadata-file"),
        /// Network of commands: default, none or host
        network: Text = long("network"),
        /// Use nothing of earlier builds
        no_cache: Switch = long("no-cache"),
        /// Use nothing of earlier builds for these stages
        no_cache_filter: Words = long("no-cache-filter"),
        /// Where the result goes (type=image|registry|oci|docker|local|tar|cacheonly[,dest=PATH], or a directory)
        output: List = long("output").short('o'),
        /// Platforms to build for (os/arch[/variant])
        platform: Words = long("platform"),
        /// Evaluate a policy
        policy: Refused = long("policy").later("policies come with a later piece of work", &[]),
        /// How progress is shown: auto, plain, tty, rawjson, quiet
        progress: Text = long("progress"),
        /// Say how the image came to be (true, false, mode=min|max[,builder-id=URI][,version=v1|v0.2])
        provenance: Text = long("provenance"),
        /// Fetch base images anew
        pull: Switch = long("pull"),
        /// Push the image under each of its names
        push: Switch = long("push"),
        /// Print nothing but the image's id
        quiet: Switch = long("quiet").short('q'),
        /// Limit a resource of each command (memory=2g, cpu-quota=50000...)
        resource: List = long("resource"),
        /// Without effect unless false
        rm: RefusedSwitch = long("rm").refused(DONE, &["true"]).hidden(),
        /// Say what is in the image (true, false, or generator=IMAGE)
        sbom: Text = long("sbom"),
        /// Let commands mount a secret (id=ID[,src=FILE|,env=VARIABLE])
        secret: List = long("secret"),
        /// Security options
        security_opt: Refused = long("security-opt")
            .refused("commands of a build are confined by its profile", &[]).hidden(),
        /// Size of /dev/shm of commands
        shm_size: Bytes = long("shm-size"),
        /// Make one layer of all
        squash: RefusedSwitch = long("squash")
            .refused("copy what is wanted into a last stage instead", &["false"]).hidden(),
        /// Let commands use an agent's socket (default, or ID=SOCKET)
        ssh: List = long("ssh"),
        /// Name the image (NAME[:TAG])
        tag: List = long("tag").short('t'),
        /// Build up to this stage
        target: Text = long("target"),
        /// Limit a resource of commands (NAME=SOFT[:HARD])
        ulimit: Ulimits = long("ulimit"),
        /// Build twice without earlier results, and say what differs; nothing is written
        verify: Switch = long("verify"),
    }
}

impl Command for BuildArgs {
    const PATH: &'static str = "buildx build";
    const USAGE: &'static str = "[OPTIONS] PATH | URL | -";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let kind = match Kind::choose(self.progress.as_deref(), self.quiet.is_on()) {
            Ok(kind) => kind,
            Err(text) => return ui.fail(format_args!("ERROR: {text}")),
        };
        let method = if self.check.is_on() { "check" } else { self.call.text() };
        let called = match Called::parse(method) {
            Ok(called) => called,
            Err(text) => return ui.fail(format_args!("ERROR: {text}")),
        };
        let files = (self.iidfile.clone(), self.metadata_file.clone());
        let (pull, verify) = (self.pull.is_on(), self.verify.is_on());
        let shell = self.debug_shell.clone();
        if let Some(why) = debug::refusal(&shell, called.is_some() || verify) {
            return ui.fail(format_args!("ERROR: {why}"));
        }
        let mut printer = Printer::new(kind, ui);
        let registries = call.registries();
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return printer.into_ui().report(&error),
        };
        let mut wanted = match wishes::read(self, &args[0], (&engine, &registries), &printer) {
            Ok(wanted) => wanted,
            Err(error) => {
                let failed = Failed { error: error.into(), file: None, output: None };
                return failure::show(failed, printer.into_ui());
            }
        };
        wanted.build.request.keep_failed = shell.is_on();
        if let Some(called) = called {
            return call::run(called, wanted, &engine, call, printer.into_ui());
        }
        if verify {
            return verify::run(wanted, pull, &engine, call, printer);
        }
        let lock = match engine.lock_for_build() {
            Ok(lock) => lock,
            Err(error) => return printer.into_ui().report(&error),
        };
        let built = build_it(&mut wanted, pull, (&engine, &registries), call, &mut printer);
        let built = match built {
            Ok(built) => built,
            Err(mut error) => {
                let step = error.step.take();
                let output = printer.last_failure();
                let failed = Failed { error, file: Some(wanted.file), output };
                let ui = printer.into_ui();
                let exit = failure::show(failed, ui)?;
                if let Some(step) = step {
                    debug::open(&step, &shell, (&engine, &wanted.build), ui)?;
                }
                drop(lock);
                engine.tidy_after_build(&wanted.build);
                return Ok(exit);
            }
        };
        drop(lock);
        engine.tidy_after_build(&wanted.build);
        printer.warnings(&built.warnings);
        let ui = printer.into_ui();
        report::write(&built.images, &files.0, &files.1, kind, ui)
    }
}

/// Plans and builds, and shows it, under the lock for that. With `pull` all base images are fetched anew.
fn build_it(
    wanted: &mut wishes::Wanted,
    pull: bool,
    (engine, registries): (&Engine, &Registries),
    call: &Call<'_>,
    printer: &mut Printer<'_>,
) -> Result<BuiltImage, engine::BuildFailure> {
    let wishes::Wanted { build, platforms, file } = wanted;
    let definition = format!("[internal] load build definition from {}", file.name);
    printer
        .internal(&definition, &format!("transferring dockerfile: {}B done", file.content.len()));
    let mut planned = Vec::new();
    for platform in platforms {
        let fetch = fetcher(engine, call, &*printer);
        build.request.platform = Some(platform.clone());
        planned.push(engine.plan_build(&build.request, &fetch, pull)?);
    }
    let stop = AtomicBool::new(false);
    let told = |exported: &Exported| report::tell(exported, printer);
    printer.follow(|events| engine.build_image(registries, build, planned, events, &told, &stop))
}

/// Fetches base images, and tells of it.
pub(super) fn fetcher<'a>(
    engine: &'a Engine,
    call: &'a Call<'_>,
    printer: &'a Printer<'_>,
) -> impl Fn(&str, &oci::Platform) -> Result<(), engine::EngineError> + 'a {
    move |name, platform| {
        let board = Board::new(Way::Pull, Stream::Nowhere);
        let pulled = pull(
            engine,
            &call.registries(),
            name,
            engine::Platforms::These(vec![platform.clone()]),
            &board,
        )?;
        printer.internal(
            &format!("[internal] load metadata for {}", pulled.name),
            &format!("resolve {}@{} done", pulled.name, pulled.digest),
        );
        Ok(())
    }
}

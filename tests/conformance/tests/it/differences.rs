//! Where other runtimes are known to differ from what the tests ask, and why.

use std::process::Command;

use testkit::oci::{Kind, Runtime};

/// Whose, why, and the tests that show it. runc is Debian's 1.1.5, and crun Debian's 1.8.1.
const DIFFERENCES: &[(Kind, &str, &[&str])] = &[
    (
        Kind::Runc,
        "runc 1.1 looks at `linux.intelRdt` only where it names one of two schemata",
        &["rdt::without_resctrl_it_is_an_error_and_nothing_is_made"],
    ),
    (
        Kind::Crun,
        "Debian's crun takes `linux.intelRdt` in silence where there is no resctrl",
        &["rdt::without_resctrl_it_is_an_error_and_nothing_is_made"],
    ),
    (
        Kind::Runc,
        "runc 1.1 does not look at `ociVersion`",
        &[
            "bundles::a_configuration_without_a_version",
            "bundles::a_version_of_the_next_major",
            "bundles::a_version_that_is_text",
        ],
    ),
    (
        Kind::Runc,
        "runc knows `linux.personality` since 1.2",
        &["bundles::a_personality_that_is_none", "scheduling::the_personality_is_as_configured"],
    ),
    (
        Kind::Runc,
        "runc ignores mappings when there is no user namespace",
        &[
            "bundles::user_mappings_that_overlap",
            "user_namespace::mappings_without_the_namespace_are_not_applied_in_silence",
        ],
    ),
    (
        Kind::Runc,
        "runc fails on capabilities that it lacks, and warns of unknown ones alone",
        &["capabilities::capabilities_that_the_runtime_lacks_are_a_warning"],
    ),
    (
        Kind::Runc,
        "runc 1.1 only warns of a cgroup that is not empty",
        &["create::a_cgroup_that_has_processes_is_refused"],
    ),
    (
        Kind::Runc,
        "runc 1.1 passes on what is not open, in silence",
        &["descriptors::preserving_what_is_not_open_is_an_error"],
    ),
    (
        Kind::Runc,
        "runc 1.1 takes any file in the place of a device",
        &["devices::a_file_in_the_place_of_a_device_is_an_error"],
    ),
    (
        Kind::Runc,
        "runc 1.1 has no umask for exec",
        &[
            "exec::a_process_document_is_used_whole",
            "exec::exec_is_confined_like_the_first_process",
        ],
    ),
    (
        Kind::Runc,
        "runc before 1.3 calls poststart hooks at the end of create",
        &[
            "hooks::a_failing_poststart_hook_ends_the_container",
            "hooks::poststart_hooks_run_with_start",
            "hooks::the_state_of_a_poststart_hook_is_running",
        ],
    ),
    (
        Kind::Runc,
        "runc calls no poststop hook after one that fails",
        &["hooks::a_failing_poststop_hook_is_a_warning"],
    ),
    (
        Kind::Runc,
        "runc's start does not wait for the hooks and the program",
        &["hooks::a_failing_start_container_hook_keeps_the_program_from_running"],
    ),
    (
        Kind::Runc,
        "runc has id-mapped mounts since 1.2",
        &[
            "idmap::ids_of_the_disk_are_mapped",
            "idmap::in_a_user_namespace_files_belong_to_whom_they_say",
            "idmap::mappings_without_the_option_are_applied_too",
            "idmap::one_mapping_without_the_other_is_an_error",
            "idmap::the_option_alone_is_an_error_without_a_user_namespace",
            "idmap::the_option_alone_means_the_containers_mapping",
        ],
    ),
    (
        Kind::Runc,
        "runc takes the last of two limits of one kind",
        &["limits::a_limit_that_is_named_twice_is_refused"],
    ),
    (
        Kind::Runc,
        "runc 1.1 does not clear flags of what is bound",
        &[
            "mount_options::dev",
            "mount_options::exec",
            "mount_options::suid",
            "mount_options::symfollow",
        ],
    ),
    (
        Kind::Runc,
        "runc 1.1 sets no access time attribute without clearing the others, which is EINVAL",
        &["mount_options::ratime"],
    ),
    (
        Kind::Runc,
        "runc 1.1 gives `defaults`, `silent` and `loud` to the file system",
        &["mount_options::options_of_the_superblock"],
    ),
    (
        Kind::Runc,
        "runc 1.1 gives a tmpfs the mode of the directory below, whatever `mode` says",
        &["mounts::options_of_the_file_system_are_passed_on"],
    ),
    (
        Kind::Runc,
        "runc knows `domainname` since 1.2",
        &[
            "namespaces::a_host_name_needs_a_uts_namespace",
            "namespaces::the_host_and_domain_names_are_the_containers",
        ],
    ),
    (
        Kind::Runc,
        "runc has time namespaces since 1.2",
        &[
            "namespaces::clocks_are_offset_in_a_time_namespace",
            "namespaces::offsets_need_a_time_namespace",
        ],
    ),
    (
        Kind::Runc,
        "runc ignores metadata when there is no listener",
        &["notify::metadata_without_a_listener_is_refused"],
    ),
    (
        Kind::Runc,
        "runc closes the connection when it exits",
        &["notify::the_connection_is_closed_after_the_state"],
    ),
    (Kind::Runc, "runc 1.1 makes the root private in the end", &["propagation::a_shared_root_is"]),
    (
        Kind::Runc,
        "runc cannot bind its root once that is unbindable",
        &["propagation::an_unbindable_root_is"],
    ),
    (
        Kind::Runc,
        "runc knows `cpu.burst` and `cpu.idle` since 1.2",
        &["resources::cpu_burst", "resources::cpu_idle"],
    ),
    (
        Kind::Runc,
        "runc knows `ioPriority` and `scheduler` since 1.2",
        &[
            "scheduling::io_priorities_that_are_none_are_refused",
            "scheduling::reset_on_fork_is_as_configured",
            "scheduling::schedulers_that_are_none_are_refused",
            "scheduling::the_io_priority_is_as_configured",
            "scheduling::the_scheduling_policy_is_as_configured",
        ],
    ),
    (
        Kind::Runc,
        "runc knows `execCPUAffinity` since 1.3",
        &["scheduling::the_affinity_of_an_exec_is_as_configured"],
    ),
    (
        Kind::Runc,
        "runc ignores a rule without names",
        &["seccomp::a_rule_without_names_is_refused"],
    ),
    (
        Kind::Runc,
        "runc ignores an errno that means nothing",
        &["seccomp::an_errno_for_an_action_without_one_is_refused"],
    ),
    (
        Kind::Runc,
        "runc knows flags of seccomp since 1.1.5, and Debian's build refuses them",
        &["seccomp::flags_are_taken"],
    ),
    (
        Kind::Runc,
        "runc takes ids up to 2147483647",
        &["user::the_largest_id_is_used_and_larger_ones_are_refused"],
    ),
    (
        Kind::Runc,
        "runc wants mappings for a user namespace that it joins",
        &["user_namespace::a_user_namespace_can_be_joined"],
    ),
    (
        Kind::Crun,
        "crun 1.8 knows versions 1.0 alone",
        &["annotations::every_version_of_the_first_major_is_taken"],
    ),
    (
        Kind::Crun,
        "crun 1.8 hardly checks the types and values of a configuration",
        &[
            "bundles::a_device_of_no_kind",
            "bundles::a_hook_that_is_relative",
            "bundles::a_hook_timeout_of_zero",
            "bundles::a_memory_limit_that_is_text",
            "bundles::a_namespace_that_is_named_twice",
            "bundles::a_propagation_that_is_none",
            "bundles::arguments_that_are_text",
            "bundles::arguments_with_a_number",
            "bundles::user_mappings_that_overlap",
            "descriptors::preserving_what_is_not_open_is_an_error",
            "process::a_relative_working_directory_is_refused",
            "seccomp::a_rule_without_names_is_refused",
            "terminal::a_socket_without_a_terminal_is_an_error",
            "user::the_largest_id_is_used_and_larger_ones_are_refused",
            "user_namespace::mappings_without_the_namespace_are_not_applied_in_silence",
        ],
    ),
    (
        Kind::Crun,
        "crun leaves cgroups behind when a limit is refused",
        &[
            "bundles::cpus_that_are_not_there",
            "limits::a_limit_that_is_named_twice_is_refused",
            "resources::limits_that_the_kernel_refuses_are_errors",
            "resources::unified_is_refused_on_v1",
            "resources::weight_of_block_devices",
        ],
    ),
    (
        Kind::Crun,
        "crun fails on capabilities that it lacks",
        &["capabilities::capabilities_that_the_runtime_lacks_are_a_warning"],
    ),
    (
        Kind::Crun,
        "crun takes a cgroup that is not empty",
        &["create::a_cgroup_that_has_processes_is_refused"],
    ),
    (
        Kind::Crun,
        "crun 1.8 takes an id that is an absolute path",
        &["create::ids_that_are_paths_are_refused"],
    ),
    (
        Kind::Crun,
        "crun sets LISTEN_PID and not LISTEN_FDS",
        &["descriptors::descriptors_of_socket_activation_arrive"],
    ),
    (
        Kind::Crun,
        "crun takes any file in the place of a device",
        &["devices::a_file_in_the_place_of_a_device_is_an_error"],
    ),
    (
        Kind::Crun,
        "crun has no such command",
        &["events::statistics_of_a_running_container", "features::features_tell_what_there_is"],
    ),
    (
        Kind::Crun,
        "crun's exec begins with root and not with the container's user",
        &["exec::exec_is_confined_like_the_first_process"],
    ),
    (
        Kind::Crun,
        "crun's exec --env replaces the whole environment",
        &["exec::flags_change_the_process"],
    ),
    (
        Kind::Crun,
        "crun tells the code of a hook alone",
        &["hooks::a_failing_hook_is_told_with_what_it_said"],
    ),
    (
        Kind::Crun,
        "crun's start does not wait for the hooks and the program",
        &[
            "hooks::a_failing_poststart_hook_ends_the_container",
            "hooks::a_failing_start_container_hook_keeps_the_program_from_running",
        ],
    ),
    (
        Kind::Crun,
        "crun tells a startContainer hook the working directory as the bundle",
        &["hooks::hooks_get_the_state_on_their_input"],
    ),
    (
        Kind::Crun,
        "crun calls no poststop hook after a create that fails",
        &["hooks::poststop_hooks_run_after_a_failed_create"],
    ),
    (
        Kind::Crun,
        "crun says that there is no such signal, and succeeds",
        &["kill::a_signal_that_is_none_is_an_error_and_changes_nothing"],
    ),
    (Kind::Crun, "crun knows signals in capitals", &["kill::signals_are_named_in_every_way"]),
    (
        Kind::Crun,
        "crun's table has other headers",
        &["list::list_is_a_table_unless_told_otherwise"],
    ),
    (
        Kind::Crun,
        "crun sets no access time attribute without clearing the others, which is EINVAL",
        &[
            "mount_options::ratime",
            "mount_options::rdiratime",
            "mount_options::rnoatime",
            "mount_options::rnodiratime",
            "mount_options::rstrictatime",
        ],
    ),
    (
        Kind::Crun,
        "crun 1.8 does not set `nosymfollow`",
        &["mount_options::nosymfollow", "mount_options::rnosymfollow", "mount_options::rsymfollow"],
    ),
    (
        Kind::Crun,
        "crun's `async` does not undo `sync`",
        &["mount_options::options_of_the_superblock"],
    ),
    (
        Kind::Crun,
        "crun 1.8 moves no clock of the container on this kernel",
        &["namespaces::clocks_are_offset_in_a_time_namespace"],
    ),
    (
        Kind::Crun,
        "crun ignores offsets when there is no time namespace",
        &["namespaces::offsets_need_a_time_namespace"],
    ),
    (
        Kind::Crun,
        "crun connects to a listener that nothing needs",
        &["notify::a_listener_without_notify_is_ignored"],
    ),
    (
        Kind::Crun,
        "crun ignores metadata, and notify, when there is no listener",
        &[
            "notify::metadata_without_a_listener_is_refused",
            "notify::notify_without_a_listener_is_refused",
        ],
    ),
    (
        Kind::Crun,
        "crun closes the connection when it exits",
        &["notify::the_connection_is_closed_after_the_state"],
    ),
    (
        Kind::Crun,
        "crun drops the flags of a mount that it makes read-only",
        &["paths::read_only_paths_keep_other_flags_of_their_mount"],
    ),
    (
        Kind::Crun,
        "crun resumes what is not paused",
        &["pause::pause_and_resume_in_a_wrong_state_are_errors_and_change_nothing"],
    ),
    (
        Kind::Crun,
        "crun does not make a bind mount shared",
        &["propagation::a_mount_has_the_propagation_that_was_asked_for"],
    ),
    (
        Kind::Crun,
        "crun makes the host's mounts private before it binds",
        &["propagation::slaves_of_the_hosts_mount_receive_and_do_not_send"],
    ),
    (Kind::Crun, "crun 1.8 does not know `cpu.burst`", &["resources::cpu_burst"]),
    (
        Kind::Crun,
        "crun 1.8 takes no -1 for a limit that is none",
        &["resources::cpu_without_quota", "resources::pids"],
    ),
    (Kind::Crun, "crun has no such flag", &["run::keep_leaves_a_stopped_container"]),
    (
        Kind::Crun,
        "crun 1.8 does not know `ioPriority`, `scheduler` and `execCPUAffinity`",
        &[
            "scheduling::io_priorities_that_are_none_are_refused",
            "scheduling::reset_on_fork_is_as_configured",
            "scheduling::schedulers_that_are_none_are_refused",
            "scheduling::the_affinity_of_an_exec_is_as_configured",
            "scheduling::the_io_priority_is_as_configured",
            "scheduling::the_scheduling_policy_is_as_configured",
        ],
    ),
    (
        Kind::Runc,
        "runc 1.1 is open to CVE-2026-41579",
        &[
            "escape::links::devices_are_not_made_where_a_link_leads",
            "escape::links::mounts_stay_inside_whatever_their_places_are",
        ],
    ),
    (
        Kind::Runc,
        "runc 1.1 is open to CVE-2025-31133",
        &[
            "escape::masks::a_mask_is_a_device_or_there_is_no_container",
            "escape::masks::a_mask_is_not_what_the_container_calls_dev_null",
        ],
    ),
    (
        Kind::Runc,
        "runc 1.1 takes a number that is too large for the name of a user",
        &["escape::users::numbers_are_exact_or_refused"],
    ),
    (
        Kind::Crun,
        "crun 1.8 is open to CVE-2026-47766",
        &[
            "escape::console::the_console_is_not_made_through_a_link",
            "escape::links::devices_are_not_made_where_a_link_leads",
        ],
    ),
    (
        Kind::Crun,
        "crun 1.8 is open to CVE-2025-31133",
        &["escape::masks::a_mask_is_a_device_or_there_is_no_container"],
    ),
    (
        Kind::Crun,
        "crun mounts what it is asked to over /proc (CVE-2019-16884)",
        &["escape::procfs::no_volume_is_mounted_over_proc"],
    ),
    (
        Kind::Crun,
        "crun 1.8 takes the user 4294967295 for no user, which is root",
        &["escape::users::numbers_are_exact_or_refused"],
    ),
    (
        Kind::Crun,
        "crun makes calls under the filter that it does not have to let pass",
        &["seccomp::a_filter_that_does_not_know_clone3_lets_processes_be_added"],
    ),
];

/// Races that a runtime may lose: the test is run, and may fail.
const RACES: &[(Kind, &str, &[&str])] = &[
    (
        Kind::Crun,
        "crun's start does not wait for the hooks and the program",
        &["hooks::poststart_hooks_run_with_start"],
    ),
    (
        Kind::Runc,
        "runc 1.1 is open to CVE-2025-52565",
        &["escape::console::the_console_is_the_terminal"],
    ),
    (
        Kind::Crun,
        "crun 1.8 is open to CVE-2025-52565",
        &["escape::console::the_console_is_the_terminal"],
    ),
    (Kind::Runc, "runc 1.1 is open to CVE-2024-45310", &["escape::races::nothing_is_made_outside"]),
    (
        Kind::Runc,
        "runc is in reach of one that may trace while it joins",
        &["escape::descriptors::a_joining_process_shows_no_descriptor_to_one_that_may_trace"],
    ),
    (
        Kind::Crun,
        "crun is in reach of one that may trace while it joins",
        &["escape::descriptors::a_joining_process_shows_no_descriptor_to_one_that_may_trace"],
    ),
];

/// Set in the copy of a test that is expected to fail.
const EXPECTED: &str = "CONFORMANCE_DIFFERS";

/// Whether the test that runs is listed for the runtime under test.
///
/// If it is, it is run apart and must fail; panics if it does not.
pub(crate) fn differs() -> bool {
    if std::env::var_os(EXPECTED).is_some() {
        return false;
    }
    let kind = Runtime::under_test().kind();
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let listed = |(whose, _, tests): &&(Kind, _, &[&str])| *whose == kind && tests.contains(&test);
    let (difference, race) = (DIFFERENCES.iter().find(listed), RACES.iter().find(listed));
    let Some((_, reason, _)) = difference.or(race) else { return false };
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact"])
        .env(EXPECTED, "1")
        .output()
        .unwrap();
    let failed = !output.status.success();
    assert!(failed || race.is_some(), "{kind:?} is listed as different, but is not: {reason}");
    println!("{kind:?} {}: {reason}", if failed { "differs" } else { "was lucky" });
    true
}

#[test]
fn every_listed_test_exists() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--list", "--format", "terse"])
        .output()
        .unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    for test in DIFFERENCES.iter().chain(RACES).flat_map(|(_, _, tests)| tests.iter()) {
        assert!(list.lines().any(|line| line == format!("{test}: test")), "{test}");
    }
}

//! System calls by what they are for.
//!
//! Which calls a container may use is a matter of fact about the programs that people run: the
//! first twelve groups, [`RARE`], [`FANOTIFY_MARK`], [`TRACING`] and [`NODES`] together are what Docker
//! 29 lets every container do.

use crate::syscalls::place;

/// A list of calls by name; one that is not in the table fails the build.
macro_rules! calls {
    ($($name:ident)*) => { &[$(place(stringify!($name))),*] };
}

/// Bytes in and out of what is open.
pub(super) const DESCRIPTORS: &[u16] = calls![
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 close
    close_range dup dup2 dup3 fcntl fcntl64 lseek _llseek sendfile sendfile64 splice tee
    copy_file_range pipe pipe2 ioctl flock readahead fadvise64 fadvise64_64 arm_fadvise64_64
    fsync fdatasync sync syncfs sync_file_range sync_file_range2 arm_sync_file_range
    fallocate ftruncate ftruncate64 truncate truncate64 cachestat
];

/// Names, and what stands behind them.
pub(super) const PATHS: &[u16] = calls![
    open openat openat2 creat access faccessat faccessat2 stat stat64 lstat lstat64 fstat
    fstat64 fstatat64 newfstatat statx statfs statfs64 fstatfs fstatfs64 readlink readlinkat
    getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir link linkat
    symlink symlinkat unlink unlinkat rename renameat renameat2 chmod fchmod fchmodat
    fchmodat2 chown chown32 fchown fchown32 fchownat lchown lchown32 umask utime utimes
    futimesat utimensat utimensat_time64
];

/// Extended attributes; the kernel and the file system guard the namespaces.
pub(super) const ATTRIBUTES: &[u16] = calls![
    getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat
    listxattr llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr
    removexattrat
];

/// Waiting for many things at once.
pub(super) const WATCHES: &[u16] = calls![
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch eventfd eventfd2 signalfd
    signalfd4 timerfd_create timerfd_settime timerfd_settime64 timerfd_gettime
    timerfd_gettime64 poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait
    epoll_pwait2 io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents
    io_pgetevents_time64
];

/// A process's own memory.
pub(super) const MEMORY: &[u16] = calls![
    brk mmap mmap2 munmap mremap mprotect madvise msync mlock mlock2 munlock mlockall
    munlockall mseal membarrier memfd_create memfd_secret pkey_alloc pkey_free pkey_mprotect
    map_shadow_stack
];

/// Processes and threads, and what they may give up for good.
pub(super) const PROCESSES: &[u16] = calls![
    fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid
    getpgid getpgrp setpgid getsid setsid prctl arch_prctl set_thread_area get_thread_area
    set_tid_address set_robust_list get_robust_list rseq capget capset seccomp
    landlock_create_ruleset landlock_add_rule landlock_restrict_self pidfd_open
    pidfd_send_signal process_mrelease getrlimit ugetrlimit setrlimit prlimit64 getrusage
    times getcpu restart_syscall uretprobe breakpoint cacheflush set_tls
];

/// Who runs when, within what the kernel and the cgroup allow.
pub(super) const SCHEDULING: &[u16] = calls![
    sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr
    sched_getparam sched_setparam sched_getscheduler sched_setscheduler
    sched_get_priority_max sched_get_priority_min sched_rr_get_interval
    sched_rr_get_interval_time64 getpriority setpriority ioprio_get
];

/// Who a process is; changes need the capabilities for them.
pub(super) const IDENTITY: &[u16] = calls![
    getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid
    getresuid32 getresgid getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32
    setreuid setreuid32 setregid setregid32 setresuid setresuid32 setresgid setresgid32
    setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 uname sysinfo getrandom
];

/// Signals and futexes.
pub(super) const SIGNALS: &[u16] = calls![
    kill tkill tgkill pause rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn
    sigaltstack sigprocmask sigreturn futex futex_time64 futex_waitv futex_wait futex_wake
    futex_requeue
];

/// Clocks that are read and timers.
pub(super) const TIME: &[u16] = calls![
    time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64
    clock_nanosleep clock_nanosleep_time64 nanosleep alarm getitimer setitimer timer_create
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
    timer_settime64
];

/// Sockets once they exist; making one is a matter of its own.
pub(super) const SOCKETS: &[u16] = calls![
    socketcall socketpair bind connect listen accept accept4 getsockname getpeername
    getsockopt setsockopt shutdown send sendto sendmsg sendmmsg recv recvfrom recvmsg
    recvmmsg recvmmsg_time64
];

/// System V and POSIX objects, which live in the container's own IPC namespace.
pub(super) const IPC: &[u16] = calls![
    ipc semget semctl semop semtimedop semtimedop_time64 shmget shmctl shmat shmdt msgget
    msgctl msgsnd msgrcv mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend
    mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64
];

/// Allowed by Docker, and of use to few: debuggers of memory, emulators, clock daemons, tools
/// that look at mounts. Each has had holes of its own.
pub(super) const RARE: &[u16] = calls![
    modify_ldt vmsplice name_to_handle_at statmount listmount remap_file_pages adjtimex
    clock_adjtime clock_adjtime64 ioprio_set mincore
];

/// What a clock daemon needs of [`RARE`].
pub(super) const CLOCK_ADJUSTMENT: &[u16] = calls![adjtimex clock_adjtime clock_adjtime64];

/// What looks at mounts of [`RARE`]; libraries fall back to /proc/self/mountinfo.
pub(super) const MOUNT_LISTS: &[u16] = calls![statmount listmount];

/// Looking into other processes of the same user. Safe to filters from Linux 4.8 on, where a
/// tracer cannot change a call after it was filtered.
pub(super) const TRACING: &[u16] = calls![ptrace process_vm_readv process_vm_writev];

/// More of the same, for those who may look into any process.
pub(super) const TRACING_ANY: &[u16] = calls![kcmp pidfd_getfd process_madvise];

/// Newer than Docker's list, and no more than ioctl(2) gives already, or a hint.
pub(super) const NEW: &[u16] = calls![file_getattr file_setattr rseq_slice_yield];

/// Marks for a group that only [`ADMINISTRATION`] can make.
pub(super) const FANOTIFY_MARK: &[u16] = calls![fanotify_mark];

/// Mounts, namespaces, names of the machine.
pub(super) const ADMINISTRATION: &[u16] = calls![
    mount umount umount2 mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick setns
    unshare sethostname setdomainname quotactl quotactl_fd fanotify_init lookup_dcookie bpf
    perf_event_open syslog lsm_get_self_attr lsm_set_self_attr lsm_list_modules clone clone3
];

/// Newer still: the same with attributes, and lists of namespaces.
pub(super) const ADMINISTRATION_NEW: &[u16] = calls![open_tree_attr listns];

/// Calls that libraries try first and do without: "no such call" keeps them working, where "not
/// permitted" would be taken for the answer.
pub(super) const WITH_FALLBACK: &[u16] = calls![
    open_tree_attr listns lsm_get_self_attr lsm_set_self_attr lsm_list_modules
];

pub(super) const CLONE: &[u16] = calls![clone];
pub(super) const CLONE3: &[u16] = calls![clone3];
pub(super) const SOCKET: &[u16] = calls![socket];
pub(super) const PERSONALITY: &[u16] = calls![personality];
pub(super) const IOCTL: &[u16] = calls![ioctl];
pub(super) const NODES: &[u16] = calls![mknod mknodat];
pub(super) const MKNOD: &[u16] = calls![mknod];
pub(super) const MKNODAT: &[u16] = calls![mknodat];
pub(super) const OPEN_BY_HANDLE: &[u16] = calls![open_by_handle_at];
pub(super) const REBOOT: &[u16] = calls![reboot];
pub(super) const CHROOT: &[u16] = calls![chroot];
pub(super) const MODULES: &[u16] = calls![init_module finit_module delete_module];
pub(super) const ACCOUNTING: &[u16] = calls![acct];
pub(super) const PORTS: &[u16] = calls![iopl ioperm];
pub(super) const CLOCKS: &[u16] = calls![settimeofday stime clock_settime clock_settime64];
pub(super) const HANGUP: &[u16] = calls![vhangup];
pub(super) const NUMA: &[u16] = calls![get_mempolicy mbind set_mempolicy set_mempolicy_home_node];
pub(super) const KERNEL_LOG: &[u16] = calls![syslog];
pub(super) const BPF: &[u16] = calls![bpf];
pub(super) const PERF: &[u16] = calls![perf_event_open];

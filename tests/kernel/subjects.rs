//! Who attempts: threads, leaders, set-uid files, capabilities.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::bed::{Exec, bed, end_of, exec_as};
use crate::helper::helper;

#[test]
fn a_set_uid_root_file_counts_as_root_unless_it_gains_nothing() {
    bed(|bed| {
        let program = bed.program("/dev/shm/suid");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
        let guard = bed.prevent();
        assert_eq!(exec_as(65534, &program), Exec::Denied);
        assert_eq!(guard.only_attempt()["user"]["id"], "0");
        assert_eq!(guard.only_attempt()["process"]["real_user"]["id"], "65534");
        let mut without = Command::new(&program);
        without.uid(65534).gid(65534);
        no_new_privileges(&mut without);
        assert_eq!(end_of(&mut without), Exec::Ran(0));
    });
}

#[test]
fn a_set_uid_file_of_another_user_names_that_user() {
    bed(|bed| {
        let program = bed.program("/dev/shm/suid");
        chown(&program, Some(33), Some(33)).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
        let guard = bed.prevent();
        assert_eq!(exec_as(65534, &program), Exec::Ran(0));
        assert_eq!(guard.only_attempt()["user"]["id"], "33");
    });
}

#[test]
fn a_file_that_carries_capabilities_gains_privilege() {
    bed(|bed| {
        let program = bed.program("/dev/shm/caps");
        // vfs_cap_data of revision 2: effective, permitted CAP_NET_RAW.
        let mut value = vec![1, 0, 0, 2];
        value.extend((1_u32 << 13).to_le_bytes());
        value.extend([0; 12]);
        set_xattr(&program, c"security.capability", &value);
        let guard = bed.prevent();
        assert_eq!(exec_as(65534, &program), Exec::Denied);
        let record = guard.only_attempt();
        assert_eq!(record["shmguard"]["gains_privilege"], true);
        assert_eq!(record["user"]["id"], "65534");
    });
}

#[test]
fn a_root_thread_behind_a_leader_with_another_uid_is_root() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        assert_eq!(helper(&["thread", program.to_str().unwrap()]), Exec::Denied);
        assert_eq!(guard.only_attempt()["user"]["id"], "0");
    });
}

#[test]
fn a_real_uid_of_root_counts_although_the_effective_one_is_another() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        for ids in [["0", "1000", "1000"], ["1000", "0", "1000"]] {
            assert_eq!(
                helper(&["ids", ids[0], ids[1], ids[2], program.to_str().unwrap()]),
                Exec::Denied,
                "{ids:?}"
            );
        }
        assert_eq!(guard.attempts().len(), 2);
        for record in guard.attempts() {
            assert_eq!(record["user"]["id"], "0");
        }
    });
}

#[test]
fn a_write_lease_on_a_program_holds_up_nobody_else() {
    bed(|bed| {
        let leased = bed.program("/dev/shm/leased");
        let other = bed.program("/dev/shm/other");
        let guard = bed.prevent();
        let held = fs::File::open(&leased).unwrap();
        lease(&held);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| end_of(&mut Command::new(&leased)));
            std::thread::sleep(std::time::Duration::from_millis(100));
            let begun = std::time::Instant::now();
            for _ in 0..5 {
                assert_eq!(exec_as(65534, &other), Exec::Ran(0));
            }
            assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
            drop(held);
            assert_eq!(first.join().unwrap(), Exec::Denied);
        });
        let told = guard.records().iter().any(|record| record.to_string().contains("kernel_denied"));
        assert!(told, "{:#?}", guard.records());
    });
}

/// F_SETLEASE: whoever opens the file now waits for the holder.
fn lease(file: &fs::File) {
    use std::os::fd::AsRawFd;
    // SAFETY: integers only; the signal that the kernel sends the holder is ignored.
    #[allow(unsafe_code, reason = "no binding of leases")]
    let result = unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    assert_ne!(result, libc::SIG_ERR);
    // SAFETY: as above.
    #[allow(unsafe_code, reason = "no binding of leases")]
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

fn no_new_privileges(command: &mut Command) {
    let set = || nix::sys::prctl::set_no_new_privs().map_err(Into::into);
    // SAFETY: between fork and exec it makes one prctl(2) call, which is async-signal-safe.
    #[allow(unsafe_code, reason = "the only way to set it for the child alone")]
    unsafe {
        command.pre_exec(set);
    }
}

fn set_xattr(path: &Path, name: &std::ffi::CStr, value: &[u8]) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: both strings end with NUL and live over the call; the value's length is its own.
    #[allow(unsafe_code, reason = "no binding among ours sets extended attributes")]
    let result =
        unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

use proptest::prelude::*;

use super::*;

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/usr/sbin:/bin/false
# a comment
web:x:33:34:web:/srv/www:/bin/sh
1000:x:0:0:a trap:/trap:/bin/sh
broken:x:zero:0::/:/bin/sh
huge:x:4294967296:0::/:/bin/sh
nohome:x:50:50
cr:x:51:51::/h\rroot:/bin/sh
3proxy:x:52:52::/p:/bin/sh
\xff\xfe:x:0:0::/:/bin/sh
";
const GROUP: &[u8] = b"root:x:0:
daemon:x:1:web
extra:x:500:other,web
primary:x:34:web
web:x:35:
bad:x:-1:web
33:x:0:
";

fn identify(spec: &str, add: &[&str]) -> Result<(u32, u32, Vec<u32>, String), BundleError> {
    let add: Vec<String> = add.iter().map(|text| (*text).to_owned()).collect();
    let accounts = Accounts::new(Some(PASSWD), Some(GROUP))?;
    let id = accounts.identify(spec, &add)?;
    Ok((id.user.uid, id.user.gid, id.user.additional_gids, id.home))
}

#[test]
fn each_form_of_the_grammar() {
    type Row<'a> = (&'a str, &'a [&'a str], u32, u32, &'a [u32], &'a str);
    let rows: [Row<'_>; 14] = [
        ("", &[], 0, 0, &[0], "/root"),
        ("0", &[], 0, 0, &[0], "/root"),
        ("root", &[], 0, 0, &[0], "/root"),
        ("web", &[], 33, 34, &[34, 1, 500], "/srv/www"),
        ("33", &[], 33, 34, &[34, 1, 500], "/srv/www"),
        ("web:", &[], 33, 34, &[34, 1, 500], "/srv/www"),
        ("web:web", &[], 33, 35, &[35], "/srv/www"),
        ("web:77", &[], 33, 77, &[77], "/srv/www"),
        ("77:extra", &[], 77, 500, &[500], "/"),
        ("77:88", &["extra", "9", "88"], 77, 88, &[88, 500, 9], "/"),
        // A number is a number, whatever the image calls its users and groups.
        ("1000", &[], 1000, 0, &[0], "/"),
        ("5:33", &[], 5, 33, &[33], "/"),
        ("2147483647", &[], 2_147_483_647, 0, &[0], "/"),
        ("3proxy", &[], 52, 52, &[52], "/p"),
    ];
    for (spec, add, uid, gid, gids, home) in rows {
        let found = identify(spec, add).unwrap();
        assert_eq!(found, (uid, gid, gids.to_vec(), home.to_owned()), "{spec} {add:?}");
    }
}

#[test]
fn a_home_that_cannot_be_one_is_the_root() {
    assert_eq!(identify("nohome", &[]).unwrap().3, "/");
    assert_eq!(identify("cr", &[]).unwrap().3, "/");
}

#[test]
fn numbers_out_of_range_are_refused_even_if_the_image_has_such_a_name() {
    let traps = [
        "2147483648",
        "4294967294",
        "4294967295",
        "4294967296",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999999",
        "-1",
        "+0",
        "0x0",
        "00",
        "01000",
        " 0",
        "0 ",
        "1e3",
        "0.0",
        "0_0",
        "-0",
        "\u{0}",
        "a\nb",
    ];
    for trap in traps {
        let line = format!("{trap}:x:0:0::/:/bin/sh\n");
        let group = format!("{trap}:x:0:\n");
        let accounts = Accounts::new(Some(line.as_bytes()), Some(group.as_bytes())).unwrap();
        assert!(accounts.identify(trap, &[]).is_err(), "user {trap:?}");
        assert!(accounts.identify(&format!("1:{trap}"), &[]).is_err(), "group {trap:?}");
        assert!(accounts.identify("1", &[trap.to_owned()]).is_err(), "added {trap:?}");
    }
}

#[test]
fn ids_that_are_not_there_are_named() {
    let accounts = Accounts::new(Some(b"web:x:33:33::/w:\n"), Some(b"adm:x:4:web,root\n")).unwrap();
    let on = |spec, add: &[String], ids| accounts.identify_on(spec, add, ids).map(|id| id.user);
    let wheel = ["adm".to_owned()];
    assert_eq!(on("web", &wheel, (34, 34)).unwrap().additional_gids, [33, 4]);
    assert_eq!(on("0", &[], (1, 1)).unwrap().additional_gids, [0; 0]);
    for (spec, add, ids, wanted) in [
        ("web", &[][..], (33, 34), "user 33"),
        ("0:33", &[], (1, 33), "group 33"),
        ("0", &wheel, (1, 1), "group 4"),
        ("0", &wheel, (4, 4), "group 4"),
    ] {
        let error = on(spec, add, ids).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains("/etc/subuid"), "{spec}: {error}");
    }
}

#[test]
fn a_group_alone_is_roots() {
    let (uid, gid, groups, _) = identify(":34", &[]).unwrap();
    assert_eq!((uid, gid, groups), (0, 34, vec![34]));
}

#[test]
fn what_is_not_there_is_named() {
    assert_eq!(
        identify("nobody", &[]).unwrap_err().to_string(),
        "unable to find user nobody: no matching entries in passwd file"
    );
    assert_eq!(
        identify("web:nogroup", &[]).unwrap_err().to_string(),
        "unable to find group nogroup: no matching entries in group file"
    );
    assert!(identify("web", &["nogroup"]).is_err());
    assert!(identify(":", &[]).is_err());
    for malformed in ["broken", "huge"] {
        assert!(identify(malformed, &[]).is_err(), "{malformed}");
    }
}

#[test]
fn without_files_only_numbers_and_the_default_work() {
    let accounts = Accounts::new(None, None).unwrap();
    assert_eq!(accounts.identify("", &[]).unwrap().user.uid, 0);
    assert_eq!(accounts.identify("7:8", &[]).unwrap().user.gid, 8);
    assert!(accounts.identify("root", &[]).is_err());
}

#[test]
fn large_files_are_refused() {
    let long = vec![b'x'; ACCOUNT_FILE_LIMIT_BYTES + 1];
    assert!(Accounts::new(Some(&long), None).is_err());
    let many = vec![b'\n'; ENTRY_LIMIT + 1];
    assert!(Accounts::new(None, Some(&many)).is_err());
}

proptest! {
    #[test]
    fn root_is_only_who_is_called_so(spec in "[0-9+x. :-]{1,8}") {
        let accounts = Accounts::new(None, None).unwrap();
        if let Ok(id) = accounts.identify(&spec, &[]) {
            // Docker's meaning of a group alone: root's.
            let user = spec.split(':').next().filter(|user| !user.is_empty()).unwrap_or("0");
            prop_assert_eq!(id.user.uid.to_string(), user);
        }
    }

    #[test]
    fn any_bytes_in_the_files_are_survived(passwd in proptest::collection::vec(any::<u8>(), 0..200)) {
        let accounts = Accounts::new(Some(&passwd), Some(&passwd)).unwrap();
        let _ = accounts.identify("root", &["wheel".into()]);
        let id = accounts.identify("7", &[]).unwrap();
        prop_assert_eq!(id.user.uid, 7);
    }
}

//! What people run: nginx and PostgreSQL from Debian's packages, which find each other by name.

use testkit::{Kista, image, needs, wait_until};

use super::{fetch, outside};

const DATABASE: &str = "set -e; bin=$(echo /usr/lib/postgresql/*/bin); \
    $bin/initdb -D /tmp/db -A trust >/tmp/log 2>&1; \
    echo 'host all all samenet trust' >>/tmp/db/pg_hba.conf; \
    exec $bin/postgres -D /tmp/db -c listen_addresses='*' -c unix_socket_directories=/tmp";

const WEB: &str = "echo hello >/var/www/html/index.html; exec nginx -g 'daemon off;'";

/// A request by bash alone, by a name that glibc looks up.
const FETCH: &str = "exec 3<>/dev/tcp/web/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && \
    tail -n 1 <&3";

#[test]
fn nginx_and_postgresql_serve_each_other_by_name() {
    needs!(Root, Debian);
    let kista = Kista::new();
    let outside = outside(&kista);
    let tar = image::debian_with("servers", &["nginx-light", "postgresql", "postgresql-client"]);
    kista.command(&["import", "-", "servers"]).stdin(tar).run().ok();
    kista.ok(&["network", "create", "app"]);
    let run = ["run", "-d", "--network", "app", "--name"];
    kista.ok(&[&run[..], &["db", "--user", "postgres", "servers", "sh", "-c", DATABASE]].concat());
    kista.ok(&[&run[..], &["web", "-p", "8080:80", "servers", "sh", "-c", WEB]].concat());

    assert_eq!(fetch(&outside, "192.0.2.1:8080"), "hello");
    let query = |sql: &str| {
        let words = ["exec", "web", "psql", "-h", "db", "-U", "postgres", "-Atqc", sql];
        let out = kista.run(&words);
        (out.code == 0).then(|| out.stdout.trim().to_owned())
    };
    assert_eq!(wait_until("the database answers", || query("select 6 * 7")), "42");
    let script = "create table t as select n, repeat('x', 1000) as text \
        from generate_series(1, 20000) as n";
    query(script).unwrap();
    assert_eq!(query("select sum(length(text)) from t").unwrap(), "20000000");
    // More than a few packets, back to the client.
    let all = kista.ok(&[
        "exec",
        "web",
        "sh",
        "-c",
        "psql -h db -U postgres -Atqc 'select text from t' | wc -c",
    ]);
    assert_eq!(all, "20020000");
    let fetched = kista.ok(&["exec", "db", "bash", "-c", FETCH]);
    assert_eq!(fetched, "hello");

    // After a restart, with whatever address, the name leads there again.
    kista.ok(&["stop", "-t", "1", "db"]);
    kista.ok(&["run", "-d", "--network", "app", "--name", "squatter", "servers", "sleep", "1000"]);
    kista.ok(&["rm", "-f", "db"]);
    kista.ok(&[&run[..], &["db", "--user", "postgres", "servers", "sh", "-c", DATABASE]].concat());
    assert_eq!(wait_until("the new database answers", || query("select 6 * 7")), "42");
}

//! What is offered behind what is typed.

use super::*;

struct Fixed;

impl Names for Fixed {
    fn services(&self) -> Vec<String> {
        ["nginx", "kube-apiserver", "two words"].map(str::to_owned).into()
    }

    fn servers(&self) -> Vec<String> {
        ["172.16.0.11", "172.16.0.11:80"].map(str::to_owned).into()
    }

    fn interfaces(&self) -> Vec<String> {
        ["eth0", "eth1"].map(str::to_owned).into()
    }

    fn configuration(&self) -> String {
        "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\"]\n[[virtual_server]]\nname = \"nginx\"\n".to_owned()
    }

    fn beside(&self) -> Vec<String> {
        vec!["old-ca.pem".to_owned()]
    }

    fn history(&self) -> Vec<String> {
        ["12", "11", "9"].map(str::to_owned).into()
    }

    fn removable(&self) -> Vec<String> {
        vec!["old-ca.pem".to_owned()]
    }

    fn files(&self, begin: &str) -> Vec<String> {
        ["/config/", "/etc/hosts"]
            .iter()
            .filter(|p| p.starts_with(begin))
            .map(|p| (*p).to_owned())
            .collect()
    }
}

fn candidates(before: &str) -> Vec<String> {
    complete(before, &Fixed).1
}

#[test]
fn words_of_the_tree() {
    assert_eq!(candidates("sta"), ["status "]);
    assert_eq!(complete("applctl sta", &Fixed), (8, vec!["status ".to_owned()]));
    assert_eq!(candidates("con"), ["connections ", "config ", "console "]);
    assert_eq!(
        candidates("config "),
        [
            "show ",
            "check ",
            "diff ",
            "edit ",
            "set ",
            "add ",
            "delete ",
            "put ",
            "apply ",
            "export ",
            "import ",
            "confirm ",
            "abort ",
            "history ",
            "rollback ",
            "files ",
            "remove "
        ]
    );
    assert_eq!(candidates("conf s"), ["show ", "set "]);
    assert_eq!(candidates("status "), ["--json "]);
    assert_eq!(candidates("log --f"), ["--follow "]);
    assert_eq!(candidates("log --follow --last 3 "), ["--all ", "--json "]);
    assert!(candidates("log --last ").is_empty());
    assert!(candidates("frobnicate ").is_empty());
    assert!(candidates("").len() > 10 && !candidates("").contains(&"logout ".to_owned()));
    assert_eq!(candidates("help conf"), ["config "]);
    assert_eq!(candidates("help config p"), ["put "]);
    assert_eq!(candidates("rebo"), ["reboot "]);
}

#[test]
fn names_from_outside() {
    assert_eq!(candidates("services n"), ["nginx "]);
    assert_eq!(candidates("config remove o"), ["old-ca.pem "]);
    for command in ["rollback", "show", "diff"] {
        assert_eq!(
            candidates(&format!("config {command} 1")),
            ["12 ", "11 "],
            "{command}"
        );
    }
    assert_eq!(
        candidates("services "),
        [
            "nginx ",
            "kube-apiserver ",
            "\"two words\" ",
            "--traffic ",
            "--rate ",
            "--json "
        ]
    );
    assert_eq!(
        complete("services \"two w", &Fixed),
        (9, vec!["\"two words\" ".to_owned()])
    );
    assert_eq!(candidates("services nginx --rate "), ["--traffic ", "--json "]);
    assert_eq!(candidates("config check /co"), ["/config/"]);
    assert_eq!(candidates("drain 1"), ["172.16.0.11 ", "172.16.0.11:80 "]);
    assert_eq!(candidates("drain 172.16.0.11 n"), ["nginx "]);
    assert_eq!(candidates("capture e"), ["eth0 ", "eth1 "]);
    assert_eq!(candidates("capture eth0 po"), ["port "]);
    assert_eq!(candidates("capture eth0 --s"), ["--seconds "]);
    assert_eq!(candidates("probe n"), ["nginx ", "none "]);
    assert_eq!(
        candidates("probe nginx 172.16.0.11"),
        ["172.16.0.11 ", "172.16.0.11:80 "]
    );
    assert_eq!(candidates("probe https 172.16.0.11:80 pa"), ["path="]);
    assert_eq!(
        candidates("probe tcp 172.16.0.11:80 timeout=1s close=r"),
        ["close=rst "]
    );
    assert_eq!(candidates("drain 172.16.0.11 nginx "), ["--yes ", "--json "]);
}

#[test]
fn keys_of_the_file() {
    assert_eq!(
        candidates("explain m"),
        [
            "mac ",
            "masquerade.",
            "match ",
            "max_connections ",
            "method ",
            "miimon ",
            "mode ",
            "mss_clamp ",
            "mtu "
        ]
    );
    assert_eq!(
        candidates("explain interface.m"),
        ["interface.match.", "interface.mss_clamp ", "interface.mtu "]
    );
    assert_eq!(
        candidates("explain virtual_server.check.in"),
        [
            "virtual_server.check.interface ",
            "virtual_server.check.interval "
        ]
    );
    assert_eq!(candidates("explain intervall"), Vec::<String>::new());
}

#[test]
fn paths_and_values_of_the_file() {
    assert_eq!(
        candidates("config set virtual_server.n"),
        ["virtual_server.nginx."]
    );
    assert_eq!(
        candidates("config set virtual_server.nginx.forward t"),
        ["tunnel "]
    );
    assert_eq!(
        candidates("config set virtual_server.nginx.check.interface e"),
        ["eth0 "]
    );
    assert_eq!(
        candidates("config set virtual_server.nginx.listen 1"),
        ["10.0.0.1:"]
    );
    assert_eq!(
        candidates("config set virtual_server.nginx.check.ca o"),
        ["old-ca.pem "]
    );
    assert_eq!(
        candidates("config add virtual_server.nginx.real_server add"),
        ["address="]
    );
    assert_eq!(
        candidates("config delete virtual_server.nginx.sche"),
        ["virtual_server.nginx.scheduler "]
    );
}

#[test]
fn hints() {
    let hint = |line: &str| super::hint(line).map(|h| (h.insert, h.display));
    let some = |insert: &str, display: &str| Some((insert.to_owned(), display.to_owned()));
    assert_eq!(hint("stat"), some("us", "us [--json]"));
    assert_eq!(
        hint("conf"),
        some(
            "ig",
            "ig show | check | diff | edit | set | add | delete | put | apply | export | import | confirm | abort | history | rollback | files | remove"
        )
    );
    assert_eq!(
        hint("services "),
        some("", "[NAME] [--traffic] [--rate] [--json]")
    );
    assert_eq!(hint("config check"), some("", " [FILE] [--json]"));
    assert_eq!(hint("undrain "), some("", "SERVER [SERVICE] [--json]"));
    assert_eq!(hint("clear"), None);
    assert_eq!(hint("con"), None);
    assert_eq!(hint(""), None);
    assert_eq!(hint("services 'open"), None);
}

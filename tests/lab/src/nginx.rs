//! Debian's nginx, unpacked from its package into build/ and never installed; started by hand inside a namespace.
//! Unpacking needs the machine's own network, so it happens outside of the cage.
//! Must not: start or change a service of the machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::{LabError, Result, cage, command};

/// Where nginx is, once [`unpack`] has put it there.
pub fn root() -> PathBuf {
    crate::build_dir().join("nginx")
}

const PROGRAM: &str = "usr/sbin/nginx";
/// The page of a fresh installation.
const PAGES: &str = "usr/share/nginx/html";
/// Which package brings a library that nginx needs and the machine lacks.
const LIBRARIES: [(&str, &str); 5] = [
    ("libcrypt.so", "libcrypt1"),
    ("libpcre2-8.so", "libpcre2-8-0"),
    ("libssl.so", "libssl3"),
    ("libcrypto.so", "libssl3"),
    ("libz.so", "zlib1g"),
];

/// Downloads and unpacks nginx unless that was done before; safe to call from several processes.
pub fn unpack() -> Result<PathBuf> {
    let root = root();
    let build = crate::build_dir();
    fs::create_dir_all(&build).map_err(LabError::io(format!("create {}", build.display())))?;
    let lock_path = build.join("nginx.lock");
    let lock = File::create(&lock_path).map_err(LabError::io(format!("create {}", lock_path.display())))?;
    flock(&lock, FlockOperation::LockExclusive)
        .map_err(|errno| LabError::io("lock build/nginx.lock")(errno.into()))?;
    if root.join(PROGRAM).exists() {
        return Ok(root);
    }
    let fresh = build.join("nginx.new");
    let _ = fs::remove_dir_all(&fresh);
    unpack_package("nginx", &fresh)?;
    unpack_package("nginx-common", &fresh)?;
    for package in missing_libraries(&fresh)? {
        unpack_package(package, &fresh)?;
    }
    fs::rename(&fresh, &root).map_err(LabError::io(format!("rename to {}", root.display())))?;
    Ok(root)
}

/// Debian's package `name`, unpacked below `root`; nothing is installed.
pub fn unpack_package(name: &str, root: &Path) -> Result<()> {
    let downloads = root.with_extension("deb");
    let _ = fs::remove_dir_all(&downloads);
    fs::create_dir_all(&downloads).map_err(LabError::io(format!("create {}", downloads.display())))?;
    let status = command::command("apt-get")
        .args(["-qq", "download", name])
        .current_dir(&downloads)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(LabError::io("start apt-get (the lab needs Debian)"))?;
    if !status.status.success() {
        return Err(LabError::Missing(format!(
            "the package {name} cannot be downloaded: {}\nAs root: apt-get update",
            String::from_utf8_lossy(&status.stderr).trim()
        )));
    }
    for entry in fs::read_dir(&downloads).map_err(LabError::io("list the download"))? {
        let package = entry.map_err(LabError::io("list the download"))?.path();
        let package = package.to_string_lossy();
        command::run(&["dpkg-deb", "-x", &package, &root.to_string_lossy()])?;
    }
    fs::remove_dir_all(&downloads).map_err(LabError::io("remove the download"))
}

fn missing_libraries(root: &Path) -> Result<Vec<&'static str>> {
    let program = root.join(PROGRAM);
    let listed = command::run(&["ldd", &program.to_string_lossy()])?;
    let mut packages = Vec::new();
    for line in listed.lines().filter(|line| line.contains("not found")) {
        let known = LIBRARIES
            .iter()
            .find(|(library, _)| line.trim().starts_with(library));
        let Some((_, package)) = known else {
            return Err(LabError::Missing(format!("nginx needs {}", line.trim())));
        };
        if !packages.contains(package) {
            packages.push(*package);
        }
    }
    Ok(packages)
}

/// A running nginx; killed when dropped.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    directory: PathBuf,
}

/// What a server answers.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// nginx's default page.
    DefaultPage,
    /// This line of text; nginx's variables are filled in.
    Text(&'a str),
    /// The same, and at /healthz and /readyz `ok`; status 503 there while it is [`Nginx::be_well`]`(false)`.
    Health(&'a str),
    /// As kube-apiserver for somebody without a name (`system:public-info-viewer`): /readyz, /livez, /healthz and /version; anything else is
    /// forbidden. While it is [`Nginx::be_well`]`(false)` it ends: /readyz fails, and everything else goes on.
    Apiserver,
    /// As kube-proxy at a service's healthCheckNodePort (pkg/proxy/healthcheck/service_health.go): so many local endpoints; none while
    /// it is [`Nginx::be_well`]`(false)`.
    Endpoints(u32),
}

/// What a server proves itself with, in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certificates: String,
    pub key: String,
}

impl Nginx {
    /// Starts nginx in `namespace`, listening on `port`; `name` names its directory. Returns once it listens.
    pub fn start(namespace: &str, name: &str, port: u16, answer: Answer<'_>) -> Result<Nginx> {
        Nginx::begin(namespace, name, port, answer, None)
    }

    /// The same over TLS.
    pub fn start_tls(
        namespace: &str,
        name: &str,
        port: u16,
        answer: Answer<'_>,
        identity: &Identity,
    ) -> Result<Nginx> {
        Nginx::begin(namespace, name, port, answer, Some(identity))
    }

    fn begin(
        namespace: &str,
        name: &str,
        port: u16,
        answer: Answer<'_>,
        identity: Option<&Identity>,
    ) -> Result<Nginx> {
        let root = root();
        let directory = cage::scratch(name)?;
        // Who was here before may have left its own.
        let _ = fs::remove_file(directory.join("pid"));
        let write = |file: &str, text: &str| {
            let path = directory.join(file);
            fs::write(&path, text).map_err(LabError::io(format!("write {}", path.display())))
        };
        let listen = match identity {
            None => port.to_string(),
            Some(identity) => {
                write("certificates.pem", &identity.certificates)?;
                write("key.pem", &identity.key)?;
                let here = directory.display();
                format!(
                    "{port} ssl; ssl_certificate {here}/certificates.pem; ssl_certificate_key {here}/key.pem"
                )
            }
        };
        write("nginx.conf", &configuration(&root, &directory, &listen, answer))?;
        let config = directory.join("nginx.conf");
        let libraries = ["usr/lib", "lib"]
            .map(|lib| root.join(lib).join("x86_64-linux-gnu"))
            .map(|path| path.to_string_lossy().into_owned())
            .join(":");
        let errors = File::create(directory.join("stderr")).map_err(LabError::io("create stderr"))?;
        let child = command::command("ip")
            .args(["netns", "exec", namespace])
            .arg(root.join(PROGRAM))
            .args(["-e", "stderr", "-c"])
            .arg(&config)
            .env("LD_LIBRARY_PATH", libraries)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(LabError::io(format!("start nginx in {namespace}")))?;
        let mut nginx = Nginx { child, directory };
        nginx.wait_until_listening()?;
        Ok(nginx)
    }

    /// The pid file is written after the sockets were opened.
    fn wait_until_listening(&mut self) -> Result<()> {
        let limit = Duration::from_secs(10);
        let started = Instant::now();
        while !self.directory.join("pid").exists() {
            let ended = self.child.try_wait().map_err(LabError::io("wait for nginx"))?;
            if ended.is_some() || started.elapsed() > limit {
                return Err(LabError::Timeout {
                    what: "nginx listens".into(),
                    limit,
                    seen: self.read("stderr"),
                });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The access log so far; each line begins with the client's address.
    pub fn access_log(&self) -> String {
        self.read("access.log")
    }

    /// Whether an [`Answer::Health`] says so.
    pub fn be_well(&self, well: bool) -> Result<()> {
        let ill = self.directory.join("ill");
        let changed = match well {
            true => fs::remove_file(&ill),
            false => fs::write(&ill, ""),
        };
        changed.map_err(LabError::io(format!("change {}", ill.display())))
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One process and no change of user: inside a user namespace there is only one user.
fn configuration(root: &Path, directory: &Path, listen: &str, answer: Answer<'_>) -> String {
    let here = directory.display();
    let content = match answer {
        Answer::DefaultPage => format!("root {}; index index.html;", root.join(PAGES).display()),
        Answer::Text(text) => format!("location / {{ return 200 \"{text}\\n\"; }}"),
        Answer::Endpoints(count) => {
            let body = |count| {
                format!(
                    "{{\"service\":{{\"namespace\":\"default\",\"name\":\"web\"}},\"localEndpoints\":{count},\
                     \"serviceProxyHealthy\":true}}"
                )
            };
            format!(
                "location / {{\n    default_type application/json;\n    \
                 if (-f {here}/ill) {{ return 503 '{}'; }}\n    \
                 add_header X-Load-Balancing-Endpoint-Weight {count};\n    return 200 '{}';\n  }}",
                body(0),
                body(count)
            )
        }
        // staging/src/k8s.io/apiserver/pkg/server/healthz/healthz.go: what fails is status 500.
        Answer::Apiserver => format!(
            "location = /readyz {{\n    if (-f {here}/ill) {{ return 500 \"[+]ping ok\\n[-]shutdown failed: reason withheld\\n\
             readyz check failed\\n\"; }}\n    return 200 \"ok\";\n  }}\n  \
             location ~ ^/(livez|healthz)$ {{ return 200 \"ok\"; }}\n  \
             location = /version {{ default_type application/json; return 200 '{{\"major\":\"1\",\"minor\":\"31\"}}'; }}\n  \
             location / {{ default_type application/json; return 403 '{{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"code\":403}}'; }}"
        ),
        Answer::Health(text) => format!(
            "location / {{ return 200 \"{text}\\n\"; }}\n  location ~ ^/(healthz|readyz)$ {{\n    \
             if (-f {here}/ill) {{ return 503 \"ill\\n\"; }}\n    return 200 \"ok\\n\";\n  }}"
        ),
    };
    format!(
        "daemon off;\nmaster_process off;\nuser root root;\npid {here}/pid;\nerror_log {here}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  default_type text/html;\n  access_log {here}/access.log combined;\n  \
         client_body_temp_path {here}/body;\n  proxy_temp_path {here}/proxy;\n  \
         fastcgi_temp_path {here}/fastcgi;\n  uwsgi_temp_path {here}/uwsgi;\n  \
         scgi_temp_path {here}/scgi;\n  server {{ listen {listen}; {content} }}\n}}\n"
    )
}

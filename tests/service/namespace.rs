//! A network namespace for one process, joined to this machine by a pair of devices, so that the process can be cut off from the brokers while
//! its connections live on: a route into nothing drops what is sent, and nobody is told.

use std::process::Command;

/// The namespace; it goes with this.
pub(crate) struct Namespace {
    name: String,
    outer: String,
    inner: String,
}

/// A cut; it heals when this goes.
pub(crate) struct Cut<'a> {
    namespace: &'a Namespace,
    full: bool,
}

fn ip(args: &str) -> Result<(), String> {
    let output = Command::new("ip").args(args.split_whitespace()).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

impl Namespace {
    /// `None`, and a line that says so, where there can be none.
    pub(crate) fn make() -> Option<Self> {
        let id = std::process::id();
        let net = format!("10.213.{}", id % 256);
        let (name, outer, inner) = (format!("golden-{id}"), format!("{net}.1"), format!("{net}.2"));
        let namespace = Self { name, outer, inner };
        let Self { name, outer, inner } = &namespace;
        let steps = [
            format!("netns add {name}"),
            format!("link add gs{id} type veth peer name eth0 netns {name}"),
            format!("addr add {outer}/30 dev gs{id}"),
            format!("link set gs{id} up"),
            format!("-n {name} addr add {inner}/30 dev eth0"),
            format!("-n {name} link set eth0 up"),
            format!("-n {name} link set lo up"),
        ];
        if let Err(why) = steps.iter().try_for_each(|step| ip(step)) {
            eprintln!("not run: what cuts a process off, because there are no network namespaces here: {why}");
            return None;
        }
        Some(namespace)
    }

    /// This machine's address, as the process sees it.
    pub(crate) fn outer(&self) -> &str {
        &self.outer
    }

    /// The process's address.
    pub(crate) fn inner(&self) -> &str {
        &self.inner
    }

    /// A program inside.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// From now on answers are lost; with `full` requests as well.
    pub(crate) fn cut(&self, full: bool) -> Cut<'_> {
        ip(&format!("route add blackhole {}/32", self.inner)).unwrap();
        if full {
            ip(&format!("-n {} route add blackhole {}/32", self.name, self.outer)).unwrap();
        }
        Cut { namespace: self, full }
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        let Namespace { name, outer, inner } = self.namespace;
        drop(ip(&format!("route del blackhole {inner}/32")));
        if self.full {
            drop(ip(&format!("-n {name} route del blackhole {outer}/32")));
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(ip(&format!("netns del {}", self.name)));
    }
}

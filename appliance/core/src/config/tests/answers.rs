//! Which one-packet services can be told apart by their servers' answers, compared with looking at every pair.

use proptest::prelude::*;

use super::super::parse;

/// One service over one server, all on addresses of their own.
#[derive(Debug, Clone)]
struct Service {
    one_packet: bool,
    first: u16,
    more: u16,
    server: u8,
    /// Of a service of one port.
    port: u16,
}

impl Service {
    /// First and last.
    fn answers(&self) -> (u16, u16) {
        match self.more {
            0 => (self.port, self.port),
            more => (self.first, self.first + more),
        }
    }

    fn text(&self, index: usize) -> String {
        let (ports, server) = match self.more {
            0 => (
                self.first.to_string(),
                format!("10.1.0.{}:{}", self.server, self.port),
            ),
            more => (
                format!("{}-{}", self.first, self.first + more),
                format!("10.1.0.{}", self.server),
            ),
        };
        format!(
            "[[virtual_server]]\nname = \"s{index}\"\nlisten = \"10.0.0.{}:{ports}\"\nprotocol = \"udp\"\n\
             one_packet = {}\ncheck = {{ type = \"none\" }}\n\
             [[virtual_server.real_server]]\naddress = \"{server}\"\n",
            index + 1,
            self.one_packet
        )
    }
}

fn service() -> impl Strategy<Value = Service> {
    (any::<bool>(), 1u16..12, 0u16..5, 1u8..3, 1u16..12).prop_map(
        |(one_packet, first, more, server, port)| Service {
            one_packet,
            first,
            more,
            server,
            port,
        },
    )
}

fn clash(a: &Service, b: &Service) -> bool {
    let ((a_first, a_last), (b_first, b_last)) = (a.answers(), b.answers());
    (a.one_packet || b.one_packet) && a.server == b.server && a_first <= b_last && b_first <= a_last
}

proptest! {
    #[test]
    fn what_no_answer_tells_is_refused_and_nothing_else(services in prop::collection::vec(service(), 1..7)) {
        let mut text = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\", \"10.0.0.2/32\", \"10.0.0.3/32\", \
                        \"10.0.0.4/32\", \"10.0.0.5/32\", \"10.0.0.6/32\"]\n\
                        [[interface]]\nname = \"eth1\"\naddresses = [\"10.1.0.254/24\"]\n".to_owned();
        for (index, service) in services.iter().enumerate() {
            text += &service.text(index);
        }
        let pairs = |a: usize| services[..a].iter().any(|b| clash(&services[a], b));
        let expected = (0..services.len()).any(pairs);
        match parse(&text) {
            Ok(_) => prop_assert!(!expected, "{text}"),
            Err(faults) => {
                prop_assert!(expected, "{}", faults.render("lb.toml", &text));
                for fault in faults.iter() {
                    prop_assert!(fault.message.starts_with("nothing tells"), "{}", fault.message);
                    prop_assert!(text[fault.span.clone()].starts_with("\"10.1.0."));
                }
            }
        }
    }
}

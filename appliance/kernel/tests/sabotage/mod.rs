//! What somebody may do to the table `inet lb` when it holds one of each rule, as scripts of nft.
//! Must not: hold what only a table with marks can suffer.

/// What somebody does, and what the table that is read back then says.
pub const SABOTAGE: &[(&str, &str)] = &[
    ("delete table inet lb", "None"),
    ("flush table inet lb", "chain forward is empty"),
    (
        "chain inet lb input { policy accept; }",
        "chain input: type filter hook 1 priority 0 policy 1",
    ),
    (
        "chain inet lb forward { policy drop; }",
        "chain forward: type filter hook 2 priority 0 policy 0",
    ),
    ("add table inet lb { flags dormant; }", "table flags 0x1"),
    (
        "add rule inet lb input counter accept",
        "rule in input: counter immediate",
    ),
    (
        "insert rule inet lb input tcp dport 22 accept",
        "rule in input: meta cmp payload cmp immediate",
    ),
    (
        "add rule inet lb forward iifname \"wan0\" ct state new counter drop",
        "rule in forward:",
    ),
    // Our comment, not our rule.
    (
        "add rule inet lb input counter accept comment \"accept icmp\"",
        "(accept icmp)",
    ),
    (
        "replace rule inet lb input handle ICMP_HANDLE meta l4proto icmp counter drop comment \"accept icmp\"",
        "(accept icmp)",
    ),
    (
        "replace rule inet lb input handle ICMP_HANDLE meta l4proto 2 counter accept comment \"accept icmp\"",
        "(accept icmp)",
    ),
    (
        "replace rule inet lb input handle ICMP_HANDLE meta l4proto != icmp counter accept comment \"accept icmp\"",
        "(accept icmp)",
    ),
    (
        "replace rule inet lb forward handle DROP_HANDLE iifname \"wan0*\" ct state new counter drop comment \"drop new from wan0\"",
        "(drop new from wan0)",
    ),
    (
        "replace rule inet lb forward handle DROP_HANDLE iifname \"wan0\" ct state new,established counter drop comment \"drop new from wan0\"",
        "(drop new from wan0)",
    ),
    // Our rule, not our comment.
    (
        "replace rule inet lb input handle ICMP_HANDLE meta l4proto icmp counter accept",
        "rule in input: meta cmp counter immediate",
    ),
    // Our rule in the wrong place, missing, twice.
    (
        "delete rule inet lb input handle ICMP_HANDLE; insert rule inet lb input meta l4proto icmp counter accept comment \"accept icmp\"",
        "[AcceptIcmp, AcceptLoopback",
    ),
    (
        "delete rule inet lb input handle ICMP_HANDLE",
        "[AcceptLoopback, AcceptEstablished, AcceptChecks(ProbeCookie(16289)), AcceptIcmpv6",
    ),
    // Answers to checks by another cookie, and by none.
    (
        "add rule inet lb input tcp dport 61000-61767 tcp ackseq 0x3fa20000/16 counter accept comment \"accept answers to checks by 0x3fa1\"",
        "(accept answers to checks by 0x3fa1)",
    ),
    (
        "add rule inet lb input tcp dport 61000-61767 counter accept comment \"accept answers to checks by 0x3fa1\"",
        "(accept answers to checks by 0x3fa1)",
    ),
    (
        "add rule inet lb input meta l4proto icmp counter accept comment \"accept icmp\"",
        "AcceptServices6, AcceptIcmp]",
    ),
    (
        "add rule inet lb forward meta l4proto icmp counter accept comment \"accept icmp\"",
        "AcceptIcmp]",
    ),
    (
        "add element inet lb services4 { 192.0.2.9 . tcp . 22 }",
        "192.0.2.9",
    ),
    (
        "add element inet lb services4 { 192.0.2.9 . dccp . 53 }",
        "Foreign(\"element",
    ),
    (
        "delete element inet lb services4 { 192.0.2.1 . tcp . 80 }",
        "services: {Endpoint",
    ),
    ("flush set inet lb services6", "services: {Endpoint"),
    (
        "flush chain inet lb input; flush chain inet lb postrouting; delete set inet lb services6; add set inet lb services6 { type ipv6_addr . inet_proto . inet_service; counter; }",
        "set services6",
    ),
    ("add set inet lb more { type ipv4_addr; }", "set more"),
    (
        "add chain inet lb later { type filter hook forward priority 10; policy drop; }",
        "chain later",
    ),
    ("add chain inet lb nothing", "chain nothing"),
    (
        "add chain inet lb sub; add rule inet lb sub counter accept",
        "rule in sub",
    ),
    (
        "flush chain inet lb forward; delete chain inet lb forward",
        "AcceptServices6], MangleOut:",
    ),
    (
        "flush chain inet lb input; delete chain inet lb input",
        "chain input is missing",
    ),
    ("flush chain inet lb dstnat", "chain dstnat is empty"),
    (
        "add chain inet lb raw { type filter hook prerouting priority raw; }",
        "chain raw is empty",
    ),
    // Forwarded elsewhere, or for others.
    (
        "replace rule inet lb dstnat handle FORWARD_HANDLE ip daddr 192.0.2.1 tcp dport 2222 counter dnat ip to 172.16.0.12:22 comment \"forward tcp 192.0.2.1:2222 to 172.16.0.11:22\"",
        "(forward tcp 192.0.2.1:2222 to 172.16.0.11:22)",
    ),
    (
        "replace rule inet lb dstnat handle FORWARD_HANDLE ip daddr 192.0.2.1 tcp dport 2223 counter dnat ip to 172.16.0.11:22 comment \"forward tcp 192.0.2.1:2222 to 172.16.0.11:22\"",
        "(forward tcp 192.0.2.1:2222 to 172.16.0.11:22)",
    ),
    // A pool with another end, and one whose clients do not keep their addresses.
    (
        "replace rule inet lb postrouting handle POOL_HANDLE ip saddr 172.16.1.0/24 oifname \"wan0\" counter snat ip to 192.0.2.20-192.0.2.28 persistent comment \"masquerade 172.16.1.0/24 out wan0 to 192.0.2.20-192.0.2.29\"",
        "(masquerade 172.16.1.0/24 out wan0 to 192.0.2.20-192.0.2.29)",
    ),
    (
        "replace rule inet lb postrouting handle POOL_HANDLE ip saddr 172.16.1.0/24 oifname \"wan0\" counter snat ip to 192.0.2.20-192.0.2.29 comment \"masquerade 172.16.1.0/24 out wan0 to 192.0.2.20-192.0.2.29\"",
        "(masquerade 172.16.1.0/24 out wan0 to 192.0.2.20-192.0.2.29)",
    ),
    (
        "replace rule inet lb mangle_out handle CLAMP_HANDLE oifname \"wan0\" meta nfproto ipv4 tcp flags syn counter tcp option maxseg size set 1431 comment \"clamp mss 1432 ipv4 out wan0\"",
        "(clamp mss 1432 ipv4 out wan0)",
    ),
    (
        "flush chain inet lb forward; delete chain inet lb forward; add chain inet lb forward { type filter hook forward priority 7; }",
        "priority 7",
    ),
    (
        "flush chain inet lb forward; delete chain inet lb forward; add chain inet lb forward",
        "flags 0x0",
    ),
    (
        "flush chain inet lb input; flush chain inet lb postrouting; delete set inet lb services4",
        "set services4 is missing",
    ),
    (
        "flush chain inet lb input; flush chain inet lb postrouting; delete set inet lb services4; add set inet lb services4 { type ipv4_addr . inet_proto . inet_service; flags timeout; }",
        "set services4",
    ),
    ("add counter inet lb seen", "object seen"),
];

"""Incidents as reporters tell them: what `why` is to say first, what it must not, and a cure that must be there.

Reworded from public reports; names and addresses are made up. An incident that needs a host to be told is in
tests/verbs/test_why.py, with real sockets.
"""

from typing import NamedTuple


class Incident(NamedTuple):
    """One report.

    text:   what is pasted
    first:  the cause that must come first for one of the findings, `-` for no finding at all; several: any of them
    never:  causes that must not come first for any finding
    cure:   words of a remedy of that first cause; empty: any
    """

    text: str
    first: str
    never: str = ""
    cure: str = ""


INCIDENTS: list[Incident] = [
    # Any number became an errno or a count.
    Incident(
        "2026/11/02 09:14:31 [error] 24#24: *7 no live upstreams while connecting to upstream, client: 10.0.0.1, server: _,"
        ' request: "GET / HTTP/1.1", upstream: "http://backend/", host: "shop.example"',
        "upstream-down nginx.upstream nginx.no-live-upstreams",
        "files accept-queue",
    ),
    Incident(
        "[Wed Mar 11 03:22:10 2020] cgroup: fork rejected by pids controller in /docker/5a1f",
        "pids",
        "files",
        "pids-limit|TasksMax",
    ),
    Incident("worker: retries 111 of 500, will continue", "-"),
    Incident("Nov  3 10:00:01 web app[1024]: started, 99 rules loaded", "-"),
    Incident("for the details see tcp(7) and socket(7)", "-"),
    Incident('10.0.0.1 - - [03/Nov/2026:10:00:01 +0000] "PUT /x HTTP/1.1" 507 99 "-" "curl/8"', "-"),
    Incident("\tat com.example.pool.Worker.run(Worker.java:99)", "-"),
    Incident("request id 0x1f90 took 110 ms, trace 00000000-0000-0098-0000-000000000099", "-"),
    Incident("socket.gaierror: [Errno -3] Temporary failure in name resolution", "dns", "no-such-source files", "getent|dig"),
    Incident("curl: (6) Could not resolve host: api.example.com", "dns"),
    # EAGAIN is an error for some calls.
    Incident(
        "2026/11/02 09:14:31 [error] 31#31: *9 connect() to unix:/run/php/php8.2-fpm.sock failed (11: Resource temporarily"
        ' unavailable) while connecting to upstream, client: 10.0.0.1, server: _, request: "GET /index.php HTTP/1.1"',
        "unix-backlog",
        "not-ready",
        "max_children|backlog",
    ),
    Incident("gunicorn.sock: connect() failed: EAGAIN (Resource temporarily unavailable) unix:/run/gunicorn.sock", "unix-backlog", "not-ready"),
    Incident("runtime: failed to create new OS thread (have 8123 already; errno=11)", "threads pids", "not-ready", "TasksMax|thread"),
    Incident("pthread_create failed: Resource temporarily unavailable", "threads pids", "not-ready"),
    Incident("bash: fork: retry: Resource temporarily unavailable", "threads pids", "not-ready"),
    Incident("java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory or process/resource limits reached", "threads pids", "memory"),
    Incident('sendto(7, "...", 44, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.2")}, 16) = -1 EAGAIN (Resource temporarily unavailable)', "udp-ports not-ready", ""),
    Incident("dial udp 10.0.0.2:53: connect: resource temporarily unavailable", "udp-ports", "not-ready", "one UDP socket"),
    Incident("recv() failed (11: Resource temporarily unavailable) while reading", "not-ready"),
    # EMFILE is not always RLIMIT_NOFILE.
    Incident("failed to create fsnotify watcher: too many open files", "inotify-instances", "files", "max_user_instances"),
    Incident("error creating inotify instance: inotify_init1: too many open files", "inotify-instances", "files", "max_user_instances"),
    Incident("tail: inotify cannot be used, reverting to polling: Too many open files", "inotify-instances", "files"),
    Incident("Error: ENOSPC: System limit for number of file watchers reached, watch '/srv/app/src'", "inotify-watches", "no-space", "max_user_watches"),
    Incident("http: Accept error: accept tcp [::]:8443: accept4: too many open files; retrying in 1s", "files", "inotify-instances", "LimitNOFILE"),
    Incident("java.net.SocketException: Too many open files\n\tat sun.nio.ch.Net.socket0(Native Method)", "files", "", "LimitNOFILE"),
    Incident("VFS: file-max limit 102400 reached", "file-max", "files", "file-max"),
    # EPERM at limits.
    Incident("systemd[1]: app.service: Failed to adjust resource limit LimitNOFILE: Operation not permitted", "hard-limit", "firewall", "hard limit"),
    Incident(
        "# You requested maxclients of 10000 requiring at least 10032 max file descriptors.\n# Server can't set maximum open"
        " files to 10032 because of OS error: Operation not permitted.",
        "hard-limit redis.open_files",
        "firewall",
        "LimitNOFILE",
    ),
    Incident("bash: ulimit: open files: cannot modify limit: Operation not permitted", "hard-limit", "firewall"),
    # EADDRINUSE at connect().
    Incident("Error: connect EADDRINUSE 10.0.0.9:443 - Local (10.0.0.4:49152)", "same-tuple", "port-owned"),
    Incident(
        "System.Net.Sockets.SocketException (10048): Only one usage of each socket address (protocol/network address/port) is"
        " normally permitted. 10.0.0.9:443",
        "windows-ports",
        "port-owned",
        "dynamicport",
    ),
    Incident("listen tcp 0.0.0.0:8080: bind: address already in use", "port-owned", "bound-first", "ss -tlnp"),
    Incident("dial tcp 10.0.0.4:0->10.0.0.9:80: bind: address already in use", "bound-first", "port-owned", "IP_BIND_ADDRESS_NO_PORT"),
    # Words hijacked.
    Incident("pool(max_connections=100): dial tcp 10.0.0.9:5432: connect: cannot assign requested address", "port-range", "own-limit"),
    Incident("ERROR 1205 (HY000): Lock wait timeout exceeded; try restarting transaction", "-"),
    # Text forms.
    Incident("\x1b[31mdial tcp 10.0.0.9:80: connect: cannot assign\x1b[0m \x1b[1mrequested address\x1b[0m", "port-range"),
    Incident("Can\u2019t assign requested address: connect to 10.0.0.9:80 failed on macOS", "other-system port-range", "no-such-source"),
    Incident("connect to 10.0.0.9:80 failed:  Cannot  assign\n   requested address", "port-range"),
    Incident('{"level":"error","msg":"dial tcp 10.0.0.9:80: connect: cannot assign requested address","ts":"2026-11-02T09:14:31Z"}', "port-range"),
    Incident("it stalls at about 28k connections", "port-range"),
    Incident("we never get more than about 28,000 connections", "port-range"),
    Incident("connect: Address not available (10.0.0.9:80)", "port-range"),
    Incident("connect() zu 10.0.0.9:80: Die angeforderte Adresse kann nicht zugewiesen werden", "port-range"),
    Incident("ssh: connect to host 10.0.0.9 port 22: Cannot assign requested address", "port-range"),
    Incident("Error: connect ECONNREFUSED ::1:8080", "no-listener"),
    # Unknown before.
    Incident("TCP: out of memory -- consider tuning tcp_mem", "tcp-mem", "memory"),
    Incident("Out of socket memory", "orphans tcp-mem", "memory"),
    Incident("TCP: too many orphaned sockets", "orphans", "", "tcp_max_orphans|fin-wait"),
    Incident("ip_conntrack: table full, dropping packet.", "conntrack", "", "nf_conntrack_max"),
    Incident("nf_conntrack: nf_conntrack: table full, dropping packet", "conntrack", "", "nf_conntrack_max"),
    Incident("Route cache is full: consider increasing sysctl net.ipv6.route.max_size.", "route-cache", "", "max_size"),
    Incident("connect: No buffer space available; xfrm4 dst cache is at xfrm4_gc_thresh", "xfrm", "neighbours memory", "gc_thresh"),
    Incident("bind() to [fd00::4]:443 failed (99: Cannot assign requested address)", "no-such-source tentative-address", "port-range"),
    Incident("IPv6: eth0: IPv6 duplicate address fd00::4 used by 02:42:ac:11:00:02 detected!", "duplicate-address"),
    Incident("CT: Map insertion failed", "cilium-map", "conntrack", "bpf-ct"),
    Incident("java.io.IOException: Map failed\nCaused by: java.lang.OutOfMemoryError: Map failed", "max-map-count", "memory", "max_map_count"),
    Incident("sonewconn: pcb 0xfffff800: Listen queue overflow: 193 already in queue awaiting acceptance (12 occurrences)", "bsd-backlog", "accept-queue", "soacceptqueue"),
    Incident("kern.maxfiles limit exceeded by uid 80, please see tuning(7).", "bsd-files", "files"),
    Incident("neighbour: arp_cache: neighbor table overflow!", "neighbours", "", "gc_thresh3"),
    Incident("TCP: request_sock_TCP: Possible SYN flooding on port 8080. Sending cookies.", "syn-queue accept-queue"),
    Incident("upstream connect error or disconnect/reset before headers. reset reason: overflow", "envoy.max_connections envoy.circuit_breakers own-limit"),
    # Programs' own limits.
    Incident("[WARNING]  (8) : Proxy fe reached process FD limit (maxsock=1023). Please check 'ulimit-n' and restart.", "haproxy.maxsock haproxy.ulimit-n haproxy.fd", "files-there"),
    Incident("2026/11/02 09:14:31 [alert] 31#31: 768 worker_connections are not enough", "nginx.worker_connections own-limit", "", "worker_connections"),
    Incident("FATAL:  sorry, too many clients already", "postgres.max_connections own-limit", "", "max_connections"),
    Incident("FATAL: remaining connection slots are reserved for non-replication superuser connections", "postgres.max_connections postgres.reserved own-limit"),
    Incident("-ERR max number of clients reached", "redis.maxclients own-limit", "", "maxclients"),
    Incident("ERROR 1040 (HY000): Too many connections", "mysql.max_connections own-limit", "", "max_connections"),
    Incident("no more connections allowed (max_client_conn)", "pgbouncer.max_client_conn own-limit", "", "max_client_conn"),
    Incident("WARNING: [pool www] server reached pm.max_children setting (5), consider raising it", "php-fpm.max_children php-fpm.pm.max_children own-limit", "", "max_children"),
    # Windows.
    Incident("bind: An attempt was made to access a socket in a way forbidden by its access permissions. (10013)", "windows-excluded", "privileged firewall", "excludedportrange"),
    Incident(
        "java.net.SocketException: No buffer space available (maximum connections reached?): connect\nerror 10055 on Windows",
        "windows-buffers windows-ports",
        "neighbours memory",
    ),
    Incident("10055", "windows-buffers windows-ports"),
    Incident(
        "Event 4227, Tcpip: TCP/IP failed to establish an outgoing connection because the selected local endpoint was recently"
        " used to connect to the same remote endpoint.",
        "windows-ports",
    ),
    # Clouds, containers.
    Incident("conntrack_allowance_exceeded: 18231", "aws.conntrack_allowance conntrack nat aws.conntrack_allowance_exceeded"),
    Incident("NAT allocation failed: OUT_OF_RESOURCES for 10.128.0.5", "nat gcp.nat_ports gcp.cloud_nat gcp.min_ports_per_vm"),
    # What was right stays right.
    Incident("Error: connect ECONNREFUSED 127.0.0.1:5432", "no-listener", "", "listens"),
    Incident("dial tcp 10.0.0.9:443: i/o timeout", "accept-queue conntrack nat firewall"),
    Incident("read tcp 10.0.0.4:51234->10.0.0.9:6379: read: connection reset by peer", "reset"),
    Incident("OSError: [Errno 99] Cannot assign requested address", "port-range", "no-such-source", "second source"),
    Incident("28232", "port-range"),
    Incident("1013", "files"),
]

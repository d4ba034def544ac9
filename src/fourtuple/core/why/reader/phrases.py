"""What kernels, libraries and proxies log when connections reach a limit, as phrases that lead to causes.

Texts that stand for an errno alone are in messages.py; limits of single programs are rows of the catalogue.
Sources: printk() texts of the kernel (2.6 to 6.18); uipc_socket.c and kern_descrip.c of FreeBSD 14; the Go, Java and
Python runtimes; systemd 256; "TCP/IP events" of Windows (4227, 4231); the documentation of Envoy, HAProxy, Cilium.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from fourtuple.core.why.findings import Phrase, System
from fourtuple.core.why.reader import session_texts, tls_texts
from fourtuple.core.why.reader.messages import messages


def _rows(text: str, causes: Sequence[str], error: str = "", call: str = "", **more: str) -> Iterator[Phrase]:
    """Yield a phrase for each line of the text."""
    for line in text.strip().splitlines():
        yield Phrase(line.strip(), error, call, tuple(causes), program=more.get("program", ""))


_KERNEL = (
    *_rows(
        "nf_conntrack: table full\nip_conntrack: table full\nconntrack: *table full*dropping packet\n"
        "nf_conntrack: expectation table full",
        ["conntrack"],
    ),
    *_rows("conntrack table full\nconntrack table is full\nconntrack_allowance_exceeded", ["conntrack"]),
    *_rows("ct: map insertion failed\nct map insertion failed\nreason: ct map\nmap insertion failed", ["cilium-map"]),
    *_rows(
        "neighbour table overflow\nneighbor table overflow\nneighbour: *table overflow\narp_cache: *overflow\n"
        "ndisc_cache: *overflow\narp_cache: too many entries",
        ["neighbours"],
    ),
    *_rows("netlink*no buffer space available\nnetlink*enobufs", ["netlink-buffer"], "ENOBUFS", "recv"),
    *_rows("route cache is full\ndst cache overflow\nroute.max_size", ["route-cache"]),
    *_rows("xfrm4_gc_thresh\nxfrm6_gc_thresh\nxfrm_gc_thresh", ["xfrm"]),
    *_rows(
        "possible syn flooding on port #\npossible syn flooding on port *:#\npossible syn flooding",
        ["syn-queue", "accept-queue"],
    ),
    *_rows(
        "listen queue of a socket overflowed\nlistenoverflows\naccept queue overflow\naccept queue is full\n"
        "syns to listen sockets dropped",
        ["accept-queue"],
    ),
    *_rows("time wait bucket table overflow\ntcptimewaitoverflow", ["tw-buckets"]),
    *_rows("out of socket memory", ["tcp-mem", "orphans"]),
    *_rows("too many orphaned sockets\ntoo many of orphaned sockets\ntcpabortonmemory", ["orphans"]),
    *_rows("tcp: out of memory\nconsider tuning tcp_mem", ["tcp-mem"]),
    *_rows("file-max limit # reached\nfile-max limit reached", ["file-max"]),
    *_rows("cgroup: fork rejected by pids controller", ["pids"], "EAGAIN", "fork"),
    *_rows("fork rejected by pids controller", ["pids"], "EAGAIN", "fork"),
    *_rows(
        "memory cgroup out of memory\nout of memory: killed process\nout of memory: kill process\noomkilled\n"
        "oom-kill:\ninvoked oom-killer",
        ["memory"],
    ),
    *_rows(
        "ipv6 duplicate address detected\nipv6 duplicate address * detected\nduplicate address detected",
        ["duplicate-address"],
    ),
    *_rows("no free port found for snat\nsnat port exhaustion\nsnat*port*exhaust\nsnat ports*exhaust", ["nat"]),
    *_rows("errorportallocation\nno mapping for nat\nout_of_resources\nnat_allocation_failed", ["nat"]),
)
_THREADS = (
    *_rows(
        "can't start new thread\nunable to create new native thread\nunable to create native thread\n"
        "failed to create new os thread\ncan't create thread\ncannot create thread\nfailed to create thread\n"
        "unable to create thread\napr_thread_create: unable to create\nfailed to start thread\n"
        "could not create thread\n"
        "failed to spawn thread\ncould not spawn thread\nunable to spawn thread",
        ["threads", "pids"],
        "EAGAIN",
        "pthread_create",
    ),
    *_rows("spawn eagain\nsystem_error*resource temporarily unavailable", ["threads", "pids"], "EAGAIN", "fork"),
    *_rows("pthread_create failed\npthread_create*resource temporarily unavailable", ["threads", "pids"], "EAGAIN"),
    *_rows(
        "fork: retry\nfork: resource temporarily unavailable\nfork failed*resource temporarily unavailable\n"
        "cannot fork*resource temporarily unavailable\ncould not fork*resource temporarily unavailable\n"
        "fork/exec*resource temporarily unavailable\nunable to fork*resource temporarily unavailable\n"
        "can't fork\n: cannot fork",
        ["threads", "pids", "pid-max"],
        "EAGAIN",
        "fork",
    ),
    *_rows(
        "outofmemoryerror: map failed\nmmap failed\nmmap*cannot allocate memory\nmap failed*cannot allocate memory\n"
        "vm.max_map_count\nmax virtual memory areas vm.max_map_count # is too low\nmmap()*cannot allocate memory\n"
        "mprotect*cannot allocate memory",
        ["max-map-count", "memory"],
        "ENOMEM",
        "mmap",
    ),
    *_rows(
        "fork: cannot allocate memory\nfork*cannot allocate memory\nclone*cannot allocate memory",
        ["memory", "pid-max", "pids"],
        "ENOMEM",
        "fork",
    ),
)
_WATCHES = (
    *_rows(
        "fsnotify watcher: too many open files\nfailed to create fsnotify watcher\nuser limit on inotify instances\n"
        "failed to create inotify instance\nfailed to create inotify fd\nfailed to create inotify object\n"
        "inotify_init*too many open files\ninotify instance*too many open files\n"
        "unable to create inotify\nfailed to initialize inotify\ninotify*too many open files\n"
        "user limit*inotify instances\n"
        "failed to allocate directory watch: too many open files\nfs.inotify.max_user_instances\n"
        "too many open files, watch",
        ["inotify-instances"],
        "EMFILE",
        "inotify_init",
    ),
    *_rows(
        "inotify*no space left on device\nwatch *no space left on device\nwatches*no space left on device\n"
        "watcher*no space left on device\nno space left on device, watch\nno space left on device*inotify\n"
        "system limit for number of file watchers reached\nfailed to watch*no space left\ninotify watch*limit\n"
        "fs.inotify.max_user_watches\nfailed to add watch\ninotify watches*exhausted",
        ["inotify-watches"],
        "ENOSPC",
        "inotify_add_watch",
    ),
    *_rows("inotify resources exhausted", ["inotify-watches", "inotify-instances"]),
    *_rows(
        "epoll_ctl*no space left on device\nepoll_ctl*enospc\nepoll*no space left on device",
        ["watches"],
        "ENOSPC",
        "epoll_ctl",
    ),
)
_LIMITS = (
    *_rows(
        "failed to adjust resource limit*operation not permitted\nrlimit_nofile*operation not permitted\n"
        "setrlimit*operation not permitted\nsetrlimit*not permitted\nopen files: cannot modify limit: operation"
        " not permitted\n"
        "ulimit*operation not permitted\nlimitnofile*operation not permitted\nerror setting limit*operation not"
        " permitted\n"
        "error setting rlimit*operation not permitted\nfailed to set rlimit*operation not permitted\n"
        "current limit exceeds maximum limit\nsetrlimit*eperm\nsetrlimit(rlimit_nofile*failed\n"
        "file descriptor limit*operation not permitted\nnofile*operation not permitted\n"
        "max open files*operation not permitted\n"
        "can't set maximum open files to #\nunable to set the max number of files limit to #",
        ["hard-limit", "nr-open"],
        "EPERM",
        "setrlimit",
    ),
    *_rows("out of range in select\nfd_setsize\nfile descriptor out of range", ["select"]),
    *_rows(
        "worker_connections are not enough\nconnection limit exceeded\nconnections limit reached\n"
        "maximum number of clients reached\nmax number of clients reached\nmax connections reached\n"
        "maximum connections reached\nconnection limit reached\nmaximum number of connections reached\n"
        "maximum number of connections exceeded",
        ["own-limit"],
    ),
    *_rows(
        "timeout waiting for connection from pool\nconnection is not available, request timed out\n"
        "connection pool exhausted\npool timed out while waiting for\ntimeout acquiring a connection\n"
        "while checking out a connection from connection pool\nsequelizeconnectionacquiretimeouterror\n"
        "couldn't get a connection within the time limit\nconnection pool is full\nqueuepool limit of size #\n"
        # go-redis, redigo, psycopg_pool, node-postgres, mysql2, generic-pool of Node
        "redis: connection pool timeout\nredis: connection pool exhausted\ncouldn't get a connection after # sec\n"
        "pooltimeout: couldn't get a connection\n"
        "timeout exceeded when trying to connect\nno connections available.\nerror: queue limit reached\n"
        "resourcerequest timed out\n"
        # Jedis, Lettuce, R2DBC, Reactor Netty, asyncpg, MySQL Connector/Python, Prisma, deadpool and bb8 of Rust
        "could not get a resource from the pool\nunable to acquire connection from pool\ncannot acquire connection\n"
        "cannot get jedis connection\n"
        "pool#acquire(duration) has been pending for more than\npoolacquiretimeoutexception\n"
        "poolacquirependinglimitexception\npending acquire queue has reached its maximum size\n"
        "failed to acquire connection from pool\ncould not acquire connection from pool\n"
        "failed to get connection from pool\npool exhausted\npool is exhausted\n"
        "fetching a new connection from the connection pool\ntimeout occurred while waiting for a slot",
        ["own-limit"],
    ),
    *_rows("too many connections\ntoo many clients\nremaining connection slots are reserved", ["own-limit"]),
    *_rows("upstream_reset_before_response_started{overflow}", ["own-limit"], program="envoy"),
    *_rows("upstream connect error*overflow", ["own-limit"], program="envoy"),
)
# What clients print of a wait that ended, where connect() had no answer, and where an answer did not come.
_WAITS = (
    *_rows(
        "connect to * timed out\nconnect(*): timed out\nconnection setup timed out\n"
        "connection to * timed out\nconnecting to * timed out\n"
        "connection to * has timed out\n"
        "timeout connecting to\ntimed out trying to connect\ntimed out waiting to connect\n"
        "timed out after * while waiting to connect\nhttp connect timed out\nhttpconnecttimeoutexception\n"
        "connectiontimeouterror\nconnect timeout error\nund_err_connect_timeout\nmongoserverselectionerror\n"
        "serverselectiontimeouterror\nmongotimeoutexception\nserver selection timed out\n"
        "failed: timeout expired\nconnection timeout expired\npre-login handshake acknowledgement\n"
        "sockettimeoutexception: failed to connect to\nfailed to connect to * after #ms\n"
        "connection timeout after # ms\nconnection timed out after # milliseconds\n"
        "request canceled while waiting for connection\nrequest canceled (client.timeout*while waiting for connection\n"
        "httpx.connecttimeout\nhttpcore.connecttimeout\nreset reason: connection timeout\nlayer4 timeout\n"
        "connection timeout to host\n"
        "can't connect to * (timed out)\nunable to connect to * timed out",
        [],
        "ETIMEDOUT",
        "connect",
    ),
    *_rows(
        "the read operation timed out\nthe handshake operation timed out\nthe write operation timed out\n"
        "read timed out\nreadtimeouterror\nreadtimeoutexception\nnet::readtimeout\n"
        "httpx.readtimeout\nhttpcore.readtimeout\nsockettimeouterror\ntimeout on reading data from socket\n"
        "timeout reading from socket\nlayer7 timeout\nredistimeoutexception\n"
        "client.timeout exceeded while awaiting headers\n"
        "client.timeout or context cancellation while reading body\ntimeout awaiting response headers\n"
        "tls handshake timeout\nssl connection timeout\nesockettimedout\ntimeout of # exceeded\n"
        "timeout of #ms exceeded\n"
        "und_err_headers_timeout\nund_err_body_timeout\nheaders timeout error\nbody timeout error\n"
        "sockettimeoutexception: timeout\nhttptimeoutexception\nrediscommandtimeoutexception\n"
        "code = deadlineexceeded\ndeadline_exceeded\nstatuscode.deadline_exceeded\ndeadline exceeded after\n"
        "configured httpclient.timeout of\nexecution timeout expired\noperation timed out after # milliseconds\n"
        "upstream request timeout\ngot timeout reading communication packets\nread error (connection timed out)\n"
        "mongonetworktimeouterror\nwhile reading response header from upstream*110\n"
        "timed out (110: connection timed out) while reading response\n"
        "timed out (110: operation timed out) while reading response",
        [],
        "ETIMEDOUT",
        "read",
    ),
    *_rows("timed out (110: connection timed out) while sending request", [], "ETIMEDOUT", "send"),
    *_rows(
        "context deadline exceeded\nasyncio.exceptions.timeouterror\nasyncio.timeouterror\ndeadline has elapsed\n"
        "the operation has timed out\nsource: timedout\ntimeouterror: timed out\nsocket.timeout: timed out\n"
        "urlopen error timed out\n"
        "sockettimeoutexception",
        [],
        "ETIMEDOUT",
    ),
)
# What clients print of a connection that the peer closed without an answer: the end of the stream, which has no errno.
_CLOSED = (
    *_rows(
        "socket hang up\nredis server * went away\nan i/o error occurred while sending to the backend\n"
        "kind: unexpectedeof\nprematurely reached end of stream\ndisconnectexception\nread tcp *: eof\n"
        "the server closed the connection\nterminating connection due to\n"
        "upstream prematurely closed connection\ncommunications link failure\n"
        "connection was closed unexpectedly\nserver closed the connection unexpectedly\n"
        "server unexpectedly closed\nconnection closed unexpectedly\nconnection terminated unexpectedly\n"
        "ssl connection has been closed unexpectedly\nssl syscall error: eof detected\n"
        "unexpected eof while reading\nunexpected eof on client connection\n"
        "remote end closed connection without response\nremotedisconnected\n"
        "server disconnected without sending a response\n"
        "serverdisconnectederror\nempty reply from server\ntransfer closed with outstanding read data remaining\n"
        "transfer closed with * bytes remaining\nconnection closed before message completed\n"
        "connection closed by server\nconnection closed by remote host\n"
        "connection closed by foreign host\nremote host closed connection\n"
        "end of file reached (eoferror)\neoferror: end of file reached\nnohttpresponseexception\n"
        "unexpected end of stream\nunexpected end of file from server\nresponse ended prematurely\n"
        "und_err_socket\nother side closed\n"
        "lost connection to mysql server\nlost connection to server at\nlost connection to server during\n"
        "mysql server has gone away\n"
        "server has gone away\nredis server went away\nread error on connection to\n"
        "server closed idle connection\nconnection closed before server preface received\n"
        "error reading from server: eof\ntransport is closing\nreset reason: connection termination\n"
        "disconnected before response was read\nconnection prematurely closed\nprematureclose\n"
        "err_empty_response\nerr_connection_closed\n"
        "connection to client lost\nserver conn crashed?\n"
        "got an error reading communication packets\nincompletemessage\nssl_error_syscall\n"
        'http*": eof\nhttp*": unexpected eof',
        ["closed-early"],
    ),
)
# What clients print of a connect() that failed, without its errno.
_NOT_CONNECTED = (
    *_rows(
        "all connection attempts failed\npsqlexception: the connection attempt failed\nunavailable: io exception\n"
        "connect call failed\nunable to connect to redis\n"
        "it was not possible to connect to the redis server\nbroker may not be available\nnobrokersavailable\n"
        "cannotconnecterror\nreset reason: connection failure\nreset reason: remote connection failure\n"
        "failed to connect to all addresses\nlayer4 connection problem\n"
        "redisconnectionexception: unable to connect to\njedisconnectionexception: failed connecting to\n"
        "could not be established. broker",
        [],
        "",
        "connect",
    ),
)
_OTHERS = (
    *_rows("no live upstreams while connecting to upstream", ["upstream-down"], program="nginx"),
    *_rows("no healthy upstream", ["upstream-down"], program="envoy"),
    *_rows("has no server available!", ["upstream-down"], program="haproxy"),
    *_rows(
        "name or service not known\ntemporary failure in name resolution\nno such host\nenotfound\neai_again\n"
        "eai_noname\nlookup * server misbehaving\ncould not resolve host\nnodename nor servname provided\n"
        "unknownhostexception\n"
        "failure in name resolution\nno address associated with hostname\nnxdomain\nerrno -3\nerrno -2",
        ["dns"],
        "",
        "getaddrinfo",
    ),
    *_rows(
        "the dns operation timed out\nresolution lifetime expired\nno servers could be reached\n"
        "communications error to *timed out\nresolving timed out\ncould not be resolved (*timed out\n"
        "dns resolution timed out\ndns lookup timed out\ndns request timed out\ndns query timed out\n"
        "dns timeout\nname resolution timed out\nresolution timed out\ngetaddrinfo etimedout\n"
        "querya etimeout\nqueryaaaa etimeout\nquerysrv etimeout\nlookup * i/o timeout\n"
        "dnsresolvertimeoutexception\ndnsnameresolvertimeoutexception",
        ["dns-server"],
        "ETIMEDOUT",
        "getaddrinfo",
    ),
    *_rows(
        "failed to connect to * port # *couldn't connect to server\nfailed to connect to * port #*could not"
        " connect to server\n"
        "curl: (7) failed to connect",
        [],
        "",
        "connect",
        program="curl",
    ),
    *_rows("net::opentimeout\nfailed to open tcp connection to *(execution expired)", [], "ETIMEDOUT", "connect"),
    *_rows("curl: (28)", [], "ETIMEDOUT", program="curl"),
    *_rows("connection in use", [], "EADDRINUSE", "bind", program="gunicorn"),
    *_rows("err_connection_refused", [], "ECONNREFUSED", "connect"),
    *_rows("err_connection_timed_out", [], "ETIMEDOUT", "connect"),
    *_rows("err_connection_reset", [], "ECONNRESET"),
    *_rows("err_address_unreachable", [], "EHOSTUNREACH", "connect"),
    *_rows("err_insufficient_resources", ["browser"]),
    *_rows("tentative address\naddress is tentative\naddress*tentative", ["tentative-address"]),
    *_rows("system_limit", ["own-limit"]),
)
_SYSTEMS = (
    Phrase("listen queue overflow: # already in queue", causes=("bsd-backlog",), system=System.FREEBSD),
    Phrase("sonewconn*listen queue overflow", causes=("bsd-backlog",), system=System.FREEBSD),
    Phrase("kern.maxfiles limit exceeded", "ENFILE", causes=("bsd-files",), system=System.FREEBSD),
    Phrase("kern.maxfilesperproc", "EMFILE", causes=("bsd-files",), system=System.FREEBSD),
    Phrase("kern.ipc.maxsockets limit reached", "ENOBUFS", causes=("bsd-files",), system=System.FREEBSD),
    Phrase("failed to select an outgoing port", causes=("windows-ports",), call="connect", system=System.WINDOWS),
    Phrase("all such ports are in use", causes=("windows-ports",), system=System.WINDOWS),
    Phrase(
        "failed to establish an outgoing connection because the selected local endpoint was recently used",
        causes=("windows-ports",),
        call="connect",
        system=System.WINDOWS,
    ),
    Phrase(
        "ephemeral port number from the global tcp port space has failed",
        causes=("windows-ports",),
        system=System.WINDOWS,
    ),
    Phrase("excludedportrange", causes=("windows-excluded",), system=System.WINDOWS),
)

# What sessions fail of after TCP has connected: no errno, and so no failure of ports.
_SESSIONS = tuple(
    phrase for causes, text in (*tls_texts.texts(), *session_texts.texts()) for phrase in _rows(text, causes)
)
SESSIONS = frozenset(phrase.text for phrase in _SESSIONS)
# Causes of words that say only that a session or connection ended: an errno, or any other cause, says more. Of these,
# the one with the smallest number says most.
VAGUE: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("closed-early", "tls-cut", "tls-not-closed", "session-closed", "session-timeout"), 1),
        **dict.fromkeys(("unexpected-answer", "ws-abnormal", "mqtt-lost", "proxy-cannot-reach", "proxy-broken"), 1),
        **dict.fromkeys(("http-502", "http-503", "http-504"), 1),
        "tls-unverified": 2,
        **dict.fromkeys(("tls-failed", "ws-handshake"), 3),
        "session-failed": 4,
    }
)
# Texts of clients that may stand around an errno, which then says more.
WRAPPERS = frozenset(phrase.text for phrase in (*_WAITS, *_CLOSED, *_NOT_CONNECTED))
OWN: tuple[Phrase, ...] = (
    *_KERNEL,
    *_THREADS,
    *_WATCHES,
    *_LIMITS,
    *_WAITS,
    *_CLOSED,
    *_NOT_CONNECTED,
    *_OTHERS,
    *_SYSTEMS,
    *_SESSIONS,
)
PHRASES: tuple[Phrase, ...] = (*OWN, *messages())

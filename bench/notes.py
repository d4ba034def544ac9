"""What is to be known beside the figures of a measure: what makes it fair, and what bounds it."""

from collections.abc import Mapping

NOTES: Mapping[str, str] = {
    "open": """\
All connect to 127.0.0.1, and the kernel's TCP code, which works for both ends, takes nearly all of a client's time.
The C client with fourtuple's server shows what the client alone brings; a server that sleeps after each accept() is
woken by each connect(). The CPU time of fourtuple's client is that of the opening phase, from its first sample to its
last.""",
    "open-workers": """\
With two CPUs the server cannot be elsewhere: it is pinned to one of the two that the client has. The rates with a
server that is not pinned are given beside it.""",
    "user-time": """\
The kernel knows the CPU time of a process exactly, and splits it into user and system by the share of its timer ticks
that found the process there: 200,000 connections take hundreds of ticks, 19,800 too few.""",
    "close": """\
`closing_s` of the record ends when the kernel lists none of the connections at either end, TIME_WAIT excluded. So it
includes the server, which closes its ends too, and one or more counts of the kernel's table, 0.05 s apart. The engine's
own part ends when the client has closed its last socket. By FIN, a connection is closed only when the server has closed
its end.""",
    "losses": """\
The kernel closes the sockets of the killed server's ring one after another; meanwhile the client notices the first.
CurrEstab, the number of sockets in ESTABLISHED and CLOSE_WAIT, shows how far the kernel is: two for each connection
before, less one for each end of the server that is closed, and one for each connection that the client has noticed and
closed.""",
    "echo-10k": """\
The same load: `hold --every 0s` sends to a connection as soon as its answer has come, but has at most 2,048 messages
on their way (MOST_WAITING in engine/dialogues/schedule.py), so the C client is told to have as many. That this holds on
both sides shows in the rate times the median, which is about 2,048 for both. With one message on each of the 10,000
connections, as tcp_rr has it, each epoll_wait() finds more work, and an answer takes longer. Both clients time each
message from its send to its last byte.

What bounds all of them is the kernel: on loopback, sending a message includes its way to the other end's socket. A
client of ring entries alone (bench/peers/bare.py), which polls, reads and sends and does nothing else, shows how little
is left for what `hold` does beside that.""",
    "tls": """\
A handshake takes four operations of public-key cryptography, which OpenSSL does at both ends, and nginx sends two
tickets after it, which s_time does not read. s_time waits for nginx in each handshake, so that only CPU time compares
the clients.""",
    "http": """\
nginx, on a CPU of its own, is what bounds fourtuple and wrk; the requests per second of CPU time, from the start of the
program to its end, show what the clients take. Each connection of httpx has a client of its own: a single one
looks through all its connections for each request.""",
    "websockets": """\
Part of the memory does not grow with the number of sessions: the modules of the protocol, 1.6 MB, and 1,024 buffers
of a page each for reading, 4 MB, which bare connections never touch. Of those, 131,072 sessions or fewer touch a half,
because their batches are smaller.
The server, on a CPU of its own, bounds the opening rate: the client is idle about half of the time, as its rate per
CPU second shows.""",
    "million": """\
User time includes everything from the start of Python to the end: opening, closing, counting two million sockets in the
kernel's table, and the samples that this measure takes.

This is a virtual machine that gives freed memory back to its host, and a page that is touched for the first time costs
many times what the kernel then does with it. So memory is touched before, and let go of as the kernel takes it
(bench/warming.py).""",
    "answers": """\
The output goes to /dev/null. CPU is of the command and its children.""",
    "limits": """\
Without any sockets, see answers. The rest is the kernel's walk over its table, two walks at the same time, and
reading 200,000 sockets.""",
    "census-40k": """\
The kernel's walk takes most of the time: 0.3 to 0.45 µs for a socket that a filter rejects, 1.0 µs for one that is
copied out. The start of Python is left out; census-command has it. Memory is that of the whole program (VmHWM).""",
    "export-netns": """\
The kernel has one table of connections for all namespaces unless net.ipv4.tcp_child_ehash_entries is set, and walks all
of it for each: 262,144 chains and 100,000 sockets take it 12 to 15 ms. The rest is Python.""",
    "reading": """\
A line that is read closely costs about 0.5 ms; one that says the same as an earlier one, but for times, addresses and
identifiers, is counted.""",
    "connect": """\
fourtuple adds two calls of setsockopt() and a little Python.""",
    "doctor": """\
Each namespace has a listener, three connections at both ends, a UDP and a Unix socket; its processes sleep. All are in
the same few cgroups: on a node with a cgroup for each container, reading these comes in addition.""",
    "report": """\
The first time, Vega is bundled and then kept in the user's cache.""",
    "charts": """\
Altair without bundling Vega, see report.""",
    "last-ports": """\
Each window lasts a tenth of a second, so a single interruption is visible.""",
}

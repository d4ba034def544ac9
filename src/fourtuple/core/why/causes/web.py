"""Causes of HTTP and WebSocket sessions that fail after TCP has connected: statuses, close codes, proxies.

Sources: RFC 9110, 15; RFC 6585, 4; RFC 6455, 4 and 7.4; IANA's registry of WebSocket close codes; RFC 1928, 6;
the documentation of nginx 1.28 (499).
"""

from collections.abc import Mapping

from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.why.scene import Cause

_PROXY_LOG = Cure(
    "the error log of the proxy at that time has the errno: fourtuple why - < LOG on that host; ports, files and queues"
    " of the proxy can be behind it"
)
_KEEPALIVE = Cure(
    "let the proxy close idle connections sooner than the server behind it (keepalive_timeout of both)",
    "some more connections",
    Needs.SETTING,
)
_ASK_DIRECTLY = Cure("ask the server without what is in front of it, from the same host: curl -v http://SERVER:PORT/")
_SERVER_LOG = Cure("read the server's log at that time")
_BACK_OFF = Cure("wait before trying again, longer each time and with some randomness", needs=Needs.CODE)
_RECONNECT = Cure("connect again, spread over some seconds (--reconnect): all clients at once bring it down again")

HTTP: Mapping[str, Cause] = {
    "http-unauthorized": Cause(
        "HTTP: the server refuses this client (401, 403): no or wrong credentials, a forbidden origin or address",
        (
            Cure("send what it wants: a header Authorization, a cookie, an Origin that it allows", needs=Needs.SETTING),
            Cure("the body of the answer often says more: curl -v"),
            Cure("a firewall for web applications or a CDN in front of the server answers 403 too: see header Server"),
        ),
    ),
    "http-request": Cause(
        "HTTP: the server does not accept this request (4xx): its path, method, headers or size",
        (
            Cure("curl -v with the same path and headers: the body often says more"),
            Cure("400: a wrong Host header, or plain HTTP at a port of TLS; 404: another path or virtual host (Host)"),
            Cure("413, 431: the body or the headers are too large (client_max_body_size, large_client_header_buffers)"),
        ),
    ),
    "http-server": Cause(
        "HTTP: the server failed while it answered (500 or another 5xx): a fault of the program",
        (_SERVER_LOG,),
    ),
    "http-redirect": Cause(
        "HTTP: the server sends the client elsewhere (3xx), such as from http to https, or to a login page",
        (
            Cure("curl -sI shows where (Location); name that address and path instead", needs=Needs.SETTING),
            Cure("WebSockets follow no redirection", needs=Needs.SETTING),
        ),
    ),
    "http-no-upgrade": Cause(
        "WebSocket: the server answered the upgrade as an ordinary request: a proxy does not pass it on, or this path"
        " is no WebSocket",
        (
            Cure(
                "let each proxy pass the upgrade: in nginx proxy_http_version 1.1, proxy_set_header Upgrade"
                " $http_upgrade and Connection upgrade",
                "a reload",
                Needs.SETTING,
            ),
            Cure("check the path: 200 or 404 is an ordinary page, 426 wants another protocol, 400 another version"),
            Cure("curl --http1.1 -i -H 'Connection: Upgrade' -H 'Upgrade: websocket' shows the answer of each hop"),
        ),
    ),
    "http-proxy-login": Cause(
        "the proxy wants to know who asks (407, or the login of SOCKS): no credentials, wrong ones, or a method that"
        " this client does not have",
        (
            Cure("give them in the proxy's URL: http://USER:PASSWORD@PROXY:PORT; encode @ and : in them as %40, %3A"),
            Cure("Proxy-Authenticate of the answer names the methods: NTLM and Kerberos need another client"),
            Cure(
                "leave the proxy out for this destination (NO_PROXY)",
                "the network may not let it through",
                Needs.SETTING,
            ),
        ),
    ),
    "proxy-forbids": Cause(
        "the proxy does not allow this destination or port (403, 405, SOCKS reply 2): most allow CONNECT to 443 only",
        (
            Cure("ask the proxy's administrator for this destination and port", needs=Needs.OTHERS),
            Cure("check that it is a proxy at all: a web server answers CONNECT with 400 or 405"),
        ),
    ),
    "proxy-cannot-reach": Cause(
        "the proxy could not connect to the destination: this end's connection to the proxy is well, the failure is"
        " between the proxy and the destination",
        (
            Cure("connect from the proxy's host: nc -vz HOST PORT there says refused, timed out, or no route"),
            Cure("a name is resolved by the proxy: getent ahosts NAME there"),
            _PROXY_LOG,
        ),
    ),
    "proxy-broken": Cause(
        "what answers is no such proxy, or ended before the tunnel stood",
        (
            Cure("check scheme and port: http:// for CONNECT (3128, 8080), socks5:// for SOCKS (1080)"),
            Cure("the proxy's log at that time: a limit, a timeout"),
        ),
    ),
    "http-408": Cause(
        "HTTP: the server waited too long for a request (408): it ends connections on which nothing comes, such as a"
        " browser's spare ones; or the client sends too slowly",
        (
            Cure("without a request, nothing is wrong: connect when there is something to send, or send sooner"),
            Cure(
                "raise the server's timeout for a request (timeout http-request of HAProxy, client_header_timeout of"
                " nginx, RequestReadTimeout of Apache)",
                "slow clients hold connections for longer",
                Needs.SETTING,
            ),
        ),
    ),
    "http-429": Cause(
        "HTTP: too many requests (429): the server or a gateway limits how many one client, key or address may send",
        (
            Cure("Retry-After of the answer says how long to wait", needs=Needs.CODE),
            Cure("lower the rate; clients behind one NAT address share its allowance", needs=Needs.SETTING),
            Cure("raise the limit for this client (limit_req, a quota of the gateway)", needs=Needs.OTHERS),
        ),
    ),
    "http-499": Cause(
        "HTTP: the client closed the connection before nginx had an answer for it (499): its timeout is shorter than"
        " the server's answer takes",
        (
            Cure("compare request_time with the client's timeout: if all are alike, that is the timeout"),
            Cure("find what makes the answer slow: upstream_response_time of nginx, the server's log"),
            Cure("a load balancer in front with a shorter timeout than nginx closes as well", needs=Needs.SETTING),
        ),
    ),
    "http-502": Cause(
        "HTTP: a proxy got no valid answer from the server behind it (502): refused, reset, closed in that moment, or"
        " another protocol than it expects",
        (
            _PROXY_LOG,
            _KEEPALIVE,
            Cure("the server behind it: does it run, was it restarted or killed (OOM) at that time"),
            _ASK_DIRECTLY,
        ),
    ),
    "http-503": Cause(
        "HTTP: the server takes no more at the moment (503): overload, a limit of connections or of a queue,"
        " maintenance, or a proxy that has no healthy server",
        (
            _PROXY_LOG,
            Cure("Retry-After of the answer says how long to wait", needs=Needs.CODE),
            Cure("who answers tells which: header Server, or Via; a load balancer's page is not the server's"),
            Cure("more servers, or a lower rate", "they cost money", Needs.OTHERS),
        ),
    ),
    "http-504": Cause(
        "HTTP: a proxy waited in vain for the server behind it (504): the server is slow or does not accept, or a"
        " firewall between the two drops",
        (
            _PROXY_LOG,
            Cure("ss -lnt on the server: a Recv-Q that grows is a server that does not accept"),
            Cure(
                "raise the proxy's timeout (proxy_read_timeout, timeout server), if the answer may take that long",
                "more requests are under way at once",
                Needs.SETTING,
            ),
        ),
    ),
    "http-not-kept": Cause(
        "HTTP: the server closes each connection after its answer (Connection: close, or HTTP/1.0): keep-alive is off,"
        " or a limit of requests per connection is reached",
        (
            Cure("switch keep-alive on in the server and in each proxy", "idle connections stay open", Needs.OTHERS),
            Cure("raise keepalive_requests of nginx, MaxKeepAliveRequests of Apache", needs=Needs.OTHERS),
            Cure("where each request has to have its own connection, plan for the ports in TIME_WAIT: fourtuple plan"),
        ),
    ),
    "unexpected-answer": Cause(
        "the server answered, but not as expected: what it says is behind the words of the expectation",
        (
            Cure("read the answer itself: an error of the server, its greeting, or another protocol"),
            Cure("adapt --expect, or --first and --send", needs=Needs.SETTING),
        ),
    ),
    "session-timeout": Cause(
        "the session was not established in time: TCP connected, but the answer of TLS, HTTP, WebSocket or MQTT did not"
        " come",
        (
            Cure("ss -lnt on the server: a Recv-Q that grows is a server that does not accept"),
            Cure("the server waits for something else: another protocol (TLS or not), a first message"),
            Cure("fewer at once (--rate), or more time (--timeout)", "the opening takes longer", Needs.SETTING),
        ),
    ),
    "session-failed": Cause(
        "a session failed in its own protocol (EPROTO), in TLS or what runs on it; this text does not say why",
        (
            Cure("the reason stands beside it: `N × tls: …` of fourtuple hold, `reasons` of its record (--json)"),
            Cure("of Node, `write EPROTO` is followed by OpenSSL's words: give them to fourtuple why"),
        ),
    ),
    "session-closed": Cause(
        "the peer closed the connection before the session, or its answer, was complete: a limit, a timeout, a restart,"
        " or it expects another protocol",
        (
            _SERVER_LOG,
            Cure("check scheme and port: servers close without a word what they do not understand, TLS too"),
            Cure("send sooner than its timeout for idle connections", needs=Needs.SETTING),
        ),
    ),
}

WEBSOCKET: Mapping[str, Cause] = {
    "ws-normal": Cause(
        "WebSocket close code 1000, normal closure: the peer had nothing more to say; no failure of the network",
        (Cure("the program at the other end decided so: a logout, a finished task, a limit of time"), _SERVER_LOG),
    ),
    "ws-going-away": Cause(
        "WebSocket close code 1001, going away: the server stops or is reloaded, or a browser leaves the page; some"
        " servers send it to idle clients, too",
        (
            _RECONNECT,
            Cure("the server's log: a deployment, a restart; drain connections more slowly", needs=Needs.OTHERS),
            Cure("if it comes after a fixed time: an idle timeout; send pings sooner (--keepalive)"),
        ),
    ),
    "ws-protocol": Cause(
        "WebSocket: one end breaks the protocol (close code 1002, or 1007 for text that is not UTF-8): frames that are"
        " damaged, masked wrongly, or compressed without agreement",
        (
            Cure("a proxy or middlebox in between changes or cuts frames: try wss, or without it"),
            Cure("two threads that write on one connection mix their frames: lock the writes", needs=Needs.CODE),
            Cure("switch permessage-deflate off at one end, to see whether it is at fault", needs=Needs.SETTING),
            Cure("1007: send binary data as binary messages", needs=Needs.CODE),
        ),
    ),
    "ws-unsupported": Cause(
        "WebSocket close code 1003, unsupported data: the server takes only text, or only binary messages",
        (Cure("send the other kind (--binary)", needs=Needs.SETTING),),
    ),
    "ws-policy": Cause(
        "WebSocket close code 1008, policy violation: the server refuses this client: no or an expired token, a"
        " forbidden Origin, too many messages or connections",
        (
            Cure("the reason beside the code, and the server's log, say which rule"),
            Cure("renew the token, send the Origin or header that it wants", needs=Needs.SETTING),
            Cure("lower the rate of messages, or the number of connections of one user", needs=Needs.SETTING),
        ),
    ),
    "ws-too-big": Cause(
        "WebSocket close code 1009, message too big: it is larger than the receiver's limit (ws 100 MiB, websockets 1"
        " MiB, Tomcat 8 KiB by default)",
        (
            Cure("raise it at the end that closed (maxPayload, max_size)", "memory for each connection", Needs.SETTING),
            Cure("send smaller messages", needs=Needs.CODE),
        ),
    ),
    "ws-extension": Cause(
        "WebSocket close code 1010: the client misses an extension that it asked for; the server did not agree to it",
        (Cure("do without it, or switch it on in the server and let proxies pass it", needs=Needs.SETTING),),
    ),
    "ws-internal": Cause(
        "WebSocket close code 1011, internal error: the program at the other end failed, or its ping had no answer in"
        " time (keepalive ping timeout of Python's websockets)",
        (
            _SERVER_LOG,
            Cure(
                "keepalive ping timeout: the event loop of one end stood still, or the path was lost: raise"
                " ping_timeout, and find what blocks the loop",
                "dead connections are noticed later",
                Needs.SETTING,
            ),
        ),
    ),
    "ws-restart": Cause("WebSocket close code 1012: the service restarts", (_RECONNECT,)),
    "ws-try-later": Cause(
        "WebSocket close code 1013, try again later: the server is overloaded, or has reached its limit of connections",
        (
            _BACK_OFF,
            Cure("connect to another server, or open more slowly (--rate)", needs=Needs.SETTING),
            Cure("the server's own limit of connections: its settings and log", needs=Needs.OTHERS),
        ),
    ),
    "ws-gateway": Cause(
        "WebSocket close code 1014: a gateway got no valid answer from the server behind it, as 502 of HTTP",
        (_PROXY_LOG, _ASK_DIRECTLY),
    ),
    "ws-no-code": Cause(
        "WebSocket close code 1005: the peer closed properly, but gave no code; never sent, only shown",
        (Cure("the program at the other end decided so: close() without arguments"), _SERVER_LOG),
    ),
    "ws-abnormal": Cause(
        "WebSocket close code 1006: the connection ended without a close frame: an idle timeout of a proxy or NAT, a"
        " crash or restart of the server, or the upgrade failed; never sent, only shown",
        (
            Cure(
                "if it comes after a fixed time without messages: a proxy's timeout (nginx proxy_read_timeout 60 s, AWS"
                " ALB 60 s, Azure 4 minutes): send pings sooner (--keepalive)",
                "some more traffic",
                Needs.SETTING,
            ),
            Cure("if all end at once: the server or the proxy was restarted, reloaded or killed: see its log"),
            Cure("if it comes at once, in browsers: the upgrade failed; curl -i shows the status that the page hides"),
            _RECONNECT,
        ),
    ),
    "ws-tls": Cause(
        "WebSocket close code 1015: the TLS handshake failed; never sent, only shown, and the browser hides why",
        (
            Cure("open the https address in the browser: it says what is wrong with the certificate"),
            Cure(
                "openssl s_client -connect HOST:PORT -servername HOST </dev/null, and give its words to fourtuple why"
            ),
        ),
    ),
    "ws-unauthorized": Cause(
        "WebSocket close code 3000 or 3003: the server does not accept who this client is, or what it may do",
        (Cure("renew the token or the session, then connect again", needs=Needs.SETTING), _SERVER_LOG),
    ),
    "ws-timeout": Cause(
        "WebSocket close code 3008: the server waited too long for a message, a ping or the login",
        (Cure("send sooner: pings (--keepalive), or the first message (--first)", needs=Needs.SETTING),),
    ),
    "ws-own-code": Cause(
        "WebSocket close code of a library (3000 to 3999) or of the program itself (4000 to 4999): its documentation"
        " says what it means",
        (Cure("look it up in the server's source or documentation; the reason beside the code may tell"),),
    ),
    "ws-handshake": Cause(
        "WebSocket: the upgrade failed: the server's answer is not what RFC 6455 asks for, or what was offered",
        (
            Cure("curl --http1.1 -i -H 'Connection: Upgrade' -H 'Upgrade: websocket' shows the answer of each hop"),
            Cure("a proxy or cache in between answers, or drops the headers: ask the server directly"),
            Cure("the status of the answer says more: fourtuple why 'status 403'"),
        ),
    ),
    "ws-subprotocol": Cause(
        "WebSocket: the two ends have no subprotocol in common (Sec-WebSocket-Protocol), or the server chose another"
        " one",
        (
            Cure("offer what the server speaks, exactly so written (mqtt, graphql-transport-ws)", needs=Needs.SETTING),
            Cure("a server that does not know subprotocols chooses none: offer none", needs=Needs.SETTING),
        ),
    ),
}
WEB: Mapping[str, Cause] = {**HTTP, **WEBSOCKET}
